"""How far vectors look, as one number each: a cost between those of the last cell that is looked at
and of the next one.
"""

from __future__ import annotations

import numpy as np

from artrec.vectors.approximate.lists import Flags
from artrec.vectors.cells import cell_costs
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.layout import Layout

__all__ = ["near_cells", "reaches"]


def near_cells(layout: Layout, close: Floats, first: int, after: int) -> Flags:
    """Which of all cells are near each of the cells ``first`` to ``after``, [after - first, c].

    ``close`` [c] are the :func:`reaches` of the centers.
    """
    centers, own = layout.centers, layout.centers[first:after]
    found = np.empty((after - first, len(centers)), dtype=np.bool_)
    for part, costs in cell_costs(centers, own):
        np.less(costs, close[first:after][part, None], out=found[part])
    for part, costs in cell_costs(own, centers):
        found[:, part] |= (costs < close[part, None]).T
    found[np.arange(after - first), np.arange(first, after)] = True  # equal centers may be nearer
    return found


def reaches(layout: Layout, points: Floats, probes: int) -> tuple[Floats, Ints]:
    """How far each of ``points`` [r, d] looks: a cost above those of its nearest ``probes`` cells
    and below those of the others, +inf where there are no others; and how many look at each cell.
    """
    cells = len(layout.centers)
    found, looks = np.full(len(points), np.inf, dtype=np.float32), np.zeros(cells, np.int64)
    if probes >= cells:
        return found, looks + len(points)
    for part, costs in cell_costs(layout.centers, points):
        ends = np.partition(costs, (probes - 1, probes), axis=1)[:, probes - 1 : probes + 1]
        # Where both are equal, or next to each other, their mean may be the former.
        between = ends.mean(axis=1, dtype=np.float64).astype(np.float32)
        found[part] = np.maximum(between, np.nextafter(ends[:, 0], np.float32(np.inf)))
        looks += (costs < found[part, None]).sum(axis=0)
    return found, looks
