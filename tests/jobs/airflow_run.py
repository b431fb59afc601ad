"""Runs one DAG of a file once, with the Python of an Airflow: FILE DAG_ID DATE.

Prints one line of JSON, the state of each task and of the run. AIRFLOW_HOME is made new.
"""

from __future__ import annotations

import inspect
import json
import sys
from datetime import datetime
from typing import Any


def main(file: str, dag_id: str, date: str) -> None:
    try:
        from airflow.dag_processing.dagbag import DagBag  # 3.2
    except ImportError:
        from airflow.models.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(dag_folder=file, include_examples=False)
    assert not bag.import_errors, bag.import_errors
    dag: Any = bag.dags[dag_id]
    when = datetime.fromisoformat(date)
    names = inspect.signature(dag.test).parameters
    run = dag.test(**{"logical_date" if "logical_date" in names else "execution_date": when})
    states = {each.task_id: str(each.state) for each in run.get_task_instances()}
    print(json.dumps({"run": str(run.state), "tasks": states, "dags": sorted(bag.dags)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
