"""The change feed, without Spark: what it says, and that applying it gives the other release."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from artrec.errors import StoreFormatError
from artrec.releases.feed import changed_entries, changed_images, in_step, reading, spans
from artrec.releases.feed.chain import chained_entries, chained_images
from artrec.releases.feed.images import COLUMNS
from artrec.schemas import TABLES
from artrec.storage import open_store
from artrec.tables import Receipt, TableWriter
from tests.feeds import Rows, applied_images, applied_lists

Lists = Mapping[str, Sequence[tuple[str, float]]]

NESTED = TABLES["neighbors_nested"].columns
CATALOG = pa.schema([TABLES["catalog"].columns.field(name) for name in COLUMNS])


def nested(lists: Lists) -> pa.Table:
    rows = [
        {"query_id": query, "ids": [i for i, _ in found], "distances": [d for _, d in found]}
        for query, found in sorted(lists.items())
    ]
    return pa.Table.from_pylist(rows, schema=NESTED)


def flat(lists: Lists) -> Rows:
    return [
        {"query_id": query, "rank": rank, "neighbor_id": other, "distance": distance}
        for query, found in sorted(lists.items())
        for rank, (other, distance) in enumerate(found, 1)
    ]


def told(old: Lists, new: Lists) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in changed_entries(nested(old), nested(new))[0].to_pylist()]


def test_an_entry_that_came_pushes_others_back_without_a_word_on_them() -> None:
    old = {"q": [("a", 1.0), ("b", 2.0), ("c", 3.0)]}
    new = {"q": [("a", 1.0), ("x", 1.5), ("b", 2.0)]}
    assert told(old, new) == [
        ("q", "c", "delete", None, 3, 3.0),
        ("q", "x", "insert", 2, None, 1.5),
    ]


def test_an_entry_with_another_distance_is_updated_where_it_stands_now() -> None:
    old = {"q": [("a", 1.0), ("b", 2.0), ("c", 3.0)]}
    new = {"q": [("b", 2.0), ("a", 2.5), ("c", 3.0)]}
    assert told(old, new) == [("q", "a", "update", 2, 1, 2.5)]


def test_of_ties_in_another_order_as_few_as_possible_are_named() -> None:
    old = {"q": [(name, 1.0) for name in "abcde"]}
    new = {"q": [(name, 1.0) for name in "bcdea"]}
    assert told(old, new) == [("q", "a", "update", 5, 1, 1.0)]


def test_lists_that_came_or_went_are_told_entry_by_entry() -> None:
    assert told({"p": [("a", 1.0)], "r": []}, {"q": [("a", 0.5)]}) == [
        ("p", "a", "delete", None, 1, 1.0),
        ("q", "a", "insert", 1, None, 0.5),
    ]
    assert told({}, {}) == []


def test_changes_are_counted_by_list_and_by_entry() -> None:
    old = {"a": [("x", 1.0), ("y", 2.0)], "b": [("x", 1.0)], "c": [("x", 1.0)]}
    new = {"a": [("z", 0.5), ("x", 1.0)], "b": [("x", 1.0)], "d": [("x", 1.0), ("y", 2.0)]}
    assert changed_entries(nested(old), nested(new))[1] == {
        **{"insert": 3, "delete": 2, "update": 0, "images": 3, "new": 1, "gone": 1},
        **{"lists": 2, "changed": 1, "first": 1, "entries": 3, "came": 1, "went": 1},
    }


def some_lists(chance: random.Random) -> Lists:
    """Short lists of few names at few distances: most are ties, and in no order at all."""
    names = [f"n{number}é" for number in range(8)]
    return {
        f"q{query}": [
            (name, float(chance.choice((1, 2, 3))))
            for name in chance.sample(names, chance.randint(0, 7))
        ]
        for query in range(5)
        if chance.random() < 0.8
    }


def test_applied_to_one_releases_lists_the_feed_gives_the_others() -> None:
    chance = random.Random(7)
    for _ in range(400):
        old, new = some_lists(chance), some_lists(chance)
        feed = changed_entries(nested(old), nested(new))[0].to_pylist()
        assert applied_lists(flat(old), feed) == flat(new)
        keys = [(row["query_id"], row["neighbor_id"]) for row in feed]
        assert keys == sorted(set(keys))


# Images.


def image(name: str, content: int, **labels: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(COLUMNS),
        **{"image_id": name, "source": "main", "content_sha256": bytes([content] * 32)},
        **{"vector_no": content, "width": 4, "height": 3, "format": "JPEG", "bytes": 9},
        **{"first_release": "one", "changed_release": "one"},
        **labels,
    }


def test_an_image_is_told_as_it_is_now_and_why() -> None:
    old = [image("a", 1), image("b", 2), image("c", 3, style="x"), image("d", 4)]
    new = [
        image("b", 5),
        image("c", 3, style="y", extra=[("shop", "1")]),
        image("d", 4),
        image("e", 6),
    ]
    rows, counts = changed_images(
        *(pa.Table.from_pylist(each, schema=CATALOG) for each in (old, new))
    )
    feed = rows.to_pylist()
    names = ("image_id", "change", "kind", "picture", "labels")
    assert [tuple(row[name] for name in names) for row in feed] == [
        ("a", "delete", "gone", True, True),
        ("b", "update", "changed", True, False),
        ("c", "update", "relabelled", False, True),
        ("e", "insert", "new", True, True),
    ]
    assert [(row["old_content_sha256"] or b"\0")[0] for row in feed] == [1, 2, 3, 0]
    assert feed[0]["content_sha256"] == bytes([1] * 32)  # as it was
    assert counts == {"insert": 1, "delete": 1, "update": 2}
    assert applied_images(old, feed) == new


def test_catalogs_without_rows_differ_by_what_the_other_has() -> None:
    some, none = pa.Table.from_pylist([image("a", 1)], schema=CATALOG), CATALOG.empty_table()
    assert [row["change"] for row in changed_images(none, some)[0].to_pylist()] == ["insert"]
    assert [row["change"] for row in changed_images(some, none)[0].to_pylist()] == ["delete"]
    assert changed_images(none, none)[0].num_rows == 0


# Reading two tables side by side.


def written(root: Path, stem: str, names: Sequence[str], file_rows: int) -> list[Receipt]:
    """A table with a list for each name, in files of so many."""
    receipts: list[Receipt] = []
    for number in range(0, max(1, len(names)), file_rows):
        part = {name: [(f"{stem}-{name}", 1.0)] for name in names[number : number + file_rows]}
        rows = nested(part).combine_chunks().to_batches()
        table, place = TABLES["neighbors_nested"], f"{stem}{number}"
        with TableWriter(
            open_store(str(root)), "t", table, place, group_bytes=200, even_empty=True
        ) as writer:
            for batch in rows:
                writer.write(batch)
        receipts += writer.receipts
    return receipts


@pytest.mark.parametrize(("rows", "files"), [(1, (3, 4)), (3, (5, 2)), (2048, (40, 7))])
def test_two_tables_are_read_in_step_range_by_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, files: tuple[int, int]
) -> None:
    monkeypatch.setattr(reading, "ROWS", rows)
    chance = random.Random(rows)
    sides = [sorted(chance.sample([f"{n:03d}" for n in range(60)], 35)) for _ in range(2)]
    one, other = (
        written(tmp_path, stem, names, size)
        for stem, names, size in zip("ab", sides, files, strict=True)
    )
    store = open_store(str(tmp_path))
    seen: list[list[str]] = [[], []]
    for span in spans(one, other):
        for pair in in_step(store, one, other, ["query_id", "ids"], span):
            names = [table.column("query_id").to_pylist() for table in pair]
            assert all(len(each) <= rows for each in names)
            before = [name for side in seen for name in side]
            assert not before or max(before) < min(name for found in names for name in found)
            for side, found in zip(seen, names, strict=True):
                side += found
    assert seen == sides


def test_a_side_without_rows_is_read_as_one(tmp_path: Path) -> None:
    full, empty = written(tmp_path, "a", ["x", "y"], 2), written(tmp_path, "b", [], 1)
    store = open_store(str(tmp_path))
    for one, other in ((full, empty), (empty, full), (full, [])):
        (span,) = spans(one, other)
        ((left, right),) = in_step(store, one, other, ["query_id"], span)
        assert sorted((left.num_rows, right.num_rows)) == [0, 2]
        assert left.schema.names == right.schema.names == ["query_id"]
    assert spans(empty, []) == []


def test_a_table_that_is_not_sorted_is_told_from_one_that_is(tmp_path: Path) -> None:
    table = nested({"a": [("x", 1.0)], "b": [("x", 1.0)]}).take([1, 0])
    store = open_store(str(tmp_path))
    with TableWriter(store, "t", TABLES["neighbors_nested"], "x") as writer:
        writer.write(table.combine_chunks().to_batches()[0])
    (receipt,) = writer.receipts
    wide = [receipt.model_copy(update={"first": ("a",), "last": ("b",)})]
    (span,) = spans(wide, [])
    with pytest.raises(StoreFormatError, match="not sorted by query_id"):
        list(in_step(store, wide, [], ["query_id"], span))


# Feeds of several nights.


def feed_of(old: Lists, new: Lists) -> Rows:
    found: Rows = changed_entries(nested(old), nested(new))[0].to_pylist()
    return found


def test_feeds_of_several_nights_are_one_that_does_the_same() -> None:
    chance = random.Random(11)
    for _ in range(300):
        nights = [some_lists(chance) for _ in range(4)]
        feeds = [feed_of(old, new) for old, new in pairwise(nights)]
        feed = list(chained_entries(feeds))
        assert applied_lists(flat(nights[0]), feed) == flat(nights[3])
        keys = [(row["query_id"], row["neighbor_id"]) for row in feed]
        assert keys == sorted(set(keys))
        were = {(r["query_id"], r["neighbor_id"]): r["rank"] for r in flat(nights[0])}
        assert all(row["old_rank"] == were.get(key) for key, row in zip(keys, feed, strict=True))


def test_what_came_and_went_again_is_not_named() -> None:
    one, two = {"q": [("a", 1.0)]}, {"q": [("x", 0.5), ("a", 1.0)]}
    assert list(chained_entries([feed_of(one, two), feed_of(two, one)])) == []
    back = list(chained_entries([feed_of(two, one), feed_of(one, two)]))
    assert [tuple(row.values()) for row in back] == [("q", "x", "update", 1, 1, 0.5)]


def some_images(chance: random.Random) -> Rows:
    return [
        image(f"n{name}", chance.randint(1, 3), style=chance.choice("xy"))
        for name in range(6)
        if chance.random() < 0.6
    ] or [image("n0", 1)]


def images_feed(old: Rows, new: Rows) -> Rows:
    tables = (pa.Table.from_pylist(each, schema=CATALOG) for each in (old, new))
    found: Rows = changed_images(*tables)[0].to_pylist()
    return found


def test_feeds_of_several_catalogs_are_one_that_does_the_same() -> None:
    chance = random.Random(5)
    for _ in range(200):
        nights = [some_images(chance) for _ in range(4)]
        feed = list(chained_images([images_feed(a, b) for a, b in pairwise(nights)]))
        assert applied_images(nights[0], feed) == nights[3]
        before = {row["image_id"]: row["content_sha256"] for row in nights[0]}
        assert all(row["old_content_sha256"] == before.get(row["image_id"]) for row in feed)


def test_an_image_that_changed_twice_changed_once() -> None:
    one, two, three = [image("a", 1)], [image("a", 2)], [image("a", 2, style="x")]
    feeds = [images_feed(one, two), images_feed(two, three)]
    (row,) = chained_images(feeds)
    assert (row["change"], row["kind"], row["picture"], row["labels"]) == (
        *("update", "changed"),
        *(True, True),
    )
    assert row["old_content_sha256"] == bytes([1] * 32)
