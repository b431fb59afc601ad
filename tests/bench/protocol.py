"""What the lease costs a night, and how long a sweep takes: ``python -m tests.bench.protocol``.

Generated runs of small files, since both costs are those of documents and names, not of bytes.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from artrec.releases import Run, RunRef, StageRuns, holding, publish, read_base, record_run
from artrec.releases.sweep import Rules, carry_out, plan_sweep
from artrec.storage import Store, open_store
from artrec.tables import Receipt
from tests.releases.protocol import release

FILES, OF_A_RUN, RELEASES = 10_000, 20, 10
CONFIRMED = 30  # times that a night of all stages proves its lease, about


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        facts: dict[str, Any] = {"machine": platform.platform()}
        facts |= _lease(open_store(f"{folder}/lease"))
        facts |= _sweep(open_store(f"{folder}/sweep"))
    print(json.dumps(facts, indent=1))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return round(time.perf_counter() - begun, 4)


def _lease(store: Store) -> dict[str, Any]:
    def whole() -> None:
        with holding(store, "bench", 60.0) as lease:
            for _ in range(CONFIRMED):
                lease.confirm()

    def taken() -> None:
        with holding(store, "bench", 60.0):
            pass

    taken()
    return {
        "lease_taken_and_given_back": median(_seconds(taken) for _ in range(20)),
        f"lease_of_a_night_with_{CONFIRMED}_proofs": median(_seconds(whole) for _ in range(20)),
    }


def _sweep(store: Store) -> dict[str, Any]:
    """Releases of equal size; two are kept."""
    for number in range(RELEASES):
        _publish(store, f"release-{number}", FILES // RELEASES // OF_A_RUN)
    rules = Rules(keep=2, age=timedelta(0))
    now = datetime.now(UTC) + timedelta(hours=1)
    facts: dict[str, Any] = {"files": FILES, "runs": FILES // OF_A_RUN, "releases": RELEASES}
    facts["sweep_planned"] = _seconds(lambda: plan_sweep(store, rules, now))
    plan = plan_sweep(store, rules, now)
    facts["objects_removed"] = sum(count for count, _ in plan.counts().values())
    with holding(store, "bench", 60.0) as lease:
        facts["sweep_carried_out"] = _seconds(lambda: carry_out(store, plan, lease))
    return facts


def _publish(store: Store, name: str, runs: int) -> None:
    refs = [RunRef.of(_run(store, f"{name}-{number}")) for number in range(runs)]
    stages = {"ingest": StageRuns(stage="ingest", inputs=name, tables={"ingested": refs})}
    base = read_base(store)
    publish(store, release(name, base).model_copy(update={"stages": stages}), base)


def _run(store: Store, name: str) -> Run:
    nothing: dict[str, Any] = {"inputs": {}, "settings": {}, "versions": {}, "counters": {}}
    receipts = [_file(store, f"runs/ingest/{name}/attempt/{n}.parquet") for n in range(OF_A_RUN)]
    tables = {"ingested": receipts}
    run = Run(stage="ingest", run_id=name, tables=tables, seconds=0.0, **nothing)
    return record_run(store, run)


def _file(store: Store, path: str) -> Receipt:
    file = Path(store.path_url(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * 1000)  # without waiting for the disk
    return Receipt(
        table="ingested", path=path, bytes=1000, rows=1, row_groups=1, sha256="0" * 64, digest={}
    )


if __name__ == "__main__":
    main()
