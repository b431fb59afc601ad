"""Several processes that train one network: equal weights, every row once, as one would do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artrec.encoders import learning, processes
from artrec.encoders.learning import Learner
from artrec.encoders.networks import Autoencoder, architecture_of
from artrec.encoders.processes import ALONE, Group, together
from artrec.encoders.reader import Batch, open_reader
from artrec.encoders.recipes import preprocess_of
from artrec.encoders.rules import Rules
from artrec.encoders.training import train
from artrec.errors import ConfigError, TrainingError
from artrec.storage import Store, open_store
from artrec.tables import Receipt
from tests.encoders.examples import examples, written

RULES = Rules(side=8, channels=(6, 12), epochs=2, batch=6, learning_rate=0.01, patience=9, seed=3)
HERE = "tests.encoders.test_processes"


def network() -> Autoencoder:
    family = architecture_of("convolutional")
    torch.manual_seed(RULES.seed)
    return family.autoencoder(family.wanted(RULES), (8, 8))


def learned(group: Group, store: Store, receipts: Sequence[Receipt]) -> Learner:
    work = Learner(store, receipts, RULES, network(), preprocess_of(RULES), "mse", group)
    for epoch in (1, 2):
        work.epoch(epoch)
    return work


def kept(group: Group, store: Store, receipts: Sequence[Receipt], name: str) -> None:
    """One process's training, its weights and what it was given, written for the test to see."""
    given: list[list[bytes]] = []
    reader = learning.open_reader

    class Watched:
        def __init__(self, *of: Any) -> None:
            self._reader, self._side = reader(*of), of[-1]

        def batches(self, columns: Sequence[str], *which: int) -> Iterator[Batch]:
            for batch in self._reader.batches(columns, *which):
                if self._side == "train":
                    given.append([which[2].to_bytes(1, "big") + h for h in batch["content_sha256"]])
                yield batch

    learning.open_reader = Watched
    try:
        work = learned(group, store, receipts)
    finally:
        learning.open_reader = reader
    arrays = {"rows": np.frombuffer(b"".join(chain(*given)), np.uint8), **work.weights()}
    np.savez(f"{name}-{group.rank}.npz", **arrays)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store, list[Receipt]]:
    """Two processes, 17 training rows in 6 row groups: their shares are not equal."""
    place = tmp_path_factory.mktemp("two")
    store = open_store(str(place / "store"))
    receipts = written(store, examples(17, 5), 4)
    name = str(place / "kept")
    with together(2, f"{HERE}:kept", (store, receipts, name)) as group:
        kept(group, store, receipts, name)
    return place, store, receipts


def test_both_have_the_same_weights_at_the_end(two: tuple[Path, Store, list[Receipt]]) -> None:
    first, second = (np.load(two[0] / f"kept-{rank}.npz") for rank in (0, 1))
    names = set(first.files) - {"rows"}
    assert names == set(second.files) - {"rows"}
    assert all(np.array_equal(first[name], second[name]) for name in names)


def test_their_rows_together_are_every_row_of_each_epoch_once(
    two: tuple[Path, Store, list[Receipt]],
) -> None:
    rows = [np.load(two[0] / f"kept-{rank}.npz")["rows"].tobytes() for rank in (0, 1)]
    parts = [[each[n : n + 33] for n in range(0, len(each), 33)] for each in rows]
    wanted = sorted(
        bytes([epoch]) + row["content_sha256"]
        for epoch in (1, 2)
        for row in examples(17, 5)
        if row["split"] == "train"
    )
    assert sorted(parts[0] + parts[1]) == wanted
    assert 0 < len(parts[0]) != len(parts[1]) > 0


def test_one_process_that_is_given_the_same_batches_comes_to_the_same_weights(
    two: tuple[Path, Store, list[Receipt]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, store, receipts = two

    class Both:
        """The batches of two readers, step by step as one."""

        def __init__(self, engine: str, store: Store, receipts: Any, batch: int, of: str) -> None:
            parts = batch - batch // 2, batch // 2
            self._readers = [open_reader(engine, store, receipts, part, of) for part in parts]

        def batches(self, columns: Sequence[str], *which: int) -> Iterator[Batch]:
            turns = [r.batches(columns, n, 2, *which[2:]) for n, r in enumerate(self._readers)]
            while found := [batch for turn in turns if (batch := next(turn, None))]:
                yield {name: list(chain(*(batch[name] for batch in found))) for name in columns}

    monkeypatch.setattr(learning, "open_reader", Both)
    alone = learned(ALONE, store, receipts).weights()
    first = np.load(place / "kept-0.npz")
    for name, array in alone.items():
        assert np.allclose(first[name], array, atol=2e-5), name


def counted(group: Group, store: Store, receipts: Sequence[Receipt], name: str) -> None:
    """An epoch of a network that counts running means; its weights, and where they ended."""
    rules = replace(RULES, recipe="separable", side=17)
    family, seen = architecture_of("separable"), preprocess_of(rules)
    torch.manual_seed(3)
    work = Learner(
        store, receipts, rules, family.autoencoder(family.wanted(rules), seen.size), seen, "mse",
        group,
    )  # fmt: skip
    work.epoch(1)
    np.savez(f"{name}-{group.rank}.npz", **work.weights())


def test_processes_agree_on_running_means_before_they_judge_an_epoch(tmp_path: Path) -> None:
    store, name = open_store(str(tmp_path / "store")), str(tmp_path / "kept")
    task = (store, written(store, examples(9, 4, 17), 3), name)
    with together(2, f"{HERE}:counted", task) as group:
        counted(group, *task)
    first, second = (np.load(f"{name}-{rank}.npz") for rank in (0, 1))
    assert any(each.endswith("running_mean") for each in first.files)
    for each in first.files:
        assert np.array_equal(first[each], second[each]), each


@pytest.mark.long
def test_a_training_in_two_processes_ends_with_an_encoder_and_one_checkpoint(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path))
    receipts = written(store, examples(12, 4), 4)
    found = train(store, receipts, replace(RULES, processes=2), "kept")
    assert (found.pictures, len(found.epochs)) == (12, 2)
    assert found.epochs[1].train_loss < found.epochs[0].train_loss
    assert len(list(store.list("kept"))) == 1


def broken(group: Group, store: Store, receipts: Sequence[Receipt], name: str) -> None:
    """A process that is gone after it was met."""
    raise SystemExit(3)


@pytest.mark.long
def test_a_process_that_dies_ends_the_training_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_ANSWER", 20.0)  # it may die before it is met
    store = open_store(str(tmp_path))
    receipts = written(store, examples(12, 4), 4)
    with (
        pytest.raises(TrainingError, match=r"broke off: process \d+ .* ended with 3.*processes=1"),
        together(2, f"{HERE}:broken", (store, receipts, "")) as group,
    ):
        learned(group, store, receipts)
    with (
        pytest.raises(TrainingError, match="did not begin: process"),
        together(2, "no.such:module", ()),
    ):
        pass


@pytest.mark.long
def test_more_processes_than_row_groups_are_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    receipts = written(store, examples(12, 4), 100)
    with pytest.raises(ConfigError, match="2 readers cannot share 1 row groups"):
        train(store, receipts, replace(RULES, processes=2), "kept")


def test_more_processes_than_rows_of_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 processes cannot share batches of 1: lower"):
        train(open_store(str(tmp_path)), [], replace(RULES, processes=2, batch=1), "kept")
