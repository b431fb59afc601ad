from __future__ import annotations

import json

import pytest

from artrec.commands.show import as_json


def test_json_on_a_terminal_has_no_power_over_it(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "\x1b]0;x\x07\x9b2J\u202eгод\U000e0001.jpg"}
    as_json(value)
    shown = capsys.readouterr().out
    assert '"\\u001b]0;x\\u0007\\u009b2J\\u202eгод\\udb40\\udc01.jpg"' in shown
    assert json.loads(shown) == value
