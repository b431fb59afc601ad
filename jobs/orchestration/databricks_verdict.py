"""The task of databricks.yml that says how the night ended: RELEASE ROOT as its parameters."""

import sys

from databricks.sdk.runtime import dbutils

from artrec.commands.outcome import judged
from artrec.releases import find_outcome
from artrec.storage import open_store

release, root = sys.argv[1:]
found = find_outcome(open_store(root), release)
facts = judged(found) if found else {"verdict": "failed", "message": "no outcome; see the log"}
dbutils.jobs.taskValues.set(key="verdict", value=facts["verdict"])
print(f"{release}: {facts['verdict']}: {facts['message']}")
if facts["verdict"] not in ("published", "unchanged"):
    raise SystemExit(1)
