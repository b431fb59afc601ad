"""The stages: the only room that knows Spark.

Each module has ``run(spark, settings, draft)``. Nothing is imported here, so that commands which
need no JVM start fast.
"""

RESULT_VERSIONS = {
    "inventory": 1,
    "ingest": 1,
    "train": 3,
    "embed": 1,
    "catalog": 1,
    "index": 3,
    "neighbors": 1,
    "evaluate": 8,
    "report": 5,
}
"""Of each stage that writes something; raised when the same inputs give other rows than before."""

ORDER = (*RESULT_VERSIONS, "publish")
"""All stages, in order."""

NAMES = tuple(name for name in ORDER if name != "train")
"""The stages of every night, in order; train is one of a store's first night alone."""

JOBS = (*ORDER, "nightly")
"""What can be submitted."""

__all__ = ["JOBS", "NAMES", "ORDER", "RESULT_VERSIONS"]
