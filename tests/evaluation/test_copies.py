"""Near copies: links and groups beside what is counted out one by one."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artrec.evaluation.copies import (
    Hashes,
    Links,
    bits_apart,
    fewest,
    hash_links,
    listed_links,
    starred,
)

Pairs = set[tuple[int, int]]


def ints(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def links_of(pairs: Pairs) -> Links:
    ends = sorted(pairs)
    one, other = ints(*(a for a, _ in ends)), ints(*(b for _, b in ends))
    bits = (one * 7 + other) % 9
    return Links.of(one, other, bits, (bits / 10).astype(np.float32))


def greedy(pairs: Pairs) -> dict[int, int]:
    """Member -> middle, one middle after the other."""
    near: dict[int, set[int]] = {}
    for a, b in pairs:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    left, found = set(near), {}
    for middle in sorted(near, key=lambda n: (-len(near[n]), n)):
        if middle in left:
            taken = near[middle] & left
            found |= dict.fromkeys(taken, middle)
            left -= {middle, *taken}
    return found


def middles(pairs: Pairs) -> dict[int, int]:
    found = starred(links_of(pairs))
    return dict(zip(found.contents.tolist(), found.middles.tolist(), strict=True))


ends = st.integers(0, 14)
some_pairs = st.sets(st.tuples(ends, ends).filter(lambda p: p[0] < p[1]), max_size=40)


@given(some_pairs)
def test_groups_are_those_taken_one_after_the_other(pairs: Pairs) -> None:
    assert middles(pairs) == greedy(pairs)


@given(some_pairs)
def test_every_member_has_a_link_to_its_middle_and_that_link_s_distance(pairs: Pairs) -> None:
    found = starred(links_of(pairs))
    assert not {*found.contents.tolist()} & {*found.middles.tolist()}
    for content, middle, bits, distance in zip(
        found.contents.tolist(), found.middles.tolist(), found.bits.tolist(),
        found.distances.tolist(), strict=True,
    ):  # fmt: skip
        one, other = sorted((content, middle))
        assert (one, other) in pairs
        assert bits == (one * 7 + other) % 9
        assert distance == pytest.approx(bits / 10)


def test_a_chain_is_cut_into_groups_round_their_middles() -> None:
    chain = {(n, n + 1) for n in range(1, 7)}  # 1 and 7 are as far apart as can be
    assert middles(chain) == {1: 2, 3: 2, 5: 4, 7: 6}


def test_a_middle_whose_own_turn_comes_late_still_takes_before_those_after_it() -> None:
    """3 waits for 2, which 1 takes at last; 4 need not wait, but comes after 3: so 5 is 3's."""
    pairs = {(1, 2), (1, 20), (1, 21), (2, 3), (3, 5), (4, 5), (4, 22)}
    assert middles(pairs) == greedy(pairs) == {2: 1, 20: 1, 21: 1, 5: 3, 22: 4}


def test_a_star_is_one_group() -> None:
    assert middles({(1, 9), (2, 9), (9, 12), (1, 2)}) == {1: 9, 2: 9, 12: 9}


def hashed(rng: np.random.Generator, count: int) -> Any:
    """Hashes with as many ones as zeros, a good part of them one or two swaps from another."""
    found = []
    for n in range(count):
        bits = rng.permutation(np.repeat([0, 1], 32)) if n % 3 == 0 else found[-1].copy()
        for _ in range(n % 3):
            a, b = rng.choice(np.flatnonzero(bits)), rng.choice(np.flatnonzero(bits == 0))
            bits[a], bits[b] = 0, 1
        found.append(bits)
    return np.packbits(np.array(found, np.uint8), axis=1).view(">i8").ravel().astype(np.int64)


def every_link(hashes: Hashes) -> Links:
    return Links.together(hash_links(hashes))


def apart(a: int, b: int) -> int:
    return bin((a ^ b) & (2**64 - 1)).count("1")


@given(st.integers(0, 2**32 - 1))
def test_all_pairs_of_which_hardly_a_bit_differs_are_found(seed: int) -> None:
    phashes = hashed(np.random.default_rng(seed), 40)
    found = every_link(Hashes.telling(np.arange(40), phashes))
    pairs = set(zip(found.one.tolist(), found.other.tolist(), strict=True))
    every = combinations(range(40), 2)
    assert pairs == {(a, b) for a, b in every if apart(int(phashes[a]), int(phashes[b])) <= 2}
    assert np.isnan(found.distance).all()


def test_a_key_that_many_have_makes_no_pairs() -> None:
    (same,) = hashed(np.random.default_rng(0), 1)
    for count, expected in ((64, 64 * 63 // 2), (65, 0)):
        hashes = Hashes.telling(np.arange(count), np.repeat(same, count))
        assert len(every_link(hashes).one) == expected


def test_a_pair_is_made_once_however_many_keys_it_has_in_common() -> None:
    """Nor a crowd at one of its keys hides it: 70 share two bands, 30 of them the whole hash."""
    (true,) = hashed(np.random.default_rng(0), 1)
    crowd = [true ^ ((0b111 << 10 | n) << 34) for n in range(40)]
    hashes = Hashes(np.arange(70), ints(*[true] * 30, *crowd))
    found = [pair for part in hash_links(hashes) for pair in
             zip(part.one.tolist(), part.other.tolist(), strict=True)]  # fmt: skip
    assert len(found) == len(set(found))
    assert {(a, b) for a, b in found if b < 30} == set(combinations(range(30), 2))


@pytest.mark.parametrize(
    ("most", "bits", "taken"), [(6, 4, 6), (5, 3, 4), (4, 3, 4), (3, 2, 2), (2, 2, 2), (1, -1, 0)]
)
def test_of_too_many_pairs_whole_bits_are_taken_and_no_pair_counts_twice(
    most: int, bits: int, taken: int
) -> None:
    """Two pairs of 0 bits, two of 3 and two of 4, each in three parts, cut this way or that."""
    ends = ints(1, 2, 3, 4, 5, 6)
    links = Links(ends, ends + 10, ints(0, 4, 3, 0, 3, 4), np.zeros(6, np.float32))
    for size in (1, 2, 6):
        parts = [
            Links.of(ends[n : n + size], ends[n : n + size] + 10, links.bits[n : n + size],
                     links.distance[n : n + size])
            for _ in range(3) for n in range(0, 6, size)
        ]  # fmt: skip
        found, fitting = fewest(parts, 4, most)
        assert (fitting, len(found.one)) == (bits, taken)
        assert found.one.tolist() == links.within(bits).one.tolist()


def test_the_hash_of_a_flat_picture_tells_nothing() -> None:
    (true,) = hashed(np.random.default_rng(0), 1)
    hashes = Hashes.telling(ints(5, 3, 4, 1), ints(0, int(true), -1, 2**40 - 1))
    assert hashes.numbers.tolist() == [3]


def test_entries_are_near_by_bits_and_by_distance() -> None:
    (true,) = hashed(np.random.default_rng(0), 1)
    phashes = ints(true, true ^ 0b11, true ^ 0b1111, true ^ (2**12 - 1))
    found = listed_links(
        Hashes(ints(1, 2, 3, 4), phashes),
        queries=ints(1, 1, 1, 1, 2, 3), others=ints(2, 3, 4, 9, 1, 1),
        distances=np.array([0.1, 0.3, 0.1, 0.0, 0.1, 0.2], np.float32), bits=4, distance=0.2,
    )  # fmt: skip
    pairs = zip(found.one.tolist(), found.other.tolist(), found.bits.tolist(), strict=True)
    assert list(pairs) == [(1, 2, 2), (1, 3, 4)]
    assert found.distance.tolist() == pytest.approx([0.1, 0.2])


def test_a_pair_that_is_listed_and_alike_keeps_its_distance() -> None:
    nan = np.array([np.nan], np.float32)
    parts = [Links(ints(1), ints(2), ints(2), nan), Links.of(ints(2), ints(1), ints(2), nan + 1)]
    parts.append(Links.of(ints(2), ints(1), ints(2), np.array([0.25], np.float32)))
    found = Links.together(parts)
    assert (found.one.tolist(), found.other.tolist()) == ([1], [2])
    assert found.distance.tolist() == [0.25]


def test_nobody_is_near_itself() -> None:
    zeros = np.zeros(3, np.float32)
    found = Links.of(ints(1, 2, 2), ints(1, 1, 2), ints(0, 0, 0), zeros)
    assert (found.one.tolist(), found.other.tolist()) == ([1], [2])
    assert starred(Links.of(ints(1), ints(1), ints(0), zeros[:1])).contents.tolist() == []


def test_bits_are_counted_in_all_of_64() -> None:
    assert bits_apart(ints(-1, 0, 5, -(2**63)), ints(0, 0, 4, 0)).tolist() == [64, 0, 1, 1]
