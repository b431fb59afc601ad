"""train: pictures become an encoder, by the recipe that is set; without labels, unless it asks.

Its network runs in the driver's process, or in one beside the cluster: Spark makes the examples,
the training reads them through the Store. What comes out stands in the store under a name, beside
the encoders that are there; a release never changes its own. Only where nothing names an encoder,
on a store's first night, the better one of the new encoder and the hand-made one is named for that
release.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.digests import name_of
from artrec.encoders import contest
from artrec.encoders.handmade import HANDMADE
from artrec.encoders.making import encoder_begun, encoder_run, shortage
from artrec.encoders.reader import check_engine
from artrec.encoders.recipes import preprocess_of
from artrec.encoders.rules import Rules
from artrec.errors import TrainingError
from artrec.failpoints import reached
from artrec.releases import Draft, Run, RunRef, StageRuns, find_run
from artrec.stages import RESULT_VERSIONS
from artrec.stages.encoding import keep_encoder
from artrec.stages.session import describe
from artrec.stages.train.examples import examples_begun, examples_run

__all__ = ["RESULT_VERSION", "chooses", "run", "tonight"]

RESULT_VERSION = RESULT_VERSIONS["train"]


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
    if settings.train.where == "driver":
        check_engine(settings.train.reader)
    rules = Rules.of(settings.train)
    wanted = preprocess_of(rules)
    examples = examples_begun(settings, draft, wanted).run_id
    inputs = name_of({"version": RESULT_VERSION, "examples": examples, "rules": asdict(rules)})
    known = draft.known("train", inputs) if choosing else None
    if known is not None and _is_settled(known, always):
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
    short = short or _beside(settings, draft, rules, found)
    made = made.model_copy(
        update=_declined(short, found)
        if short
        else _trained(settings, draft, rules, found, made.tables)
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


def _is_settled(known: StageRuns, always: bool) -> bool:
    """Whether asking again can say nothing else; what waited for a training beside may have it."""
    return bool(known.notes["trained"] or (not always and _shortage(known.counters, always)))


def _shortage(counters: dict[str, int], always: bool) -> str:
    """Why there will be no training; empty where there are examples enough."""
    held_out = counters.get("held_out", 0)
    short = shortage(counters)
    if not short and not always and held_out < contest.ENOUGH:
        return (
            f"only {held_out} held-out examples: fewer than {contest.ENOUGH} cannot show that a "
            "trained encoder is better, so none was trained"
        )
    return short


def _beside(settings: Settings, draft: Draft, rules: Rules, examples: Run) -> str:
    """Why this is not the place to train; empty where it is, or where it was done beside."""
    run = encoder_begun(rules, examples, RESULT_VERSION)
    if settings.train.where == "driver" or find_run(draft.store, run.stage, run.run_id):
        return ""
    return f"its examples wait to be trained on, by artrec train-encoder {examples.run_id}"


def _declined(why: str, examples: Run) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "encoder_id": HANDMADE,
        "why": f"hand-made: {why}",
        "trained": None,
        "compared": {},
        "examples": examples.run_id,
    }
    return {"notes": notes}


def _trained(
    settings: Settings, draft: Draft, rules: Rules, examples: Run, tables: dict[str, list[RunRef]]
) -> dict[str, Any]:
    """What the record of a training says: its tables, counters and notes."""
    reader = settings.train.reader
    found = encoder_run(draft.store, draft.attempt, rules, examples, RESULT_VERSION, reader)
    reached("train.run")
    trained = str(found.notes["encoder_id"])
    same = ("why", "compared", "best_epoch", "best_loss")
    notes = {
        "encoder_id": trained if found.notes["won"] else HANDMADE,
        "trained": trained,
        **{name: found.notes[name] for name in same if name in found.notes},
    }
    ref = RunRef.of(found)
    tables = {**tables, "curves": [ref], "reconstructions": [ref], "epoch_reconstructions": [ref]}
    return {"tables": tables, "counters": found.counters, "notes": notes}
