"""What one task joins with Arrow and what Spark joins are the same rows, on random tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from artrec.config import Settings
from artrec.releases import Draft, Ledger, Release, receipts_of
from artrec.releases.published import Base
from artrec.stages import catalog, embed
from artrec.stages.catalog import atonce, gathering, joining
from artrec.stages.catalog.live import live_run
from artrec.stages.frames import Attempt
from artrec.stages.ingest.joining import joined as joined_members
from artrec.stages.pending import Unread
from artrec.stages.rules import ingest_rules, vector_no
from artrec.tables import Receipt, read_table
from tests.nights import opened, put, settings_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ONCE = Attempt(0, 0, 0)
CONTENTS = [hashlib.sha256(bytes([n])).digest() for n in range(40)]
REASONS = ["truncated", "empty", "vanished", "decode_crashed", None, None, None, None]
EXTRAS = [None, [], [("a", "1")], [("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")], [("a", "2")]]

Rows = list[dict[str, Any]]


def rows_of(draft: Draft, receipts: Iterable[Receipt]) -> Rows:
    """Rows in the order of the files."""
    return [row for batch in read_table(draft.store, receipts) for row in batch.to_pylist()]


def files(draft: Draft, stage: str, table: str) -> list[Receipt]:
    return receipts_of(draft.store, draft.need(stage).tables[table], table)


def keys(random: Random, count: int) -> Rows:
    """Members' keys: names that hold what separates, and few values of everything else."""
    return [
        {
            "source": random.choice(["one", "two"]),
            "raw_name": random.choice([b"a\0", b"\0a", b"a", b"\xff", b"n%d" % n]),
            "occurrence": random.randrange(2),
            "bytes": random.randrange(1, 3),
            "fingerprint": random.choice(["crc32=1", "crc32=2"]),
        }
        for n in range(count)
    ]


def members_of(random: Random, known: Rows) -> Rows:
    found = []
    for source in ("one", "two"):
        mine = [row for row in known if row["source"] == source and random.random() < 0.8]
        for entry, row in enumerate(mine):
            number = Random(repr(row)).randrange(120)
            more = {"entry": entry, "image_id": f"i{number}" if number else "ä"}
            place = {"stored_bytes": 1 << 19, "offset": random.randrange(1 << 24), "method": "s"}
            found.append(row | more | place)
    return found


def ingested_of(random: Random, known: Rows, rules: dict[str, Any]) -> Rows:
    """Several verdicts of some members, of other rules too; each once for each reading."""
    found = []
    for n, row in enumerate([*known, *random.choices(known, k=len(known))]):
        reason = random.choice(REASONS)
        content = random.choice(CONTENTS) if reason is None else None
        detail = reason and random.choice([None, "", "of some kind", "of another"])
        decoder = rules["decoder"] if n < len(known) or n % 4 else "older"
        own = {"recipe": rules["recipe"], "decoder": decoder, "content_sha256": content}
        found.append(row | own | {"reason": reason, "detail": detail})
    return found


def pictures_of(recipe: str) -> Rows:
    facts = {"data": b"", "height": 5, "format": "JPEG", "mode": "RGB", "phash": 1}
    return [
        {"content_sha256": content, "recipe": name, "width": content[0] + 1, **facts}
        for name in (recipe, "other")
        for content in CONTENTS
    ]


def vectors_of(random: Random, contents: Iterable[bytes]) -> Rows:
    """Some contents are refused, and some share a number."""
    found = []
    for encoder in ("e", "other"):
        for content in contents:
            reason = random.choice(["zero_vector", *[None] * 7])
            number = vector_no(content) if content[0] % 5 else 7
            vector = None if reason else [random.random(), 1.0]
            own = {"content_sha256": content, "encoder": encoder, "vector_no": number}
            found.append(own | {"embedding": vector, "reason": reason, "detail": reason})
    return found


def labels_of(random: Random, members: Rows) -> Rows:
    """Those of an image, and now and then others."""
    return [
        labels(Random(row["image_id"] if random.random() < 0.8 else random.random()), row)
        for row in members
    ]


def labels(random: Random, member: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: member[name] for name in ("source", "entry")},
        **{name: random.choice([None, "", "x"]) for name in ("style", "artist", "title")},
        "year": random.choice([None, 1900]),
        **dict.fromkeys(("genre", "split", "license")),
        "extra": random.choice(EXTRAS),
    }


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.long)])
def night(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, spark: SparkSession
) -> Any:
    """A draft on a release that had most of the same members, and its settings."""
    root = tmp_path_factory.mktemp("night")
    random = Random(request.param)
    settings = settings_of(f"store.root={root}", "sources.one.url=x")
    rules = ingest_rules(settings.ingest)
    known = keys(random, 170)
    ingested = ingested_of(random, known, rules)
    before, draft = (opened(settings, name) for name in ("before", "now"))
    for each, left in ((before, known[:150]), (draft, known)):
        each.hold(each.name or "")
        filled(each, random, left, ingested, rules)
        if each is before:
            written = joining.joined(spark, settings, before, "base", {})
            draft.base = Base(release_of(before, settings, written), None)
    draft._ledger = Ledger(frozenset(CONTENTS[:3]))
    return draft, settings


def filled(
    draft: Draft, random: Random, known: Rows, ingested: Rows, rules: dict[str, Any]
) -> None:
    members = members_of(random, known)
    labels = labels_of(random, members)
    put(draft, "inventory", {"members": members, "labels": labels})
    inventory = draft.need("inventory")
    counted = {"listed": len(members), "listed_bytes": len(members) << 19}
    draft.record(inventory.model_copy(update={"counters": counted}))
    put(draft, "ingest", {"ingested": ingested, "pictures": pictures_of(rules["recipe"])})
    facts = {"encoder": "e", "metric": "cosine", "dim": 2}
    put(draft, "embed", {"vectors": vectors_of(Random(3), CONTENTS)}, **facts)


def release_of(draft: Draft, settings: Settings, written: dict[str, list[Receipt]]) -> Release:
    """What the draft would have published."""
    put(draft, "catalog", {name: rows_of(draft, files) for name, files in written.items()})
    names = ("inventory", "ingest", "embed", "catalog")
    return Release(
        release_id="before",
        previous=None,
        inputs="",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        settings=settings.model_dump(mode="json"),
        versions={},
        encoder="e",
        metric="cosine",
        dim=2,
        k=1,
        stages={name: draft.need(name) for name in names},
        gates=[],
        counts={},
    )


def test_catalog_and_rejects_are_those_that_spark_joins(night: Any, spark: SparkSession) -> None:
    draft, settings = night
    expected = joining.joined(spark, settings, draft, "spark", {})
    report = atonce.write_catalog(catalog._given(settings, draft, "task", {}), ONCE)
    images, rejects = (
        rows_of(draft, [each for each in report.receipts if each.table == table])
        for table in ("catalog", "rejects")
    )
    assert images == rows_of(draft, expected["catalog"])
    assert rejects == rows_of(draft, expected["rejects"])
    reasons = {row["reason"] for row in rejects}
    assert {"duplicate_name", "vector_no_collision", "forgotten", "zero_vector"} <= reasons
    histories = {(row["first_release"], row["changed_release"]) for row in images}
    assert histories == {("before", "before"), ("before", "now"), ("now", "now")}


def test_vectors_are_those_that_spark_joins(
    night: Any, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, settings = night
    report = atonce.write_catalog(catalog._given(settings, draft, "images", {}), ONCE)
    images = [each for each in report.receipts if each.table == "catalog"]
    put(draft, "catalog", {"catalog": rows_of(draft, images)})
    found = catalog._embeddings(spark, draft, "task", {"dim": "2"}, {"catalog": images})
    live = gathering.gathered(draft, images, "live", {})
    assert live is not None
    monkeypatch.setattr(gathering, "BYTES", 0)
    expected = catalog._embeddings(spark, draft, "spark", {"dim": "2"}, {"catalog": images})
    assert rows_of(draft, found) == rows_of(draft, expected)
    run = live_run(spark, draft, draft.need("catalog").tables["catalog"][0])
    made = live.live(ONCE).receipts
    for table in ("live_vectors", "vector_images"):
        rows = rows_of(draft, [each for each in made if each.table == table])
        assert rows == rows_of(draft, run.receipts(table))
        assert len(rows) > 10


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_members_to_read_are_those_that_spark_finds(
    night: Any, spark: SparkSession, retry: bool, stored: bool
) -> None:
    draft, settings = night
    inventory = draft.need("inventory")
    task = Unread(
        store=draft.store,
        members=files(draft, "inventory", "members"),
        ingested=files(draft, "ingest", "ingested"),
        stored=files(draft, "ingest", "pictures") if stored else None,
        forgotten=draft.ledger.hashes,
        rules=ingest_rules(settings.ingest),
        retry=retry,
        slice_bytes=64 << 20,
        cores=2,
        folder=f"task-{retry}-{stored}",
    )
    expected = joined_members(spark, draft, task, inventory.counters)
    again = rows_of(draft, task.write(Attempt(0, 0, 1)).receipts)
    assert again == rows_of(draft, expected)
    assert 0 < len(again) < inventory.counters["listed"]


def test_pictures_to_encode_are_those_that_spark_finds(night: Any, spark: SparkSession) -> None:
    draft, settings = night
    put(draft, "before", {"vectors": vectors_of(Random(3), CONTENTS[:10])})
    before = {"vectors": draft.need("before").tables["vectors"]}
    rules = {"encoder": "e", **ingest_rules(settings.ingest)}
    counts = []
    for vectors in (before, {}):
        pictures, folder = files(draft, "ingest", "pictures"), f"task{len(vectors)}"
        task = embed._at_once(draft, pictures, vectors, rules, folder)
        found = rows_of(draft, task.write(ONCE).receipts)
        rows = embed._unencoded(spark, draft, vectors, rules).collect()
        expected = sorted((row.file, row.row_group, bytes(row.content_sha256)) for row in rows)
        assert [(r["file"], r["row_group"], r["content_sha256"]) for r in found] == expected
        counts.append(len(found))
    assert 5 < counts[0] < counts[1] == len(CONTENTS)
