"""A collection like WikiArt from a real S3 server to a release, beside its plan; then with kills.

    python -m tests.bench.large FOLDER [--count 16000] [--memory 2g] [--kills 3] [--json OUT]
                                [--master MASTER] [OPTION...]

In FOLDER the server (versitygw, from the tests' set-up) keeps its buckets as plain files; a
collection that is there already is used again. The whole archive is 81,446 members, 25.4 GB; with
the pictures stored once more FOLDER needs 2.2 times that, and as much again with kills.

The night is spark-submit's, the driver's heap limited to ``--memory``. Afterwards the release is
verified by ``artrec releases verify``, and counted again from the archive by code that shares
nothing with artrec (tests/recount.py). Then a second store is filled by a night whose driver is
killed with SIGKILL ``--kills`` times, at parts of the first one's seconds, and submitted again each
time; the tables that both publish are compared, row for row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from artrec.schemas import PUBLISHED, TABLES
from tests.bench import collection
from tests.bench.join import processor
from tests.bench.stages import ROOT, watch
from tests.recount import recount
from tests.services.names import environment
from tests.services.s3 import Server, serving

BUCKET, ARCHIVE = "wikiart", "in/wikiart.zip"


def command(store: str, given: argparse.Namespace, options: list[str]) -> list[str]:
    """The night as one submits it."""
    return [
        str(Path(sys.executable).parent / "spark-submit"),
        "--master", given.master, "--driver-memory", given.memory,
        "--properties-file", str(ROOT / "conf/spark-local.conf"),
        str(ROOT / "jobs/nightly.py"), "--config", str(ROOT / "conf/local.yaml"), "--json",
        "--release", "night",
        "--set", f"sources.main.url=s3://{BUCKET}/{ARCHIVE}",
        "--set", f"store.root=s3://{BUCKET}/{store}",
        "--set", "sources.main.template=wikiart/{style}/{artist}_{title}",
        *options,
    ]  # fmt: skip


def night(
    arguments: list[str], surroundings: dict[str, str], log: Path, kill_after: float | None = None
) -> tuple[int, float, dict[str, int], dict[str, Any]]:
    """(exit status, seconds, peak bytes, account) of one night, killed with all its processes."""
    begun = time.perf_counter()
    with log.open("ab") as errors, tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            arguments, stdout=out, stderr=errors, env=surroundings, start_new_session=True
        )
        if kill_after is None:
            peaks = watch(process)
        else:
            peaks = {}
            try:
                process.wait(kill_after)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        out.seek(0)
        lines = out.read().splitlines()
    account = json.loads(lines[-1]) if process.returncode == 0 else {}
    return process.returncode, time.perf_counter() - begun, peaks, account


def stores(files: Path) -> tuple[str, str]:
    """Names of two stores that are not there yet."""
    number = sum(1 for each in files.glob("out-*")) + 1
    return f"out-{number}", f"out-{number}-killed"


def release(files: Path) -> dict[str, Any]:
    current = json.loads((files / "CURRENT.json").read_bytes())
    found: dict[str, Any] = json.loads((files / f"releases/{current['release']}.json").read_bytes())
    return found


def table(files: Path, name: str) -> pa.Table:
    """A published table, sorted by its key."""
    parts = []
    for stage in release(files)["stages"].values():
        for ref in stage["tables"].get(name, []):
            run = json.loads(
                (files / "runs" / ref["stage"] / ref["run_id"] / "run.json").read_bytes()
            )
            parts += [pq.read_table(files / file["path"]) for file in run["tables"].get(name, [])]
    key = [(column, "ascending") for column in TABLES[name].key]
    return pa.concat_tables([part.replace_schema_metadata(None) for part in parts]).sort_by(key)


def same(one: Path, other: Path) -> dict[str, Any]:
    """For each published table its rows, and whether both stores have the very same ones."""
    found = {}
    for name in PUBLISHED:
        a, b = table(one, name), table(other, name)
        found[name] = {"rows": a.num_rows, "same": a.equals(b)}
    return found


def checked(files: Path, archive: Path, surroundings: dict[str, str], store: str) -> dict[str, Any]:
    """What two counts of the release by others than its writer say."""
    begun = time.perf_counter()
    artrec = str(Path(sys.executable).parent / "artrec")
    verify = subprocess.run(
        [artrec, "releases", "verify", "--root", f"s3://{BUCKET}/{store}"],
        env=surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    middle = time.perf_counter()
    count = recount(files, {"main": archive})
    return {
        "verify": (verify.stdout or verify.stderr).strip().splitlines()[-1],
        "verify_seconds": round(middle - begun, 1),
        "recount": {
            "listed": count.listed, "stored": count.stored, "rejected": count.rejected,
            "lost": count.lost, "double": count.double, "differences": count.differences[:5],
        },
        "recount_seconds": round(time.perf_counter() - middle, 1),
    }  # fmt: skip


def with_kills(
    given: argparse.Namespace,
    options: list[str],
    surroundings: dict[str, str],
    seconds: float,
    store: str,
    log: Path,
) -> dict[str, Any]:
    """A night killed again and again before it can end; how each try ended."""
    tries = []
    arguments = command(store, given, options)
    for number in range(given.kills):
        after = seconds * (0.35 if number == 0 else 0.3)
        code, took, _, _ = night(arguments, surroundings, log, kill_after=after)
        tries.append({"exit": code, "seconds": round(took, 1)})
    code, took, _, account = night(arguments, surroundings, log)
    tries.append({"exit": code, "seconds": round(took, 1)})
    return {"tries": tries, "status": account.get("status")}


def measured(server: Server, given: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    surroundings = os.environ | environment(server.endpoint)
    surroundings |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    os.environ.update(environment(server.endpoint))
    files, log = server.folder / BUCKET, given.folder / "nights.log"
    made: dict[str, Any] = {}
    if not (files / ARCHIVE).exists():
        server.client().create_bucket(Bucket=BUCKET)
        made = collection.write(f"s3://{BUCKET}/{ARCHIVE}", given.count, given.seed)
    store, second = stores(files)
    code, seconds, peaks, account = night(command(store, given, options), surroundings, log)
    if code:
        raise SystemExit(f"the night ended with {code}; see {log}")
    size = (files / ARCHIVE).stat().st_size
    result = {
        "collection": made,
        "archive_bytes": size,
        "driver_memory": given.memory,
        "wall_seconds": round(seconds, 1),
        "megabytes_per_second": round(size / seconds / 1e6, 1),
        "peak_megabytes": {kind: peak >> 20 for kind, peak in peaks.items()},
        "account": account,
        "release": release(files / store)["counts"],
        "plan": release(files / store).get("plan"),
        "checked": checked(files / store, files / ARCHIVE, surroundings, store),
    }
    if given.kills:
        result["killed"] = with_kills(given, options, surroundings, seconds, second, log)
        result["killed"]["tables"] = same(files / store, files / second)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", default="2g")
    parser.add_argument("--master", default="local[*,4]")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given, options = parser.parse_known_args()  # what is left is for the job
    with serving(given.folder) as server:
        result = {
            "bench": "large",
            "machine": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "memory_bytes": psutil.virtual_memory().total,
                "load": os.getloadavg(),
                "python": platform.python_version(),
            },
        } | measured(server, given, options)
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
