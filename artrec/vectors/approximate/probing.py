"""Candidates of near cells: of each row's nearest cells all vectors, tested for both sides.

Lists are first filled from cell to cell (:func:`fill`), which says how near an entry must be. Then
each row looks at the cells nearest to itself (:func:`probe`): that finds far more than the cells
nearest to its own cell. Each cell is multiplied with all rows that look at it, and a pair counts
for both its ends, so two vectors miss each other only if neither looks at the other's cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.approximate.field import NEVER, Field
from artrec.vectors.approximate.lists import Flags, Lists, Places, entries
from artrec.vectors.cells import cell_costs, nearest_cells
from artrec.vectors.distance import Floats, Ints

__all__ = ["fill", "list_least", "pair_ranks", "probe", "seeds"]

_ROWS = 512
_STRIP_CELLS = 1 << 17  # costs computed and compared at once: they stay in a core's cache
_ENOUGH = 4  # candidates for each place of a list, before the list says what may be left out
_GROUPS = (4, 2, 1)


def pair_ranks(centers: Floats) -> NDArray[np.int32]:
    """Ranks [c, c] of pairs of cells: r, where either is the r-th nearest of the other, from 0."""
    order = nearest_cells(centers, centers, len(centers))
    ranks = np.empty(order.shape, dtype=np.int32)
    np.put_along_axis(ranks, order, np.arange(len(centers), dtype=np.int32)[None, :], axis=1)
    np.fill_diagonal(ranks, 0)  # equal centers may come before it
    return np.minimum(ranks, ranks.T)


def seeds(ranks: NDArray[np.int32], sizes: Ints, probes: int, width: int) -> Flags:
    """Pairs [c, c] of a rank below ``probes``, and more where these hold too few vectors."""
    pairs = ranks < probes
    for cell in np.flatnonzero(pairs @ sizes < _ENOUGH * width):
        order = np.argsort(ranks[cell], kind="stable")
        enough = np.searchsorted(np.cumsum(sizes[order]), _ENOUGH * width)
        pairs[cell, order[: enough + 1]] = True
    return pairs | pairs.T


def fill(field: Field, pairs: Flags) -> int:
    """Fill empty lists from ``pairs`` [c, c] of cells, symmetric: the products made."""
    field.seeds = pairs
    products = 0
    for cell in np.flatnonzero(field.sizes):
        start, stop = field.starts[cell], field.starts[cell + 1]
        others = np.flatnonzero(pairs[cell])
        columns = _positions(field, np.append(cell, others[others != cell]))
        right = field.right[columns]
        for top in range(start, stop, _ROWS):
            rows = np.arange(top, min(top + _ROWS, stop))
            costs = field.left[rows] @ right.T
            costs[np.arange(len(rows)), rows - start] = np.inf  # itself
            products += costs.size
            list_least(field.lists, rows, costs, columns)
    return products


def _positions(field: Field, cells: Ints) -> Places:
    """The positions of the vectors of ``cells``, in their order."""
    runs = [np.arange(field.starts[c], field.starts[c + 1], dtype=np.int32) for c in cells]
    return np.concatenate(runs)


def list_least(lists: Lists, rows: Ints, costs: Floats, columns: Places) -> None:
    """Make the least of ``costs`` [q, m] the ``lists`` of ``rows`` [q], one after the other."""
    limits = _about_kth(costs, lists.width)
    cells = np.flatnonzero((costs <= limits[:, None]) & (costs < np.inf))
    at = cells // costs.shape[1]
    found = entries(costs.reshape(-1)[cells], columns[cells - at * costs.shape[1]])
    lists.merge(int(rows[0]), np.bincount(at, minlength=len(rows)), found)


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


def probe(field: Field, probes: int) -> int:
    """Let each row look at its nearest ``probes`` cells, where it did not: the products made."""
    field.level += 1
    rows, starts = _askers(field, probes)
    products = 0
    for cell in np.flatnonzero(field.sizes).tolist():
        asking = rows[starts[cell] : starts[cell + 1]]
        step = max(1, _STRIP_CELLS // int(field.sizes[cell]))
        for first in range(0, len(asking), step):
            products += _meet(field, asking[first : first + step], cell)
        if field.lists.crowded:
            field.lists.settle()
    field.lists.settle()
    return products


def _askers(field: Field, probes: int) -> tuple[Places, Ints]:
    """The rows that now look at each cell, cell after cell, and where [c + 1] each cell's begin."""
    rows, cells = [], []
    for start in range(0, len(field.cells), field.CHUNK):
        chunk = slice(start, start + field.CHUNK)
        levels = field.levels[chunk]
        for part, costs in cell_costs(field.centers, field.points(chunk)):
            most = np.partition(costs, probes - 1, axis=1)[:, probes - 1 : probes]
            row, cell = np.nonzero((costs <= most) & (levels[part] == NEVER))
            levels[part][row, cell] = field.level
            rows.append((row + (start + part.start)).astype(np.int32))
            cells.append(cell.astype(np.uint16 if len(field.centers) < 1 << 16 else np.int32))
    cell = np.concatenate(cells)
    order = np.argsort(cell, kind="stable")
    counts = np.bincount(cell, minlength=len(field.centers))
    return np.concatenate(rows)[order], np.append(0, np.cumsum(counts))


def _meet(field: Field, rows: Places, cell: int) -> int:
    """Offer ``rows`` [q] and the vectors of ``cell`` to each other: the products made."""
    start, stop = field.starts[cell], field.starts[cell + 1]
    limits, levels = field.lists.limits, field.levels
    costs = field.left.take(rows, axis=0) @ field.right[start:stop].T
    within = costs < limits[rows, None]
    within |= costs < limits[start:stop]
    at = np.flatnonzero(within)
    found = costs.reshape(-1)[at]
    row = at // costs.shape[1]
    there = (at - row * costs.shape[1] + start).astype(np.int32)
    here = rows[row]
    back = levels[there, field.cells[here]]  # when the other looks, or looked, at this row's cell
    near = np.flatnonzero((back >= field.level) & (found < limits[here]))
    field.lists.offer(here[near], entries(found[near], there[near]))
    near = np.flatnonzero((back > field.level) & (found < limits[there]))
    field.lists.offer(there[near], entries(found[near], here[near]))
    return costs.size
