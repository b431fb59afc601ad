"""A comparison from its arguments to its account and its page."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from artrec import __version__, log
from artrec.commands.pictures import ingest_settings
from artrec.commands.show import grid
from artrec.config import Settings, load
from artrec.encoders.card import Card
from artrec.errors import ArtrecError, UsageError
from artrec.evaluation.floors import FLOORS
from artrec.releases import Release, find_run, read_release, table_receipts
from artrec.report import page_of_comparison
from artrec.schemas import TABLES
from artrec.stages.compare import Wanted
from artrec.stages.compare.known import (
    Sampled,
    card_of,
    check_encoders,
    known_encoder,
    repeats,
    sampled_of,
)
from artrec.stages.compare.measuring import Compared, encode_some, measure_one
from artrec.stages.compare.training import held_out_of_all, settings_over, trained_over
from artrec.stages.dangers import check_spark
from artrec.stages.ending import heed_signals, stop_spark
from artrec.stages.evaluate.ground import Ground, chosen_rows, first_rows
from artrec.stages.evaluate.scores import write_rows
from artrec.stages.frames import TaskReport, parallelism, read_frame, run_tasks, write_sorted
from artrec.stages.places import place_units, places_among
from artrec.stages.query.place import SCRATCH, own_place, put_account
from artrec.stages.rules import picture_recipe
from artrec.stages.session import describe, start_spark
from artrec.stages.slices import join_units
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter, read_table

__all__ = ["ACCOUNT", "PAGE", "beside", "show"]

ACCOUNT, PAGE = "compare.json", "index.html"
ROW_BYTES = 120  # of a place, about: only for the number of files
FIGURES = ("P", "precision", 1), ("P", "precision", 10), ("mAP", "map", 10)

Row = dict[str, Any]


def beside(wanted: Wanted, verbosity: str) -> dict[str, Any]:
    """Compare; the account that is also written as ``compare.json``.

    Encoders that are not there, or cannot encode a picture, and releases without two images to
    compare them on, are refused before Spark starts.
    """
    begun = time.monotonic()
    settings, _ = load(wanted.config, wanted.assignments)
    options = settings.store.options
    root = open_store(wanted.root or settings.store.root, options)
    release = read_release(root, wanted.release)
    sampled = sampled_of(root, release)
    check_encoders(root, wanted.encoders)
    over = settings_over(wanted)
    held_out = held_out_of_all([settings, *over.values()])
    out = open_store(wanted.out, options)
    with own_place(out, [("the root of the release", root.url)]):
        spark = start_spark("artrec compare", verbosity)
        heed_signals()
        try:
            check_spark(spark, settings)
            values = trained_over(spark, root, over)
            names = (*wanted.encoders, *values.values())
            if len(set(names)) < len(names):
                raise UsageError(f"one encoder comes twice: {', '.join(names)}; name each once")
            ground = _ground(out, sampled, wanted.images, held_out)
            found = _compared(spark, settings, root, release, ground, names)
        finally:
            stop_spark(spark)
        files, facts, rows = found
        for each in facts:
            each["value"] = next((v for v, name in values.items() if name == each["encoder"]), None)
        account = {
            "artrec": __version__,
            "release": release.release_id,
            "images": ground.sample,
            "over": wanted.swept and wanted.swept[0],
            "encoders": facts,
            "files": {"evaluation": [{"path": f.path, "rows": f.rows} for f in files]},
            "page": PAGE,
            "out": out.url,
            "seconds": round(time.monotonic() - begun, 1),
        }
        out.write(PAGE, page_of_comparison(account, rows))
        put_account(out, account, [files], ACCOUNT)
    return account | {"rows": rows}


def _compared(
    spark: SparkSession,
    settings: Settings,
    root: Store,
    release: Release,
    ground: Ground,
    names: tuple[str, ...],
) -> tuple[list[Receipt], list[Row], list[Row]]:
    """The files of the table, what is known of each encoder, and the rows."""
    encoders = [known_encoder(root, name) for name in names]
    cards = [card_of(root, name) for name in names]
    repeaters = tuple(n for n, card in zip(names, cards, strict=True) if repeats(root, n, card))
    metrics = tuple(encoder.metric for encoder in encoders)
    task = _task(spark, settings, root, release, ground, (names, metrics, repeaters))
    describe(spark, f"compare: {len(names)} encoders on {ground.sample} images")
    reports = run_tasks(spark, len(task.slices), partial(encode_some, task))
    made = [receipt for report in reports for receipt in report.receipts]
    receipts = [
        [each for each in made if each.path.startswith(f"{task.folder(place)}/")]
        for place in range(len(task.names))
    ]
    describe(spark, "compare: lists")
    measured = run_tasks(spark, len(task.names), partial(measure_one, task, receipts))
    rows = [each for report in measured for each in report.notes["rows"]]
    written = write_rows(ground.store, "", "all", rows)
    log.get(stage="compare").info("done", encoders=len(names), images=ground.sample)
    facts = [
        _own(root, name, card) | _times(task.names[place], reports)
        for place, (name, card) in enumerate(zip(names, cards, strict=True))
    ]
    for place, name in enumerate(FLOORS, len(names)):
        facts.append(_floor(name, measured[place].notes["dim"]) | _times(name, reports))
    return written, facts, rows


def _ground(out: Store, sampled: Sampled, images: int | None, held_out: float) -> Ground:
    """The images that the release's evaluation sampled, or the first of them in its order.

    They are copied: at most evaluate.queries, and what evaluate.sample and evaluate.map_points say.
    """
    table = TABLES["chosen_images"]
    with TableWriter(out, SCRATCH, table, "chosen", even_empty=True) as writer:
        for batch in read_table(sampled.root, sampled.receipts):
            writer.write(batch)
    count = min(images or sampled.images, sampled.images)
    return Ground(
        store=out,
        folder=SCRATCH,
        live=(),
        evaluated=(),
        chosen=tuple(writer.receipts),
        encoder=FLOORS[0],  # chance is told with the numbers of this one, which has all vectors
        metric="",
        k=0,
        queries=count,
        sample=count,
        map_points=0,
        block=0,
        held_out=held_out,
    )


def _task(
    spark: SparkSession,
    settings: Settings,
    root: Store,
    release: Release,
    ground: Ground,
    encoders: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
) -> Compared:
    """With the places of the pictures, cut into slices of about as many bytes.

    ``encoders`` are their names, their metrics and which of them repeat pictures.
    """
    out, ingest = ground.store, ingest_settings(release)
    describe(spark, "compare: places")
    chosen = read_frame(spark, out, ground.chosen, TABLES["chosen_images"])
    wanted = chosen.filter(F.col("sample_place") < ground.sample)
    pictures = tuple(table_receipts(root, release, "pictures"))
    places = places_among(spark, root, pictures, picture_recipe(ingest), wanted)
    size = ground.sample * ROW_BYTES
    pending = tuple(write_sorted(places, out, SCRATCH, TABLES["pending_pictures"], size))
    _check_there(ground, pending)
    units = list(place_units(out, pending, pictures))
    slices = tuple(join_units(units, settings.embed.slice_bytes, parallelism(spark)))
    return Compared(root, *encoders, ground, pictures, pending, slices, ingest)


def _check_there(ground: Ground, pending: Sequence[Receipt]) -> None:
    """An image without its picture would be judged by the vector of another."""
    rows = first_rows(chosen_rows(ground), ground.sample, "sample_place")
    contents = len(rows.column("content_sha256").unique())
    missing = contents - sum(receipt.rows for receipt in pending)
    if missing:
        raise ArtrecError(
            f"{missing} of {contents} pictures are not in the release's table pictures; artrec "
            "releases verify says whether the release is whole"
        )


def _own(root: Store, name: str, card: Card) -> Row:
    """What a card and the record of its training say."""
    training = card.training
    run = find_run(root, "train", training.run) if training else None
    return {
        "encoder": name,
        "architecture": card.architecture,
        "dim": card.dim,
        "metric": card.metric,
        "vector_bytes": 4 * card.dim,
        "weights_bytes": card.weights.bytes if card.weights else 0,
        "trained_on": training.pictures if training else None,
        "training_seconds": round(run.seconds, 1) if run else None,
    }


def _floor(name: str, dim: int) -> Row:
    facts = {"encoder": name, "architecture": "floor", "dim": dim, "metric": "cosine"}
    more = {"trained_on": None, "training_seconds": None}
    return facts | {"vector_bytes": 4 * dim, "weights_bytes": 0} | more


def _times(name: str, reports: Sequence[TaskReport]) -> Row:
    """Milliseconds of a processor for one picture among many; the mean error of those repeated."""
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report.notes[name])
    pictures, rejected = int(total["pictures"]), int(total["rejected"])
    return {
        "pictures": pictures,
        "rejected": rejected,
        "no_vector": int(total["no_vector"]),
        "decode_ms": round(1000 * total["decode_seconds"] / pictures, 3),
        "encode_ms": round(1000 * total["encode_seconds"] / pictures, 3),
        "reconstruction_error": total["error"] / max(1, pictures - rejected) or None,
    }


def show(account: dict[str, Any], as_json: bool) -> None:
    """Print the account: one line of JSON, or a grid for people."""
    rows = account.pop("rows")
    if as_json:
        print(json.dumps(account))
        return
    found = {
        (row["encoder"], row["label"], row["measure"], row["k"]): row["value"]
        for row in rows
        if (row["pool"], row["variant"], row["average"]) == ("sample", "all", "micro")
    }
    labels = [each for each in ("artist", "style") if each in {key[1] for key in found}]
    keys = {
        f"{label} {short}@{k}": (label, measure, k)
        for label in labels
        for short, measure, k in FIGURES
    }
    lines = [
        [
            each["encoder"],
            each["dim"],
            f"{each['decode_ms'] + each['encode_ms']:.1f}",
            *(_figure(found.get((each["encoder"], *key))) for key in keys.values()),
        ]
        for each in account["encoders"]
    ]
    grid(["encoder", "numbers", "ms", *keys], lines)
    print(f"{account['images']:,} images of release {account['release']}: {account['out']}")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
