"""The images behind entities, as the tasks that name lists hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.stages.neighbors.ruled.local import made_once
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.storage import Store
from artrec.tables import Receipt, read_table
from artrec.vectors.distance import Ints
from artrec.vectors.rules import FREE
from artrec.vectors.rules.rule import Codes, Flags

__all__ = ["Images", "images_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """All images by their places in the order (vector_no, image_id).

    ``members`` [n] are the places again, in the order of ``owners`` [n], the entities that they
    belong to. ``values`` [n] are codes of the counted column; images that are ``sociable`` may
    stand in the lists of others of their entity.
    """

    image_ids: pa.Array
    numbers: Ints
    owners: Ints
    members: Ints
    values: Codes
    sociable: Flags

    def spans(self, entities: Ints) -> tuple[Ints, Ints]:
        """Where the images of each entity begin among ``members``, and how many there are."""
        first = np.searchsorted(self.owners, entities)
        return first, np.searchsorted(self.owners, entities, side="right") - first


@cache
def images_of(store: Store, files: tuple[str, ...], asked: str) -> Images:
    """From the receipts of ruled_images, as JSON, and the table, as JSON; mapped from the disk."""
    receipts = [Receipt.model_validate_json(each) for each in files]
    wanted = Asked.from_json(asked)
    place = made_once("images", receipts, lambda folder: _write(folder, store, receipts, wanted))
    rows = pa.ipc.open_file(pa.memory_map(str(place / "image_ids"))).read_all()
    names = rows.column(0).combine_chunks() if len(rows) else pa.array([], pa.large_string())
    if isinstance(names, pa.ChunkedArray):
        names = names.chunk(0)
    arrays = (np.load(place / f"{name}.npy", mmap_mode="r") for name in _ARRAYS)
    return Images(names, *arrays)


_ARRAYS = ("numbers", "owners", "members", "values", "sociable")


def _write(folder: Path, store: Store, files: Sequence[Receipt], asked: Asked) -> None:
    columns = ["image_id", *_READ]
    rows = pa.Table.from_batches(list(read_table(store, files, columns)))
    names = rows.select(["image_id"]).cast(pa.schema([("image_id", pa.large_string())]))
    names = names.combine_chunks()
    path = str(folder / "image_ids")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, names.schema) as writer:
        writer.write_table(names)
    arrays: Sequence[np.ndarray[Any, Any]] = _arrays(rows, asked)
    for name, array in zip(_ARRAYS, arrays, strict=True):
        np.save(folder / f"{name}.npy", array)


_READ = ["vector_no", "group", "codes", "offered"]


def _arrays(rows: pa.Table, asked: Asked) -> tuple[Ints, Ints, Ints, Codes, Flags]:
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    group = np.asarray(rows.column("group"), np.int32)
    offered = np.asarray(rows.column("offered").to_numpy(), np.bool_)
    codes = np.concatenate(
        [np.zeros(0, np.int32), *(np.asarray(c.flatten()) for c in rows.column("codes").chunks)]
    ).reshape(len(numbers), len(asked.coded))
    columns = (offered, *codes.T, group, numbers)
    members = np.lexsort(columns)  # stable: the images of an entity stay in their order
    new = np.ones(len(members), np.bool_)
    new[1:] = np.any([each[members[1:]] != each[members[:-1]] for each in columns], axis=0)
    first = members[np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))]
    order = np.argsort(first, kind="stable")
    never = codes[:, asked.never]
    sociable = offered & (group >= 0) & (never < 0).all(axis=1) & (not asked.table.collapse)
    values = np.full(len(numbers), FREE, np.int32)
    if asked.counted is not None:
        values = codes[:, asked.counted].astype(np.int32)
    return numbers, first[order], members[order], values, sociable
