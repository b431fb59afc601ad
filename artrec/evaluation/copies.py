"""Near copies: which pictures are one picture in another size, compression or cut, and in groups.

Two contents are *near* where their perceptual hashes differ in few bits and one stands early enough
in the other's list; or where hardly a bit differs, listed or not: a grey copy of a coloured picture
may be far by its embedding. A group is a content and those near it, so no chain of small steps
makes one group of its ends.

A hash has as many ones as zeros, since each bit tells which half of the frequencies one is in;
but for flat pictures, plain gradients and the like, most of whose frequencies are equal. Such a
hash tells nothing, and its picture is near no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.distance import Floats, Ints

__all__ = [
    "CROWD",
    "Hashes",
    "KEYS",
    "Links",
    "Stars",
    "TELLING",
    "TWIN_BITS",
    "bits_apart",
    "fewest",
    "hash_links",
    "key_mask",
    "listed_links",
    "starred",
]

TELLING = (30, 34)
"""Ones of a hash that tells something, at the least and at the most."""

TWIN_BITS = 2
"""Bits in which two hashes may differ that are near whatever the lists say."""

CROWD = 64
"""Contents with one key, above which they are not compared by it: they are as flat pictures are."""

_BANDS, _WIDE = 4, 16  # of bits
KEYS = tuple(combinations(range(_BANDS), _BANDS - TWIN_BITS))
"""Bands of the hash that make a key: where two bits differ, two of the four bands are equal."""

_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Hashes:
    """The perceptual hashes of contents, by their numbers, ascending."""

    numbers: Ints
    phashes: Ints

    @classmethod
    def telling(cls, numbers: Ints, phashes: Ints) -> Hashes:
        """Of some contents in any order those whose hash tells something; each number once."""
        ones = bits_apart(phashes, np.zeros(len(phashes), np.int64))
        mine = np.flatnonzero((ones >= TELLING[0]) & (ones <= TELLING[1]))
        unique, first = np.unique(numbers[mine], return_index=True)
        return cls(unique, phashes[mine[first]])

    def of(self, numbers: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """The hashes of some contents, and whether there is one."""
        if not len(self.numbers):
            return np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.bool_)
        place = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return self.phashes[place], self.numbers[place] == numbers


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Pairs of near contents, ``one`` < ``other``, each once, in order.

    The ``distance`` is NaN where neither is in the other's list.
    """

    one: Ints
    other: Ints
    bits: Ints
    distance: Floats

    @classmethod
    def of(cls, a: Ints, b: Ints, bits: Ints, distance: Floats) -> Links:
        """From pairs in any order, either way round, perhaps several times; a distance counts more
        than none."""
        one, other = np.minimum(a, b), np.maximum(a, b)
        order = np.lexsort((distance, other, one))  # NaN comes last
        one, other = one[order], other[order]
        fresh = one < other  # nobody is near itself
        fresh[1:] &= (one[1:] != one[:-1]) | (other[1:] != other[:-1])
        return cls(one[fresh], other[fresh], bits[order][fresh], distance[order][fresh])

    def within(self, bits: int) -> Links:
        """Those that are at most so many ``bits`` apart."""
        kept = np.flatnonzero(self.bits <= bits)
        return Links(self.one[kept], self.other[kept], self.bits[kept], self.distance[kept])

    @classmethod
    def together(cls, parts: Iterable[Links]) -> Links:
        every = [*parts]
        return cls.of(
            np.concatenate([np.zeros(0, np.int64), *(each.one for each in every)]),
            np.concatenate([np.zeros(0, np.int64), *(each.other for each in every)]),
            np.concatenate([np.zeros(0, np.int64), *(each.bits for each in every)]),
            np.concatenate([np.zeros(0, np.float32), *(each.distance for each in every)]),
        )


def bits_apart(a: Ints, b: Ints) -> Ints:
    """In how many of 64 bits the hashes differ, pair by pair."""
    different = np.bitwise_xor(a, b).view(np.uint8).reshape(len(a), 8)
    found: Ints = _ONES[different].sum(axis=1, dtype=np.int64)
    return found


def listed_links(
    hashes: Hashes, queries: Ints, others: Ints, distances: Floats, bits: int, distance: float
) -> Links:
    """Of entries of lists those that are near: at most so many ``bits`` and so far."""
    near = np.flatnonzero(distances <= np.float32(distance))
    a, b, far = queries[near], others[near], distances[near]
    (hash_a, known_a), (hash_b, known_b) = hashes.of(a), hashes.of(b)
    apart = bits_apart(hash_a, hash_b)
    kept = np.flatnonzero(known_a & known_b & (apart <= bits) & (a != b))
    return Links.of(a[kept], b[kept], apart[kept], far[kept])


def key_mask(bands: Sequence[int]) -> int:
    """The bits of these bands, as a signed number of 64 bits."""
    mask = sum(((1 << _WIDE) - 1) << (_WIDE * band) for band in bands)
    return mask - (1 << 64) if mask >> 63 else mask


def hash_links(hashes: Hashes) -> Iterator[Links]:
    """All pairs that differ in at most TWIN_BITS, but for those whose every key is crowded.

    In parts, each pair once: by the first of its keys that is not crowded.
    """
    before: list[tuple[int, NDArray[np.bool_]]] = []
    for mask in map(key_mask, KEYS):
        order, keys = _shared(hashes.phashes & mask)
        for step in range(1, CROWD):
            left = np.flatnonzero(keys[step:] == keys[:-step])
            if not len(left):
                break
            yield _fresh(hashes, order[left], order[left + step], before)
        shared = np.zeros(len(hashes.phashes), np.bool_)
        shared[order] = True
        before.append((mask, shared))


def _shared(keys: Ints) -> tuple[Ints, Ints]:
    """Places by their keys, and these, of the keys that several have and no crowd."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    sizes = np.diff(np.append(starts, len(keys)))
    kept = np.repeat((sizes > 1) & (sizes <= CROWD), sizes)
    return order[kept], keys[kept]


def _fresh(
    hashes: Hashes, a: Ints, b: Ints, before: Sequence[tuple[int, NDArray[np.bool_]]]
) -> Links:
    """Of pairs with a key in common those that hardly differ and that no key before has shown."""
    apart = bits_apart(hashes.phashes[a], hashes.phashes[b])
    near = np.flatnonzero(apart <= TWIN_BITS)
    a, b, apart = a[near], b[near], apart[near]
    different = hashes.phashes[a] ^ hashes.phashes[b]
    fresh = np.ones(len(a), np.bool_)
    for mask, shared in before:
        fresh &= (different & mask != 0) | ~shared[a]
    one, other = hashes.numbers[a[fresh]], hashes.numbers[b[fresh]]
    unknown = np.full(len(one), np.nan, np.float32)
    return Links(one, other, apart[fresh], unknown)


def fewest(parts: Iterable[Links], bits: int, most: int) -> tuple[Links, int]:
    """At most so many pairs, those with the fewest bits, and the bits of which all are taken.

    At best these are ``bits``; -1 where there are too many pairs without any. Parts may have pairs
    in common, which count once; about half as many again as ``most`` are held, and one part.
    """
    held: list[Links] = []
    rows = 0
    for part in parts:
        held.append(part.within(bits))
        rows += len(held[-1].one)
        if rows > most + most // 2:
            held[:], bits = _fitting(held, bits, most)
            rows = len(held[0].one)
    (links,), bits = _fitting(held, bits, most)
    return links, bits


def _fitting(held: Sequence[Links], bits: int, most: int) -> tuple[list[Links], int]:
    links = Links.together(held)
    counted = np.cumsum(np.bincount(links.bits, minlength=bits + 1))
    fitting = int(np.searchsorted(counted, most, side="right")) - 1
    return ([links], bits) if fitting >= bits else ([links.within(fitting)], fitting)


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """The members of groups, ascending, each with its group's middle, and how far it is from it."""

    contents: Ints
    middles: Ints
    bits: Ints
    distances: Floats

    def of(self, numbers: Ints, own: float) -> tuple[Ints, Ints, Floats]:
        """(middle, bits, distance) of some contents; who is no member is its own, ``own`` away."""
        place = np.searchsorted(self.contents, numbers)
        place = np.minimum(place, max(0, len(self.contents) - 1))
        member = np.zeros(len(numbers), np.bool_)
        if len(self.contents):
            member = self.contents[place] == numbers
        middles, bits = numbers.copy(), np.zeros(len(numbers), np.int64)
        distances = np.full(len(numbers), own, np.float32)
        mine = place[member]
        middles[member], bits[member] = self.middles[mine], self.bits[mine]
        distances[member] = self.distances[mine]
        return middles, bits, distances


def starred(links: Links) -> Stars:
    """Groups: contents round a middle to which each of them has a link.

    Middles are taken one after the other: of the contents that are in no group yet the one with
    the most links (of several the least number) takes all of its links that are in none. It is
    done in rounds, in which every content goes that has no open link to one before it.
    """
    nodes, ends = np.unique(np.concatenate([links.one, links.other]), return_inverse=True)
    a, b = np.split(ends, 2)
    starts, goals = np.concatenate([a, b]), np.concatenate([b, a])
    turn = np.empty(len(nodes), np.int64)
    turn[np.lexsort((nodes, -np.bincount(starts, minlength=len(nodes))))] = np.arange(len(nodes))
    middle = _middles(starts, goals, turn)
    own = np.flatnonzero(middle[goals] & ~middle[starts])
    own = own[np.lexsort((turn[goals[own]], starts[own]))]
    own = own[np.unique(starts[own], return_index=True)[1]]
    link = own % max(1, len(a))
    return Stars(nodes[starts[own]], nodes[goals[own]], links.bits[link], links.distance[link])


def _middles(starts: Ints, goals: Ints, turn: Ints) -> NDArray[np.bool_]:
    """Those none of whose links comes before them and is a middle itself."""
    middle, done = np.zeros(len(turn), np.bool_), np.zeros(len(turn), np.bool_)
    while len(starts):
        soonest = np.full(len(turn), len(turn), np.int64)
        np.minimum.at(soonest, starts, turn[goals])
        now = ~done & (turn < soonest)
        middle |= now
        done |= now
        done[starts[now[goals]]] = True
        open_ = ~done[starts] & ~done[goals]
        starts, goals = starts[open_], goals[open_]
    return middle | ~done
