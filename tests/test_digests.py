"""Row digests: the laws that runs rely on, and values that no later version may change."""

from __future__ import annotations

import hashlib
import math
import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.digests import add, digest_rows, key_hashes, name_of
from artrec.schemas import TABLES, Table

KINDS: dict[str, pa.DataType] = {
    "text": pa.string(),
    "data": pa.binary(),
    "number": pa.int64(),
    "small": pa.int32(),
    "flag": pa.bool_(),
    "single": pa.float32(),
    "double": pa.float64(),
    "time": pa.timestamp("us", "UTC"),
    "vector": pa.list_(pa.float32()),
    "names": pa.list_(pa.string()),
    "extra": pa.map_(pa.string(), pa.string()),
    "pair": pa.struct([pa.field("left", pa.int64()), pa.field("right", pa.string())]),
}
TABLE = Table(
    "everything",
    pa.schema(
        [pa.field("id", pa.string()), pa.field("no", pa.int64())]
        + [pa.field(name, kind) for name, kind in KINDS.items()]
    ),
    key=("id", "no"),
    sort=(),
)

texts = st.text(max_size=4)
longs = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(width=32, allow_nan=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "data": st.binary(max_size=4),
    "number": longs,
    "small": st.integers(-(2**31), 2**31 - 1),
    "flag": st.booleans(),
    "single": floats,
    "double": st.floats(allow_nan=False),
    "time": st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    "vector": st.lists(st.none() | floats, max_size=3),
    "names": st.lists(st.none() | texts, max_size=3),
    "extra": st.lists(
        st.tuples(texts, st.none() | texts), max_size=3, unique_by=lambda pair: pair[0]
    ),
    "pair": st.builds(
        lambda left, right: {"left": left, "right": right}, st.none() | longs, st.none() | texts
    ),
}
Row = dict[str, Any]
rows_of = st.fixed_dictionaries(
    {"id": st.sampled_from("abc"), "no": st.integers(-2, 2)}
    | {name: st.none() | values for name, values in VALUES.items()}
)


def batch_of(rows: list[Row]) -> pa.RecordBatch:
    arrays = [pa.array([row[c.name] for row in rows], c.type) for c in TABLE.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=TABLE.columns)


def digest(rows: list[Row]) -> dict[str, int]:
    return digest_rows(batch_of(rows), TABLE)


def unlike(one: Any, other: Any) -> bool:
    """Different as values of a cell: 0.0 and -0.0 are, True and 1 do not meet in one column."""
    return repr(one) != repr(other)


# -- laws -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.data(), st.lists(rows_of, max_size=6))
def test_the_order_of_rows_does_not_matter(data: st.DataObject, rows: list[Row]) -> None:
    assert digest(data.draw(st.permutations(rows))) == digest(rows)


@settings(max_examples=25, deadline=None)
@given(st.lists(rows_of, max_size=6), st.lists(st.integers(0, 6), max_size=3))
def test_the_digests_of_parts_add_up_to_that_of_the_whole(rows: list[Row], cuts: list[int]) -> None:
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    whole = batch_of(rows)
    parts = [whole.slice(low, high - low) for low, high in pairwise(ends)]
    assert add(digest_rows(part, TABLE) for part in parts) == digest(rows)


@settings(max_examples=25, deadline=None)
@given(st.lists(rows_of, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_a_slice_has_the_digest_of_its_own_rows(rows: list[Row], start: int, size: int) -> None:
    part = batch_of(rows).slice(min(start, len(rows)), size)
    assert digest_rows(part, TABLE) == digest(rows[start : start + size])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(rows_of, max_size=3), max_size=3))
def test_the_chunks_of_a_table_do_not_matter(chunks: list[list[Row]]) -> None:
    whole = pa.Table.from_batches([batch_of(rows) for rows in chunks], TABLE.columns)
    assert digest_rows(whole, TABLE) == digest([row for rows in chunks for row in rows])


@settings(max_examples=100, deadline=None)
@given(st.data(), st.lists(rows_of, min_size=1, max_size=4))
def test_changing_one_cell_changes_its_column_and_no_other(
    data: st.DataObject, rows: list[Row]
) -> None:
    name = data.draw(st.sampled_from(sorted(VALUES)))
    at = data.draw(st.integers(0, len(rows) - 1))
    other = data.draw(
        (st.none() | VALUES[name]).filter(lambda value: unlike(value, rows[at][name]))
    )
    changed = [row | {name: other} if i == at else row for i, row in enumerate(rows)]
    before, after = digest(rows), digest(changed)
    assert {each for each in before if before[each] != after[each]} == {name}


@settings(max_examples=25, deadline=None)
@given(st.data(), st.lists(rows_of, min_size=1, max_size=4))
def test_changing_a_key_changes_the_key_and_every_column(
    data: st.DataObject, rows: list[Row]
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    changed = [row | {"no": 7} if i == at else row for i, row in enumerate(rows)]
    before, after = digest(rows), digest(changed)
    assert {each for each in before if before[each] == after[each]} == {"rows"}


@settings(max_examples=25, deadline=None)
@given(st.lists(rows_of, max_size=4), rows_of)
def test_one_row_more_changes_everything(rows: list[Row], one: Row) -> None:
    before, after = digest(rows), digest([*rows, one])
    assert all(before[each] != after[each] for each in before)
    assert after["rows"] == len(rows) + 1


def test_cells_that_change_places_between_rows_change_their_column() -> None:
    nothing: Row = dict.fromkeys(VALUES)
    one = [{"id": "a", "no": 1} | nothing, {"id": "b", "no": 1} | nothing]
    left, right = [row | {"text": text} for row, text in zip(one, "xy", strict=True)]
    swapped = [left | {"text": "y"}, right | {"text": "x"}]
    before, after = digest([left, right]), digest(swapped)
    assert {each for each in before if before[each] != after[each]} == {"text"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text", [None, "", "None", "null", "\0", "a", "a\0"]),
        ("data", [None, b"", b"None", b"\0", b"\0\0"]),
        ("number", [None, 0, 1, -1, 2**63 - 1, -(2**63)]),
        ("single", [None, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 1e-45]),
        ("flag", [None, False, True]),
        ("vector", [None, [], [None], [0.0], [0.0, 0.0], [None, 0.0], [0.0, None], [1.0]]),
        ("names", [None, [], [None], [""], ["", ""], ["ab"], ["a", "b"], ["b", "a"], ["None"]]),
        (
            "extra",
            [
                None, [], [("a", None)], [("a", "None")], [("a", "")], [("", "a")],
                [("a", "b")], [("b", "a")], [("ab", "")], [("a", "b"), ("c", "d")],
                [("a", "bc"), ("", "d")], [("a", "1b")], [("a1", "b")], [("a", "d"), ("c", "b")],
            ],
        ),
        (
            "pair",
            [
                None, {"left": None, "right": None}, {"left": 0, "right": None},
                {"left": None, "right": ""}, {"left": 0, "right": ""}, {"left": 1, "right": "0"},
            ],
        ),
    ],
)  # fmt: skip
def test_values_that_are_easily_confused_have_digests_of_their_own(
    name: str, values: list[Any]
) -> None:
    row: Row = {"id": "a", "no": 1} | dict.fromkeys(VALUES)
    found = [digest([row | {name: value}])[name] for value in values]
    assert len(set(found)) == len(values)


def test_two_columns_with_the_same_values_have_different_digests() -> None:
    row: Row = {"id": "a", "no": 1} | dict.fromkeys(VALUES)
    found = digest([row | {"number": 5, "small": 5}])
    assert found["number"] != found["small"]


def test_text_and_bytes_of_any_width_count_alike() -> None:
    table = Table("one", pa.schema([("key", pa.string())]), key=("key",), sort=())
    narrow = pa.table({"key": pa.array(["a", "bc"])})
    for kind in (pa.large_string(), pa.binary(), pa.large_binary(), pa.string()):
        wide = pa.table({"key": pa.array(["a", "bc"]).cast(kind)})
        assert digest_rows(wide, table) == digest_rows(narrow, table)


def test_no_digests_add_up_to_that_of_no_rows() -> None:
    assert add([]) == {"rows": 0, "": 0}
    empty = digest([])
    assert empty == dict.fromkeys(["rows", "", *TABLE.digested], 0)
    assert add([empty, digest([])]) == empty


def test_sums_wrap_at_64_bits() -> None:
    top = {"rows": 1, "": 2**64 - 1, "a": 2**63}
    assert add([top, top]) == {"rows": 2, "": 2**64 - 2, "a": 0}


def test_equal_keys_have_equal_hashes_and_others_do_not() -> None:
    rows = [{"id": i, "no": n} | dict.fromkeys(VALUES) for i, n in [("a", 1), ("b", 1), ("a", 1)]]
    first, second, third = key_hashes(batch_of(rows), TABLE).tolist()
    assert first == third
    assert first != second


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(TABLES)))
def test_every_table_of_the_store_has_a_digest_of_no_rows(name: str) -> None:
    table = TABLES[name]
    empty = pa.RecordBatch.from_pylist([], schema=table.columns)
    assert set(digest_rows(empty, table).values()) == {0}


# -- another way to the same numbers --------------------------------------------------------

MASK = 2**64 - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15


def mixed(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def hashed(value: Any) -> int:
    """64 bits of one value, in plain Python."""
    if value is None:
        return int.from_bytes(b"null", "big")
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
    if isinstance(value, float):
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        return mixed((bits + GOLDEN_RATIO) & MASK)
    if isinstance(value, int):
        return mixed((value + GOLDEN_RATIO) & MASK)
    if isinstance(value, datetime):
        return hashed((value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    if isinstance(value, tuple | dict):
        total = 0
        for place, part in enumerate(value.values() if isinstance(value, dict) else value):
            total = mixed((total + hashed(part) + (place + 1) * GOLDEN_RATIO) & MASK)
        return total
    places = ((hashed(part) + place * GOLDEN_RATIO) & MASK for place, part in enumerate(value))
    return mixed((sum(map(mixed, places)) + len(value)) & MASK)


@settings(max_examples=30, deadline=None)
@given(rows_of)
def test_a_digest_is_what_its_description_says(row: Row) -> None:
    key = 0
    for place, name in enumerate(TABLE.key):
        key = mixed((key + hashed(row[name]) + (place + 1) * GOLDEN_RATIO) & MASK)
    found = digest([row])
    assert found[""] == key
    for place, name in enumerate(TABLE.digested):
        salted = (hashed(row[name]) + (place + 101) * GOLDEN_RATIO) & MASK
        assert found[name] == mixed(key ^ salted), name


# -- values for ever ------------------------------------------------------------------------


def test_a_number_s_hash_is_the_first_output_of_splitmix64_with_that_seed() -> None:
    table = Table("one", pa.schema([("key", pa.int64())]), key=("key",), sort=())
    zero = key_hashes(pa.table({"key": np.array([0])}), table)[0]
    assert mixed((0xE220A8397B1DCDAF + GOLDEN_RATIO) & MASK) == int(zero)


GOLDEN_ROWS: list[Row] = [
    {
        "id": "wikiart/Baroque/rembrandt_the-night-watch-1642.jpg",
        "no": 0,
        "text": "Post_Impressionism",
        "data": bytes(range(32)),
        "number": 2**63 - 1,
        "small": -1,
        "flag": True,
        "single": 0.1,
        "double": 0.1,
        "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "vector": [0.5, -0.0, None, 1e-45],
        "names": ["a", "", None, "é"],
        "extra": [("id", "12"), ("note", None)],
        "pair": {"left": 1, "right": None},
    },
    {"id": "é☃𝄞", "no": -1} | dict.fromkeys(KINDS),
]
GOLDEN = {
    "rows": 2,
    "": 6068109501245810246,
    "text": 12387842461542580016,
    "data": 16576763187272931718,
    "number": 15959142724689538260,
    "small": 10976457676698186955,
    "flag": 5696917914516699728,
    "single": 17353241474796943445,
    "double": 11671931649916148562,
    "time": 12266765610615090519,
    "vector": 14210002813511211700,
    "names": 8106428077666677762,
    "extra": 7238087803653373005,
    "pair": 8286682797913885112,
}


def test_digests_are_what_they_were_when_stores_were_first_written() -> None:
    assert digest(GOLDEN_ROWS) == GOLDEN


def test_digests_of_a_stored_table_are_what_they_were() -> None:
    table = TABLES["neighbors"]
    rows = [
        {"query_id": "a", "rank": 1, "neighbor_id": "b", "distance": 0.25},
        {"query_id": "a", "rank": 2, "neighbor_id": "c", "distance": 0.5},
    ]
    found = digest_rows(pa.RecordBatch.from_pylist(rows, schema=table.columns), table)
    assert found == {
        "rows": 2,
        "": 10188212558429735705,
        "neighbor_id": 65927842762396619,
        "distance": 7231400294067379439,
    }


def test_names_of_facts_are_what_they_were() -> None:
    facts = {"b": [1, 2.5, None, True], "a": {"é": "☃"}}
    assert name_of(facts) == "588a3378d68a8516"
    assert name_of(dict(reversed(facts.items()))) == "588a3378d68a8516"
    assert name_of(facts, 8) == "588a3378"


def test_a_name_is_of_json_alone() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        name_of({"a": {1, 2}})
