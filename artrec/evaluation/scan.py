"""Exact lists of images with exclusions: all images stream past a set of queries, once.

Each query has one list for each variant, such as "nobody by the same artist", and each is as long
as asked for, however many images are left out: an image is left out when it is met, not afterwards.
A float32 product decides what need not be measured (``vectors.screen``); the rest is measured in
float64 and ordered by (distance, vector_no, image_id). So the lists depend on the vectors alone:
not on the blocks of queries or images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from artrec.errors import InputError
from artrec.vectors.distance import (
    Floats,
    Ints,
    check_vectors,
    distances_of_pairs,
    squared_norms,
)
from artrec.vectors.screen import Frame, Screen
from artrec.vectors.topk import NOBODY, TopK, select

__all__ = ["Images", "NOTHING", "Scan", "VARIANTS"]

NOTHING = 0
"""The code of an image that has no such label: it equals no other image's, not even NOTHING."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "all": (),
    "no_same_artist": ("artist",),
    "no_duplicates": ("content", "phash", "name"),
    "no_same_artist_or_duplicates": ("artist", "content", "phash", "name"),
}
"""Of which codes an image must share none with the query, to stand in its list.

Duplicates are images of one content, of one perceptual hash (all 64 bits), or of one artist and
title: the same file name under another style's folder. A query is never in its own list.
"""

_ROWS, _COLUMNS = 256, 4096  # of a tile of costs

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Images in the order (vector_no, image_id), with the vectors behind them.

    ``vectors`` float32 [r, d]; ``vector_of`` int64 [n], ascending, is each image's row in them.
    ``codes`` int64 [n] by name: equal codes, equal labels. ``image`` is among them, of no two the
    same.
    """

    vectors: Floats
    vector_of: Ints
    codes: Mapping[str, Ints]

    def __post_init__(self) -> None:
        """Raise InputError where the lengths differ, or an image's vector is missing."""
        for name, codes in self.codes.items():
            if len(codes) != len(self.vector_of):
                raise InputError(f"{len(codes)} codes {name} for {len(self.vector_of)} images")
        if len(self.vector_of) and not (
            0 <= self.vector_of[0] <= self.vector_of[-1] < len(self.vectors)
            and (np.diff(self.vector_of) >= 0).all()
        ):
            raise InputError("images must be in the order of their vectors, each of which is there")

    def __len__(self) -> int:
        return len(self.vector_of)


@dataclass(eq=False)
class Scan:
    """The lists of ``queries`` in the making.

    After all images were added, ``lists[variant]`` holds the places of the nearest k in the order
    of all images, ``candidates[variant]`` [q] counts who could stand in them, and
    ``relevant[variant, label]`` [q] those among them with the query's label.
    """

    queries: Images
    metric: str
    k: int
    labels: Sequence[str] = ("style", "artist")
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: VARIANTS)
    seen: int = 0

    def __post_init__(self) -> None:
        vectors = self.queries.vectors
        check_vectors(vectors, np.arange(len(vectors)), self.metric)
        self._vectors = vectors[self.queries.vector_of]
        self._squares = squared_norms(self._vectors)
        self._frame = Frame.of(self.metric, self._vectors, self._squares)
        n = len(self.queries)
        self._found = {name: TopK.empty(n, self.k) for name in self.variants}
        self.candidates = {name: np.zeros(n, np.int64) for name in self.variants}
        self.relevant = {
            (name, label): np.zeros(n, np.int64) for name in self.variants for label in self.labels
        }

    @property
    def lists(self) -> dict[str, TopK]:
        """For each variant the nearest, by their places among all images."""
        return {
            name: TopK(
                found.distances, np.where(found.ids == NOBODY, NOBODY, found.ids >> self._bits)
            )
            for name, found in self._found.items()
        }

    def hits(self, variant: str, label: str) -> Bools:
        """Whether the image at each place [q, k] of a list has the query's label."""
        ids = self._found[variant].ids
        bit = 1 << list(self.labels).index(label)
        return np.asarray((ids != NOBODY) & (ids & bit != 0))

    @property
    def _bits(self) -> int:
        """The low bits of an entry's id: which labels it shares with the query."""
        return len(self.labels)

    def add(self, images: Images) -> None:
        """Images that follow in the order of all images."""
        if not len(images):
            return
        check_vectors(images.vectors, np.arange(len(images.vectors)), self.metric)
        squares = squared_norms(images.vectors)
        screen = Screen(self._frame, images.vectors, squares)
        left, lengths = screen.left(self._vectors, self._squares)
        start = 0
        while start < len(images):
            stop = min(len(images), start + _COLUMNS)
            for first in range(0, len(self.queries), _ROWS):
                rows = slice(first, min(first + _ROWS, len(self.queries)))
                tile = _Tile(self, images, squares, rows, slice(start, stop))
                tile.run(screen, left, lengths)
            self.seen += stop - start
            start = stop


class _Tile:
    """Some queries against some images."""

    def __init__(
        self, scan: Scan, images: Images, squares: NDArray[np.float64], rows: slice, columns: slice
    ) -> None:
        self._scan, self._images, self._squares = scan, images, squares
        self._rows, self._columns = rows, columns
        self._shared: dict[str, Bools] = {}

    def run(self, screen: Screen, left: Floats, lengths: NDArray[np.float64]) -> None:
        scan, rows = self._scan, self._rows
        costs = self._costs(screen, left[rows])
        allowed: dict[str, Bools] = {}
        for name, codes in scan.variants.items():
            allowed[name] = may = self._allowed(codes)
            scan.candidates[name][rows] += np.count_nonzero(may, axis=1)
            for label in scan.labels:
                same = may & self._same(label)
                scan.relevant[name, label][rows] += np.count_nonzero(same, axis=1)
        self._fill(costs, allowed)
        wanted = {}
        for name, may in allowed.items():
            limits = screen.limits(lengths[rows], scan._found[name].distances[rows, -1])
            wanted[name] = may & (costs <= limits[:, None])
        self._measure(wanted)

    def _fill(self, costs: Floats, allowed: Mapping[str, Bools]) -> None:
        """Fill lists that are not full by those of least cost, and allow these no more.

        They need not be the nearest: by them far fewer of the others have to be measured. What
        fills the list that leaves out most fills the others too.
        """
        scan, k = self._scan, self._scan.k
        for name in sorted(allowed, key=lambda each: -len(scan.variants[each])):
            is_open = np.isinf(scan._found[name].distances[self._rows, -1])
            if not is_open.any() or costs.shape[1] <= k:
                continue
            masked = np.where(allowed[name], costs, np.float32(np.inf))
            near = np.argpartition(masked, k - 1, axis=1)[:, :k]
            chosen = np.zeros_like(allowed[name])
            np.put_along_axis(chosen, near, is_open[:, None], axis=1)
            self._measure({each: chosen & may for each, may in allowed.items()})
            for may in allowed.values():
                may &= ~chosen

    def _costs(self, screen: Screen, left: Floats) -> Floats:
        """Costs [q, n] of images; each vector is multiplied once."""
        vector_of = self._images.vector_of[self._columns]
        first = vector_of[0]
        costs = np.asarray(left @ screen.right[first : vector_of[-1] + 1].T)
        if costs.shape[1] == len(vector_of):
            return costs
        return costs[:, vector_of - first]

    def _same(self, code: str) -> Bools:
        """Which images share a code with which queries."""
        if code not in self._shared:
            mine = self._scan.queries.codes[code][self._rows]
            same = mine[:, None] == self._images.codes[code][self._columns]
            same[mine == NOTHING] = False
            self._shared[code] = same
        return self._shared[code]

    def _allowed(self, codes: Sequence[str]) -> Bools:
        excluded = self._same("image").copy()
        for code in codes:
            excluded |= self._same(code)
        return np.logical_not(excluded, out=excluded)

    def _measure(self, wanted: Mapping[str, Bools]) -> None:
        """Measure each wanted pair once, and merge it into the lists that want it."""
        scan = self._scan
        rows, columns = np.nonzero(np.logical_or.reduce(list(wanted.values())))
        if not len(rows):
            return
        at = columns + self._columns.start
        distances = distances_of_pairs(
            scan.metric,
            scan._vectors,
            scan._squares,
            rows + self._rows.start,
            self._images.vectors,
            self._squares,
            self._images.vector_of[at],
        )
        ids = (scan.seen + columns) << scan._bits
        for bit, label in enumerate(scan.labels):
            ids |= self._same(label)[rows, columns].astype(np.int64) << bit
        for name, cells in wanted.items():
            mine = cells[rows, columns]
            _merge(scan._found[name], rows[mine] + self._rows.start, distances[mine], ids[mine])


def _merge(lists: TopK, rows: Ints, distances: Floats, ids: Ints) -> None:
    """Entries, none of which is there yet, into the lists of their rows, in place."""
    touched, local = np.unique(rows, return_inverse=True)
    old, far = lists.ids[touched], lists.distances[touched]
    of, place = np.nonzero(old != NOBODY)
    found = select(
        np.concatenate([of, local]),
        np.concatenate([far[of, place], distances]),
        np.concatenate([old[of, place], ids]),
        *old.shape,
    )
    lists.distances[touched], lists.ids[touched] = found.distances, found.ids
