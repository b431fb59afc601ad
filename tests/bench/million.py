"""Make drafts whose catalog has a million vectors, for jobs/neighbors.py; prints their plans.

    python -m tests.bench.million ROOT --n 1000000 --dim 128
    spark-submit … jobs/neighbors.py --config conf/local.yaml --set store.root=ROOT \\
        --set neighbors.method=exact --release exact

There is a draft for each method, ``exact`` and ``approximate``, of the easy vectors of
``vectors.py``, a picture for each. The plan is that of ``artrec plan``, for these cores, by
the rate at which this machine joins a sample of them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import numpy as np

from artrec.config import Settings, load
from artrec.planning import Rates, Work, expected, joins_of
from artrec.releases import Draft, Run, RunRef, StageRuns, record_run
from artrec.schemas import TABLES
from artrec.stages.inventory import draft_inputs
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter
from artrec.vectors import Block, join
from artrec.vectors.distance import Floats
from tests.bench.neighbors import PART, catalog_rows, live_rows
from tests.bench.vectors import easy

Files = dict[str, list[Receipt]]


def written(store: Store, vectors: Floats) -> Files:
    numbers = np.arange(len(vectors)) * ((2**63 - 1) // len(vectors)) + 1
    folder = "runs/catalog/bench/once"
    with (
        TableWriter(store, folder, TABLES["catalog"], "c") as catalog,
        TableWriter(store, folder, TABLES["live_vectors"], "v") as live,
    ):
        for low in range(0, len(vectors), PART):
            part = slice(low, low + PART)
            live.write(live_rows(numbers[part], vectors[part]))
            catalog.write(catalog_rows(numbers[part], low))
    return {"catalog": catalog.receipts, "live_vectors": live.receipts}


def drafted(store: Store, name: str, settings: Settings, files: Files, dim: int) -> None:
    draft = Draft.begin(store, name)
    draft.hold(draft_inputs("bench", settings))
    notes = {"encoder": "bench-1", "metric": "cosine", "dim": dim}
    tables: dict[str, Files] = {
        "inventory": {"members": []},
        "catalog": files,
        "embed": {"vectors": []},
    }
    for stage, found in tables.items():
        run = Run(stage=stage, run_id="bench", tables=found, inputs={}, settings={}, versions={},
                  counters={}, seconds=0.0)  # fmt: skip
        refs = [RunRef.of(record_run(store, run))]
        record: dict[str, Any] = {"stage": stage, "inputs": "bench"}
        record["tables"] = dict.fromkeys(found, refs)
        draft.record(StageRuns(**record, notes=notes if stage == "embed" else {}))


def planned(settings: Settings, vectors: Floats) -> dict[str, Any]:
    """The plan of the neighbors stage, by the rate of a join of some of the vectors."""
    few = vectors[:8192]
    block = Block(np.arange(len(few), dtype=np.int64), few)
    begun = time.process_time()
    join(block, [block], k=64, metric="cosine")
    rates = Rates(pair=(time.process_time() - begun) / len(few) ** 2)
    rules, rows = settings.neighbors, len(vectors)
    work = Work(listed=rows, listed_bytes=0, unread=0, unread_bytes=0, encode=0, encode_bytes=0,
                images=rows, dim=vectors.shape[1], cores=os.cpu_count() or 1, k=rules.k,
                pool=rules.k + rules.slack, block_rows=rules.block_rows, method=rules.method,
                exact_rows=rules.exact_rows, recall=rules.recall)  # fmt: skip
    figures = expected(work, rates)["neighbors"]
    joins = joins_of(work, rates)
    return {"pair": rates.pair, "plan": figures.model_dump(), "joins": joins.model_dump()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root")
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--config", default="conf/local.yaml")
    given = parser.parse_args()
    vectors = easy(given.n, given.dim)
    store = open_store(given.root)
    files = written(store, vectors)
    for method in ("exact", "approximate"):
        changes = [f"store.root={given.root}", f"neighbors.method={method}"]
        settings, _ = load(given.config, changes, {})
        drafted(store, method, settings, files, given.dim)
        print(json.dumps({"method": method, **planned(settings, vectors)}))


if __name__ == "__main__":
    main()
