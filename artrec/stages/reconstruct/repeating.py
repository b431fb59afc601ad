"""A reconstruction from its arguments to its account."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from artrec import __version__, log
from artrec.commands.pictures import ingest_settings, stored_pictures
from artrec.config import IngestSettings, Settings, load
from artrec.errors import ArtrecError
from artrec.releases import Release, read_release, table_receipts
from artrec.report import Tile, difference, draw_sheet
from artrec.schemas import TABLES
from artrec.stages.dangers import check_spark
from artrec.stages.decoding import Pixels, decode_here, decoder
from artrec.stages.ending import heed_signals, stop_spark
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    add_counters,
    parallelism,
    read_frame,
    run_tasks,
    write_sorted,
)
from artrec.stages.places import place_units, placed_pictures, places_among
from artrec.stages.query.place import SCRATCH, own_place, put_account
from artrec.stages.reconstruct import Wanted
from artrec.stages.rejects import Rejected
from artrec.stages.rules import picture_limits, picture_recipe
from artrec.stages.session import describe, start_spark
from artrec.stages.slices import SliceSpec, join_units
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter

if TYPE_CHECKING:
    from artrec.encoders.networks.repeating import Repeater

__all__ = ["ACCOUNT", "ERRORS", "SHEET", "repeat", "show"]

ERRORS, REPEATED = "reconstruction_errors", "repeated_pictures"
ACCOUNT, SHEET = "reconstruct.json", "worst.png"
ROW_BYTES = 120  # of an image, about: only for the number of files


@dataclass(frozen=True)
class _Task:
    """What the tasks know; travels to them."""

    root: Store
    out: Store
    encoder: str
    ingest: IngestSettings
    pending: tuple[Receipt, ...]
    pictures: tuple[Receipt, ...]
    slices: tuple[SliceSpec, ...]
    batch: int


def repeat(wanted: Wanted, verbosity: str) -> dict[str, Any]:
    """Repeat all pictures; the account that is also written as ``reconstruct.json``.

    ConfigError for an encoder that cannot repeat pictures, before Spark starts.
    """
    begun = time.monotonic()
    settings, _ = load(wanted.config, wanted.assignments)
    options = settings.store.options
    root = open_store(wanted.root or settings.store.root, options)
    release = read_release(root, wanted.release)
    encoder = wanted.encoder or str(release.stages["embed"].notes["encoder_id"])
    repeater = _repeater(root, encoder)
    out = open_store(wanted.out, options)
    with own_place(out, [("the root of the release", root.url)]):
        spark = start_spark("artrec reconstruct", verbosity)
        heed_signals()
        try:
            check_spark(spark, settings)
            files, counts, worst = _repeated(spark, settings, root, release, encoder, out, wanted)
        finally:
            stop_spark(spark)
        if worst:
            out.write(SHEET, _sheet(root, release, repeater, worst, encoder))
        account = {
            "artrec": __version__,
            "release": release.release_id,
            "encoder": encoder,
            "counts": counts,
            "files": {ERRORS: [{"path": f.path, "rows": f.rows, "bytes": f.bytes} for f in files]},
            "worst": SHEET if worst else None,
            "out": out.url,
            "seconds": round(time.monotonic() - begun, 1),
        }
        put_account(out, account, [files], ACCOUNT)
    return account


@cache
def _repeater(root: Store, encoder: str) -> Repeater:
    """Of this process; loaded once. With torch, which whoever only asks for help does not need."""
    from artrec.encoders.networks.repeating import load_repeater

    return load_repeater(root, encoder)


def _repeated(
    spark: SparkSession,
    settings: Settings,
    root: Store,
    release: Release,
    encoder: str,
    out: Store,
    wanted: Wanted,
) -> tuple[list[Receipt], dict[str, int], list[dict[str, Any]]]:
    """The files of the table, what is counted, and the worst rows."""
    ingest = ingest_settings(release)
    catalog, pictures = (table_receipts(root, release, name) for name in ("catalog", "pictures"))
    images = read_frame(spark, root, catalog, TABLES["catalog"], ["image_id", "content_sha256"])
    describe(spark, "reconstruct: places")
    places = places_among(spark, root, pictures, picture_recipe(ingest), images)
    rows = sum(receipt.rows for receipt in catalog)
    table = TABLES["pending_pictures"]
    pending = write_sorted(places, out, SCRATCH, table, rows * ROW_BYTES)
    units = list(place_units(out, pending, pictures))
    slices = join_units(units, settings.embed.slice_bytes, parallelism(spark))
    lists = tuple(pending), tuple(pictures), tuple(slices)
    task = _Task(root, out, encoder, ingest, *lists, settings.embed.batch)
    describe(spark, f"reconstruct: {len(slices)} slices")
    reports = run_tasks(spark, len(slices), partial(_slice, task))
    found = [receipt for report in reports for receipt in report.receipts]
    made = read_frame(spark, out, found, TABLES[REPEATED])
    named = images.join(made, "content_sha256")
    files = write_sorted(named, out, "", TABLES[ERRORS], rows * ROW_BYTES)
    written = sum(receipt.rows for receipt in files)
    if written != rows:
        raise ArtrecError(
            f"{written} images have an error, the catalog has {rows}; artrec releases verify says "
            "whether the release is whole"
        )
    errors = read_frame(spark, out, files, TABLES[ERRORS])
    order = [F.desc_nulls_last("error"), F.col("image_id")]
    worst = errors.filter("error is not null").orderBy(*order).limit(wanted.worst).collect()
    counts = add_counters(report.counters for report in reports)
    counts = {"images": rows} | {name: counts.get(name, 0) for name in ("repeated", "rejected")}
    log.get(stage="reconstruct").info("done", **counts)
    shown = [row.asDict() | {"content_sha256": bytes(row.content_sha256)} for row in worst]
    return files, counts, shown


def _slice(task: _Task, attempt: Attempt) -> TaskReport:
    """One task: the errors of the pictures of a slice."""
    repeater, table = _repeater(task.root, task.encoder), TABLES[REPEATED]
    counters = {"repeated": 0, "rejected": 0}
    spec = task.slices[attempt.index]
    with (
        TableWriter(task.out, SCRATCH, table, attempt.stem) as writer,
        decoder(repeater.preprocess, task.ingest, in_child=attempt.number > 0) as decode,
    ):
        for rows, data in placed_pictures(task.root, task.pending, task.pictures, spec, task.out):
            found = [decode(each) for each in data]
            errors = iter(_errors(repeater, found, task.batch))
            made = [
                {
                    "content_sha256": row["content_sha256"],
                    "error": None if isinstance(each, Rejected) else next(errors),
                    "reason": each.reason if isinstance(each, Rejected) else None,
                }
                for row, each in zip(rows, found, strict=True)
            ]
            if made:
                writer.write(pa.RecordBatch.from_pylist(made, schema=table.columns))
            rejected = sum(row["reason"] is not None for row in made)
            counters["rejected"] += rejected
            counters["repeated"] += len(made) - rejected
    return TaskReport(receipts=writer.receipts, counters=counters)


def _errors(repeater: Repeater, found: Sequence[Pixels | Rejected], batch: int) -> Iterator[float]:
    pixels = [each for each in found if not isinstance(each, Rejected)]
    for start in range(0, len(pixels), batch):
        _, errors = repeater.repeat(np.stack(pixels[start : start + batch]))
        yield from errors.tolist()


def _sheet(
    root: Store, release: Release, repeater: Repeater, worst: list[dict[str, Any]], encoder: str
) -> bytes:
    """The worst pictures as the network sees them, what it makes of them, and the difference."""
    limits = picture_limits(ingest_settings(release))
    contents = {row["content_sha256"] for row in worst}
    data = dict(stored_pictures(root, release, contents))
    tiles = []
    for row in worst:
        seen = decode_here(repeater.preprocess, limits, data[row["content_sha256"]])
        if isinstance(seen, Rejected):
            continue
        made = repeater.repeat(seen[None])[0][0]
        name = row["image_id"].rpartition("/")[2]
        tiles += [
            Tile(seen, [f"error {row['error']:.5f}", name]),
            Tile(made, ["repeated"]),
            Tile(difference(seen, made), ["difference"]),
        ]
    title = f"{len(tiles) // 3} worst pictures of release {release.release_id}, by {encoder}"
    return draw_sheet(title, tiles, across=6)


def show(account: dict[str, Any], as_json: bool) -> None:
    """Print the account: one line of JSON, or some for people."""
    if as_json:
        print(json.dumps(account))
        return
    counts = account["counts"]
    print(
        f"{counts['images']} images, {counts['repeated']} pictures repeated by "
        f"{account['encoder']}, {counts['rejected']} not decoded: {account['out']}"
    )
