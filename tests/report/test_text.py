"""Text of others: what cannot be seen is shown as its escape, and nothing is long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artrec.report import Image, visible
from artrec.report.text import LONGEST


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("joaquín sorolla, 神奈川沖浪裏", "joaquín sorolla, 神奈川沖浪裏"),
        ("\x1b[31mred\x1b]0;owned\x07", r"\x1b[31mred\x1b]0;owned\x07"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("a\u2066b\u2069\u200b\ufeff", r"a\u2066b\u2069\u200b\ufeff"),
        ("two\nlines\r\ttab", r"two\nlines\r\ttab"),
        ("end\u2028\u2029\x85\x00", r"end\u2028\u2029\x85\x00"),
        ("half \ud800 of a pair \udcff", r"half \ud800 of a pair \udcff"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_long_text_ends_in_an_ellipsis() -> None:
    assert visible("x" * 10_000) == "x" * (LONGEST - 1) + "…"
    assert visible("x" * LONGEST) == "x" * LONGEST
    assert len(visible("\x1b" * 10_000)) == LONGEST


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=300))
def test_shown_text_is_printable_short_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown) <= LONGEST
    assert visible(shown) == shown
    shown.encode("utf-8")


def test_text_is_made_harmless_as_it_enters_a_record() -> None:
    found = Image(image_id="a\ud800\x1b", title="x" * 9_999, artist=None)
    assert found.image_id == r"a\ud800\x1b"
    assert len(found.title or "") == LONGEST
