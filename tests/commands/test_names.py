"""Names of files made of others' words."""

from __future__ import annotations

from pathlib import Path

import pytest

from artrec.commands.names import Names, safe_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("joaquín-sorolla_el-baño", "joaquín-sorolla_el-baño"),
        ("葛飾北斎", "葛飾北斎"),
        ("re\u0301ne", "réne"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\\b:c*d", "a_b_c_d"),
        ("\x1b[31mred\x00\n", "_[31mred__"),
        ("\u202eevil", "_evil"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        (" . hidden. ", "hidden"),
        ("\udcff", "_"),
    ],
)
def test_a_name_leads_nowhere_and_keeps_its_letters(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_a_long_name_is_cut_between_letters_and_stays_its_own(tmp_path: Path) -> None:
    one, other = (safe_name("é" * 300 + end) for end in "ab")
    assert one != other
    assert len(one.encode()) <= 120
    (tmp_path / f"000_{one}.jpg").touch()


def test_no_name_is_given_twice_not_even_in_capitals() -> None:
    names = Names()
    given = [names.fresh(text, ".png") for text in ("a/b", "a_b", "A_B", "a_b-2")]
    assert given == ["a_b.png", "a_b-2.png", "A_B-3.png", "a_b-2-2.png"]
