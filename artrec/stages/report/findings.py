"""What a report shows of a draft's tables, by bounded reads: some hundred rows of however many.

Tables of stages that have not run are left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.config import ReportSettings
from artrec.releases import Draft, StageRuns, receipts_of
from artrec.schemas import TABLES
from artrec.stages import NAMES, ORDER
from artrec.stages.frames import read_frame, run_tasks, stage_frame
from artrec.stages.report.atonce import IMAGE, REJECT, SAMPLES, Shown, of_task
from artrec.stages.report.changes import Changes, changes
from artrec.tables import Receipt, read_range, read_table

__all__ = ["Findings", "find", "stages_of"]

HUBS, TWINS, NAMES_OF_TWIN, RECONSTRUCTIONS = 12, 12, 5, 12
POINTS, MEASURES, EXTREMES = 8_000, 2_000, 8
CLUSTERS, MEMBERS = 12, 8  # with pictures, and how many of each
GROUPS, OF_GROUP, READ = 8, 6, 10_000  # of near duplicates; rows that are looked at for them
SAME = "the same every night"
"""Seeds the draw of images whose neighbors are shown: as long as they are there, a reader sees what
became of their lists, and their small pictures are there already."""
KINDS = 200  # of rejects: there are fewer reasons than that

Row = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """Rows as they stand in the tables."""

    queries: list[Row]
    lists: dict[str, list[Row]]
    images: dict[str, Row]
    rejects: list[Row]
    hubs: list[Row] = field(default_factory=list)
    twins: list[tuple[bytes, list[str], int]] = field(default_factory=list)
    twin_names: int = 0
    near: list[tuple[list[Row], int]] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)
    measures: list[Row] = field(default_factory=list)
    classes: list[Row] = field(default_factory=list)
    maps: dict[str, list[Row]] = field(default_factory=dict)
    clusters: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    reconstructions: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    @property
    def shown(self) -> set[bytes]:
        """The contents that have to have a small picture."""
        found = {row["content_sha256"] for row in [*self.images.values(), *self.hubs]}
        found |= {row["content_sha256"] for rows, _ in self.near for row in rows}
        return found | {content for content, _, _ in self.twins} | self.changes.contents

    @property
    def mapped(self) -> set[bytes]:
        """The contents that may have one, on the map."""
        return {row["content_sha256"] for row in self.points}


def stages_of(draft: Draft) -> dict[str, StageRuns]:
    """The records that a report is made from, in the order in which the stages run.

    Those of ``NAMES`` before it have to be there; train is not part of every night.
    """
    before = ORDER[: ORDER.index("report")]
    found = {name: draft.need(name) if name in NAMES else draft.stage(name) for name in before}
    return {name: runs for name, runs in found.items() if runs is not None}


def find(spark: SparkSession, settings: ReportSettings, draft: Draft, seed: str) -> Findings:
    """Gather everything; ``seed`` decides which of the new images are drawn at random."""
    tables = _Tables(draft)
    shown = Shown(draft.store, tables.receipts("catalog"), tables.receipts("rejects"))
    queries, rejects = _first(spark, draft, tables, shown, settings.queries, SAME)
    changed = changes(spark, settings, draft, seed)
    asked = {row["image_id"] for row in [*queries, *changed.fresh]}
    lists = {name: _list(tables, name, settings) for name in sorted(asked)}
    neighbors = {row["neighbor_id"] for found in lists.values() for row in found}
    clusters = list(tables.rows("cluster_centers", _OF_CLUSTER))
    neighbors |= changed.listed | _members(clusters)
    points = list(islice(tables.rows("coordinates"), POINTS))
    measures, classes = _measured(tables)
    return Findings(
        queries=queries,
        lists=lists,
        images={
            row["image_id"]: row for row in [*queries, *_named(spark, draft, shown, neighbors)]
        },
        rejects=rejects,
        hubs=heapq.nsmallest(HUBS, tables.rows("hubs"), key=lambda r: (-r["lists"], r["image_id"])),
        twins=list(islice(_twins(tables.rows("duplicates")), TWINS)),
        twin_names=sum(receipt.rows for receipt in tables.receipts("duplicates")),
        near=list(islice(_groups(tables.rows("near_duplicates"), READ), GROUPS)),
        points=points,
        maps=_maps(tables, points),
        clusters=clusters,
        measures=measures,
        classes=classes,
        curves=list(tables.rows("curves")),
        reconstructions=list(islice(tables.rows("reconstructions"), RECONSTRUCTIONS)),
        steps=list(tables.rows("epoch_reconstructions")),
        changes=changed,
    )


class _Tables:
    """The draft's tables by name, whichever stage made them."""

    def __init__(self, draft: Draft) -> None:
        self.store = draft.store
        self._refs = {
            table: refs for runs in stages_of(draft).values() for table, refs in runs.tables.items()
        }
        self._receipts: dict[str, list[Receipt]] = {}

    def receipts(self, table: str) -> list[Receipt]:
        if table not in self._receipts:
            found = receipts_of(self.store, self._refs.get(table, []), table)
            self._receipts[table] = found
        return self._receipts[table]

    def rows(self, table: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """One by one: of a table that grows, take the beginning."""
        for batch in read_table(self.store, self.receipts(table), columns):
            for start in range(0, batch.num_rows, 1000):
                yield from batch.slice(start, 1000).to_pylist()


_OF_CLUSTER = ("cluster", "images", "vectors", "inertia", "silhouette", "nearest")


def _members(clusters: Iterable[Row]) -> set[str]:
    """The images of clusters that are shown; ``nearest`` is cut to them."""
    found: set[str] = set()
    for row in clusters:
        row["nearest"] = row["nearest"][:MEMBERS] if row["cluster"] <= CLUSTERS else []
        found |= {*row["nearest"]}
    return found


def _maps(tables: _Tables, points: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of these points on each map that has all of them, in their order."""
    wanted = {row["image_id"] for row in points}
    found: dict[str, list[Row]] = {}
    for row in tables.rows("maps"):
        if row["image_id"] in wanted:
            found.setdefault(row["map"], []).append(row)
    return {name: rows for name, rows in found.items() if len(rows) == len(points)}


def _first(
    spark: SparkSession, draft: Draft, tables: _Tables, shown: Shown, count: int, seed: str
) -> tuple[list[Row], list[Row]]:
    """Images drawn at random, and the first rejects of each reason."""
    if shown.is_small:
        (report,) = run_tasks(spark, 1, partial(shown.first, count, seed))
        return of_task(report.notes["queries"]), report.notes["rejects"][: KINDS * SAMPLES]
    catalog = stage_frame(spark, draft, "catalog", "catalog", IMAGE)
    order = F.xxhash64(F.lit(seed), "image_id")
    drawn = _rows(catalog.orderBy(order, "image_id").limit(count))
    return drawn, _rejects(spark, tables)


def _named(spark: SparkSession, draft: Draft, shown: Shown, image_ids: set[str]) -> list[Row]:
    if not image_ids:
        return []
    if shown.is_small:
        (report,) = run_tasks(spark, 1, partial(shown.named, sorted(image_ids)))
        return of_task(report.notes["images"])
    catalog = stage_frame(spark, draft, "catalog", "catalog", IMAGE)
    return _rows(catalog.filter(F.col("image_id").isin(sorted(image_ids))))


def _rows(frame: DataFrame) -> list[Row]:
    found = [row.asDict() for row in frame.collect()]
    return [row | {"content_sha256": bytes(row["content_sha256"])} for row in found]


def _list(tables: _Tables, image_id: str, settings: ReportSettings) -> list[Row]:
    low, high = (image_id, 1), (image_id, settings.neighbors)
    batches = read_range(tables.store, tables.receipts("neighbors"), low, high)
    rows = (row for batch in batches for row in batch.to_pylist())
    return sorted(rows, key=lambda row: int(row["rank"]))


def _rejects(spark: SparkSession, tables: _Tables) -> list[Row]:
    """The first rejects of each reason, with the ``count`` of them all."""
    receipts = [receipt for receipt in tables.receipts("rejects") if receipt.rows]
    if not receipts:
        return []
    rejects = read_frame(spark, tables.store, receipts, TABLES["rejects"], REJECT)
    every = Window.partitionBy("stage", "reason")
    first = every.orderBy("source", "entry")
    some = (
        rejects.withColumn("count", F.count("*").over(every))
        .withColumn("place", F.row_number().over(first))
        .filter(F.col("place") <= SAMPLES)
        .orderBy(F.desc("count"), "stage", "reason", "place")
        .limit(KINDS * SAMPLES)
        .drop("place")
    )
    return [row.asDict() for row in some.collect()]


def _twins(rows: Iterable[Row]) -> Iterator[tuple[bytes, list[str], int]]:
    """(content, some of its names, how many), from rows in the order of contents."""
    for content, group in groupby(rows, key=lambda row: bytes(row["content_sha256"])):
        names = [str(row["image_id"]) for row in islice(group, NAMES_OF_TWIN)]
        yield content, names, len(names) + sum(1 for _ in group)


def _groups(rows: Iterable[Row], most: int) -> Iterator[tuple[list[Row], int]]:
    """(some images, how many) of groups of several contents, each with its middle first.

    Of the groups that end within ``most`` rows: how large another one is nobody has seen.
    """
    seen = 0
    for group, mine in groupby(islice(rows, most + 1), key=lambda row: str(row["group_id"])):
        images = sorted(mine, key=lambda row: (row["image_id"] != group, row["image_id"]))
        seen += len(images)
        if seen <= most and len({row["content_sha256"] for row in images}) > 1:
            yield images[:OF_GROUP], len(images)


def _measured(tables: _Tables) -> tuple[list[Row], list[Row]]:
    """The rows over all classes, and of the single classes the best and worst of each kind."""
    whole: list[Row] = []
    kinds: dict[tuple[Any, ...], tuple[list[Row], list[Row]]] = {}
    for row in tables.rows("evaluation"):
        if row["average"] != "class":
            whole.append(row)
            continue
        kind = tuple(row[name] for name in ("encoder", "measure", "pool", "label", "variant", "k"))
        best, worst = kinds.get(kind, ([], []))
        kinds[kind] = _extremes([*best, row], -1), _extremes([*worst, row], 1)
    classes = {_key(row): row for pair in kinds.values() for rows in pair for row in rows}
    return whole[:MEASURES], list(classes.values())[:MEASURES]


def _extremes(rows: Sequence[Row], sign: int) -> list[Row]:
    """Of classes with few queries none: their numbers are noise."""
    sound = (row for row in rows if row["value"] is not None and row["queries"] >= 5)
    return sorted(sound, key=lambda row: (sign * row["value"], row["group"]))[:EXTREMES]


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in TABLES["evaluation"].key)
