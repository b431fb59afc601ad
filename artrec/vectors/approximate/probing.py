"""Candidates of cells that are near each other: each pair of cells multiplied once, for both.

Cells a and b are a *pair of rank r* when b is the r-th nearest of a, or a the r-th nearest of b,
whichever is less. To probe p cells is to look at all pairs of a rank below p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.approximate.field import Field
from artrec.vectors.approximate.lists import Places, entries
from artrec.vectors.cells import nearest_cells
from artrec.vectors.distance import Floats, Ints

__all__ = ["fill", "pair_ranks", "probe", "seeds"]

Pairs = NDArray[np.bool_]

_ROWS, _COLUMNS = 512, 8192
_STRIP_CELLS = 1 << 18  # cells compared at once: they stay in a core's cache
_ENOUGH = 4  # candidates for each place of a list, before the list says what may be left out
_GROUPS = (4, 2, 1)


def pair_ranks(centers: Floats) -> NDArray[np.int32]:
    """The ranks [c, c] of all pairs of cells, symmetric; a cell has rank 0 with itself."""
    order = nearest_cells(centers, centers, len(centers))
    ranks = np.empty(order.shape, dtype=np.int32)
    np.put_along_axis(ranks, order, np.arange(len(centers), dtype=np.int32)[None, :], axis=1)
    np.fill_diagonal(ranks, 0)  # equal centers may come before it
    return np.minimum(ranks, ranks.T)


def seeds(ranks: NDArray[np.int32], sizes: Ints, probes: int, width: int) -> Pairs:
    """Pairs [c, c] of a rank below ``probes``, and more where these hold too few vectors."""
    pairs = ranks < probes
    for cell in np.flatnonzero(pairs @ sizes < _ENOUGH * width):
        order = np.argsort(ranks[cell], kind="stable")
        enough = np.searchsorted(np.cumsum(sizes[order]), _ENOUGH * width)
        pairs[cell, order[: enough + 1]] = True
    return pairs | pairs.T


def fill(field: Field, pairs: Pairs) -> int:
    """Fill empty lists from ``pairs`` [c, c], symmetric, from either side: the products made."""
    products = 0
    for cell in np.flatnonzero(field.sizes):
        start, stop = field.starts[cell], field.starts[cell + 1]
        others = np.flatnonzero(pairs[cell])
        columns = field.positions(np.append(cell, others[others != cell]))
        right = field.right[columns]
        for top in range(start, stop, _ROWS):
            rows = np.arange(top, min(top + _ROWS, stop))
            costs = field.left[rows] @ right.T
            costs[np.arange(len(rows)), rows - start] = np.inf  # itself
            products += costs.size
            _list_least(field, rows, costs, columns)
    return products


def _list_least(field: Field, rows: Ints, costs: Floats, columns: Places) -> None:
    """Make the least of ``costs`` [q, m] the lists of ``rows`` [q]."""
    limits = _about_kth(costs, field.lists.width)
    cells = np.flatnonzero((costs <= limits[:, None]) & (costs < np.inf))
    at = cells // costs.shape[1]
    found = entries(costs.reshape(-1)[cells], columns[cells - at * costs.shape[1]])
    field.lists.merge(int(rows[0]), np.bincount(at, minlength=len(rows)), found)


def _about_kth(costs: Floats, k: int) -> Floats:
    """Costs [q] that at least ``k`` of each row do not exceed, +inf where there are fewer.

    The k-th least of the minima of groups: little above the k-th least, and much faster found.
    """
    group = next(g for g in _GROUPS if costs.shape[1] // g >= 2 * k or g == 1)
    across = costs.shape[1] // group
    if across < k:
        return np.full(len(costs), np.inf, dtype=np.float32)
    least = costs[:, : group * across].reshape(len(costs), group, across).min(axis=1)
    return np.partition(least, k - 1, axis=1)[:, k - 1]


def probe(field: Field, pairs: Pairs) -> int:
    """Look at ``pairs`` [c, c], symmetric and not looked at before: the products made."""
    products = 0
    buffer = np.empty(_ROWS * _COLUMNS, dtype=np.float32)
    sizes = field.sizes
    for cell in np.flatnonzero(sizes):
        later = cell + 1 + np.flatnonzero(pairs[cell, cell + 1 :])
        for part in _parted(later, sizes):
            products += _meet(field, cell, part, buffer)
            if field.lists.crowded:
                field.lists.settle()
    field.lists.settle()
    return products


def _parted(cells: Ints, sizes: Ints) -> list[Ints]:
    """``cells`` in parts of at most _COLUMNS vectors, or of one cell."""
    if not len(cells):
        return []
    return np.split(cells, np.flatnonzero(np.diff(np.cumsum(sizes[cells]) // _COLUMNS)) + 1)


def _meet(field: Field, cell: int, others: Ints, buffer: Floats) -> int:
    columns = field.positions(others)
    if not len(columns):
        return 0
    limits, products = field.lists.limits, 0
    if len(columns) * _ROWS > len(buffer):
        buffer = np.empty(_ROWS * len(columns), dtype=np.float32)
    runs = np.split(others, np.flatnonzero(np.diff(others) > 1) + 1)
    for top in range(field.starts[cell], field.starts[cell + 1], _ROWS):
        rows = slice(top, min(top + _ROWS, field.starts[cell + 1]))
        height = rows.stop - top
        costs = buffer[: height * len(columns)].reshape(height, len(columns))
        done = 0
        for run in runs:
            right = field.right[field.starts[run[0]] : field.starts[run[-1] + 1]]
            np.matmul(field.left[rows], right.T, out=costs[:, done : done + len(right)])
            done += len(right)
        products += costs.size
        _offer(field, top, costs, columns, limits[rows], limits[columns])
    return products


def _offer(
    field: Field, top: int, costs: Floats, columns: Places, row_limits: Floats, limits: Floats
) -> None:
    """Offer what is below the limit of its row or of its column to that one."""
    step = max(1, _STRIP_CELLS // costs.shape[1])
    for first in range(0, len(costs), step):
        strip = costs[first : first + step]
        within = strip < row_limits[first : first + len(strip), None]
        within |= strip < limits
        cells = np.flatnonzero(within)
        if not len(cells):
            continue
        rows = cells // costs.shape[1]
        cells -= rows * costs.shape[1]
        found = strip[rows, cells]
        rows += first
        for_rows = found < row_limits[rows]
        for_columns = found < limits[cells]
        here, there = (rows + top).astype(np.int32), columns[cells]
        for own, other, near in ((here, there, for_rows), (there, here, for_columns)):
            field.lists.offer(own[near], entries(found[near], other[near]))
