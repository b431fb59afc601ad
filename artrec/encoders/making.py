"""From examples to an encoder in the store: train, compare, write its card, record the run.

It knows no Spark: the stage calls it on the driver, and ``artrec train-encoder`` in a process of
its own. Both come to the same run under the same name, so that either finds what the other made.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from artrec import log
from artrec.encoders import checkpoints, seen
from artrec.encoders.card import Card, Training, pack, packed, read_encoder, save_encoder
from artrec.encoders.comparing import Compared, compared
from artrec.encoders.readme import readme
from artrec.encoders.recipes import Made, read_by_recipe, train, unread
from artrec.encoders.rules import Rules
from artrec.errors import TrainingError
from artrec.releases import Run, begin_run, find_run, record_run
from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter

__all__ = ["LEAST", "encoder_begun", "encoder_run", "shortage"]

LEAST = 2
"""Examples to train on: less their mean, a single one would leave nothing."""

Row = dict[str, Any]


def shortage(counters: Mapping[str, int]) -> str:
    """Why there will be no training; empty where there are examples enough."""
    held_out = counters.get("held_out", 0)
    training = counters.get("examples", 0) - held_out
    if training >= LEAST and held_out >= 1:
        return ""
    return (
        f"too few pictures to train on: {training} for training and {held_out} held out; "
        f"{LEAST} and 1 are the least (train.held_out, train.max_pictures)"
    )


def encoder_begun(rules: Rules, examples: Run, version: int) -> Run:
    """The run of a training, by name."""
    inputs = {
        "examples": examples.digest("examples", ("split",)),
        "rules": examples.inputs["rules"],
    }
    return begin_run("train", version, inputs, asdict(rules))


def encoder_run(
    store: Store, attempt: str, rules: Rules, examples: Run, version: int, reader: str = "arrow"
) -> Run:
    """The run of curves and reconstructions, with the encoder in the store before it.

    ``reader`` is the engine that reads the examples; whichever, the run is the same.
    TrainingError for too few examples; else what the recipe says.
    """
    begun, run = time.monotonic(), encoder_begun(rules, examples, version)
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    short = shortage(examples.counters)
    if short:
        raise TrainingError(short)
    for name in unread(rules):
        why = f"recipe {rules.recipe} does not read it"
        log.get(stage="train").warning("setting without effect", setting=f"train.{name}", why=why)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads spin beside others' work else
    kept = f"runs/{run.stage}/{run.run_id}/checkpoints"
    # imports torch, where the recipe needs it, which reads the variable
    made = train(store, examples.receipts("examples"), rules, kept, reader)
    recorded = record_run(store, _done(store, attempt, run, rules, examples, made, begun))
    checkpoints.clear(store, kept)
    seen.clear(store, kept)
    return recorded


def _done(
    store: Store, attempt: str, run: Run, rules: Rules, examples: Run, made: Made, begun: float
) -> Run:
    """The run with its files, once the encoder stands in the store."""
    card = _card(run, rules, made, examples.counters["held_out"])
    encoder = read_encoder(*pack(card, made.tensors))
    receipts = examples.receipts("examples"), examples.receipts("held_out_vectors")
    result = compared(store, encoder, *receipts)
    text = readme(card, made, result, encoder.id)
    encoder_id = save_encoder(store, card, made.tensors, text, made.decoder)
    folder = run.folder(attempt)
    shown = [asdict(each) for each in made.reconstructions]
    names = TABLES["epoch_reconstructions"].columns.names[1:]
    steps = [
        {"epoch": epoch, **{name: getattr(each, name) for name in names}}
        for epoch, each in made.by_epoch
    ]
    tables = {
        "curves": _written(store, folder, "curves", _curves(made)),
        "reconstructions": _written(store, folder, "reconstructions", shown),
        "epoch_reconstructions": _written(store, folder, "epoch_reconstructions", steps),
    }
    notes = {"encoder_id": encoder_id, **_best(made), **_told(result)}
    return run.done(tables, begun, {"epochs": len(made.epochs)}, notes)


def _best(made: Made) -> dict[str, Any]:
    if made.best is None:
        return {}
    return {"best_epoch": made.best.epoch, "best_loss": made.best.held_out_loss}


def _told(result: Compared) -> dict[str, Any]:
    figures = {"trained": asdict(result.trained), "handmade": asdict(result.handmade)}
    return {"won": result.won, "why": result.why, "compared": figures}


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
        license=rules.license,
        training=Training(
            run=run.run_id,
            pictures=made.pictures,
            held_out=held_out,
            epochs=len(made.epochs),
            best_epoch=best.epoch if best else None,
            best_loss=best.held_out_loss if best else None,
            seed=rules.seed,
            settings=json.loads(json.dumps(read_by_recipe(rules))),
            decoder=packed(made.decoder)[1],
        ),
    )


def _curves(made: Made) -> list[Row]:
    return [
        {"epoch": each.epoch, "measure": measure, "value": float(value)}
        for each in made.epochs
        for measure, value in sorted(each.model_dump(exclude={"epoch"}).items())
    ]


def _written(store: Store, folder: str, table: str, rows: list[Row]) -> list[Receipt]:
    with TableWriter(store, folder, TABLES[table], "driver", even_empty=True) as writer:
        if rows:
            writer.write(pa.RecordBatch.from_pylist(rows, schema=TABLES[table].columns))
    return writer.receipts
