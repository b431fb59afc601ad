"""A folder of many objects on a real S3 server, listed page after page and by several listers.

    python -m tests.bench.listing [--count 50000] [--folders 25] [--delay 0.03] [--rounds 3]

``--delay`` is added to each request by a proxy, as a distant server would. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from artrec.storage import S3Options, open_store
from tests.services.names import environment
from tests.services.proxy import Request, proxying
from tests.services.s3 import Server, serving

LISTERS = (1, 8)


def main() -> None:
    """Rounds in turns, each list in a process of its own, so that its peak of memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--folders", type=int, default=25)
    parser.add_argument("--delay", type=float, default=0.03)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("URL", "LISTERS"))
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_listed(arguments.one[0], int(arguments.one[1]))))
        return
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "server") as server:
        url = _fill(server, arguments.count, arguments.folders)

        def slow(_: Request) -> None:
            time.sleep(arguments.delay)

        with proxying(server.endpoint, slow) as proxy:
            rounds = [_round(url, proxy.endpoint) for _ in range(arguments.rounds)]
    ratios = [each["1"]["seconds"] / each["8"]["seconds"] for each in rounds]
    print(
        json.dumps(
            {
                "machine": platform.platform(),
                "cores": os.cpu_count(),
                "load": os.getloadavg()[0],
                **{name: getattr(arguments, name) for name in ("count", "folders", "delay")},
                "rounds": rounds,
                "ratio": statistics.median(ratios),
            },
            indent=1,
        )
    )


def _fill(server: Server, count: int, folders: int) -> str:
    bucket = server.bucket()
    for number in range(folders):
        folder = server.folder / bucket / "in" / f"style-{number:04d}"
        folder.mkdir(parents=True)
        for each in range(count // folders):
            (folder / f"painter_{each:06d}.jpg").touch()
    return f"s3://{bucket}"


def _round(url: str, endpoint: str) -> dict[str, Any]:
    found = {}
    for listers in LISTERS:
        command = [sys.executable, "-m", "tests.bench.listing", "--one", url, str(listers)]
        variables = os.environ | environment(endpoint)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        found[str(listers)] = json.loads(done.stdout)
    return found


def _listed(url: str, listers: int) -> dict[str, Any]:
    import resource

    store = open_store(url, S3Options(listers=listers))
    next(store.list("in"))  # the client is made
    begun, before = time.monotonic(), time.process_time()
    count = sum(1 for _ in store.list("in"))
    return {
        "objects": count,
        "seconds": round(time.monotonic() - begun, 2),
        "processor": round(time.process_time() - before, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


if __name__ == "__main__":
    main()
