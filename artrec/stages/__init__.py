"""The stages: the only room that knows Spark.

Each module has ``run(spark, settings, draft)``. Nothing is imported here, so that commands which
need no JVM start fast.
"""

RESULT_VERSIONS = {
    "inventory": 1,
    "ingest": 1,
    "embed": 1,
    "catalog": 1,
    "neighbors": 1,
    "report": 1,
}
"""Of each stage that writes something; raised when the same inputs give other rows than before."""

NAMES = (*RESULT_VERSIONS, "publish")
"""The stages of a night, in order."""

__all__ = ["NAMES", "RESULT_VERSIONS"]
