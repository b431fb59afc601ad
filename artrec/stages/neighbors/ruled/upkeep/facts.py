"""What the tasks of one machine know of all entities: where each was, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from artrec.stages.neighbors.ruled.local import made_once
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.storage import Store
from artrec.tables import Receipt, read_table
from artrec.vectors.distance import Ints
from artrec.vectors.rules.rule import Codes, Flags

__all__ = ["Facts", "facts_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """Of each entity before, by its number: ``to`` what it has now, or -1 where it left the lists;
    ``values`` and how many of that are ``left``.

    Of each one now, ascending, that is in a group: the others. ``before`` is -1 for one that came.
    """

    to: Ints
    values: Codes
    left: Ints
    entities: Ints
    numbers: Ints
    before: Ints
    labels: Codes
    offered: Flags
    came: Flags
    copied: Flags
    keys: Ints


@cache
def facts_of(store: Store, files: tuple[str, ...], asked: str) -> Facts:
    """From the receipts of ruled_facts, as JSON, and the table, as JSON; mapped from the disk."""
    receipts = [Receipt.model_validate_json(each) for each in files]
    wanted = Asked.from_json(asked)
    place = made_once("facts", receipts, lambda folder: _write(folder, store, receipts, wanted))
    names = Facts.__dataclass_fields__
    return Facts(**{name: np.load(place / f"{name}.npy", mmap_mode="r") for name in names})


def _write(folder: Path, store: Store, files: Sequence[Receipt], asked: Asked) -> None:
    rows = pa.Table.from_batches(list(read_table(store, files)))
    facts = _facts(rows, asked)
    for name in Facts.__dataclass_fields__:
        np.save(folder / f"{name}.npy", getattr(facts, name))


def _facts(rows: pa.Table, asked: Asked) -> Facts:
    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.asarray(rows.column(name).fill_null(-1), np.int64)

    def flag(name: str) -> Flags:
        return np.asarray(rows.column(name).to_numpy(), np.bool_)

    before, entity, came, values = column("before"), column("entity"), flag("came"), column("value")
    was = np.flatnonzero(before >= 0)
    size = int(before.max(initial=-1)) + 1
    to, of_value, left = np.full(size, -1), np.full(size, -1, np.int32), np.zeros(size, np.int64)
    to[before[was]] = np.where(came[was], -1, entity[was])
    of_value[before[was]], left[before[was]] = values[was], column("left")[was]
    group = column("group")
    now = np.flatnonzero((entity >= 0) & (group >= 0))
    now = now[np.argsort(entity[now])]
    return Facts(
        to,
        of_value,
        left,
        entity[now],
        column("vector_no")[now],
        np.where(came[now], -1, before[now]),
        _labels(rows.take(pa.array(now)), group[now], values[now], asked),
        flag("offered")[now],
        came[now],
        flag("copied")[now],
        column("key")[now],
    )


def _labels(rows: pa.Table, group: Ints, values: Ints, asked: Asked) -> Codes:
    """Group and codes; those that are counted are the same before and now."""
    codes = np.concatenate(
        [np.zeros(0, np.int32), *(np.asarray(c.flatten()) for c in rows.column("codes").chunks)]
    ).reshape(len(group), len(asked.coded))
    labels = np.column_stack((group, codes)).astype(np.int32)
    if asked.counted is not None:
        labels[:, 1 + asked.counted] = values
    return labels
