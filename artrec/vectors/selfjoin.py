"""The exact self-join: each product computed once, for its row and for its column.

Method: vectors are laid out by the cells of a k-means quantiser and cut to blocks (:mod:`layout`).
Each block meets itself first, which bounds the lists of its rows; then every pair of blocks is
multiplied once, and every product tested for its row and its column against these bounds
(:mod:`pairs`). What passes is measured exactly and merged, so the lists depend on the vectors
alone: they are those of :func:`artrec.vectors.join`, at about half its products.

A process that holds two blocks of b vectors of dimension d, whose lists take w = k + 1, needs, in
bytes,

    8 b (3 d + 8)      vectors and factors of both
    100 b w            entries of both, before they are cut to the nearest w, and the cutting
    4 rows * columns   a tile of costs

and about 100 MB for pairs measured at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.errors import ConfigError
from artrec.vectors.distance import (
    Floats,
    Ints,
    check_metric,
    check_vectors,
    distances_of_pairs,
    squared_norms,
)
from artrec.vectors.join import Block, Pools, distinct, pools_of
from artrec.vectors.layout import Layout, plan_layout, sample_rows
from artrec.vectors.pairs import Entries, Side, meet
from artrec.vectors.screen import Frame
from artrec.vectors.sieve import Span, Tiling

__all__ = ["BLOCK_ROWS", "Laid", "self_join"]

BLOCK_ROWS = 16_384
_LOOSE = 1.5  # entries for each place of a list beyond which tighter bounds are worth a sort


def self_join(
    block: Block, *, k: int, metric: str, tiling: Tiling | None = None, blocks: int = 0
) -> Pools:
    """The pools of at most ``k`` others for each vector of ``block``, as ``join`` gives them.

    ``blocks`` to cut it to; 0: as many as have BLOCK_ROWS each. Raises as ``join`` does.
    """
    check_metric(metric)
    if k < 1:
        raise ConfigError(f"k must be at least 1, got {k}")
    check_vectors(block.vectors, block.numbers, metric)
    tiling, total = tiling or Tiling(), len(block.numbers)
    squares = squared_norms(block.vectors)
    chosen = np.random.default_rng(0).permutation(total)[: sample_rows(total)]
    longest = float(np.sqrt(squares.max(initial=0.0)))
    blocks = blocks or max(1, -(-total // BLOCK_ROWS))
    layout = plan_layout(block.vectors[np.sort(chosen)], total, metric, blocks, longest)
    cells = layout.cells(block.vectors, squares)
    order = np.argsort(cells, kind="stable")
    cuts = np.searchsorted(cells[order], layout.firsts)
    laid = []
    for start, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        rows = order[start:stop]
        one = Laid.of(block.numbers[rows], block.vectors[rows], k + 1)
        side = one.met_itself(layout, cells[rows], k, tiling)
        if side.entries.count > _LOOSE * side.entries.n * side.entries.width:
            side.tighten()
        laid.append((one, side))
    for place, (_, one_side) in enumerate(laid):
        for _, other in laid[place + 1 :]:
            meet(one_side, other, tiling)
    return Pools.together([one.pools(metric, side.entries, k, total) for one, side in laid])


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """A block of a layout: ``numbers`` int64 [n], and which of its distinct vectors each has.

    ``span`` holds the distinct vectors [r] in the order of their cells; ``first`` [r] is the row in
    which each is met first.
    """

    numbers: Ints
    span: Span
    copy_of: Ints
    first: Ints

    @classmethod
    def of(cls, numbers: Ints, vectors: Floats, width: int) -> Laid:
        """Rows in the order of their cells; a list takes ``width`` numbers."""
        squares = squared_norms(vectors)
        first, copy_of = distinct(vectors, squares)
        kept = vectors if len(first) == len(vectors) else vectors[first]
        order = np.argsort(numbers, kind="stable")
        span = Span.of(numbers[order], kept, squares[first], copy_of[order], width)
        return cls(numbers, span, copy_of, first)

    def side(self, frame: Frame, ceilings: Floats, k: int) -> Side:
        """Ready to meet others, with the ``ceilings`` [r] of its distinct vectors."""
        return Side(frame, self.span, ceilings, k + 1)

    def met_itself(self, layout: Layout, cells: Ints, k: int, tiling: Tiling) -> Side:
        """The block, whose rows have ``cells`` [n], after it has met itself."""
        side = self.side(layout.frame, np.full(len(self.first), np.inf, np.float32), k)
        side.lower(layout.ceilings(side.screen, side.left, cells[self.first], k + 1))
        meet(side, side, tiling)
        return side

    def pools(self, metric: str, entries: Entries, k: int, total: int) -> Pools:
        """The pools of the block's rows from all their entries, of ``total`` vectors in all."""
        rows = np.arange(len(self.first))
        vectors, squares = self.span.vectors, self.span.squares
        own = distances_of_pairs(metric, vectors, squares, rows, vectors, squares, rows)
        place, numbers = self.span.expanded(rows)
        entries.add(rows[place], own[place], numbers)
        others = np.full(len(self.numbers), total - 1)
        return pools_of(self.numbers, entries.lists(), self.copy_of, k, others)
