"""What an evaluation has in hand, and its first job: a look at images, lists and vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.digests import name_of
from artrec.evaluation.space import random_distance
from artrec.releases import Draft, Run, receipts_of
from artrec.stages.evaluate.choosing import choice_of, choose, choose_alone
from artrec.stages.evaluate.counting import balance_task, counts_of, noted_counts
from artrec.stages.evaluate.ground import distinct_vectors
from artrec.stages.evaluate.lists import count_lists
from artrec.stages.evaluate.scores import Row
from artrec.stages.evaluate.surveying import look_over
from artrec.stages.evaluate.together import Part, is_small, one_of, split
from artrec.stages.frames import TaskReport, add_counters, run_tasks
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.tables import Receipt

__all__ = ["Looking"]


@dataclass
class Looking:
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
    lists: dict[str, int] | None = None
    """Counts of the lists, where a task cannot make them on the way."""

    @property
    def folder(self) -> str:
        return self.run.folder(self.draft.attempt)

    @property
    def encoder(self) -> str:
        return str(self.draft.need("embed").notes["encoder"])

    def files(self, stage: str, table: str) -> tuple[Receipt, ...]:
        refs = self.draft.need(stage).tables[table]
        return tuple(receipts_of(self.draft.store, refs, table))

    def keep(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            self.tables.setdefault(receipt.table, []).append(receipt)

    def together(
        self, text: str, parts: Sequence[Part], scratch: Sequence[int] = ()
    ) -> list[list[TaskReport]]:
        """The reports of each part; files are kept, but for those of parts in ``scratch``."""
        describe(self.spark, f"evaluate: {text}")
        every, count = self.settings.log.every, sum(part.count for part in parts)
        watch = Watch(self.draft, "evaluate", count, (), unit="tasks", every=every)
        with watch.watching(part=text) as marks:
            work = partial(one_of, tuple(parts))
            reports = run_tasks(self.spark, count, work, marks if count > 1 else None)
        self.counters += [report.counters for report in reports]
        found = split(parts, reports)
        for number, own in enumerate(found):
            if number not in scratch:
                self.keep(receipt for report in own for receipt in report.receipts)
        return found

    def look(self) -> dict[str, int]:
        """Counts that gates judge; the images by codes, and those that are chosen, are made."""
        draft, spark, store = self.draft, self.spark, self.draft.store
        live, metric = self.files("catalog", "live_vectors"), draft.need("embed").notes["metric"]
        choice = choice_of(self.settings, draft, self.folder, name_of(self.run.inputs))
        looking = Part(len(live), partial(look_over, store, live, metric))
        if is_small(draft):
            works = partial(choose_alone, choice), balance_task(draft)
            parts = [*(Part(1, work) for work in works), looking]
            _, (balance,), looked = self.together("images and vectors", parts)
            counts = noted_counts(draft) | balance.notes
        else:
            (looked,) = self.together("vectors", [looking])
            self.keep(choose(spark, draft, choice))
            describe(spark, "evaluate: members")
            counts = counts_of(spark, draft)
            describe(spark, "evaluate: who lists whom")
            files, self.lists = count_lists(spark, draft, self.folder)
            self.keep(files)
        return counts | self._looked(live, looked)

    def _looked(self, live: Sequence[Receipt], reports: Sequence[TaskReport]) -> dict[str, int]:
        names = ("vectors", "non_finite", "zero", "flat")
        found = add_counters(report.notes["found"] for report in reports)
        self._measure_apart(reports, found)
        distinct = (
            int(reports[0].notes["distinct"])
            if len(live) == 1
            else distinct_vectors(self.spark, self.draft.store, live)
        )
        return {name: found.get(name, 0) for name in names} | {"distinct_vectors": distinct}

    def _measure_apart(self, reports: Sequence[TaskReport], found: Mapping[str, int]) -> None:
        """How far two random vectors are apart, where they are sound."""
        if found.get("vectors") and not found["non_finite"] + found["zero"]:
            notes = [report.notes for report in reports if report.notes["found"]["vectors"]]
            total = np.array([each["total"] for each in notes], np.float64).sum(axis=0)
            squares = sum(each["squares"] for each in notes)
            metric = self.draft.need("embed").notes["metric"]
            self.apart = random_distance(found["vectors"], total, squares, metric)
