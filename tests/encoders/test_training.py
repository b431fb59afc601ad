"""Training: what is learned, and that a killed training ends where an unbroken one does."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artrec.encoders.checkpoints import read_latest
from artrec.encoders.rules import Rules
from artrec.encoders.training import Trained, train
from artrec.errors import StoreFormatError, TrainingError
from artrec.storage import open_store
from tests.encoders.examples import examples, written

REPOSITORY = Path(__file__).parents[2]
RULES = Rules(side=8, channels=(6, 12), epochs=4, batch=5, learning_rate=0.01, patience=9, seed=3)
FOLDER = "checkpoints"


def trained(place: Path, rules: Rules = RULES, training: int = 12, held_out: int = 4) -> Trained:
    store = open_store(str(place))
    found = list((place / "made").rglob("*.parquet")) if (place / "made").exists() else []
    assert not found, "a store of its own for each training"
    receipts = written(store, examples(training, held_out), 4)
    return train(store, receipts, rules, FOLDER)


def same(one: Trained, other: Trained) -> bool:
    curves = [[each.held_out_loss for each in result.epochs] for result in (one, other)]
    pairs = ((one.tensors[name], other.tensors[name]) for name in one.tensors)
    return curves[0] == curves[1] and all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("unbroken"))


def test_the_loss_falls_and_the_best_epoch_is_kept(unbroken: Trained) -> None:
    losses = [each.held_out_loss for each in unbroken.epochs]
    assert [each.epoch for each in unbroken.epochs] == [1, 2, 3, 4]
    assert unbroken.best.held_out_loss == min(losses) < losses[0]
    assert unbroken.epochs[-1].train_loss < unbroken.epochs[0].train_loss
    assert unbroken.pictures == 12
    assert set(unbroken.tensors) == {
        "center", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias"
    }  # fmt: skip
    assert unbroken.tensors["center"].shape == (12,)


def test_reconstructions_are_of_held_out_examples_with_their_error(unbroken: Trained) -> None:
    held = {row["content_sha256"]: row for row in examples(12, 4) if row["split"] == "held_out"}
    assert [each.content_sha256 for each in unbroken.reconstructions] == sorted(held)
    for each in unbroken.reconstructions:
        assert each.original == held[each.content_sha256]["picture"]
        with (
            Image.open(io.BytesIO(each.original)) as a,
            Image.open(io.BytesIO(each.reconstruction)) as b,
        ):
            difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
        assert np.mean((difference / 255) ** 2) == pytest.approx(each.error, rel=0.02)


def test_two_trainings_with_one_seed_agree(unbroken: Trained, tmp_path: Path) -> None:
    assert same(trained(tmp_path / "again"), unbroken)
    assert not same(trained(tmp_path / "other", replace(RULES, seed=4)), unbroken)


def test_a_killed_training_goes_on_to_the_same_end(unbroken: Trained, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.encoders.test_training import trained\n"
        "trained(Path(sys.argv[1]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=REPOSITORY,
        env={"ARTREC_FAILPOINT": "train.epoch#2", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    store = open_store(str(tmp_path))
    assert [entry.path for entry in store.list(FOLDER)] == [f"{FOLDER}/epoch-000002.safetensors"]
    kept = read_latest(store, FOLDER)
    assert kept is not None
    assert [each.epoch for each in kept[0].epochs] == [1, 2]
    (tmp_path / "made").rename(tmp_path / "before")
    assert same(trained(tmp_path), unbroken)


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_last_good_state(
    tmp_path: Path,
) -> None:
    trained(tmp_path, replace(RULES, epochs=1))
    (tmp_path / "made").rename(tmp_path / "before")
    with pytest.raises(TrainingError) as raised:
        trained(tmp_path, replace(RULES, learning_rate=1e30))
    said = str(raised.value)
    assert "in epoch 2, step 2: the learning rate of 1e+30 is too high" in said
    assert "lower train.learning_rate" in said
    kept = [entry.path for entry in open_store(str(tmp_path)).list(FOLDER)]
    assert kept == [f"{FOLDER}/epoch-000001.safetensors"]


def test_training_ends_early_when_nothing_gets_better(tmp_path: Path) -> None:
    """With steps too small to change a weight each epoch is the first one again."""
    found = trained(tmp_path, replace(RULES, learning_rate=1e-30, epochs=50, patience=2))
    assert (len(found.epochs), found.best.epoch) == (3, 1)


def test_fewer_pictures_than_a_batch_are_one_step(tmp_path: Path) -> None:
    found = trained(tmp_path, replace(RULES, batch=64, epochs=1), training=3, held_out=1)
    assert (found.pictures, len(found.reconstructions)) == (3, 1)


def test_examples_that_all_look_alike_to_the_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="all 1 examples the same vector"):
        trained(tmp_path, replace(RULES, epochs=1), training=1, held_out=1)


def test_a_training_without_held_out_examples_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no held-out example"):
        trained(tmp_path, training=3, held_out=0)


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    open_store(str(tmp_path)).write(f"{FOLDER}/epoch-000001.safetensors", b"half a file")
    with pytest.raises(StoreFormatError, match=r"epoch-000001\.safetensors: not a checkpoint"):
        trained(tmp_path)
