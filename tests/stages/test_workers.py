from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING
from zipimport import zipimporter

from artrec.stages.frames import Attempt, TaskReport, run_tasks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def observed(attempt: Attempt) -> TaskReport:
    zips = [p for p, f in sys.path_importer_cache.items() if isinstance(f, zipimporter)]
    found = {"pid": os.getpid(), "frozen": gc.get_freeze_count(), "zips": zips}
    return TaskReport(notes=found)


def test_the_next_task_of_a_worker_begins_without_reading_zips_or_visiting_old_objects(
    spark: SparkSession,
) -> None:
    used = {report.notes["pid"] for report in run_tasks(spark, 8, observed)}
    later = [report.notes for report in run_tasks(spark, 8, observed)]
    again = [found for found in later if found["pid"] in used]
    assert again
    for found in again:
        assert found["zips"] == []
        assert found["frozen"] > 1000


def multiplied(attempt: Attempt) -> TaskReport:
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    pools = importlib.import_module("threadpoolctl").threadpool_info()
    return TaskReport(
        notes={"threads": [p["num_threads"] for p in pools if p["user_api"] == "blas"]}
    )


def test_in_a_task_a_product_takes_one_thread(spark: SparkSession) -> None:
    """So many tasks run as there are cores: more threads would wait for each other."""
    for report in run_tasks(spark, 2, multiplied):
        assert report.notes["threads"]
        assert {*report.notes["threads"]} == {1}
