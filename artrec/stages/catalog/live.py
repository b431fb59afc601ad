"""What indexes and joins read: the distinct vectors of a catalog, and the names behind each."""

from __future__ import annotations

import time

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.catalog.gathering import gathered
from artrec.stages.frames import frame_of, run_tasks, stage_frame, write_sorted
from artrec.stages.session import describe
from artrec.stages.slices import ever_appended

__all__ = ["live_run"]

LIVE = ("live_vectors", "vector_images")
NAME_BYTES = 80  # of a row of vector_images, about: only for the number of files


def live_run(spark: SparkSession, draft: Draft, catalog: RunRef) -> Run:
    """The run of live_vectors and vector_images of a catalog; made anew only if they changed."""
    begun = time.monotonic()
    store, embed = draft.store, draft.need("embed")
    inputs = {
        "catalog": digest_of(store, [catalog], "catalog", ("vector_no",)),
        "vectors": ever_appended(store, embed, "vectors", ("vector_no", "embedding", "reason")),
        "encoder": embed.notes["encoder"],
    }
    run = begin_run("catalog", RESULT_VERSIONS["catalog"], inputs, {})
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    folder = run.folder(draft.attempt)
    metadata = {key: str(embed.notes[key]) for key in ("encoder", "metric", "dim")}
    describe(spark, "catalog: vectors")
    gathering = gathered(draft, receipts_of(store, [catalog], "catalog"), folder, metadata)
    if gathering is not None:
        made = run_tasks(spark, 1, gathering.live)[0].receipts
        reached("catalog.vectors")
        tables = {name: [each for each in made if each.table == name] for name in LIVE}
        return record_run(store, run.done(tables, begun))
    columns = ["image_id", "content_sha256", "vector_no"]
    images = frame_of(spark, store, [catalog], "catalog", columns)
    rows = catalog.rows["catalog"]
    vectors = write_sorted(
        _live(spark, draft, images),
        store,
        folder,
        TABLES["live_vectors"],
        rows * 4 * int(embed.notes["dim"]),
        metadata,
    )
    names = write_sorted(images, store, folder, TABLES["vector_images"], rows * NAME_BYTES)
    reached("catalog.vectors")
    return record_run(store, run.done({"live_vectors": vectors, "vector_images": names}, begun))


def _live(spark: SparkSession, draft: Draft, images: DataFrame) -> DataFrame:
    """The distinct vectors of the catalog."""
    columns = ["content_sha256", "encoder", "embedding"]
    vectors = stage_frame(spark, draft, "embed", "vectors", columns).filter(
        F.col("encoder") == draft.need("embed").notes["encoder"]
    )
    return images.select("content_sha256", "vector_no").distinct().join(vectors, "content_sha256")
