"""A stage as a step of a run: named in log and Spark's UI, planned beforehand, measured after."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from artrec import log
from artrec.config import Settings
from artrec.releases import Draft, StageRuns
from artrec.stages import forecast, metrics
from artrec.stages.frames import parallelism
from artrec.stages.session import Run, describe

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["step"]


def step(
    name: str, spark: SparkSession, settings: Settings, draft: Draft, run: Run | None = None
) -> StageRuns:
    """What ``run``, else the stage of that name, returns.

    When the sources are listed, what the whole night will cost is kept in the draft.
    """
    describe(spark, name)
    log.bind(stage=name)
    result: StageRuns = (run or import_module(f"artrec.stages.{name}").run)(spark, settings, draft)
    if name == "inventory":
        foresee(spark, settings, draft)
    measured = forecast.measure(draft, result)
    if measured is not None:
        log.get().info(
            "measured",
            **{
                key: value for key, value in measured.model_dump(exclude_none=True).items() if value
            },
        )
    metrics.write(settings, draft, result)
    return result


def foresee(spark: SparkSession, settings: Settings, draft: Draft) -> None:
    """Nothing is asked of Spark, and no time taken, where nothing is to be done."""
    if draft.is_begun:
        forecast.foresee(settings, draft, parallelism(spark))
