"""Several nights in one process, so that they share a JVM: ``python several.py PLAN``.

PLAN is a JSON list of cases: the options of a job, a command to run ``first``, and one to run
``at_ingest``, when the sources are listed. Each case begins with a line on both streams; exit
codes go to PLAN.codes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from artrec.stages import ingest
from artrec.stages.session import Options, execute

BEGIN = "\x1e"


def main(plan: Path) -> None:
    codes = {}
    for case in json.loads(plan.read_text()):
        for stream in (sys.stdout, sys.stderr):
            print(f"{BEGIN}{case['name']}", file=stream, flush=True)
        codes[case["name"]] = _run(case)
    plan.with_suffix(".codes").write_text(json.dumps(codes))


def _run(case: dict[str, Any]) -> int:
    if case["first"]:
        subprocess.run(case["first"], check=True)
    plain = ingest.run

    def disturbed(*arguments: Any) -> Any:
        subprocess.run(case["at_ingest"], check=True)
        return plain(*arguments)

    options = Options(assignments=tuple(case["assignments"]), release=case["release"])
    with mock.patch.object(ingest, "run", disturbed if case["at_ingest"] else plain):
        return execute("nightly", options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
