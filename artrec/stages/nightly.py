"""nightly: all stages of a night, in one Spark application."""

from __future__ import annotations

from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.releases import Draft, StageRuns
from artrec.stages import NAMES, train
from artrec.stages.steps import step

__all__ = ["run"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Each stage does what is new for it; the last one publishes. Returns what publish returns.

    A night trains an encoder only where neither the settings nor a current release name one.
    """
    result = None
    for name in NAMES:
        if name == "embed" and train.chooses(settings, draft):
            step("train", spark, settings, draft, train.tonight)
        result = step(name, spark, settings, draft)
    assert result is not None
    return result
