"""One evaluation under way: its jobs on Spark in order, and the tables and rows that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.digests import name_of
from artrec.evaluation.floors import FLOORS
from artrec.evaluation.space import random_distance
from artrec.failpoints import reached
from artrec.index import Changes
from artrec.releases import (
    Draft,
    Run,
    StageRuns,
    artifacts_of,
    receipts_of,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages.evaluate.choosing import (
    duplicate_images,
    hub_images,
    list_recalls,
    table_recall,
    write_images,
)
from artrec.stages.evaluate.copies import near_copies
from artrec.stages.evaluate.counting import counts_of
from artrec.stages.evaluate.ground import Ground, distinct_vectors
from artrec.stages.evaluate.lists import list_rows, listed_images
from artrec.stages.evaluate.measuring import scan_block, scan_sample
from artrec.stages.evaluate.recalling import (
    Parts,
    ask_shard,
    merge_block,
    open_asked,
    scan_shard,
    truth_block,
)
from artrec.stages.evaluate.scores import (
    Row,
    cloud_rows,
    distance_rows,
    list_recall_rows,
    near_rows,
    recall_rows,
    retrieval_rows,
    row,
    scan_rows,
    table_row,
    write_rows,
)
from artrec.stages.evaluate.surveying import (
    decode_sample,
    keep_floors,
    look_over,
    missing_places,
    survey,
)
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    add_counters,
    parallelism,
    run_tasks,
    write_sorted,
)
from artrec.stages.index.keeping import SIDE_TABLES
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter

__all__ = ["Assessment"]

LEAST_BLOCK = 64


@dataclass
class Assessment:
    """What is measured of a draft; ``before`` is what was measured of the last release."""

    spark: SparkSession
    settings: Settings
    draft: Draft
    run: Run
    before: Run | None
    tables: dict[str, list[Receipt]] = field(default_factory=dict)
    counters: list[dict[str, int]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    apart: float | None = None
    """The distance of two random vectors."""

    def measured(self, begun: float) -> Run:
        """The run, recorded. Of an empty catalog there are counts, and tables without rows."""
        counts = counts_of(self.spark, self.draft)
        stored = counts["stored"]
        self.tables = write_images(
            self.spark, self.settings, self.draft, self.folder, name_of(self.run.inputs)
        )
        ground = self._ground()
        counts |= self._look_over(ground)
        notes: dict[str, Any] = {"index_recall": {}, "table_recall": None, "cloud": None}
        if counts["vectors"] and not counts["non_finite"] + counts["zero"]:
            notes |= self._measure(ground, stored, not counts.get("shard_files_missing"))
        if "coordinates" not in self.tables:
            self.tables["coordinates"] = self._no_coordinates()
        self._side_tables(ground.encoder)
        self.rows.append(row(ground.encoder, "distinct_vectors", counts["distinct_vectors"], 0))
        self.tables["evaluation"] = write_rows(self.draft.store, self.folder, "all", self.rows)
        reached("evaluate.measured")
        counters = {"queries": min(ground.queries, stored)} | add_counters(self.counters)
        done = self.run.done(self.tables, begun, counters, notes | {"counts": counts})
        return record_run(self.draft.store, done)

    @property
    def folder(self) -> str:
        return self.run.folder(self.draft.attempt)

    def _ground(self) -> Ground:
        embed, rules = self.draft.need("embed").notes, self.settings.evaluate
        live = self.draft.need("catalog").tables["live_vectors"]
        even = -(-rules.queries // parallelism(self.spark))
        return Ground(
            store=self.draft.store,
            folder=self.folder,
            live=tuple(receipts_of(self.draft.store, live, "live_vectors")),
            evaluated=tuple(self.tables["evaluated_images"]),
            chosen=tuple(self.tables["chosen_images"]),
            encoder=str(embed["encoder"]),
            metric=str(embed["metric"]),
            k=int(self.draft.need("neighbors").notes["k"]),
            queries=rules.queries,
            sample=rules.sample,
            map_points=rules.map_points,
            block=max(LEAST_BLOCK, min(rules.block_rows, even)),
        )

    def _tasks(
        self, text: str, count: int, work: Callable[[Attempt], TaskReport]
    ) -> list[TaskReport]:
        """Reports of tasks whose files are kept."""
        reports = self._reports(text, count, work)
        for report in reports:
            for receipt in report.receipts:
                self.tables.setdefault(receipt.table, []).append(receipt)
        return reports

    def _reports(
        self, text: str, count: int, work: Callable[[Attempt], TaskReport]
    ) -> list[TaskReport]:
        describe(self.spark, f"evaluate: {text}")
        every = self.settings.log.every
        watch = Watch(self.draft, "evaluate", count, (), unit="tasks", every=every)
        with watch.watching(part=text) as marks:
            reports = run_tasks(self.spark, count, work, marks if count > 1 else None)
        self.counters += [report.counters for report in reports]
        return reports

    def _look_over(self, ground: Ground) -> dict[str, int]:
        names = ("vectors", "non_finite", "zero", "flat")
        describe(self.spark, "evaluate: vectors")
        reports = run_tasks(self.spark, len(ground.live), partial(look_over, ground))
        found = add_counters(report.counters for report in reports)
        self._measure_apart(ground, reports, found)
        distinct = distinct_vectors(self.spark, ground)
        return {name: found.get(name, 0) for name in names} | {"distinct_vectors": distinct}

    def _measure_apart(
        self, ground: Ground, reports: Sequence[TaskReport], found: Mapping[str, int]
    ) -> None:
        """How far two random vectors are apart, where they are sound."""
        if found.get("vectors") and not found["non_finite"] + found["zero"]:
            notes = [report.notes for report in reports if report.counters["vectors"]]
            total = np.array([each["total"] for each in notes], np.float64).sum(axis=0)
            squares = sum(each["squares"] for each in notes)
            self.apart = random_distance(found["vectors"], total, squares, ground.metric)

    def _measure(self, ground: Ground, stored: int, whole: bool) -> dict[str, Any]:
        """All that needs sound vectors; what the gates, or the next night, want to know of it.

        An index that is not ``whole`` is not asked.
        """
        queries = min(ground.queries, stored)
        blocks = -(-queries // ground.block)
        self._tasks("lists", blocks, partial(scan_block, ground))
        floors = self._floors(ground)
        self._tasks("floors", 1 + len(FLOORS), partial(scan_sample, ground, tuple(floors)))
        (seen,) = self._tasks("map", 1, partial(survey, ground))
        self._score(ground, stored, seen.notes["random"])
        self.rows += cloud_rows(seen.notes, ground.encoder)
        share = queries / stored
        return {
            "table_recall": self._table_recall(ground, share),
            "cloud": {"encoder": ground.encoder, **seen.notes["cloud"]},
            "index_recall": self._recall(ground, blocks, share) if whole else {},
        }

    def _score(self, ground: Ground, stored: int, random: Sequence[float]) -> None:
        store, sample = self.draft.store, min(ground.sample, stored)
        sampled = {"catalog": ground.queries / stored, "sample": ground.queries / sample}
        retrieval, exact = self.tables["retrieval"], self.tables["exact_lists"]
        self.rows += retrieval_rows(store, retrieval, ground.encoder, sampled)
        self.rows += distance_rows(store, exact, ground.encoder, ground.k, random)

    def _floors(self, ground: Ground) -> list[Receipt]:
        """The floors' vectors of the sample: the last release's as far as they go, then new ones.

        The driver holds the places of the sample's pictures: at most evaluate.sample of them.
        """
        store, ingest = self.draft.store, self.draft.need("ingest")
        known = self._known_floors()
        self._tasks("known floors", 1, partial(keep_floors, ground, tuple(known)))
        places = missing_places(ground, self.tables.get("floor_vectors", []))
        files = {file for file, _ in places}
        pictures = receipts_of(store, ingest.tables["pictures"], "pictures")
        named = {receipt.path: receipt for receipt in pictures if receipt.path in files}
        tasks = min(len(places), 2 * parallelism(self.spark))
        done = tuple(self.tables.get("floor_vectors", []))
        work = partial(decode_sample, ground, done, named, places, tasks, self.settings.ingest)
        self._tasks("pictures", tasks, work)
        return self.tables["floor_vectors"]

    def _known_floors(self) -> list[Receipt]:
        before = self.before
        if before is None or before.inputs["version"] != self.run.inputs["version"]:
            return []
        same = before.inputs["pictures"] == self.run.inputs["pictures"]
        return before.receipts("floor_vectors") if same else []

    def _table_recall(self, ground: Ground, share: float) -> float:
        """The share of right entries; of an approximate table the lower end of its recall."""
        exact = self.tables["exact_lists"]
        if self.draft.need("neighbors").notes.get("exact", True):
            checked, right = table_recall(self.spark, self.draft, exact)
            self.rows.append(table_row(ground.encoder, ground.k, checked, right, share))
            return right
        styles, shares = list_recalls(self.spark, self.draft, exact, self.tables["chosen_images"])
        rows = list(list_recall_rows(styles, shares, ground.encoder, ground.k, share))
        self.rows += rows
        return float(rows[0]["low"])

    def _recall(self, ground: Ground, blocks: int, share: float) -> dict[int, float]:
        """Of the index shards, if the draft has any: at each cut the lower end of the interval."""
        index = self.draft.stage("index")
        if index is None:
            return {}
        if index.notes.get("exact", False):  # look-ups scan all vectors
            parts = _parts(self.draft.store, index)
            scanning = partial(scan_shard, ground, parts)
            reports = self._reports("index: scans", len(parts), scanning)
            found = list(scan_rows([report.notes for report in reports], ground.encoder))
        else:
            notes = self._asked_shards(ground, blocks, index)
            found = list(recall_rows(notes, ground.encoder, share))
        self.rows += found
        return {each["k"]: each["low"] for each in found}

    def _asked_shards(self, ground: Ground, blocks: int, index: StageRuns) -> list[dict[str, Any]]:
        """Recalls of blocks of queries, by a task for each shard that asks it all of them."""
        parts = _parts(self.draft.store, index)
        opened = partial(open_asked, int(index.notes.get("search_k", 0)))
        truth = self._reports("index: truth", blocks, partial(truth_block, ground))
        queries = tuple(receipt for report in truth for receipt in report.receipts)
        asking = partial(ask_shard, ground, queries, parts, opened)
        asked = self._reports("index: shards", len(parts), asking)
        answers = tuple(receipt for report in asked for receipt in report.receipts)
        merging = partial(merge_block, ground, queries, answers)
        merged = self._reports("index: recall", len(queries), merging)
        return [report.notes for report in merged]

    def _side_tables(self, encoder: str) -> None:
        describe(self.spark, "evaluate: hubs and duplicates")
        listed = listed_images(self.spark, self.draft).persist()
        frames = {
            "hubs": hub_images(self.spark, self.draft, listed),
            "duplicates": duplicate_images(self.spark, self.draft),
        }
        for name, frame in frames.items():
            self.tables[name] = write_sorted(frame, self.draft.store, self.folder, TABLES[name], 0)
        describe(self.spark, "evaluate: who lists whom")
        self.rows += list_rows(self.spark, self.draft, listed, encoder)
        listed.unpersist()
        describe(self.spark, "evaluate: near duplicates")
        self._near_copies(encoder)

    def _near_copies(self, encoder: str) -> None:
        found, counts = near_copies(
            self.spark,
            self.settings,
            self.draft,
            self.folder,
            self.apart,
            self.tables["duplicates"],
        )
        self.tables["near_duplicates"] = found
        self.rows += near_rows(counts, self.draft.need("catalog").rows("catalog"), encoder)

    def _no_coordinates(self) -> list[Receipt]:
        """Readers that name files want one, also where nothing could be mapped."""
        table = TABLES["coordinates"]
        store = self.draft.store
        with TableWriter(store, self.folder, table, "none", even_empty=True) as writer:
            pass
        return writer.receipts


def _parts(store: Store, index: StageRuns) -> Parts:
    files = artifacts_of(store, index.tables["shard_items"], "shards")
    side, masked = (receipts_of(store, index.tables.get(name, []), name) for name in SIDE_TABLES)
    sidecars = tuple(file for file in files if file.path.endswith(".json"))
    return Parts(sidecars, Changes(tuple(side), tuple(masked)))
