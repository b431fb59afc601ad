"""train: pictures become an encoder; without labels, by learning to repeat them.

Its network runs in the driver's process: Spark makes the examples, the training reads them through
the Store. What comes out stands in the store under a name, beside the encoders that are there; a
release never changes its own. Only where nothing names an encoder, on a store's first night, the
better one of the new encoder and the hand-made one is named for that release.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from artrec import log, picture
from artrec.config import Settings
from artrec.digests import name_of
from artrec.encoders import Encoder, checkpoints, contest, load_encoder
from artrec.encoders.card import Card, Training, save_encoder
from artrec.encoders.handmade import HANDMADE
from artrec.encoders.recipes import Made, preprocess_of, train
from artrec.encoders.rules import Rules
from artrec.errors import TrainingError
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    find_run,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.encoding import keep_encoder
from artrec.stages.rules import ingest_rules
from artrec.stages.session import describe
from artrec.stages.train.examples import examples_begun, examples_run
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table

__all__ = ["RESULT_VERSION", "chooses", "run", "tonight"]

RESULT_VERSION = RESULT_VERSIONS["train"]
LEAST = 2  # examples to train on: less their mean, a single one would leave nothing
AT_ONCE = 64
MOST = 2000  # held-out examples that the comparison looks at, by their hashes

Row = dict[str, Any]
Pixels = NDArray[np.uint8]


def chooses(settings: Settings, draft: Draft) -> bool:
    """Whether nothing names an encoder yet, so that the draft is to name one."""
    return not settings.encoder.id and draft.base.release is None


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Train on the pictures of the open draft, else of the current release.

    TrainingError where there are too few of them, or where the training diverges.
    """
    return _run(spark, settings, draft, always=True)


def tonight(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """The same as a part of a night, where a training that cannot win is left out."""
    return _run(spark, settings, draft, always=False)


def _run(spark: SparkSession, settings: Settings, draft: Draft, always: bool) -> StageRuns:
    begun, choosing = time.monotonic(), chooses(settings, draft)
    rules = Rules.of(settings.train)
    wanted = preprocess_of(rules)
    examples = examples_begun(settings, draft, wanted).run_id
    inputs = name_of({"version": RESULT_VERSION, "examples": examples, "rules": asdict(rules)})
    known = draft.known("train", inputs) if choosing else None
    if known is not None and (known.notes["trained"] or not always):
        return draft.record(known)
    if choosing:
        draft.begin_work()
    found = examples_run(spark, settings, draft, wanted)
    reached("train.examples")
    made = StageRuns(stage="train", inputs=inputs, tables={"examples": [RunRef.of(found)]})
    short = _shortage(found.counters, always)
    if short and always:
        raise TrainingError(short)
    describe(spark, "train")
    made = made.model_copy(
        update=_declined(short) if short else _trained(settings, draft, rules, found, made.tables)
    )
    made = made.model_copy(
        update={
            "counters": {**found.counters, **made.counters},
            "seconds": time.monotonic() - begun,
        }
    )
    log.get(stage="train").info("done", **made.notes)
    keep_encoder(draft.store, "handmade", None)
    return draft.record(made) if choosing else made


def _shortage(counters: dict[str, int], always: bool) -> str:
    """Why there will be no training; empty where there are examples enough."""
    held_out = counters.get("held_out", 0)
    training = counters.get("examples", 0) - held_out
    if training < LEAST or held_out < 1:
        return (
            f"too few pictures to train on: {training} for training and {held_out} held out; "
            f"{LEAST} and 1 are the least (train.held_out, train.max_pictures)"
        )
    if not always and held_out < contest.ENOUGH:
        return (
            f"only {held_out} held-out examples: fewer than {contest.ENOUGH} cannot show that a "
            "trained encoder is better, so none was trained"
        )
    return ""


def _declined(why: str) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "encoder_id": HANDMADE,
        "why": f"hand-made: {why}",
        "trained": None,
        "compared": {},
    }
    return {"notes": notes}


def _trained(
    settings: Settings, draft: Draft, rules: Rules, examples: Run, tables: dict[str, list[RunRef]]
) -> dict[str, Any]:
    """What the record of a training says: its tables, counters and notes."""
    found = _training_run(settings, draft, rules, examples)
    reached("train.run")
    encoder_id = str(found.notes["encoder_id"])
    won, why, compared = _compared(draft.store, encoder_id, examples)
    notes = {
        "encoder_id": encoder_id if won else HANDMADE,
        "why": why,
        "trained": encoder_id,
        "compared": compared,
    }
    notes |= {n: found.notes[n] for n in ("best_epoch", "best_loss") if n in found.notes}
    ref = RunRef.of(found)
    tables = {**tables, "curves": [ref], "reconstructions": [ref]}
    return {"tables": tables, "counters": found.counters, "notes": notes}


def _training_run(settings: Settings, draft: Draft, rules: Rules, examples: Run) -> Run:
    """The run of curves and reconstructions, with the encoder in the store before it."""
    begun, store = time.monotonic(), draft.store
    inputs = {
        "examples": examples.digest("examples", ("split",)),
        "rules": ingest_rules(settings.ingest),
    }
    run = begin_run("train", RESULT_VERSION, inputs, asdict(rules))
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads spin beside others' work else
    kept = f"runs/{run.stage}/{run.run_id}/checkpoints"
    # imports torch, where the recipe needs it, which reads the variable
    made = train(store, examples.receipts("examples"), rules, kept)
    card = _card(run, rules, made, examples.counters["held_out"])
    encoder_id = save_encoder(store, card, made.tensors, _readme(card))
    folder = run.folder(draft.attempt)
    tables = {
        "curves": _written(store, folder, "curves", _curves(made)),
        "reconstructions": _written(
            store, folder, "reconstructions", [asdict(each) for each in made.reconstructions]
        ),
    }
    notes: dict[str, Any] = {"encoder_id": encoder_id}
    if made.best is not None:
        notes |= {"best_epoch": made.best.epoch, "best_loss": made.best.held_out_loss}
    counters = {"epochs": len(made.epochs)}
    recorded = record_run(store, run.done(tables, begun, counters, notes))
    checkpoints.clear(store, kept)
    return recorded


def _written(store: Store, folder: str, table: str, rows: list[Row]) -> list[Receipt]:
    with TableWriter(store, folder, TABLES[table], "driver", even_empty=True) as writer:
        if rows:
            writer.write(pa.RecordBatch.from_pylist(rows, schema=TABLES[table].columns))
    return writer.receipts


def _curves(made: Made) -> list[Row]:
    return [
        {"epoch": each.epoch, "measure": measure, "value": float(value)}
        for each in made.epochs
        for measure, value in sorted(each.model_dump(exclude={"epoch"}).items())
    ]


def _card(run: Run, rules: Rules, made: Made, held_out: int) -> Card:
    best = made.best
    return Card(
        name=made.name or rules.recipe,
        architecture=made.architecture,
        dim=made.dim,
        metric=made.metric,
        preprocess=made.preprocess,
        parameters=made.parameters,
        notes=made.notes,
        training=Training(
            run=run.run_id,
            pictures=made.pictures,
            held_out=held_out,
            epochs=len(made.epochs),
            best_epoch=best.epoch if best else None,
            best_loss=best.held_out_loss if best else None,
            seed=rules.seed,
        ),
    )


def _readme(card: Card) -> str:
    """The model card for people."""
    how = card.training
    assert how is not None
    height, width = card.preprocess.size
    best = ""
    if how.best_epoch is not None:
        best = (
            f"- Best of {how.epochs} epochs: {how.best_epoch}, with a loss of "
            f"{how.best_loss:.5f} on the held-out pictures.\n"
        )
    return (
        f"# {card.name}\n\n"
        f"An encoder of artrec: pictures in, {card.dim} numbers out, to be compared by "
        f"{card.metric}.\n\n"
        f"- What: {card.notes}.\n"
        f"- Sees: the picture by {card.preprocess.fit} at {width}x{height} pixels "
        f"({card.preprocess.filter}), RGB.\n"
        f"- Trained on {how.pictures:,} pictures; {how.held_out:,} others were held out.\n"
        f"{best}"
        f"- Seed {how.seed}, run `train/{how.run}`: its tables hold curves and reconstructions.\n"
    )


def _compared(store: Store, encoder_id: str, examples: Run) -> tuple[bool, str, dict[str, Any]]:
    """Whether the encoder beats the hand-made one on held-out examples, a sentence, and figures.

    It sees the examples, which are the very pixels that its preprocess makes of a picture; the
    hand-made one has seen the stored pictures themselves, by its own preprocess.
    """
    encoder = load_encoder(store, encoder_id)
    rows = list(islice(_held_out(store, examples), MOST))
    ours = _seen(encoder, rows)
    keys = [row["content_sha256"] for row in rows]
    theirs, others = _handmade(store, examples.receipts("held_out_vectors"), keys)
    for label in ("artist", "style"):
        names = [row[label] for row in rows]
        if contest.has_enough(names):
            scores = [
                contest.by_label(label, ours, names, encoder.metric),
                contest.by_label(label, theirs, names),
            ]
            break
    else:
        copies = _seen(encoder, rows, contest.altered)
        scores = [
            contest.by_copies(ours, copies, encoder.metric),
            contest.by_copies(theirs, others),
        ]
    won, why = contest.verdict(*scores)
    figures = zip(("trained", "handmade"), scores, strict=True)
    return won, why, {name: asdict(score) for name, score in figures}


def _seen(
    encoder: Encoder, rows: Sequence[Row], changed: Callable[[Pixels], Pixels] = lambda same: same
) -> NDArray[np.float32]:
    """The vectors of these examples, or of what becomes of them; few pictures at a time."""
    wanted = (encoder.preprocess.size, encoder.preprocess.fit, encoder.preprocess.filter)
    parts = [np.empty((0, encoder.dim), np.float32)]
    for start in range(0, len(rows), AT_ONCE):
        data = (row["picture"] for row in rows[start : start + AT_ONCE])
        pixels = np.stack([picture.decode(each, picture.Limits(), *wanted) for each in data])
        parts.append(encoder.encode(changed(pixels)))
    return np.concatenate(parts)


def _handmade(
    store: Store, receipts: Sequence[Receipt], keys: Sequence[bytes]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The hand-made encoder's vectors of these examples, and of their copies: [n, dim] each.

    All held-out examples are read past; only those asked for become numbers of Python.
    """
    wanted, found = set(keys), {}
    for batch in read_table(store, receipts):
        names = batch.column("content_sha256").to_pylist()
        mine = [place for place, name in enumerate(names) if name in wanted]
        for row in batch.take(pa.array(mine, pa.int64())).to_pylist():
            found[row["content_sha256"]] = (row["embedding"], row["copy_embedding"])
    first, copies = (np.array([found[key][n] for key in keys], np.float32) for n in range(2))
    return first, copies


def _held_out(store: Store, examples: Run) -> Iterator[Row]:
    columns = ["content_sha256", "split", "picture", "style", "artist"]
    for batch in read_table(store, examples.receipts("examples"), columns):
        for row in batch.to_pylist():
            if row["split"] == "held_out":
                yield row
