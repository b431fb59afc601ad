"""How much of the lists is not what it was in the last release: what readers have to load again."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.releases import Draft, Release
from artrec.stages.frames import frame_of, stage_frame
from artrec.stages.session import describe

__all__ = ["churn"]

NESTED = "neighbors_nested"


def churn(spark: SparkSession, draft: Draft) -> dict[str, Any] | None:
    """The draft's lists beside those that are current, as notes; None where there are none.

    ``since`` names that release; ``why`` says why the two cannot be compared, or there are counts:
    ``images`` now, how many of them are ``new`` and how many of the last ones ``gone``; of images
    that are in both their ``lists``, how many of these are ``changed`` in a neighbor or a distance,
    and in how many the ``first`` is another; their ``entries`` now, and how many neighbors ``came``
    and ``went``.
    """
    base = draft.base.release
    if base is None or not base.refs(NESTED):
        return None
    other = _other(base, draft)
    if other:
        return {"since": base.release_id, "why": f"other {', '.join(other)}, not comparable"}
    return {"since": base.release_id, **_counted(spark, draft, base)}


def _other(base: Release, draft: Draft) -> list[str]:
    embed, neighbors = draft.need("embed").notes, draft.need("neighbors").notes
    now = {"encoder": embed["encoder"], "metric": embed["metric"], "k": neighbors["k"]}
    return [name for name, value in now.items() if getattr(base, name) != value]


def _counted(spark: SparkSession, draft: Draft, base: Release) -> dict[str, int]:
    lists = draft.need("neighbors")
    if [ref.run_id for ref in lists.tables[NESTED]] == [ref.run_id for ref in base.refs(NESTED)]:
        same = lists.rows(NESTED)
        none = dict.fromkeys(("new", "gone", "changed", "first", "came", "went"), 0)
        return {"images": same, "lists": same, "entries": lists.rows("neighbors"), **none}
    describe(spark, f"evaluate: lists beside those of {base.release_id}")
    before = frame_of(spark, draft.store, base.refs(NESTED), NESTED)
    return _compared(before, stage_frame(spark, draft, "neighbors", NESTED))


def _compared(before: DataFrame, after: DataFrame) -> dict[str, int]:
    old = before.withColumnsRenamed({"ids": "old_ids", "distances": "old_distances"})
    there, was = F.col("ids").isNotNull(), F.col("old_ids").isNotNull()
    both = there & was
    same = (F.col("ids") == F.col("old_ids")) & (F.col("distances") == F.col("old_distances"))
    first = F.get("ids", F.lit(0)).eqNullSafe(F.get("old_ids", F.lit(0)))
    sums = {
        "images": F.when(there, 1),
        "new": F.when(~was, 1),
        "gone": F.when(~there, 1),
        "lists": F.when(both, 1),
        "changed": F.when(both & ~same, 1),
        "first": F.when(both & ~first, 1),
        "entries": F.when(both, F.size("ids")),
        "came": F.when(both, F.size(F.array_except("ids", "old_ids"))),
        "went": F.when(both, F.size(F.array_except("old_ids", "ids"))),
    }
    joined = after.join(old, "query_id", "full")
    found = joined.agg(*(F.sum(each).alias(name) for name, each in sums.items())).first()
    assert found is not None, "an aggregate has a row"
    return {name: int(found[name] or 0) for name in sums}
