"""Neighbor tables under rules: each a run of its own, joined under its rule, with its own pool.

A table is found again by what its rule reads: another table beside it, or labels that it does not
read, change nothing. Conditions hold inside the join, so that lists are full wherever they can be;
diversity re-ranks the first of an exact list. Most nights the pool of the current release's table
is kept up to date (:mod:`artrec.stages.neighbors.ruled.upkeep`), and not joined anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.errors import ArtrecError
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
)
from artrec.stages.frames import TaskReport, add_counters
from artrec.stages.neighbors.laying import Laying, Scratch
from artrec.stages.neighbors.ruled.dealing import dealt_rows, plan_parts, write_cells
from artrec.stages.neighbors.ruled.entities import catalog_columns, write_entities, write_images
from artrec.stages.neighbors.ruled.joining import Work, join_parts
from artrec.stages.neighbors.ruled.naming import Naming, write_lists
from artrec.stages.neighbors.ruled.pools import write_pool
from artrec.stages.neighbors.ruled.rows import write_parts
from artrec.stages.neighbors.ruled.rule import Asked, rule_text
from artrec.stages.neighbors.ruled.upkeep import kept_up
from artrec.stages.session import describe
from artrec.tables import Receipt

__all__ = ["Made", "VERSION", "begun_runs", "make_tables"]

VERSION = 3
"""Raised when the same inputs give other rows or notes than before."""

_SHARED = ("task_milliseconds", "worker_peak_bytes")  # counters that are the stage's as well


@dataclass
class Made:
    """Tables with their runs, and of each rule what a report shows."""

    tables: dict[str, list[RunRef]] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        """Notes of the stage, where there are any."""
        return {"tables": self.notes} if self.notes else {}


def begun_runs(settings: Settings, draft: Draft) -> dict[str, Run]:
    """For each table of the settings its run, named by all that can change it."""
    return {
        name: begin_run("neighbors", VERSION, _inputs(draft, asked), {})
        for name, asked in _asked(settings).items()
    }


def _asked(settings: Settings) -> dict[str, Asked]:
    rules = settings.neighbors
    return {
        name: Asked(name, table, rules.k_of(table), rules.slack)
        for name, table in sorted(rules.tables.items())
    }


def _inputs(draft: Draft, asked: Asked) -> dict[str, Any]:
    store, catalog, embed = draft.store, draft.need("catalog"), draft.need("embed")
    columns = ("vector_no", *catalog_columns(asked))
    return {
        "version": VERSION,
        "table": asked.name,
        "catalog": digest_of(store, catalog.tables["catalog"], "catalog", columns),
        "vectors": digest_of(store, catalog.tables["live_vectors"], "live_vectors", ("embedding",)),
        "encoder": embed.notes["encoder"],
        "metric": embed.notes["metric"],
        "rule": asked.table.conditions,
        "k": asked.k,
        "slack": asked.slack,
    }


def make_tables(
    spark: SparkSession, settings: Settings, draft: Draft, runs: Mapping[str, Run]
) -> Made:
    """Each run found in the store, or made now."""
    made = Made()
    for name, asked in _asked(settings).items():
        run = find_run(draft.store, runs[name].stage, runs[name].run_id)
        if run is None:
            describe(spark, f"neighbors_{name}: {rule_text(asked.table)}")
            run = _Making(spark, settings, draft, asked, runs[name]).made()
            reached("neighbors.table")
        ref = RunRef.of(run)
        log.get(stage="neighbors").info("table", run=run.run_id, **ref.rows)
        made.tables |= {table: [ref] for table in run.tables}
        made.notes[name] = {"rule": rule_text(asked.table), "k": asked.k, **_tonight(draft, run)}
        kept = {key: value for key, value in run.counters.items() if key in _SHARED}
        made.counters = add_counters([made.counters, kept, {"tables": 1}])
    return made


def _tonight(draft: Draft, run: Run) -> dict[str, Any]:
    """Notes of a table: of one that the current release has, that nothing is done for it."""
    base = draft.base.release
    if base is None or not any(RunRef.of(run) in base.refs(table) for table in run.tables):
        return run.notes
    none = {"added": 0, "gone": 0, "relabelled": 0, "recomputed": 0, "products": 0}
    return {**run.notes, "maintained": {"since": base.release_id, **none, "whole_products": 0}}


class _Making:
    """One table under way; ``cells`` are those of all vectors, where a group has to be cut."""

    def __init__(
        self, spark: SparkSession, settings: Settings, draft: Draft, asked: Asked, run: Run
    ) -> None:
        self._spark, self._settings, self._draft = spark, settings, draft
        self._asked, self._run = asked, run
        embed = draft.need("embed").notes
        metadata = {key: str(embed[key]) for key in ("encoder", "metric", "dim")}
        metadata |= {"k": str(asked.k), "rule": rule_text(asked.table)}
        live = draft.need("catalog").tables["live_vectors"]
        self._live = receipts_of(draft.store, live, "live_vectors")
        rows = sum(receipt.rows for receipt in self._live)
        self._scratch = Scratch(draft.store, run.folder(draft.attempt), metadata, rows)

    def made(self) -> Run:
        begun = time.monotonic()
        asked, spark, scratch = self._asked, self._spark, self._scratch
        images = write_images(spark, self._draft, scratch, asked)
        entities = write_entities(spark, scratch, images, asked)
        reports, kept = self._pools(entities)
        found = [receipt for report in reports for receipt in report.receipts]
        describe(spark, f"neighbors_{asked.name}: pools in order")
        pool = write_pool(spark, scratch, asked, entities, found)
        describe(spark, f"neighbors_{asked.name}: names")
        files = tuple(receipt.model_dump_json() for receipt in images)
        naming = Naming(scratch, asked, files, tuple(self._live))
        tables, notes = write_lists(spark, self._draft, naming, images, pool)
        tables[f"neighbors_{asked.name}_pool"] = pool
        counters = add_counters(report.counters for report in reports)
        done = self._run.done(tables, begun, counters, notes | kept)
        return record_run(self._draft.store, done)

    def _pools(self, entities: list[Receipt]) -> tuple[list[TaskReport], dict[str, Any]]:
        """Reports with files of ruled_pools, and notes: kept up to date, or joined anew."""
        work = (self._spark, self._settings, self._draft, self._scratch, self._asked, self._run)
        found = kept_up(*work, entities, self._live)
        if found is None:
            return self._joined(entities), {}
        reports, facts = found
        return reports, {"maintained": facts}

    def _joined(self, entities: list[Receipt]) -> list[TaskReport]:
        asked, spark, scratch = self._asked, self._spark, self._scratch
        block_rows = self._settings.neighbors.block_rows
        plan = plan_parts(spark, scratch, asked, entities, block_rows)
        laying: Laying | None = None
        cells: list[Receipt] = []
        if plan.groups:
            laying, cells = write_cells(spark, scratch, self._live)
        frame = dealt_rows(spark, scratch, plan, entities, self._live, cells)
        parts = write_parts(frame, scratch, asked, plan)
        work = Work(scratch, asked, parts, plan, laying)
        reports = join_parts(spark, work, self._draft, self._settings.log.every)
        joined = sum(report.counters.get("entities", 0) for report in reports)
        if joined != plan.entities:
            raise ArtrecError(
                f"neighbors_{asked.name}: the join under the rule has {joined:,} of "
                f"{plan.entities:,} entities (vectors with their labels), so lists would lack "
                "entries; the table is not recorded. Run the same command again: where it says "
                "the same, rows of catalog have no vector in live_vectors"
            )
        return reports
