"""The declared tables: their form, and that other programs open them."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artrec.errors import StoreFormatError
from artrec.schemas import PUBLISHED, TABLES, Table, published, rule_tables, ruled
from artrec.storage.local import LocalStore
from artrec.tables import TableWriter

LABELS = ["style", "artist", "title", "year", "genre", "split", "license", "extra"]

PROMISED: dict[str, tuple[list[str], list[str]]] = {
    "vector_images": (["vector_no", "image_id"], []),
    "members": (
        ["source", "entry"],
        ["raw_name", "image_id", "bytes", "fingerprint", "offset", "method"],
    ),
    "pictures": (
        ["content_sha256", "recipe"],
        ["data", "width", "height", "format", "mode", "phash"],
    ),
    "labels": (["source", "entry"], LABELS),
    "label_misses": (["source", "list", "line"], ["path", "reason"]),
    "ingested": (
        ["source", "raw_name", "occurrence", "bytes", "fingerprint", "recipe", "decoder"],
        ["content_sha256", "reason", "detail"],
    ),
    "vectors": (["content_sha256", "encoder"], ["vector_no", "embedding", "reason", "detail"]),
    "catalog": (
        ["image_id"],
        [
            *("source", "entry", "content_sha256", "vector_no", "width", "height", "format"),
            *("bytes", *LABELS, "first_release", "changed_release"),
        ],
    ),
    "rejects": (
        ["source", "entry"],
        [
            *("image_id", "stage", "reason", "detail", "content_sha256", "bytes"),
            *("first_release", "attempts"),
        ],
    ),
    "embeddings": (["image_id"], ["embedding"]),
    "neighbor_pool": (["vector_no"], ["radius", "radius_no", "others", "distances"]),
    "neighbors": (["query_id", "rank"], ["neighbor_id", "distance"]),
    "neighbors_nested": (["query_id"], ["ids", "distances"]),
    "catalog_changes": (
        ["image_id"],
        [
            *("change", "kind", "picture", "labels", "other_id", "old_content_sha256"),
            *("source", "content_sha256", "vector_no", "width", "height", "format"),
            *("bytes", *LABELS, "first_release", "changed_release"),
        ],
    ),
    "neighbor_changes": (["query_id", "neighbor_id"], ["change", "rank", "old_rank", "distance"]),
    "evaluation": (
        ["encoder", "measure", "pool", "label", "variant", "average", "group", "k"],
        ["queries", "value", "low", "high"],
    ),
    "hubs": (["image_id"], ["lists", "content_sha256", "style", "artist", "title"]),
    "duplicates": (["content_sha256", "image_id"], []),
    "near_duplicates": (["group_id", "image_id"], ["content_sha256", "bits", "distance"]),
    "coordinates": (["image_id"], ["x", "y", "content_sha256", "style", "artist", "title"]),
    "clusters": (["vector_no", "image_id"], ["cluster", "distance"]),
    "cluster_centers": (
        ["cluster"],
        ["images", "vectors", "inertia", "silhouette", "nearest", "center"],
    ),
    "maps": (["map", "image_id"], ["x", "y", "z", "cluster"]),
}
"""Key and further columns of each table that readers or later nights rely on."""

EVERY = {**TABLES, **rule_tables("by_shop")}
every_table = pytest.mark.parametrize("table", EVERY.values(), ids=list(EVERY))


def value_of(kind: pa.DataType, name: str) -> Any:
    """A value of a type, with every letter and bit that could be lost on the way."""
    if pa.types.is_string(kind):
        return f"é☃\n{name}"
    if pa.types.is_binary(kind):
        return b"\x00\xff"
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_int64(kind):
        return 2**62 + 1
    if pa.types.is_int32(kind):
        return -7
    if pa.types.is_float32(kind):
        return 0.25
    if pa.types.is_float64(kind):
        return 0.1
    if pa.types.is_map(kind):
        return [("id", "12"), ("note", None)]
    if pa.types.is_list(kind):
        return [value_of(kind.value_type, name)] * 2
    raise AssertionError(f"no example of a {kind}")


def example(table: Table) -> list[dict[str, Any]]:
    """A row with every value, and one with every null that the table allows."""
    full = {column.name: value_of(column.type, column.name) for column in table.columns}
    bare = {c.name: None if c.nullable else full[c.name] for c in table.columns}
    return [full, bare]


def written(table: Table, folder: Path) -> str:
    store = LocalStore(str(folder))
    with TableWriter(store, "f", table, "x") as writer:
        writer.write(pa.RecordBatch.from_pylist(example(table), schema=table.columns))
    (receipt,) = writer.receipts
    return store.path_url(receipt.path)


# -- the declarations -----------------------------------------------------------------------


@pytest.mark.parametrize("name", PROMISED)
def test_a_table_has_the_key_and_the_columns_that_are_promised(name: str) -> None:
    key, columns = PROMISED[name]
    table = TABLES[name]
    assert list(table.key) == key
    assert set(table.columns.names) >= {*key, *columns}


def test_readers_tables_have_no_columns_but_the_promised() -> None:
    for name in PUBLISHED:
        key, columns = PROMISED[name]
        assert TABLES[name].columns.names == [*key, *columns]


@every_table
def test_key_and_order_are_columns_that_are_never_null(table: Table) -> None:
    for name in (*table.key, *table.sort):
        assert name in table.columns.names
        assert not table.columns.field(name).nullable
    assert len(set(table.columns.names)) == len(table.columns.names)


@every_table
def test_digests_cover_every_column_but_what_is_excepted(table: Table) -> None:
    assert table.undigested <= set(table.columns.names) - set(table.key)
    assert {*table.key, *table.digested, *table.undigested} == set(table.columns.names)
    assert not set(table.digested) & {*table.key, *table.undigested}


@every_table
def test_the_first_sort_column_stands_at_its_own_place_among_parquet_s_leaves(
    table: Table, tmp_path: Path
) -> None:
    group = pq.read_metadata(written(table, tmp_path)).row_group(0)
    for name in table.sort[:1]:
        leaf = group.column(table.columns.names.index(name))
        assert leaf.path_in_schema == name
        assert leaf.statistics is not None
        assert leaf.statistics.has_min_max


@every_table
def test_embeddings_are_lists_of_float32_without_nulls_and_times_are_utc(table: Table) -> None:
    for column in table.columns:
        if pa.types.is_list(column.type):
            assert not column.type.value_field.nullable
        if column.name in ("embedding", "distances"):
            assert column.type.value_type == pa.float32()
        if pa.types.is_timestamp(column.type):
            assert column.type == pa.timestamp("us", "UTC")


def test_a_rule_s_tables_are_found_by_their_names_without_being_listed() -> None:
    kinds = {"": "neighbors", "_nested": "neighbors_nested", "_changes": "neighbor_changes"}
    for part in ("", "_nested", "_pool", "_short", "_changes"):
        name = f"neighbors_by_shop{part}"
        assert name in TABLES
        assert TABLES[name].name == name
        if part in kinds:
            assert TABLES[name].columns == TABLES[kinds[part]].columns
    assert not [n for n in ("neighbors_", "neighbors__pool", "neighbours_x", "x") if n in TABLES]
    with pytest.raises(KeyError):
        TABLES["neighbours_x"]


def test_readers_are_promised_a_rule_s_lists_and_not_its_pool() -> None:
    made = ["vectors", "neighbors_b_pool", "neighbors_b", "neighbors_nested", "neighbors_b_short"]
    made += ["neighbor_changes", "neighbors_b_changes"]
    assert published([*made, "catalog", "neighbors_a"]) == [
        *("catalog", "neighbors_nested", "neighbor_changes", "neighbors_a"),
        *("neighbors_b", "neighbors_b_short", "neighbors_b_changes"),
    ]
    assert ruled([*made, "neighbors_a_nested", "neighbors"]) == ["b"]


# -- other programs -------------------------------------------------------------------------


@every_table
def test_duckdb_opens_a_table(table: Table, tmp_path: Path) -> None:
    file = written(table, tmp_path)
    relation = duckdb.connect().sql(f"SELECT * FROM read_parquet('{file}')")
    assert relation is not None
    assert relation.columns == table.columns.names
    for row, expected in zip(relation.fetchall(), example(table), strict=True):
        for name, value in zip(table.columns.names, row, strict=True):
            wanted = expected[name]
            if pa.types.is_map(table.columns.field(name).type) and wanted is not None:
                wanted = dict(wanted)
            assert value == wanted, name


@every_table
def test_pandas_opens_a_table(table: Table, tmp_path: Path) -> None:
    frame = pd.read_parquet(written(table, tmp_path))
    assert list(frame.columns) == table.columns.names
    for name in table.columns.names:
        for value, expected in zip(frame[name], (r[name] for r in example(table)), strict=True):
            if expected is None:
                assert value is None or pd.isna(value), name
            elif isinstance(expected, list):
                assert list(value) == expected, name
            elif isinstance(value, float):  # so pandas reads integers of a column with nulls
                assert value == float(expected), name
            else:
                assert value == expected, name


def test_times_are_the_same_everywhere(tmp_path: Path) -> None:
    table = Table(
        "times", pa.schema([pa.field("at", pa.timestamp("us", "UTC"), False)]), ("at",), ("at",)
    )
    moment = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
    rows = pa.RecordBatch.from_pylist([{"at": moment}], schema=table.columns)
    store = LocalStore(str(tmp_path))
    with TableWriter(store, "f", replace(table, sort=()), "x") as writer:
        writer.write(rows)
    file = store.path_url(writer.receipts[0].path)
    assert pd.read_parquet(file)["at"][0] == moment
    sql = f"SELECT epoch_us(\"at\") FROM '{file}'"
    found = duckdb.connect().sql(sql)
    assert found is not None
    assert found.fetchall() == [(1774747800123456,)]


# -- check ----------------------------------------------------------------------------------


@every_table
def test_a_table_recognises_itself_after_engines_changed_its_nullability(table: Table) -> None:
    table.check(table.columns, "here")
    loose = [
        pa.field(c.name, pa.list_(c.type.value_type) if pa.types.is_list(c.type) else c.type)
        for c in reversed(list(table.columns))
    ]
    table.check(pa.schema(loose), "here")


@every_table
def test_a_file_keeps_the_form_that_was_declared(table: Table, tmp_path: Path) -> None:
    data = Path(written(table, tmp_path)).read_bytes()
    table.check(pq.read_schema(io.BytesIO(data)), "here")


@every_table
def test_every_other_form_is_named(table: Table) -> None:
    first = table.columns.names[0]
    lost = table.columns.remove(0)
    with pytest.raises(StoreFormatError, match=rf"here: not a {table.name}.*missing \['{first}'\]"):
        table.check(lost, "here")
    with pytest.raises(StoreFormatError, match=r"unexpected \['new'\], types fit"):
        table.check(table.columns.append(pa.field("new", pa.int8())), "here")
    for place, column in enumerate(table.columns):
        other = table.columns.set(place, column.with_type(pa.date32()))
        with pytest.raises(StoreFormatError, match=rf"{column.name} is date32\[day\], not "):
            table.check(other, "here")
