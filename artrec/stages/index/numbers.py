"""The numbers of the catalog's vectors in a range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artrec.storage import Store
from artrec.tables import Receipt, read_range
from artrec.vectors.distance import Ints

__all__ = ["numbers_between"]


def numbers_between(store: Store, live: Sequence[Receipt], low: int, high: int) -> Ints:
    """The vector_no from ``low`` to ``high``, both included, ascending."""
    parts = [np.zeros(0, np.int64)]
    for batch in read_range(store, live, (low,), (high,), ["vector_no"]):
        parts.append(np.asarray(batch.column("vector_no"), np.int64))
    return np.concatenate(parts)
