"""What a night changed, by bounded reads of its feed: some images of each kind, some lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.config import ReportSettings
from artrec.releases import Draft, StageRuns, receipts_of
from artrec.schemas import TABLES
from artrec.stages.frames import frame_of, read_frame, run_tasks, stage_frame
from artrec.stages.report.atonce import FRESH, IMAGE, ORPHANS, SAMPLES, Feed, changed_list, of_task
from artrec.stages.session import describe
from artrec.tables import read_table

__all__ = ["Changes", "changes"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Changes:
    """Rows as they stand in the tables; all empty where there is nothing to compare with.

    ``lists`` of the ``turned`` are some of their rows of the feed. ``gone`` are rows of the last
    release's catalog, of neighbors that are no images any more.
    """

    kinds: list[Row] = field(default_factory=list)
    fresh: list[Row] = field(default_factory=list)
    turned: list[Row] = field(default_factory=list)
    lists: dict[str, list[Row]] = field(default_factory=dict)
    orphans: list[Row] = field(default_factory=list)
    new_orphans: int = 0
    gone: dict[str, Row] = field(default_factory=dict)

    def without(self, names: set[str]) -> Changes:
        """The same, but for these images that are gone."""
        shown = {
            name: [row for row in rows if row["neighbor_id"] not in names]
            for name, rows in self.lists.items()
        }
        kept = [
            row for row in self.kinds if names.isdisjoint((row["image_id"], row.get("other_id")))
        ]
        gone = {name: row for name, row in self.gone.items() if name not in names}
        return replace(self, kinds=kept, lists=shown, gone=gone)

    @property
    def listed(self) -> set[str]:
        """The images of the lists shown, and their neighbors, by name."""
        rows = [row for found in self.lists.values() for row in found]
        return {*self.lists, *(row["neighbor_id"] for row in rows)}

    @property
    def contents(self) -> set[bytes]:
        """Of images that are shown for what became of them."""
        return {row["content_sha256"] for row in [*self.fresh, *self.orphans]} | self.left

    @property
    def left(self) -> set[bytes]:
        """Contents of what is no image any more."""
        return {row["content_sha256"] for row in self.gone.values()}


def changes(spark: SparkSession, settings: ReportSettings, draft: Draft, seed: str) -> Changes:
    """What became of the last release's images and lists; ``seed`` decides which new ones are
    shown. Of lists those with the most entries that came or went, by name among equals."""
    found = _found(spark, settings, draft, seed)
    names = set(_taken_down(draft)) if found != Changes() else set()
    return found.without(names) if names else found


def _taken_down(draft: Draft) -> Iterator[str]:
    """The images that left this night since their content was taken down: a report has no name of
    theirs."""
    hashes, evaluate = draft.ledger.hashes, draft.need("evaluate")
    if not hashes:
        return
    columns = ["change", "image_id", "content_sha256"]
    receipts = receipts_of(draft.store, evaluate.tables["catalog_changes"], "catalog_changes")
    taken = pa.array(sorted(hashes), pa.binary())
    for batch in read_table(draft.store, receipts, columns):
        left = pc.equal(batch.column("change"), "delete")
        mine = pc.and_(left, pc.is_in(batch.column("content_sha256"), value_set=taken))
        yield from batch.column("image_id").filter(mine).to_pylist()


def _found(spark: SparkSession, settings: ReportSettings, draft: Draft, seed: str) -> Changes:
    evaluate = draft.stage("evaluate")
    notes = evaluate.notes if evaluate else {}
    churn, counts = notes.get("churn"), notes.get("changes", {})
    if not churn or not evaluate or "catalog_changes" not in evaluate.tables:
        return Changes()
    turned = any(counts.get("neighbor_changes", {}).get(word) for word in ("insert", "delete"))
    feed = _feed(settings, draft, evaluate, seed, turned and "why" not in churn)
    if feed.is_small:
        describe(spark, "report: what changed")
        return _told(run_tasks(spark, 1, feed.gathered)[0].notes)
    images = Changes()
    if any(counts["catalog_changes"].get(each) for each in ("insert", "delete", "update")):
        describe(spark, "report: images that changed")
        images = _images(spark, settings, draft, seed)
    if not feed.entries:
        return images
    describe(spark, "report: lists that changed")
    return _with_lists(spark, settings, draft, images)


def _feed(
    settings: ReportSettings, draft: Draft, evaluate: StageRuns, seed: str, turned: bool
) -> Feed:
    """The night's feed; of lists only where some ``turned``."""
    store, base, neighbors = draft.store, draft.base.release, draft.stage("neighbors")
    entries = evaluate.tables.get("neighbor_changes", []) if turned else []
    lists = neighbors.tables["neighbors"] if neighbors and turned else []
    return Feed(
        store=store,
        images=receipts_of(store, evaluate.tables["catalog_changes"], "catalog_changes"),
        entries=receipts_of(store, entries, "neighbor_changes"),
        lists=receipts_of(store, lists, "neighbors"),
        catalog=receipts_of(store, draft.need("catalog").tables["catalog"], "catalog"),
        before=receipts_of(store, base.refs("catalog"), "catalog") if base else [],
        settings=settings,
        seed=seed,
    )


def _told(notes: dict[str, Any]) -> Changes:
    """What a task found."""
    known = {
        name: of_task(rows) for name, rows in notes.items() if name in ("fresh", "orphans", "gone")
    }
    gone = {row["image_id"]: row for row in known.pop("gone", [])}
    return Changes(**{**notes, **known, "gone": gone})


def _images(spark: SparkSession, settings: ReportSettings, draft: Draft, seed: str) -> Changes:
    rows = stage_frame(spark, draft, "evaluate", "catalog_changes")
    now = rows.filter("change <> 'delete' OR kind <> 'moved'")  # an image that moved counts once
    first = Window.partitionBy("kind").orderBy("image_id")
    some = (
        now.select("kind", "image_id", "other_id", F.row_number().over(first).alias("place"))
        .filter(F.col("place") <= SAMPLES)
        .orderBy("kind", "place")
    )
    fresh = now.filter(F.col("kind").isin(*FRESH)).select(*IMAGE, "kind")
    order = F.xxhash64(F.lit(seed), "image_id")
    drawn = fresh.orderBy(order, "image_id").limit(settings.fresh)
    return Changes(kinds=_rows(some), fresh=_rows(drawn))


def _with_lists(
    spark: SparkSession, settings: ReportSettings, draft: Draft, images: Changes
) -> Changes:
    evaluate, store = draft.need("evaluate"), draft.store
    receipts = receipts_of(store, evaluate.tables["neighbor_changes"], "neighbor_changes")
    entries = read_frame(spark, store, receipts, TABLES["neighbor_changes"]).filter(
        "change <> 'update'"
    )
    feed = stage_frame(
        spark, draft, "evaluate", "catalog_changes", ["image_id", "change", "picture"]
    )
    turned = _turned(entries, feed).limit(settings.turned).collect()
    lists = {
        row.query_id: changed_list(store, receipts, row.query_id, settings.neighbors)
        for row in turned
    }
    total, orphans = _orphans(spark, draft, entries, feed)
    left = {row["neighbor_id"] for rows in lists.values() for row in rows}
    return Changes(
        kinds=images.kinds,
        fresh=images.fresh,
        turned=[row.asDict() for row in turned],
        lists=lists,
        orphans=orphans,
        new_orphans=total,
        gone=_gone(spark, draft, left, feed),
    )


def _turned(entries: DataFrame, feed: DataFrame) -> DataFrame:
    """Lists of images whose own picture is what it was, the most changed first."""
    own = feed.filter("picture").select(F.col("image_id").alias("query_id"))
    came = F.sum((F.col("change") == "insert").cast("long")).alias("came")
    went = F.sum((F.col("change") == "delete").cast("long")).alias("went")
    counted = entries.groupBy("query_id").agg(came, went)
    return counted.join(own, "query_id", "left_anti").orderBy(
        F.desc(F.col("came") + F.col("went")), "query_id"
    )


def _orphans(
    spark: SparkSession, draft: Draft, entries: DataFrame, feed: DataFrame
) -> tuple[int, list[Row]]:
    """How many images stand in no list that are new or stood in one, and some of them by name.

    Nobody else can have become one: who was in a list and is in none has left one.
    """
    left = entries.filter("change = 'delete'").select(F.col("neighbor_id").alias("image_id"))
    maybe = left.unionByName(feed.filter("change = 'insert'").select("image_id")).distinct()
    entered = stage_frame(spark, draft, "neighbors", "neighbors", ["neighbor_id"])
    there = entered.withColumnRenamed("neighbor_id", "image_id")
    there = there.join(maybe, "image_id", "left_semi").distinct()  # few of very many
    catalog = stage_frame(spark, draft, "catalog", "catalog", IMAGE)
    found = catalog.join(maybe, "image_id", "left_semi").join(there, "image_id", "left_anti")
    found = found.persist()
    some = _rows(found.orderBy("image_id").limit(ORPHANS))
    count = found.count() if len(some) == ORPHANS else len(some)
    found.unpersist()
    return count, some


def _gone(
    spark: SparkSession, draft: Draft, names: Iterable[str], feed: DataFrame
) -> dict[str, Row]:
    """Neighbors that are no images any more, as the last release had them."""
    base = draft.base.release
    assert base is not None, "without a release before nothing has changed"
    catalog = frame_of(spark, draft.store, base.refs("catalog"), "catalog", IMAGE)
    gone = feed.filter("change = 'delete'").filter(F.col("image_id").isin(sorted(names)))
    found = catalog.join(gone.select("image_id"), "image_id", "left_semi")
    return {row["image_id"]: row for row in _rows(found)}


def _rows(frame: DataFrame) -> list[Row]:
    found = [row.asDict() for row in frame.collect()]
    return [
        row | {"content_sha256": bytes(row["content_sha256"])} if "content_sha256" in row else row
        for row in found
    ]
