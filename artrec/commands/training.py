"""artrec train-encoder, export-encoder: encoders made and written out without a JVM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artrec import log
from artrec.commands.show import as_json
from artrec.commands.stores import store_of
from artrec.config import load
from artrec.errors import ConfigError, UsageError
from artrec.releases import Run, find_run
from artrec.releases.runs import attempt_name
from artrec.stages import RESULT_VERSIONS
from artrec.storage import Store, open_store

__all__ = ["show_exported", "show_trained", "trained"]


def trained(store: Store, name: str, config: str | None, assignments: Sequence[str]) -> Run:
    """The run of an encoder trained on the examples of a run; a second time it is found."""
    from artrec.encoders.making import encoder_run  # with packages that other verbs do not need
    from artrec.encoders.reader import check_engine
    from artrec.encoders.recipes import preprocess_of
    from artrec.encoders.rules import Rules

    examples = find_run(store, "train", name)
    if examples is None or not examples.receipts("examples"):
        raise UsageError(
            f"{store.url}: run train/{name} holds no examples; artrec train --set "
            "train.where=beside writes them and says its name"
        )
    settings = load(config, assignments)[0].train
    check_engine(settings.reader)
    rules = Rules.of(settings)
    wanted, stored = preprocess_of(rules).model_dump(mode="json"), examples.settings["preprocess"]
    if wanted != stored:
        raise ConfigError(
            f"the examples of run {name} are stored as {stored}, recipe {rules.recipe} wants "
            f"{wanted}: give the same train.recipe and train.side as when they were written"
        )
    version, reader = RESULT_VERSIONS["train"], settings.reader
    return encoder_run(store, attempt_name(), rules, examples, version, reader)


def show_trained(
    root: str | None, name: str, config: str | None, assignments: Sequence[str], json: bool
) -> None:
    """Train, and print which encoder it is and how it compares."""
    log.setup()
    settings = load(config, assignments)[0].store
    store = open_store(root or settings.root, settings.options)
    run = trained(store, name, config, assignments)
    facts: dict[str, Any] = {"run": run.run_id, **run.counters, **run.notes}
    if json:
        as_json(facts)
        return
    encoder_id = run.notes["encoder_id"]
    print(f"Encoder {encoder_id} is in {store.url}. To use it: --set encoder.id={encoder_id}")
    print(run.notes["why"])


def show_exported(root: str | None, encoder_id: str, to: Path, format: str) -> None:
    """Write an encoder as a file of another format, and print its path."""
    from artrec.encoders import check_named, encoder_named
    from artrec.encoders.exporting import FORMATS, Format, export

    if format not in FORMATS:
        raise UsageError(f"there is no format {format}; there are: {', '.join(FORMATS)}")
    known: Format = "onnx" if format == "onnx" else "torch"
    if (to / FORMATS[known]).exists():
        raise UsageError(f"{to / FORMATS[known]} is there already; name a folder without it")
    store = store_of(root)
    check_named(store, encoder_id)
    print(export(encoder_named(store, encoder_id), to, known))
