"""A query from its arguments to its account."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec import __version__, log
from artrec.commands.outside import precision_of, way_of
from artrec.commands.show import plain
from artrec.config import IngestSettings, Settings, Source, load
from artrec.encoders import Encoder
from artrec.encoders.brought.given import Given
from artrec.encoders.device import Precision
from artrec.errors import ArtrecError
from artrec.releases import Release, read_release, table_receipts
from artrec.schemas import TABLES
from artrec.stages.dangers import check_spark
from artrec.stages.ending import heed_signals, stop_spark
from artrec.stages.frames import TaskReport, add_counters, read_frame, write_sorted
from artrec.stages.listing import check_sources
from artrec.stages.query import Asked
from artrec.stages.query.joining import join_queries
from artrec.stages.query.lists import write_lists
from artrec.stages.query.pictures import Encoded, encode_source
from artrec.stages.query.place import own_place, put_account
from artrec.stages.query.vectors import VectorFile, read_vectors, vector_files
from artrec.stages.query.verdicts import check_balance, judged, rejected, write_queries
from artrec.stages.session import describe, start_spark
from artrec.storage import Store, open_store, split_url
from artrec.tables import Receipt

__all__ = ["answer", "show"]

SOURCE = "query"
REJECT_BYTES = 100  # of a row, about: only for the number of files


@dataclass(frozen=True)
class _Query:
    """What is asked, of what, and where the answer goes."""

    asked: Asked
    settings: Settings
    root: Store
    release: Release
    encoder: Encoder
    source: Store
    files: list[VectorFile]
    out: Store

    @property
    def metadata(self) -> dict[str, str]:
        """Of the table neighbors."""
        release = self.release
        said = {"encoder": release.encoder, "metric": release.metric, "dim": str(release.dim)}
        more = {"k": str(self.asked.k), "release": release.release_id, "sets": self.asked.sets}
        return said | more


def answer(asked: Asked, verbosity: str) -> dict[str, Any]:
    """Answer all queries; the account that is also written as ``query.json``."""
    begun = time.monotonic()
    own, _ = load(asked.config, asked.assignments)
    options = own.store.options
    root = open_store(asked.root or own.store.root, options)
    release = read_release(root, asked.release)
    rules, encoder = way_of(root, release)
    settings = _settings(own, asked.source, rules, precision_of(release))
    place, path = split_url(asked.source)
    source, out = open_store(place, options), open_store(asked.out, options)
    files = vector_files(source, path, release, asked.sets != "none")
    if not files:
        check_sources(settings)
    read = source.path_url(path) if path else source.url
    with own_place(out, [("the root of the release", root.url), ("what is read", read)]):
        query = _Query(asked, settings, root, release, encoder, source, files, out)
        spark = start_spark("artrec query", verbosity)
        heed_signals()
        try:
            check_spark(spark, settings)
            tables, counts = _answered(spark, query)
        finally:
            stop_spark(spark)
        account = _account(query, tables, counts, time.monotonic() - begun)
        put_account(out, account, tables.values())
    return account


def _settings(own: Settings, source: str, rules: IngestSettings, precision: Precision) -> Settings:
    """Those of this job, with the one source, and rules and limits as the release had them."""
    parts = {
        "sources": {SOURCE: Source(url=source)},
        "ingest": rules.model_copy(update={"slice_bytes": own.ingest.slice_bytes}),
        "embed": own.embed.model_copy(update={"precision": precision}),
    }
    return own.model_copy(update=parts)


def _answered(
    spark: SparkSession, query: _Query
) -> tuple[dict[str, list[Receipt]], dict[str, Any]]:
    """The tables that stay, and what is counted."""
    out, root, asked, release = query.out, query.root, query.asked, query.release
    encoded = _encoded(spark, query)
    frame = judged(spark, out, encoded, sets=asked.sets != "none").persist()
    queries = write_queries(spark, out, encoded, frame, release.dim)
    kept = sum(receipt.rows for receipt in queries)
    log.get(stage="query").info("encoded", listed=encoded.listed, kept=kept)
    live = table_receipts(root, release, "live_vectors")
    rows = query.settings.neighbors.block_rows
    reports = join_queries(
        spark, root, live, out, queries, asked.k, asked.sets, rows, query.metadata
    )
    found = [receipt for report in reports for receipt in report.receipts]
    rejects = _write_rejects(spark, out, frame, encoded.listed, found)
    frame.unpersist()
    check_balance(spark, out, encoded.listed, queries, rejects)
    pools = [receipt for receipt in found if receipt.table == "query_pools"]
    images = table_receipts(root, release, "vector_images")
    neighbors = write_lists(spark, root, images, out, pools, asked.k, query.metadata)
    tables = {"neighbors": neighbors, "query_rejects": rejects}
    counts = _counts(asked.sets, encoded.listed, kept, tables, reports)
    _check_lists(asked, counts, sum(receipt.rows for receipt in images))
    return tables, {"counts": counts, "reasons": _reasons(spark, out, rejects)}


def _encoded(spark: SparkSession, query: _Query) -> Encoded:
    settings, out = query.settings, query.out
    if not query.files:
        if isinstance(query.encoder, Given):
            raise query.encoder.unable()
        return encode_source(spark, settings, query.root, out, query.encoder.id)
    size = settings.ingest.slice_bytes
    return read_vectors(spark, query.source, query.files, out, query.release, size)


def _write_rejects(
    spark: SparkSession, out: Store, frame: DataFrame, listed: int, found: list[Receipt]
) -> list[Receipt]:
    """query_rejects: members or rows that are no query, and sets that have none."""
    describe(spark, "query: rejects")
    table = TABLES["query_rejects"]
    rows, sets = rejected(frame), [each for each in found if each.table == table.name]
    if sets:
        rows = rows.unionByName(read_frame(spark, out, sets, table))
    return write_sorted(rows, out, "", table, listed * REJECT_BYTES)


def _counts(
    sets: str,
    listed: int,
    kept: int,
    tables: dict[str, list[Receipt]],
    reports: list[TaskReport],
) -> dict[str, int]:
    """listed = queries + rejects; of sets listed = members + rejects, sets = queries + those that
    have no answer.
    """
    rows = {name: sum(receipt.rows for receipt in found) for name, found in tables.items()}
    counts = {"listed": listed, "queries": kept, "rejects": listed - kept}
    if sets != "none":
        met = add_counters(report.counters for report in reports)
        lone = rows["query_rejects"] - counts["rejects"]
        counts |= {"members": kept, "queries": met.get("queries", 0), "rejected_sets": lone}
    return {**counts, "neighbors": rows["neighbors"]}


def _check_lists(asked: Asked, counts: dict[str, int], images: int) -> None:
    """Raise ArtrecError unless each query has its k neighbors, or all images there are.

    Sets leave out own contents, so how many are left is not known beforehand.
    """
    wanted = counts["queries"] * min(asked.k, images)
    if asked.sets == "none" and counts["neighbors"] != wanted:
        raise ArtrecError(
            f"{counts['queries']} queries have {counts['neighbors']} neighbors, not {wanted}; "
            "artrec releases verify says whether the release is whole"
        )


def _reasons(spark: SparkSession, out: Store, rejects: list[Receipt]) -> dict[str, int]:
    rows = read_frame(spark, out, rejects, TABLES["query_rejects"], ["reason"])
    counted = rows.groupBy("reason").agg(F.count("*").alias("times")).orderBy("reason")
    return {row.reason: row.times for row in counted.collect()}


def _account(
    query: _Query, tables: dict[str, list[Receipt]], counted: dict[str, Any], seconds: float
) -> dict[str, Any]:
    asked, release = query.asked, query.release
    names = ("path", "bytes", "rows", "sha256")
    return {
        "artrec": __version__,
        "source": asked.source,
        "kind": "vectors" if query.files else "pictures",
        "release": release.release_id,
        "encoder": release.encoder,
        "metric": release.metric,
        "dim": release.dim,
        "exact": True,
        "k": asked.k,
        "sets": asked.sets,
        **counted,
        "files": {
            table: [{name: getattr(receipt, name) for name in names} for receipt in receipts]
            for table, receipts in tables.items()
        },
        "out": query.out.url,
        "seconds": round(seconds, 1),
    }


def show(account: dict[str, Any], as_json: bool) -> None:
    """Print the account: one line of JSON, or some for people."""
    if as_json:
        print(json.dumps(account))  # one line: spark-submit mixes the log in before it
        return
    counts = account["counts"]
    what = "sets" if account["sets"] != "none" else account["kind"]
    how = f"{account['encoder']}, {account['metric']}"
    print(
        f"{counts['queries']} {what}, {counts['neighbors']} neighbors of release "
        f"{account['release']} ({how}) in {account['seconds']} s"
    )
    if account["reasons"]:
        said = ", ".join(f"{name} {times}" for name, times in account["reasons"].items())
        print(f"{counts['rejects'] + counts.get('rejected_sets', 0)} rejects: {said}")
    print(plain(f"{account['out']}: neighbors, query_rejects, query.json"))
