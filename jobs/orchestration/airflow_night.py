"""Two Airflow DAGs of one night: ``artrec_night`` as one task, ``artrec_stages`` a task a stage.

For Airflow 2.10 and 3. Copy it into the DAG folder; jobs/README.md, "From an orchestrator", says
what to set. Take one of the two. Tasks may be cleared and run again at any time: a stage finds what
it has done under the same release name, which is the run's logical date.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.exceptions import AirflowException, AirflowFailException

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

HOME = os.environ.get("NIGHT_HOME", "/opt/artrec")
"""A checkout; its jobs and conf are where commands run."""
SUBMIT = os.environ.get("NIGHT_SUBMIT", "spark-submit --properties-file conf/spark-standalone.conf")
ARTREC = os.environ.get("NIGHT_ARTREC", "artrec")
OPTIONS = os.environ.get("NIGHT_OPTIONS", "--config conf/cluster.yaml")
ROOT = os.environ.get("NIGHT_ROOT", "s3://artrec/releases")
"""store.root of the settings."""

STAGES = (
    "inventory",
    "ingest",
    "embed",
    "catalog",
    "index",
    "neighbors",
    "evaluate",
    "report",
    "publish",
)
"""One after another: each holds the store's lease while it writes."""

RETRIED = (1, 6, 8, 130, 137, 143)
"""Exit codes after which the same command may succeed; after others somebody has to act."""

NIGHTLY: dict[str, Any] = {
    "schedule": "0 2 * * *",
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"retries": 3, "retry_delay": timedelta(minutes=15)},
    "tags": ["artrec"],
}


def submit(job: str, release: str | None) -> None:
    """Run a job under the release's name; its exit code says whether a retry makes sense."""
    if release is None:
        raise AirflowFailException("no logical date: trigger this run with one")
    begun = datetime.now(UTC)
    command = [*shlex.split(SUBMIT), f"jobs/{job}.py", *shlex.split(OPTIONS), "--release", release]
    code = subprocess.run(command, cwd=HOME, check=False).returncode
    if code:
        code = outcome(release, begun).get("exit_code", code)  # that of cluster mode is always 1
        sentence = f"{job} of {release} ended with {code}"
        raise (AirflowException if code in RETRIED else AirflowFailException)(sentence)


def outcome(release: str, since: datetime | None = None) -> dict[str, Any]:
    """What the job left in the store about its end; empty where it left nothing."""
    command = [*shlex.split(ARTREC), "outcome", release, "--root", ROOT, "--json"]
    if since is not None:
        command += ["--since", since.isoformat()]
    done = subprocess.run(command, cwd=HOME, check=False, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def branches(last: Any) -> None:
    """What comes after the night, by how it ended."""

    @task.branch(trigger_rule="all_done", retries=0)
    def verdict(ds: str | None = None) -> str:
        found = outcome(ds).get("verdict", "failed") if ds else "failed"
        return found if found in ("published", "unchanged", "refused") else "failed"

    @task
    def published(ds: str | None = None) -> None:
        """Load the tables elsewhere here."""
        print(f"release {ds} is current")

    @task
    def unchanged(ds: str | None = None) -> None:
        print(f"nothing had changed on {ds}")

    @task(retries=0)
    def refused(ds: str | None = None) -> None:
        raise AirflowFailException(
            f"a gate refused release {ds}: {outcome(ds or '')['message']} "
            f"(artrec report {ds} --to DIR shows it)"
        )

    @task(retries=0)
    def failed(ds: str | None = None) -> None:
        found = outcome(ds or "").get("message", "it left no outcome; its log says why")
        raise AirflowFailException(f"the night of {ds} did not end: {found}")

    last >> verdict() >> [published(), unchanged(), refused(), failed()]


@dag(dag_id="artrec_night", **NIGHTLY)
def night() -> None:
    @task
    def nightly(ds: str | None = None) -> None:
        submit("nightly", ds)

    branches(nightly())


@dag(dag_id="artrec_stages", **NIGHTLY)
def by_stages() -> None:
    last = None
    for stage in STAGES:

        @task(task_id=stage)
        def run(job: str, ds: str | None = None) -> None:
            submit(job, ds)

        done = run(stage)
        if last is not None:
            last >> done
        last = done
    branches(last)


night()
by_stages()
