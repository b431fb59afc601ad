"""Windows, names and overlaps: pure functions, each against a slow twin."""

from __future__ import annotations

import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.archive.names import Repeats, decode_name, extra_field
from artrec.archive.ranges import plan_windows
from artrec.archive.zip_directory import Extents
from tests.archive.zip_maker import extra

EXTENTS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 500)), max_size=60)


def test_near_spans_share_a_window_and_far_ones_do_not() -> None:
    spans = [(0, 10), (12, 20), (40, 50), (52, 99), (100, 101)]
    windows = plan_windows(spans, gap=5, window=30)
    assert [(w.first, w.last, w.start, w.end) for w in windows] == [
        (0, 2, 0, 20),
        (2, 3, 40, 50),
        (3, 4, 52, 99),
        (4, 5, 100, 101),
    ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 99)), max_size=40),
    st.integers(0, 50),
    st.integers(1, 300),
)
def test_each_span_lies_in_one_window(pairs: list[tuple[int, int]], gap: int, window: int) -> None:
    spans = sorted((start, start + size) for start, size in pairs)
    windows = list(plan_windows(spans, gap, window))
    assert [n for w in windows for n in range(w.first, w.last)] == list(range(len(spans)))
    for w in windows:
        held = spans[w.first : w.last]
        assert (w.start, w.end) == (min(s for s, _ in held), max(e for _, e in held))
        assert w.end - w.start <= window or len(held) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 30)), max_size=30))
def test_overlaps_are_found_just_when_two_ranges_share_a_byte(pairs: list[tuple[int, int]]) -> None:
    extents = Extents()
    for start, size in pairs:
        extents.add(start, start + size)
    taken = Counter(byte for start, size in pairs for byte in range(start, start + size))
    overlap = extents.overlap()
    assert (overlap is not None) == any(times > 1 for times in taken.values())
    if overlap is not None:
        assert taken[overlap] > 1


@settings(deadline=None)
@given(st.permutations([(n * 10, n * 10 + 10) for n in range(20)]))
def test_ranges_that_touch_do_not_overlap_in_any_order(ranges: list[tuple[int, int]]) -> None:
    extents = Extents()
    for start, end in ranges:
        extents.add(start, end)
    assert extents.overlap() is None


@settings(deadline=None)
@given(st.lists(st.binary(max_size=2)))
def test_repeats_count_like_a_counter(names: list[bytes]) -> None:
    repeats, seen = Repeats(), Counter[bytes]()
    for name in names:
        assert repeats.count(name) == seen[name]
        seen[name] += 1


def test_repeats_are_counted_among_many_names() -> None:
    repeats = Repeats()
    names = [b"%d" % (n % 30_000) for n in range(50_000)]
    counts = [repeats.count(name) for name in names]
    assert counts == [0] * 30_000 + [1] * 20_000


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"plain.jpg", "plain.jpg"),
        ("\u00e9l\u00e8ve.jpg".encode(), "\u00e9l\u00e8ve.jpg"),
        (b"\x82l\x8ave.jpg", "\u00e9l\u00e8ve.jpg"),  # code page 437
        (b"\xed\xa0\x80", "\u03c6\u00e1\u00c7"),  # a surrogate in UTF-8's clothes
        (b"a\0b\nc", "a\0b\nc"),
        (b"../..//etc", "../..//etc"),
        (b"", ""),
    ],
)
def test_a_name_is_utf8_where_it_can_be_and_code_page_437_else(raw: bytes, name: str) -> None:
    assert decode_name(raw) == name


def unicode_path(raw: bytes, name: bytes, version: int = 1) -> bytes:
    return extra(0x7075, bytes([version]) + zlib.crc32(raw).to_bytes(4, "little") + name)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (unicode_path(b"q.jpg", "\u5b57.jpg".encode()), "\u5b57.jpg"),
        (extra(9, b"up") + unicode_path(b"q.jpg", b"better.jpg"), "better.jpg"),
        (unicode_path(b"other.jpg", b"stale.jpg"), "q.jpg"),
        (unicode_path(b"q.jpg", b"later.jpg", version=2), "q.jpg"),
        (unicode_path(b"q.jpg", b"\xff\xff"), "q.jpg"),
        (extra(0x7075, b"\1\2"), "q.jpg"),
        (unicode_path(b"q.jpg", b"cut.jpg")[:-1], "q.jpg"),
    ],
)
def test_a_unicode_path_counts_where_it_was_made_for_this_name(field: bytes, name: str) -> None:
    assert decode_name(b"q.jpg", field) == name


@settings(deadline=None)
@given(st.binary(), st.binary(max_size=40))
def test_any_bytes_have_a_name_that_can_be_written_as_utf8(raw: bytes, field: bytes) -> None:
    decode_name(raw, b"up" + field).encode("utf-8")


def test_the_first_extra_field_of_a_kind_is_taken() -> None:
    fields = extra(1, b"one") + extra(2, b"") + extra(1, b"two")
    assert extra_field(fields, 1) == b"one"
    assert extra_field(fields, 2) == b""
    assert extra_field(fields, 3) is None
    assert extra_field(fields[:-1] + b"", 3) is None
