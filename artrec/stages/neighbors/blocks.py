"""The blocks of a join under way, as its tasks know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from artrec.stages.neighbors.laying import Laying, Scratch, read_block
from artrec.tables import Receipt, open_file
from artrec.vectors import Entries, Laid
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.topk import TopK

__all__ = ["Blocks", "list_columns"]


@dataclass(frozen=True)
class Blocks:
    """Blocks of a layout, with lists of ``k``; ``first`` has, for each, the files of what it has
    found so far.
    """

    scratch: Scratch
    laying: Laying
    k: int
    first: list[list[Receipt]]

    def laid(self, block: int) -> tuple[Laid, Ints]:
        """A block, and the cells of its rows."""
        cells, numbers, vectors = read_block(self.scratch, self.laying.blocks[block])
        return Laid.of(numbers, vectors, self.k + 1), cells

    def found(self, block: int, columns: Sequence[str]) -> pa.Table:
        """What a block has found so far: a row for each of its distinct vectors."""
        files = [open_file(self.scratch.store, file) for file in self.first[block]]
        return pa.concat_tables([file.read(columns=list(columns)) for file in files])

    def ceilings(self, block: int) -> Floats:
        """Those of its distinct vectors."""
        return np.asarray(self.found(block, ["ceiling"]).column("ceiling"), np.float32)

    def entries(self, block: int, laid: Laid) -> Entries:
        """What a block has found so far, to be merged with more."""
        found = self.found(block, ["others", "distances"])
        lists = found.column("others").combine_chunks()
        rows = np.repeat(np.arange(len(found)), np.asarray(lists.value_lengths()))
        distances = np.asarray(found.column("distances").combine_chunks().flatten(), np.float32)
        entries = Entries(len(laid.first), self.k + 1)
        entries.add(rows, distances, np.asarray(lists.flatten(), np.int64))
        return entries


def list_columns(ceilings: Floats, lists: TopK) -> dict[str, pa.Array]:
    """The columns by which :class:`Blocks` finds again what a block has found."""
    offsets = np.append(0, np.cumsum(lists.counts)).astype(np.int32)
    kept = lists.ids >= 0
    return {
        "row": pa.array(np.arange(len(lists.ids), dtype=np.int32)),
        "ceiling": pa.array(ceilings),
        "others": pa.ListArray.from_arrays(offsets, pa.array(lists.ids[kept])),
        "distances": pa.ListArray.from_arrays(offsets, pa.array(lists.distances[kept])),
    }
