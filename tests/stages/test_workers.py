from __future__ import annotations

import gc
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
