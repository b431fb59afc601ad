"""What a night was expected to cost, beside what it did: for each stage measured by expected.

    python tests/bench/plan.py ARCHIVE [--root DIR] [OPTION...]

The plan is the one that the night itself keeps; seconds and memory are to be within 1.5 times of
it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from artrec.releases import read_release
from artrec.storage import open_store
from tests.bench.join import processor
from tests.bench.stages import night

LEAST_SECONDS = 1.0
"""Below that a ratio says nothing."""


def compared(root: Path, account: dict[str, Any]) -> dict[str, Any]:
    plan = read_release(open_store(str(root)), None).plan
    assert plan is not None, "the night kept no plan"
    stages: dict[str, Any] = {}
    for name, measured in plan.measured.items():
        expected = plan.expected[name]
        found = {"seconds": measured.seconds, "expected_seconds": expected.seconds}
        if measured.seconds > LEAST_SECONDS:
            found["seconds_ratio"] = round(measured.seconds / expected.seconds, 2)
        for kind in ("worker_bytes", "driver_bytes", "bytes_written"):
            if getattr(measured, kind) and getattr(expected, kind):
                ratio = getattr(measured, kind) / getattr(expected, kind)
                found[f"{kind}_ratio"] = round(ratio, 2)
        stages[name] = found
    sums = [sum(each.seconds for each in part.values()) for part in (plan.measured, plan.expected)]
    return {
        "wall_seconds": round(account["wall_seconds"], 1),
        "stages_ratio": round(sums[0] / sums[1], 2),
        "rates": plan.rates.model_dump(),
        "stages": stages,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--root", type=Path)
    given, options = parser.parse_known_args()  # what is left is for the job
    with tempfile.TemporaryDirectory() as folder:
        root = given.root or Path(folder) / "store"
        account = night(given.archive, root, options)
        result = {
            "bench": "plan",
            "machine": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "load": os.getloadavg(),
            },
            **compared(root, account),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
