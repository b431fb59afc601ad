"""The stages: the only room that knows Spark.

Each module has ``run(spark, settings, draft)``. Nothing is imported here, so that commands which
need no JVM start fast.
"""

NAMES = ("inventory", "ingest", "embed", "catalog", "neighbors", "publish")
"""The stages of a night, in order."""

__all__ = ["NAMES"]
