"""artrec changes: nights chained, or two releases compared; applied it gives the later tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from artrec.commands.changes import changes
from artrec.commands.files import files_of
from artrec.releases import Draft, publish, read_base, read_release
from artrec.releases.feed.between import feed_between
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import (
    PAINTINGS,
    Painting,
    record_paintings,
    release_of,
    stage_runs,
    write_run,
)
from tests.feeds import Rows, applied_images, applied_lists

NEW = [Painting(f"new-{n}.jpg", 1000 * 7**n + n, "Cubism", "picasso", None) for n in range(3)]
NIGHTS: list[Sequence[Painting]] = [
    PAINTINGS,
    [*PAINTINGS[2:], NEW[0], NEW[1]],
    [*PAINTINGS[2:9], NEW[1], replace(NEW[0], style="Baroque")],
    [PAINTINGS[0], *PAINTINGS[3:9], replace(NEW[1], place=45), NEW[2]],
]
"""Two are added, two gone; one has another style and five are gone; one is back, one elsewhere."""
NAMES = ["one", "two", "three", "four"]
TABLES = {"catalog_changes": "catalog", "neighbor_changes": "neighbors_nested"}


def publish_nights(root: Path, fed: bool = True) -> Path:
    """Four releases of these paintings; all but the first with the feed from the one before."""
    store = open_store(str(root))
    for name, paintings in zip(NAMES, NIGHTS, strict=True):
        draft = Draft.begin(store, name)
        counts = record_paintings(draft, paintings, 5, kept)
        release = release_of(draft, 5, counts)
        if fed and draft.base.release is not None:
            rows = {table: compared(draft.base.release, release, store, table) for table in TABLES}
            told = {table: {"from": draft.base.release_id} for table in TABLES}
            ref = write_run(store, "evaluate", rows, draft.attempt)
            stages = release.stages | {"evaluate": stage_runs("evaluate", ref, changes=told)}
            release = release.model_copy(update={"stages": stages})
        publish(store, release, draft.base)
    return root


def kept(rows: dict[str, Rows]) -> None:
    """Facts of an image that the small store makes anew each night."""
    for row in rows["catalog"]:
        row |= {"bytes": 9, "first_release": "one", "changed_release": "one"}


def compared(old: Any, new: Any, store: Any, table: str) -> Rows:
    batches = feed_between(store, old, new, table).batches
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For reading only."""
    return publish_nights(tmp_path_factory.mktemp("nights"))


def rows_of(root: Path, table: str, release: str) -> Rows:
    files = files_of(open_store(str(root)), table, release)
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def without_entry(rows: Rows) -> Rows:
    return [{k: v for k, v in row.items() if k != "entry"} for row in rows]


def written(root: Path, to: Path, table: str, old: str, new: str) -> tuple[Rows, dict[str, Any]]:
    (account,) = changes(open_store(str(root)), old, new, table, open_store(str(to)))
    assert json.loads((to / "_export.json").read_bytes()) == account
    rows = [row for file in account["files"] for row in pq.read_table(to / file).to_pylist()]
    return rows, account


THREE = ["the", "feeds", "of", "3", "nights"]
PAIRS = [(a, b) for a in NAMES for b in NAMES if NAMES.index(a) < NAMES.index(b)]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_applied_to_one_release_it_gives_a_later_one(
    nights: Path, tmp_path: Path, old: str, new: str
) -> None:
    feed, account = written(nights, tmp_path / "n", "neighbors", old, new)
    assert account["nights"] == NAMES[NAMES.index(old) + 1 : NAMES.index(new) + 1]
    found = applied_lists(rows_of(nights, "neighbors", old), feed)
    assert found == rows_of(nights, "neighbors", new)
    feed, _ = written(nights, tmp_path / "c", "catalog", old, new)
    found = applied_images(rows_of(nights, "catalog", old), feed)
    assert found == without_entry(rows_of(nights, "catalog", new))


def test_it_is_counted_for_each_table(artrec: Call, nights: Path) -> None:
    called = artrec("changes", "--from", "one", "--to", "three", "--root", str(nights), "--json")
    images, lists = json.loads(called.out)
    assert images == {
        **{"from": "one", "to": "three", "table": "catalog_changes", "nights": ["two", "three"]},
        **{"insert": 2, "delete": 7, "update": 0},
    }
    assert lists["table"] == "neighbor_changes"
    assert min(lists["insert"], lists["delete"]) > 0
    told = artrec("changes", "--from", "one", "--root", str(nights)).out.splitlines()
    assert told[0] == "from one to four"
    words = told[2].split()  # one image was gone, and is back
    assert (words[:4], words[4:]) == (["catalog_changes", "2", "7", "1"], THREE)


def test_where_a_night_between_is_gone_both_are_compared(tmp_path: Path) -> None:
    root = publish_nights(tmp_path / "store")
    (root / "releases/two.json").unlink()
    feed, account = written(root, tmp_path / "n", "neighbors", "one", "four")
    assert account["nights"] == []
    assert applied_lists(rows_of(root, "neighbors", "one"), feed) == rows_of(
        root, "neighbors", "four"
    )
    feed, _ = written(root, tmp_path / "c", "catalog", "one", "four")
    after = without_entry(rows_of(root, "catalog", "four"))
    assert applied_images(rows_of(root, "catalog", "one"), feed) == after


def test_releases_without_feeds_and_backwards_are_compared(nights: Path, tmp_path: Path) -> None:
    plain = publish_nights(tmp_path / "plain", fed=False)
    for number, (root, old, new) in enumerate([(plain, "one", "two"), (nights, "four", "one")]):
        feed, account = written(root, tmp_path / str(number), "neighbors", old, new)
        assert account["nights"] == []
        found = applied_lists(rows_of(root, "neighbors", old), feed)
        assert [row for row in found if row] == rows_of(root, "neighbors", new)


def test_a_name_that_was_swept_and_taken_again_is_not_the_night_that_was(tmp_path: Path) -> None:
    root = publish_nights(tmp_path / "store")
    store = open_store(str(root))
    two, four = read_release(store, "two"), read_release(store, "four")
    later = two.model_copy(update={"created": four.created})
    (root / "releases/two.json").write_bytes(later.to_bytes())
    _, account = written(root, tmp_path / "n", "neighbors", "one", "four")
    assert account["nights"] == []


def test_a_release_and_itself_differ_in_nothing(nights: Path) -> None:
    store = open_store(str(nights))
    found = changes(store, "four")
    assert read_base(store).release_id == "four"
    assert [[each[c] for c in ("insert", "delete", "update")] for each in found] == [[0] * 3] * 2


def test_it_is_written_as_text_too(artrec: Call, nights: Path, tmp_path: Path) -> None:
    called = artrec("changes", "--from", "one", "--to", "two", "--table", "neighbor_changes",
                    "--to-dir", str(tmp_path / "out"), "--format", "csv",
                    "--root", str(nights))  # fmt: skip
    assert called.out.splitlines()[-1] == f"1 files in {tmp_path / 'out'}"
    with open(tmp_path / "out/neighbor_changes-00000.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = rows_of(nights, "neighbor_changes", "two")
    assert [row["neighbor_id"] for row in rows] == [row["neighbor_id"] for row in expected]
    assert {row["rank"] for row in rows if row["change"] == "delete"} == {""}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("--from", "zero"), "no release zero; there are: four, one, three, two"),
        (("--from", "one", "--table", "rejects"), "no feed of rejects; it has those of: catalog, "),
        (("--from", "one", "--to-dir", "out"), "name one of them by --table: catalog_changes, "),
        (("--from", "one", "--table", "catalog", "--to-dir", "full"), "is not empty (here.txt is"),
    ],
)
def test_what_cannot_be_told_is_refused(
    artrec: Call,
    nights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "here.txt").write_text("mine")
    called = artrec("changes", *call, "--root", str(nights))
    assert called.code == 2
    assert message in called.err
