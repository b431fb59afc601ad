"""The approximate join of a catalog that one task holds.

Dealing it out costs more than it saves, and in one process rounds of refinement cost little
(:mod:`artrec.vectors.approximate`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.releases import Draft, Run
from artrec.schemas import TABLES
from artrec.stages.blocks import pool_rows, vector_blocks
from artrec.stages.frames import Attempt, TaskReport, run_tasks
from artrec.stages.neighbors.sampling import Planning
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter
from artrec.vectors import Block
from artrec.vectors.approximate import Approximate, approximate_self_join
from artrec.vectors.approximate.choosing import sample_size

__all__ = ["join_alone"]


def join_alone(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    live: list[Receipt],
    metadata: dict[str, str],
) -> list[TaskReport]:
    """The pools of all live vectors, with notes of what was chosen, its recall, and its cost."""
    rules = settings.neighbors
    planning = Planning(rules.k + rules.slack, rules.recall, settings.evaluate.queries)
    describe(spark, f"neighbors: {sum(receipt.rows for receipt in live)} vectors, approximately")
    folder = run.folder(draft.attempt)
    work = partial(_join, draft.store, live, planning, folder, metadata)
    return run_tasks(spark, 1, work)


def _join(
    store: Store,
    live: list[Receipt],
    planning: Planning,
    folder: str,
    metadata: dict[str, str],
    attempt: Attempt,
) -> TaskReport:
    parts = list(vector_blocks(store, live))
    whole = Block(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.vectors for part in parts]),
    )
    del parts
    found = approximate_self_join(
        whole,
        k=planning.k,
        metric=metadata["metric"],
        target=planning.target,
        sample=sample_size(len(whole.numbers), planning.target),
        asked=planning.asked,
    )
    with TableWriter(store, folder, TABLES["neighbor_pool"], attempt.stem, metadata) as writer:
        writer.write(pool_rows(found.pools.incomplete()))
    counters = {"vectors": len(whole.numbers), "products": found.products}
    return TaskReport(receipts=writer.receipts, counters=counters, notes=_notes(found, planning))


def _notes(found: Approximate, planning: Planning) -> dict[str, Any]:
    """As the join that is dealt out leaves them."""
    recall, further = found.recall, [step for step in found.plan[1:] if step]
    facts = {"mean": recall.mean, "low": recall.low, "high": recall.high}
    return {
        "target": planning.target,
        "near": found.plan[0],
        "probes": max(further, default=0),
        "rounds": sum(not step for step in found.plan),
        "cells": found.cells,
        "recall": {
            **{name: round(value, 5) for name, value in facts.items()},
            "rows": recall.rows,
            "by_density": {name: round(value, 5) for name, value in recall.by_density.items()},
        },
        "products": found.products,
        "exact_products": found.exact_products,
        "seconds": round(found.seconds, 2),
        "exact_seconds": round(found.exact_seconds, 2),
    }
