"""Several nights in one process, so that they share a JVM: ``python several.py PLAN``.

PLAN is a JSON list of cases: the options of a job, a command to run ``first``, one to run
``at_ingest``, when the sources are listed, and a ``failpoint`` at which all ends. Each case begins
with a line on both streams; the exit codes of those that came to their end go to PLAN.codes. Where
one has another code than 0 that should not (``or_end``), there is no next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

from artrec import failpoints
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
        if codes[case["name"]] and case.get("or_end"):
            break


def _run(case: dict[str, Any]) -> int:
    if case["first"]:
        subprocess.run(case["first"], check=True)
    plain = ingest.run

    def disturbed(*arguments: Any) -> Any:
        subprocess.run(case["at_ingest"], check=True)
        return plain(*arguments)

    os.environ["ARTREC_FAILPOINT"] = case.get("failpoint", "")
    options = Options(assignments=tuple(case["assignments"]), release=case["release"])
    with (
        mock.patch.object(ingest, "run", disturbed if case["at_ingest"] else plain),
        mock.patch.object(failpoints, "_seen", Counter()),  # as in a process of its own
    ):
        return execute("nightly", options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
