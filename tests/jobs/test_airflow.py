"""The DAGs, run once each by Airflow itself against a small archive and a store on disk.

AIRFLOW_PYTHON names the Python of an environment with Airflow 2.10 or 3, which has packages of its
own: ``python -m venv airflow && airflow/bin/pip install apache-airflow==3.1.8``, with its
constraint file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from artrec.stages import NAMES
from tests.nights import BROKEN, PAINTINGS
from tests.pictures import write_zip

REPOSITORY = Path(__file__).parents[2]
PYTHON = os.environ.get("AIRFLOW_PYTHON") or (sys.executable if find_spec("airflow") else "")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not PYTHON, reason="no Airflow: AIRFLOW_PYTHON names none"),
]

AFTER = ("published", "unchanged", "refused", "failed")


def run(folder: Path, dag: str, date: str, *assignments: str) -> dict[str, Any]:
    """The states of a DAG's tasks, run once with the archive and store of this folder."""
    dags = folder / "airflow/dags"
    dags.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "jobs/orchestration/airflow_night.py", dags)
    bin, root = Path(sys.executable).parent, folder / "store"
    settings = (
        f"sources.main.url={folder / 'pictures.zip'}",
        f"store.root={root}",
        "encoder.id=handmade",
        *assignments,
    )
    own = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "NIGHT_HOME": str(REPOSITORY),
        "NIGHT_SUBMIT": f"{bin}/spark-submit --master local[2,4] "
        "--properties-file conf/spark-local.conf",
        "NIGHT_ARTREC": f"{bin}/artrec",
        "NIGHT_OPTIONS": " ".join(f"--set {each}" for each in settings),
        "NIGHT_ROOT": str(root),
    }
    command = [PYTHON, str(Path(__file__).with_name("airflow_run.py"))]
    command += [str(dags / "airflow_night.py"), dag, f"{date}T00:00:00+00:00"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | own)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["dags"] == ["artrec_night", "artrec_stages"]
    return found


def taken(branch: str, state: str = "success") -> dict[str, str]:
    return {"verdict": "success", **dict.fromkeys(AFTER, "skipped"), branch: state}


def current(folder: Path) -> str:
    return str(json.loads((folder / "store/CURRENT.json").read_bytes())["release"])


def test_a_night_stage_by_stage_is_published(tmp_path: Path) -> None:
    write_zip(tmp_path / "pictures.zip", PAINTINGS[:8])
    found = run(tmp_path, "artrec_stages", "2026-01-02")
    assert found["run"] == "success"
    assert found["tasks"] == dict.fromkeys(NAMES, "success") | taken("published")
    assert current(tmp_path) == "2026-01-02"


def test_nights_in_one_task_are_published_unchanged_and_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "pictures.zip", PAINTINGS[:8])
    published = {"nightly": "success"} | taken("published")
    assert run(tmp_path, "artrec_night", "2026-01-02")["tasks"] == published
    # cleared and run again, with nothing left to do: the release is still the one to load
    assert run(tmp_path, "artrec_night", "2026-01-02")["tasks"] == published

    found = run(tmp_path, "artrec_night", "2026-01-04")
    assert found["tasks"] == {"nightly": "success"} | taken("unchanged")

    broken = [each for each, _ in BROKEN.values()]
    write_zip(tmp_path / "pictures.zip", [*PAINTINGS[:9], *broken])
    found = run(tmp_path, "artrec_night", "2026-01-05")
    assert found["run"] == "failed"
    assert found["tasks"] == {"nightly": "failed"} | taken("refused", "failed")
    assert current(tmp_path) == "2026-01-02"
