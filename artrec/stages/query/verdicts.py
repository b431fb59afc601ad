"""What is a query and what is none: of each listed member or row one of both, to the row."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.errors import ArtrecError
from artrec.schemas import TABLES
from artrec.stages.frames import read_frame, write_sorted
from artrec.stages.query.pictures import Encoded
from artrec.stages.query.place import SCRATCH
from artrec.stages.rejects import REASONS
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["check_balance", "judged", "rejected", "write_queries"]


def judged(spark: SparkSession, out: Store, encoded: Encoded, sets: bool) -> DataFrame:
    """entry, query_id, set_id, own of all that was listed, and the reason for rejects.

    As in a catalog the last of one name counts, whatever became of it. Where no sets are asked for
    each query is one of its own.
    """
    table = TABLES["query_encoded"]
    columns = ["entry", "query_id", "set_id", "own", "reason", "detail"]
    frame = read_frame(spark, out, encoded.receipts, table, columns)
    if encoded.names is not None:
        frame = frame.drop("query_id").join(encoded.names, "entry")
        frame = frame.withColumn("set_id", _folder(F.col("query_id")))
    if not sets:
        frame = frame.withColumn("set_id", F.col("query_id"))
    later = Window.partitionBy("query_id").orderBy(F.desc("entry"))
    own = F.coalesce("reason", F.when(_is_none(F.col("set_id")), F.lit("no_set")))
    reason = F.when((F.col("place") > 1) & (F.col("query_id") != ""), F.lit("duplicate_name"))
    said = {"duplicate_name": "a later one has this query_id", "no_set": "it lies in no folder"}
    if encoded.names is None:
        said["no_set"] = "its set_id is null or empty"
    return (
        frame.withColumn("place", F.row_number().over(later))
        .withColumn("reason", F.coalesce(reason, own))
        .withColumn("detail", F.coalesce(_chosen("reason", said), "detail"))
        .drop("place")
    )


def _is_none(name: Column) -> Column:
    return name.isNull() | (name == "")


def _folder(path: Column) -> Column:
    """The first folder of a path, null where there is none."""
    parts = F.filter(F.split(path, "/"), lambda part: ~part.isin("", "."))
    return F.when(F.size(parts) > 1, F.get(parts, F.lit(0)))


def _chosen(column: str, values: dict[str, str]) -> Column:
    """For each value of a column another text; null for those without one."""
    cases = [F.when(F.col(column) == key, F.lit(value)) for key, value in values.items()]
    return F.coalesce(*cases)


def rejected(frame: DataFrame) -> DataFrame:
    """The rows of query_rejects, of what ``judged`` gave."""
    stages = {stage: [key for key, home in REASONS.items() if home == stage] for stage in STAGES}
    given = [F.when(F.col("reason").isin(names), F.lit(s)) for s, names in stages.items()]
    return (
        frame.filter(F.col("reason").isNotNull())
        .withColumn("stage", F.coalesce(*given))
        .select(*TABLES["query_rejects"].columns.names)
    )


STAGES = sorted({*REASONS.values()})


def write_queries(
    spark: SparkSession, out: Store, encoded: Encoded, frame: DataFrame, dim: int
) -> list[Receipt]:
    """query_vectors: the queries in the order of their sets."""
    describe(spark, "query: vectors in order")
    table = TABLES["query_encoded"]
    vectors = read_frame(spark, out, encoded.receipts, table, ["entry", "embedding"])
    kept = frame.filter(F.col("reason").isNull()).select("set_id", "entry", "own")
    size = encoded.listed * 4 * dim
    return write_sorted(kept.join(vectors, "entry"), out, SCRATCH, TABLES["query_vectors"], size)


def check_balance(
    spark: SparkSession,
    out: Store,
    listed: int,
    queries: Sequence[Receipt],
    rejects: Sequence[Receipt],
) -> None:
    """Raise ArtrecError unless each listed entry is in exactly one of the two tables."""
    describe(spark, "query: balance")
    found = read_frame(spark, out, queries, TABLES["query_vectors"], ["entry"]).unionByName(
        read_frame(spark, out, rejects, TABLES["query_rejects"], ["entry"]).filter("entry >= 0")
    )
    times = found.groupBy("entry").agg(F.count("*").alias("times"))
    wanted = spark.range(0, listed).select(F.col("id").alias("entry"), F.lit(True).alias("listed"))
    both = wanted.join(times, "entry", "full_outer")
    wrong = both.filter(F.col("listed").isNull() | (F.coalesce("times", F.lit(0)) != 1))
    first = wrong.orderBy("entry").first()
    if first is not None:
        raise ArtrecError(
            f"of {listed} entries number {first.entry} is {first.times or 0} times among queries "
            "and rejects, not once; run the query again"
        )
