"""The exact nearest-neighbor join: for each query the pool of its nearest candidates.

Method: a blocked float32 product, each entry compared with its row's running limit; survivors are
measured exactly (``distance.exact``, float64) and merged into the row's list. A limit is the cost
(``screen.Screen``) that no vector of the list's present reach can exceed, so the product decides
only what need not be measured, and the pools depend on the vectors alone: not on blocks, their
order, tiles, BLAS or machine.

Candidates are streamed and regrouped into spans of ``Tiling.span_bytes``; of vectors that are equal
inside a span one is multiplied, and of equal queries one is joined. With n queries of dimension d,
lists of w = k + 1 and spans of s = span_bytes / 4 d rows, the join holds, in bytes and beside the
caller's blocks,

    24 n w              the lists, then the pools
    4 s (3 d + 2)       a span: its blocks joined, put in order, and its right factor
    4 rows * columns    a tile of costs
    200 w rows          what survives of a tile, and 50 MB of small temporary arrays:

nothing that grows with n times the candidates. Time is about that of the float32 product, and d ns
for each pair that enters a list. Where distinct vectors tie by the thousand at the end of a list
(small whole numbers, one-hot rows) each of them is measured: the memory stays as it is, the time
becomes that of a brute force in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors.distance import (
    Floats,
    Ints,
    Wides,
    check_metric,
    check_vectors,
    squared_norms,
)
from artrec.vectors.screen import Frame
from artrec.vectors.sieve import Span, Tiling, sift
from artrec.vectors.topk import NOBODY, TopK

__all__ = ["Block", "LAST_NO", "Pools", "Tiling", "distinct", "join", "pools_of"]

LAST_NO = int(np.iinfo(np.int64).max)  # radius_no of a pool that holds everybody


_ROWS = 4096  # lists finished at once


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Vectors under their numbers: ``numbers`` int64 [n], ascending; ``vectors`` float32 [n, d]."""

    numbers: Ints
    vectors: Floats

    def __post_init__(self) -> None:
        """Raise InputError for another shape or type, and for numbers not ascending from 0 on."""
        if self.numbers.dtype != np.int64 or self.numbers.ndim != 1:
            raise InputError(f"numbers must be int64 [n], got {self.numbers.dtype}")
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2:
            raise InputError(f"vectors must be float32 [n, d], got {self.vectors.dtype}")
        if len(self.numbers) != len(self.vectors):
            raise InputError(f"{len(self.numbers)} numbers for {len(self.vectors)} vectors")
        if len(self.numbers) and self.numbers[0] < 0:
            raise InputError(f"vector_no must not be negative, got {self.numbers[0]}")
        step = np.flatnonzero(self.numbers[1:] <= self.numbers[:-1])
        if len(step):
            before, after = self.numbers[step[0]], self.numbers[step[0] + 1]
            raise InputError(f"vector_no must ascend in a block: {after} follows {before}")


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """Of each query the nearest others in the order (distance, vector_no), and how far they reach.

    ``numbers`` int64 [n]; ``others`` int64 and ``distances`` float32 [n, size], of which the first
    ``counts`` int32 [n] are entries and the rest padding (-1, +inf). Every candidate up to and with
    (``radius`` float32 [n], ``radius_no`` int64 [n]) is in the list: that is its last entry where
    it was cut, and (+inf, LAST_NO) where it holds everybody; (-inf, 0) of an
    approximate list, which is complete nowhere.
    """

    numbers: Ints
    others: Ints
    distances: Floats
    counts: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    radius: Floats
    radius_no: Ints

    def taken(self, rows: Ints | NDArray[np.bool_]) -> Pools:
        """Some of the pools, by their rows."""
        return Pools(*(getattr(self, column.name)[rows] for column in fields(self)))

    def incomplete(self) -> Pools:
        """The same lists, of which nobody knows how far they are complete: the radius is -inf."""
        radius = np.full(len(self.numbers), -np.inf, dtype=np.float32)
        return replace(self, radius=radius, radius_no=np.zeros(len(self.numbers), np.int64))

    @staticmethod
    def together(parts: Sequence[Pools]) -> Pools:
        """Pools of several blocks, at least one, as one by their numbers."""
        columns = ([getattr(part, column.name) for part in parts] for column in fields(Pools))
        joined = Pools(*map(np.concatenate, columns))
        return joined.taken(np.argsort(joined.numbers))

    def ragged(self) -> tuple[Ints, Ints, Floats]:
        """The lists without padding: offsets [n + 1] into others [m] and distances [m]."""
        offsets = np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))
        entries = np.arange(self.others.shape[1]) < self.counts[:, None]
        return offsets, self.others[entries], self.distances[entries]


def join(
    queries: Block,
    candidates: Iterable[Block],
    *,
    k: int,
    metric: str,
    self_join: bool = True,
    total: int | None = None,
    tiling: Tiling | None = None,
) -> Pools:
    """The pools of at most ``k`` candidates for each of ``queries``.

    ``candidates`` hold each vector_no once, in blocks of any size and order; with ``self_join`` a
    query is not its own neighbor, wherever its number stands among them. ``total``, if given, is
    the number of candidates that must arrive.

    Raises InputError for vectors with NaN or infinity, zero vectors under cosine (with their
    vector_no), unequal dimensions, a vector_no that is met twice, or another total; ConfigError for
    an unknown metric or k < 1.
    """
    check_metric(metric)
    if k < 1:
        raise ConfigError(f"k must be at least 1, got {k}")
    check_vectors(queries.vectors, queries.numbers, metric)
    tiling = tiling or Tiling()
    # A query may be among its own nearest: one more place, until it is dropped by number.
    width = k + 1 if self_join else k
    squares = squared_norms(queries.vectors)
    first, copy_of = distinct(queries.vectors, squares)
    vectors, squares = _taken(queries.vectors, first), squares[first]
    frame = Frame.of(metric, vectors, squares)
    lists = TopK.empty(len(first), width)
    seen, present = 0, np.zeros(len(queries.numbers), dtype=np.bool_)
    for block in _regrouped(candidates, queries.vectors.shape[1], tiling):
        check_vectors(block.vectors, block.numbers, metric)
        seen += len(block.numbers)
        if self_join:
            present |= np.isin(queries.numbers, block.numbers, assume_unique=True)
        sift(frame, vectors, squares, _span(block, width), lists, tiling)
    if total is not None and seen != total:
        raise InputError(f"{seen} candidate vectors arrived where {total} were expected")
    _refuse_twice(lists)
    return pools_of(queries.numbers, lists, copy_of, k, seen - present)


def _regrouped(blocks: Iterable[Block], dim: int, tiling: Tiling) -> Iterator[Block]:
    """The same vectors in blocks of the size of a span, except the last one."""
    rows = tiling.span_rows(dim)
    held: list[Block] = []
    count = 0
    for block in blocks:
        if len(block.numbers) and block.vectors.shape[1] != dim:
            raise InputError(
                f"candidates have {block.vectors.shape[1]} dimensions, queries {dim}: "
                "they must come from one encoder"
            )
        start = 0
        while start < len(block.numbers):
            part = slice(start, start + rows - count)
            held.append(Block(block.numbers[part], block.vectors[part]))
            count += len(held[-1].numbers)
            start = part.stop
            if count == rows:
                span, held, count = _joined(held), [], 0
                yield span
                del span
    if held:
        yield _joined(held)


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    numbers = np.concatenate([block.numbers for block in blocks])
    vectors = np.concatenate([block.vectors for block in blocks])
    order = np.argsort(numbers)
    numbers = numbers[order]
    twice = numbers[1:][numbers[1:] == numbers[:-1]]
    if len(twice):
        raise InputError(f"vector_no {twice[0]} stands in two candidate blocks")
    return Block(numbers, vectors[order])


def _span(block: Block, width: int) -> Span:
    squares = squared_norms(block.vectors)
    first, copy_of = distinct(block.vectors, squares)
    vectors = _taken(block.vectors, first)
    return Span.of(block.numbers, vectors, squares[first], copy_of, width)


def distinct(vectors: Floats, squares: Wides) -> tuple[Ints, Ints]:
    """Positions [r] of distinct vectors, ascending, and for each of [n] which one it equals.

    Equal vectors have equal squared norms: only such rows are compared.
    """
    leader = np.arange(len(vectors))
    _, group, sizes = np.unique(squares, return_inverse=True, return_counts=True)
    table: dict[bytes, int] = {}
    for row in np.flatnonzero(sizes[group] > 1).tolist():
        leader[row] = table.setdefault((vectors[row] + np.float32(0.0)).tobytes(), row)
    first, copy_of = np.unique(leader, return_inverse=True)
    return first, copy_of


def _taken(vectors: Floats, rows: Ints) -> Floats:
    return vectors if len(rows) == len(vectors) else vectors[rows]


def _refuse_twice(lists: TopK) -> None:
    """A number that stood in two spans stands twice in a list, side by side."""
    twice = (lists.ids[:, 1:] == lists.ids[:, :-1]) & (lists.ids[:, 1:] != NOBODY)
    if twice.any():
        raise InputError(f"vector_no {lists.ids[:, 1:][twice][0]} stands twice in the candidates")


def pools_of(numbers: Ints, lists: TopK, copy_of: Ints, k: int, others: Ints) -> Pools:
    """Pools of k for ``numbers`` [n], whose lists are ``lists[copy_of]``.

    A list of k + 1 may hold the query itself. ``others`` [n] candidates are not it.
    """
    found = TopK.empty(len(numbers), k)
    for start in range(0, len(numbers), _ROWS):
        part = slice(start, start + _ROWS)
        distances, ids = lists.distances[copy_of[part]], lists.ids[copy_of[part]]
        if ids.shape[1] > k:
            own = ids == numbers[part, None]
            drop = np.where(own.any(axis=1), own.argmax(axis=1), k)
            kept = np.arange(k + 1) != drop[:, None]
            distances, ids = distances[kept].reshape(-1, k), ids[kept].reshape(-1, k)
        found.distances[part], found.ids[part] = distances, ids
    cut = others > k
    return Pools(
        numbers=numbers,
        others=found.ids,
        distances=found.distances,
        counts=found.counts.astype(np.int32),
        radius=np.where(cut, found.distances[:, -1], np.float32(np.inf)),
        radius_no=np.where(cut, found.ids[:, -1], LAST_NO),
    )
