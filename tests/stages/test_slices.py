"""How work is cut: into segments that a killed job goes on from, and into slices for tasks."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from artrec.stages.slices import SliceSpec, cut_segments, join_units

MB = 1 << 20
UNITS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50)), max_size=60).map(sorted)


def units(sizes: list[tuple[str, int]]) -> list[SliceSpec]:
    """A unit of one item for each (source, bytes)."""
    return [
        SliceSpec(low=(source, n), high=(source, n), items=1, bytes=size)
        for n, (source, size) in enumerate(sizes)
    ]


def test_slices_are_large_at_first_and_small_at_the_end() -> None:
    found = join_units(units([("a", 8 * MB)] * 32), 64 * MB, cores=2)
    # A quarter of what is left, in whole units of 8 MB: of 256, of 192, 144, 104, 80, …
    assert [each.bytes // MB for each in found] == [64, 48, 32, 24, 16, 16, 8, 8, 8, 8, 8, 8, 8]


def test_a_great_segment_has_slices_of_the_size_that_is_set() -> None:
    found = join_units(units([("a", 8 * MB)] * 1000), 64 * MB, cores=2)
    whole = [each for each in found if each.bytes == 64 * MB]
    assert len(whole) >= 121
    assert max(each.bytes for each in found[-4:]) == 8 * MB


def test_little_work_is_one_slice() -> None:
    found = join_units(units([("a", 2000)] * 75), 64 * MB, cores=2)
    assert [(each.items, each.bytes) for each in found] == [(75, 150_000)]


def test_segments_grow_with_the_cores() -> None:
    sizes = units([("a", 10)] * 24)
    assert [len(cut_segments(sizes, 10, 30, cores).segments) for cores in (1, 2, 4)] == [8, 4, 2]


@given(UNITS, st.integers(1, 200), st.integers(1, 300), st.integers(1, 8), st.booleans())
def test_every_unit_is_in_one_slice_of_one_segment_in_order(
    sizes: list[tuple[str, int]], slice_bytes: int, segment_bytes: int, cores: int, apart: bool
) -> None:
    whole = units(sizes)
    cut = cut_segments(whole, slice_bytes, segment_bytes, cores, apart)
    found = list(chain.from_iterable(cut.segments))
    covered = [n for each in found for n in range(int(each.low[1]), int(each.high[1]) + 1)]
    assert covered == list(range(len(whole)))
    assert [each.items for each in found] == [
        int(each.high[1]) - int(each.low[1]) + 1 for each in found
    ]
    assert sum(each.bytes for each in found) == sum(size for _, size in sizes)
    assert all(each.bytes <= slice_bytes or each.items == 1 for each in found)
    assert not apart or all(each.low[0] == each.high[0] for each in found)
    held = [sum(each.bytes for each in segment) for segment in cut.segments]
    assert all(size >= segment_bytes * cores for size in held[:-1])


def test_without_work_there_is_no_segment() -> None:
    assert cut_segments([], 10, 10, 2).segments == []
