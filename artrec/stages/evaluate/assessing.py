"""One evaluation under way: its jobs on Spark in order, and the tables and rows that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from artrec.evaluation.floors import FLOORS
from artrec.failpoints import reached
from artrec.index import Changes
from artrec.releases import (
    Run,
    StageRuns,
    artifacts_of,
    receipts_of,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages.evaluate.agreeing import (
    Agreement,
    compare_lists,
    list_recalls,
    table_recall,
)
from artrec.stages.evaluate.copies import group_counts, grouping
from artrec.stages.evaluate.ground import Ground
from artrec.stages.evaluate.lists import list_rows, lists_of, look_at_lists
from artrec.stages.evaluate.looking import Looking
from artrec.stages.evaluate.measuring import scan_block, scan_sample
from artrec.stages.evaluate.pairs import Near
from artrec.stages.evaluate.recalling import (
    Opener,
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
    missing_places,
    survey,
)
from artrec.stages.evaluate.together import Part
from artrec.stages.frames import TaskReport, add_counters, parallelism
from artrec.stages.index.keeping import SIDE_TABLES
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter

__all__ = ["Assessment"]

LEAST_BLOCK = 64

AT_ONCE = 200
"""Pictures that a task decodes at the least, where there are so many."""


@dataclass
class Assessment(Looking):
    """What is measured of a draft: at first all that a look at whole tables tells."""

    def measured(self, begun: float) -> Run:
        """The run, recorded. Of an empty catalog there are counts, and tables without rows."""
        counts = self.look()
        stored, encoder = counts["stored"], self.encoder
        ground = self._ground()
        notes: dict[str, Any] = {"index_recall": {}, "table_recall": None, "cloud": None}
        near, beside = self._beside()
        if counts["vectors"] and not counts["non_finite"] + counts["zero"]:
            index = None if counts.get("shard_files_missing") else self.draft.stage("index")
            found, reports = self._measure(ground, stored, index, beside)
            notes |= found
        else:
            reports = self.together("lists and near duplicates", beside)
            self._no_coordinates()
        listed, (grouped,) = reports
        lists = listed[0].notes if self.lists is None else self.lists
        self.rows += list_rows(lists, encoder)
        self.rows += near_rows(group_counts(near, grouped), stored, encoder)
        self.rows.append(row(encoder, "distinct_vectors", counts["distinct_vectors"], 0))
        self.tables["evaluation"] = write_rows(self.draft.store, self.folder, "all", self.rows)
        reached("evaluate.measured")
        counters = {"queries": min(ground.queries, stored)} | add_counters(self.counters)
        done = self.run.done(self.tables, begun, counters, notes | {"counts": counts})
        return record_run(self.draft.store, done)

    def _ground(self) -> Ground:
        rules = self.settings.evaluate
        even = -(-rules.queries // parallelism(self.spark))
        return Ground(
            store=self.draft.store,
            folder=self.folder,
            live=self.files("catalog", "live_vectors"),
            evaluated=tuple(self.tables["evaluated_images"]),
            chosen=tuple(self.tables["chosen_images"]),
            encoder=self.encoder,
            metric=str(self.draft.need("embed").notes["metric"]),
            k=int(self.draft.need("neighbors").notes["k"]),
            queries=rules.queries,
            sample=rules.sample,
            map_points=rules.map_points,
            held_out=self.settings.train.held_out,
            block=max(LEAST_BLOCK, min(rules.block_rows, even)),
        )

    def _beside(self) -> tuple[Near, list[Part]]:
        """Tasks that ask for no sound vectors: one that counts lists, if that is not done yet, and
        one that makes groups of near duplicates."""
        draft, folder = self.draft, self.folder
        describe(self.spark, "evaluate: near duplicates")
        twins = self.tables["duplicates"]
        near, work = grouping(self.spark, self.settings, draft, folder, self.apart, twins)
        listing = partial(look_at_lists, lists_of(draft, folder))
        return near, [Part(int(self.lists is None), listing), Part(1, work)]

    def _measure(
        self, ground: Ground, stored: int, index: StageRuns | None, beside: list[Part]
    ) -> tuple[dict[str, Any], list[list[TaskReport]]]:
        """All that needs sound vectors; what the gates, or the next night, want to know of it.

        Without an ``index`` none is asked. ``beside`` comes along, for the reports.
        """
        queries = min(ground.queries, stored)
        blocks, share = -(-queries // ground.block), queries / stored
        asked = _Index.of(self.draft.store, index)
        scanning = partial(scan_shard, ground, asked.parts)
        found = self.together(
            "lists, pictures and map",
            [
                *beside,
                Part(blocks, partial(scan_block, ground)),
                Part(asked.looks_up * blocks, partial(truth_block, ground)),
                Part(1, partial(survey, ground)),
                Part(asked.scans * len(asked.parts), scanning),
                *self._floors(ground),
            ],
            scratch=[3],
        )
        *reports, _, truth, (seen,), scans, _, _ = found
        truths = tuple(receipt for report in truth for receipt in report.receipts)
        agreement = self._agreement()
        asking = partial(ask_shard, ground, truths, asked.parts, asked.opened)
        floors = tuple(self.tables["floor_vectors"])
        _, compared, answers = self.together(
            "floors and index",
            [
                Part(1 + len(FLOORS), partial(scan_sample, ground, floors)),
                Part(len(agreement.published), partial(compare_lists, ground, agreement)),
                Part(asked.looks_up * len(asked.parts), asking),
            ],
            scratch=[2],
        )
        self._score(ground, stored, seen.notes["random"])
        self.rows += cloud_rows(seen.notes, ground.encoder)
        notes = {
            "table_recall": self._table_recall(ground, agreement, compared, share),
            "cloud": {"encoder": ground.encoder, **seen.notes["cloud"]},
            "index_recall": self._recall(ground, truths, answers, scans, share),
        }
        return notes, reports

    def _score(self, ground: Ground, stored: int, random: Sequence[float]) -> None:
        store, sample = self.draft.store, min(ground.sample, stored)
        sampled = {"catalog": ground.queries / stored, "sample": ground.queries / sample}
        sampled["held_out"] = 0.0  # some of the pictures that no training has seen
        retrieval, exact = self.tables["retrieval"], self.tables["exact_lists"]
        self.rows += retrieval_rows(store, retrieval, ground.encoder, sampled)
        self.rows += distance_rows(store, exact, ground.encoder, ground.k, random)

    def _floors(self, ground: Ground) -> list[Part]:
        """The floors' vectors of the sample: the last release's as far as they go, then new ones.

        The driver holds the places of the sample's pictures: at most evaluate.sample of them.
        """
        known = tuple(self._known_floors())
        places, missing = missing_places(ground, known)
        files = {file for file, _ in places}
        named = {each.path: each for each in self.files("ingest", "pictures")}
        pictures = {path: each for path, each in named.items() if path in files}
        tasks = min(len(places), 2 * parallelism(self.spark), -(-missing // AT_ONCE))
        work = partial(decode_sample, ground, known, pictures, places, tasks, self.settings.ingest)
        return [Part(1, partial(keep_floors, ground, known)), Part(tasks, work)]

    def _known_floors(self) -> list[Receipt]:
        before = self.before
        if before is None or before.inputs["version"] != self.run.inputs["version"]:
            return []
        same = before.inputs["pictures"] == self.run.inputs["pictures"]
        return before.receipts("floor_vectors") if same else []

    def _agreement(self) -> Agreement:
        return Agreement(
            exact=tuple(self.tables["exact_lists"]),
            published=self.files("neighbors", "neighbors_nested"),
            is_exact=bool(self.draft.need("neighbors").notes.get("exact", True)),
        )

    def _table_recall(
        self, ground: Ground, given: Agreement, reports: Sequence[TaskReport], share: float
    ) -> float:
        """The share of right entries; of an approximate table the lower end of its recall."""
        if given.is_exact:
            checked, right = table_recall(ground, given, reports)
            self.rows.append(table_row(ground.encoder, ground.k, checked, right, share))
            return right
        styles, shares = list_recalls(ground, reports)
        rows = list(list_recall_rows(styles, shares, ground.encoder, ground.k, share))
        self.rows += rows
        return float(rows[0]["low"])

    def _recall(
        self,
        ground: Ground,
        queries: tuple[Receipt, ...],
        asked: Sequence[TaskReport],
        scans: Sequence[TaskReport],
        share: float,
    ) -> dict[int, float]:
        """Of the index shards, if any were asked: at each cut the lower end of the interval."""
        found: list[Row] = []
        if scans:
            found = list(scan_rows([report.notes for report in scans], ground.encoder))
        elif queries:
            answers = tuple(receipt for report in asked for receipt in report.receipts)
            merging = Part(len(queries), partial(merge_block, ground, queries, answers))
            (merged,) = self.together("recall of the index", [merging])
            found = list(recall_rows([report.notes for report in merged], ground.encoder, share))
        self.rows += found
        return {each["k"]: each["low"] for each in found}

    def _no_coordinates(self) -> None:
        """Readers that name files want one, also where nothing could be mapped."""
        table = TABLES["coordinates"]
        store = self.draft.store
        with TableWriter(store, self.folder, table, "none", even_empty=True) as writer:
            pass
        self.keep(writer.receipts)


@dataclass(frozen=True)
class _Index:
    """The index that is asked: by look-ups, or by scans where these are what it is made for."""

    parts: Parts
    opened: Opener
    looks_up: bool = False
    scans: bool = False

    @classmethod
    def of(cls, store: Store, index: StageRuns | None) -> _Index:
        if index is None:
            return cls(Parts(()), partial(open_asked, 0))
        scans = bool(index.notes.get("exact", False))
        opened = partial(open_asked, int(index.notes.get("search_k", 0)))
        return cls(_parts(store, index), opened, not scans, scans)


def _parts(store: Store, index: StageRuns) -> Parts:
    files = artifacts_of(store, index.tables["shard_items"], "shards")
    side, masked = (receipts_of(store, index.tables.get(name, []), name) for name in SIDE_TABLES)
    sidecars = tuple(file for file in files if file.path.endswith(".json"))
    return Parts(sidecars, Changes(tuple(side), tuple(masked)))
