"""The means of sets, streamed: one sum is held for each set, whatever its members."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from artrec.stages.query.grouping import Grouped, given_numbers
from artrec.vectors.distance import Wides, squared_norms

__all__ = ["means_of"]

SHORT = 2.0**-23
"""The mean of unit vectors of float32 that is no longer points wherever their roundings do."""


class _Sums:
    """Sums of the sets met so far, in order, and their members' contents."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: list[Wides] = []
        self.counts: list[int] = []
        self.own: list[int] = []
        self.own_of: list[int] = []

    def add(self, batch: pa.RecordBatch, metric: str) -> None:
        values = np.asarray(batch.column("embedding").flatten(), np.float32)
        vectors = values.reshape(batch.num_rows, -1)
        wide = vectors.astype(np.float64)
        if metric == "cosine":
            wide /= np.sqrt(squared_norms(vectors))[:, None]
        given, own = given_numbers(pa.Table.from_batches([batch]))
        numbers = dict(zip(given.tolist(), own.tolist(), strict=True))
        for at, (name, vector) in enumerate(
            zip(batch.column("set_id").to_pylist(), wide, strict=True)
        ):
            if not self.names or self.names[-1] != name:
                self.names.append(name)
                self.sums.append(np.zeros(len(vector)))
                self.counts.append(0)
            self.sums[-1] += vector  # one by one, so that batches change no bit
            self.counts[-1] += 1
            if at in numbers:
                self.own.append(numbers[at])
                self.own_of.append(len(self.names) - 1)


def means_of(
    batches: Iterable[pa.RecordBatch], metric: str
) -> tuple[Grouped, list[tuple[str, str]]]:
    """The mean of each set as its only query, and (set, why) for those without a direction.

    ``batches`` have the columns set_id, own and embedding, set after set. For cosine the mean is
    that of unit vectors; by another metric every mean has its distances.
    """
    found = _Sums()
    for batch in batches:
        found.add(batch, metric)
    means = np.array(found.sums) / np.array(found.counts)[:, None]
    lengths = np.sqrt((means**2).sum(axis=1))
    fine = lengths > SHORT if metric == "cosine" else np.ones(len(lengths), np.bool_)
    short = [
        (found.names[at], _detail(found.counts[at], lengths[at])) for at in np.flatnonzero(~fine)
    ]
    place = np.cumsum(fine) - 1
    own, own_of = np.array(found.own, np.int64), np.array(found.own_of, np.int64)
    kept = fine[own_of]
    asked = Grouped(
        names=[name for name, good in zip(found.names, fine.tolist(), strict=True) if good],
        set_of=np.arange(int(fine.sum())),
        vectors=means[fine].astype(np.float32),
        own=own[kept],
        own_of=place[own_of[kept]],
    )
    return asked, short


def _detail(count: int, length: float) -> str:
    return f"the mean of {count} unit vectors is {length:.1e} long, which is no direction"
