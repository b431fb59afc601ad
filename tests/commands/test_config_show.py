"""artrec config show: each value with its origin, or what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Call


def test_each_key_is_shown_with_value_and_origin(
    artrec: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("neighbors: {k: 20}\nencoder: {id: other}")
    monkeypatch.setenv("ARTREC_EMBED__BATCH", "4")
    called = artrec(
        "config", "show", "--config", str(file), "--set", "sources.main.url=/a b #1.zip",
        "--set", "neighbors.k=30", "--json",
    )  # fmt: skip
    assert called.code == 0
    shown = {each["key"]: (each["value"], each["origin"]) for each in json.loads(called.out)}
    assert shown["neighbors.k"] == (30, "--set neighbors.k=30")
    assert shown["encoder.id"] == ("other", str(file))
    assert shown["embed.batch"] == (4, "environment")
    assert shown["catalog.embeddings"] == (True, "default")
    assert shown["sources.main.url"] == ("/a b #1.zip", "--set sources.main.url=/a b #1.zip")
    assert shown["ingest.background"] == ([255, 255, 255], "default")


def test_people_get_one_line_for_each_key(artrec: Call) -> None:
    lines = artrec("config", "show").out.splitlines()
    assert lines[0].split() == ["key", "value", "origin"]
    assert ["neighbors.k", "50", "default"] in [line.split() for line in lines]


def test_values_are_printed_harmlessly(artrec: Call) -> None:
    called = artrec("config", "show", "--set", "store.root=\x1b[2J\nx")
    assert "\x1b" not in called.out
    assert "\\x1b[2J\\nx" in called.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "neighbors.kk=3"], "neighbors.kk (--set neighbors.kk=3): unknown key, found 3"),
        (["--set", "neighbors.k=x"], "neighbors.k (--set neighbors.k=x): expected a whole number"),
        (["--config", "no.yaml"], "no.yaml: cannot read the settings file"),
    ],
)
def test_a_wrong_setting_is_code_3_and_one_sentence(
    artrec: Call, arguments: list[str], message: str
) -> None:
    called = artrec("config", "show", *arguments)
    assert (called.code, called.out) == (3, "")
    assert called.err.startswith(f"artrec: {message}")
    assert len(called.err.splitlines()) == 1
