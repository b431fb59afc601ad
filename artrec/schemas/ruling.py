"""The tables of neighbor lists under rules: five for each rule, and the scratch of their join."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from artrec.schemas.changes import entry_changes
from artrec.schemas.form import VECTOR, Table, columns

__all__ = ["RULED_SCRATCH", "Tables", "rule_names", "rule_table", "rule_tables"]

_PREFIX = "neighbors_"
_PARTS = ("_nested", "_pool", "_short", "_changes")

_NUMBERS = pa.list_(pa.field("element", pa.int64(), nullable=False))
_CODES = pa.list_(pa.field("element", pa.int32(), nullable=False))
_NAMES = pa.list_(pa.field("element", pa.string(), nullable=False))

RULED_SCRATCH = [
    Table(  # images in the order that entities are numbered in; codes are of their group alone
        "ruled_images",
        columns(
            vector_no=pa.int64(),
            image_id=pa.string(),
            labels=pa.string(),
            group=pa.int32(),
            codes=_CODES,
            offered=pa.bool_(),
        ),
        key=("image_id",),
        sort=("vector_no", "image_id"),
    ),
    Table(  # what a rule can tell apart; entity is the place of its first image in ruled_images
        "ruled_entities",
        columns(
            entity=pa.int64(),
            vector_no=pa.int64(),
            labels=pa.string(),
            group=pa.int32(),
            codes=_CODES,
            offered=pa.bool_(),
            images=pa.int64(),
            permitted=pa.int64(),
        ),
        key=("entity",),
        sort=(),
    ),
    Table(  # the cell of each vector; equal vectors have one
        "ruled_cells",
        columns(vector_no=pa.int64(), cell=pa.int32()),
        key=("vector_no",),
        sort=(),
    ),
    Table(  # entities with their vectors, dealt to the parts of the join
        "ruled_rows",
        columns(
            entity=pa.int64(),
            group=pa.int32(),
            codes=_CODES,
            offered=pa.bool_(),
            cell=pa.int32(),
            embedding=VECTOR,
        ),
        key=("entity",),
        sort=("entity",),
        compression="none",
    ),
    Table(  # rows of a block by which those of its group's other blocks are bounded
        "ruled_seeds",
        columns(key=pa.int64(), never=_CODES, value=pa.int32(), embedding=VECTOR),
        key=("key",),
        sort=(),
    ),
    Table(  # what a block finds in itself, and the distances within which its lists are full
        "ruled_first",
        columns(
            row=pa.int32(),
            ceiling=pa.float32(),
            own=pa.float32(),
            of_values=VECTOR,
            others=_NUMBERS,
            distances=VECTOR,
            values=_CODES,
        ),
        key=("row",),
        sort=("row",),
    ),
    Table(
        "ruled_pools",
        columns(
            entity=pa.int64(),
            radius=pa.float32(),
            radius_entity=pa.int64(),
            others=_NUMBERS,
            distances=VECTOR,
            ends=_CODES,
        ),
        key=("entity",),
        sort=(),
    ),
    Table(  # entities now and in the last release, one of the two null where it is not there
        "ruled_facts",
        columns(
            vector_no=pa.int64(),
            before_=pa.int64(),
            entity_=pa.int64(),
            group=pa.int32(),
            codes=_CODES,
            value=pa.int32(),
            offered=pa.bool_(),
            came=pa.bool_(),
            copied=pa.bool_(),
            key=pa.int64(),
            left=pa.int64(),
        ),
        key=("vector_no",),
        sort=(),
    ),
    Table(  # entities that ask all others, or stand apart from them, with their vectors
        "ruled_visitors",
        columns(
            entity=pa.int64(),
            group=pa.int32(),
            codes=_CODES,
            offered=pa.bool_(),
            key=pa.int64(),
            embedding=VECTOR,
        ),
        key=("entity",),
        sort=(),
        compression="none",
    ),
]


def rule_tables(name: str) -> dict[str, Table]:
    """The five tables of the rule of that name, by their names.

    ``pool`` has a row for each vector with other ``labels`` (JSON: column to text or null) or
    another flag. Its ``others`` are of the column ``entity``; ``ends`` are places among them behind
    which more of the same value may be.
    """
    own = _PREFIX + name
    made = (
        Table(
            own,
            columns(
                query_id=pa.string(),
                rank=pa.int32(),
                neighbor_id=pa.string(),
                distance=pa.float32(),
            ),
            key=("query_id", "rank"),
            sort=("query_id", "rank"),
        ),
        Table(
            f"{own}_nested",
            columns(query_id=pa.string(), ids=_NAMES, distances=VECTOR),
            key=("query_id",),
            sort=("query_id",),
        ),
        Table(
            f"{own}_pool",
            columns(
                entity=pa.int64(),
                vector_no=pa.int64(),
                labels=pa.string(),
                offered=pa.bool_(),
                permitted=pa.int64(),
                nowhere=pa.bool_(),
                radius=pa.float32(),
                radius_entity=pa.int64(),
                others=_NUMBERS,
                distances=VECTOR,
                ends=_CODES,
            ),
            key=("vector_no", "labels", "offered"),
            sort=("entity",),
        ),
        Table(
            f"{own}_short",
            columns(query_id=pa.string(), listed=pa.int32(), reason=pa.string()),
            key=("query_id",),
            sort=("query_id",),
        ),
        entry_changes(f"{own}_changes"),
    )
    return {table.name: table for table in made}


def rule_table(table: str) -> Table | None:
    """The table of that name, if a rule can have one of that name."""
    rest = table.removeprefix(_PREFIX)
    if rest == table or not rest:
        return None
    name = next((rest.removesuffix(part) for part in _PARTS if rest.endswith(part)), rest)
    return rule_tables(name).get(table) if name else None


def rule_names(tables: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names of the rules that have a table of their own among ``tables``, in order.

    ``known`` tables are no rule's.
    """
    others = set(known)
    found = (t for t in tables if t.startswith(_PREFIX) and not t.endswith(_PARTS))
    return sorted(table.removeprefix(_PREFIX) for table in found if table not in others)


class Tables(dict[str, Table]):
    """Tables by name, those of rules too, which nobody has listed."""

    def __missing__(self, name: str) -> Table:
        found = rule_table(name)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and bool(rule_table(name)))
