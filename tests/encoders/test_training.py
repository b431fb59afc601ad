"""Training: what is learned, and that a killed training ends where an unbroken one does."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from artrec.encoders import learning
from artrec.encoders.checkpoints import Epoch, Progress, read_latest, write
from artrec.encoders.reader import Batch, open_reader
from artrec.encoders.recipes import Made
from artrec.encoders.rules import Rules
from artrec.encoders.training import train
from artrec.errors import ArtrecError, StoreFormatError, TrainingError
from artrec.storage import open_store
from tests.encoders.examples import examples, written

REPOSITORY = Path(__file__).parents[2]
RULES = Rules(side=8, channels=(6, 12), epochs=4, batch=5, learning_rate=0.01, patience=9, seed=3)
FOLDER = "checkpoints"
FIRST = f"{FOLDER}/epoch-000001.safetensors"

Arrays = dict[str, NDArray[Any]]


def trained(place: Path, rules: Rules = RULES, training: int = 12, held_out: int = 4) -> Made:
    store = open_store(str(place))
    found = list((place / "made").rglob("*.parquet")) if (place / "made").exists() else []
    assert not found, "a store of its own for each training"
    receipts = written(store, examples(training, held_out), 4)
    return train(store, receipts, rules, FOLDER)


def same(one: Made, other: Made) -> bool:
    curves = [[each.held_out_loss for each in result.epochs] for result in (one, other)]
    pairs = ((one.tensors[name], other.tensors[name]) for name in one.tensors)
    return curves[0] == curves[1] and all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return trained(tmp_path_factory.mktemp("unbroken"))


def test_the_loss_falls_and_the_best_epoch_is_kept(unbroken: Made) -> None:
    losses = [each.held_out_loss for each in unbroken.epochs]
    assert [each.epoch for each in unbroken.epochs] == [1, 2, 3, 4]
    assert unbroken.best is not None
    assert unbroken.best.held_out_loss == min(losses) < losses[0]
    assert unbroken.epochs[-1].train_loss < unbroken.epochs[0].train_loss
    assert unbroken.pictures == 12
    assert set(unbroken.tensors) == {
        "center", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias"
    }  # fmt: skip
    assert unbroken.tensors["center"].shape == (12,)


def test_reconstructions_are_of_held_out_examples_with_their_error(unbroken: Made) -> None:
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


def test_two_trainings_with_one_seed_agree(unbroken: Made, tmp_path: Path) -> None:
    assert same(trained(tmp_path / "again"), unbroken)
    assert not same(trained(tmp_path / "other", replace(RULES, seed=4)), unbroken)


def test_a_killed_training_goes_on_to_the_same_end(unbroken: Made, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.encoders.test_training import trained\n"
        "trained(Path(sys.argv[1]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=REPOSITORY,
        env={"ARTREC_FAILPOINT": "train.epoch#2", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
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
    again = trained(tmp_path)
    assert same(again, unbroken)
    assert again.by_epoch == unbroken.by_epoch


def test_pictures_of_some_epochs_are_those_of_the_examples(unbroken: Made) -> None:
    shown = [each.content_sha256 for each in unbroken.reconstructions][:6]
    epochs = [each.epoch for each in unbroken.epochs if each.epoch in (1, 2, 3, 5, 8, 13)]
    assert [(epoch, each.content_sha256) for epoch, each in unbroken.by_epoch] == [
        (epoch, key) for epoch in epochs for key in shown
    ]
    last = [each for epoch, each in unbroken.by_epoch if epoch == unbroken.best.epoch]
    if last:  # the best epoch's network is the one that is kept
        assert last == [replace(each, original=b"") for each in unbroken.reconstructions][:6]


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
    assert said.endswith("; the state after epoch 1 is kept")
    kept = [entry.path for entry in open_store(str(tmp_path)).list(FOLDER)]
    assert kept == [f"{FOLDER}/epoch-000001.safetensors"]


@pytest.mark.parametrize("recipe", ["separable", "tiny"])
def test_every_network_goes_on_from_its_checkpoint_to_the_same_end(
    recipe: str, tmp_path: Path
) -> None:
    """Running means and variances belong to what is kept."""
    rules = replace(RULES, recipe=recipe, side=17, epochs=2)
    whole = trained(tmp_path / "whole", rules)
    trained(tmp_path / "parts", replace(rules, epochs=1))
    (tmp_path / "parts" / "made").rename(tmp_path / "parts" / "before")
    assert same(trained(tmp_path / "parts", rules), whole)


def test_half_precision_trains_to_nearly_the_same_losses(unbroken: Made, tmp_path: Path) -> None:
    found = trained(tmp_path, replace(RULES, precision="bfloat16"))
    assert not same(found, unbroken)
    losses = [[each.held_out_loss for each in made.epochs] for made in (found, unbroken)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert {array.dtype for array in found.tensors.values()} == {np.dtype(np.float32)}


def test_the_curves_show_the_schedule_of_the_learning_rate(tmp_path: Path) -> None:
    found = trained(tmp_path, replace(RULES, schedule="cosine"))
    rates = [each.learning_rate for each in found.epochs]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.1 * RULES.learning_rate < 0.9 * RULES.learning_rate < rates[0]


class Short:
    """A reader that loses the last row of each epoch, and says nothing."""

    def __init__(self, *of: Any) -> None:
        self._reader = open_reader(*of)

    def batches(self, *which: Any) -> Iterator[Batch]:
        rows = list(self._reader.batches(*which))
        yield from rows[:-1]
        yield {name: values[:-1] for name, values in rows[-1].items()}


def test_an_epoch_that_lost_a_row_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "open_reader", Short)
    with pytest.raises(ArtrecError, match="epoch 1 gave 11 of 12 training examples"):
        trained(tmp_path)


def test_training_ends_early_when_nothing_gets_better(tmp_path: Path) -> None:
    """With steps too small to change a weight each epoch is the first one again."""
    found = trained(tmp_path, replace(RULES, learning_rate=1e-30, epochs=50, patience=2))
    assert found.best is not None
    assert (len(found.epochs), found.best.epoch) == (3, 1)


def test_fewer_pictures_than_a_batch_are_one_step(tmp_path: Path) -> None:
    found = trained(tmp_path, replace(RULES, batch=64, epochs=1), training=3, held_out=1)
    assert (found.pictures, len(found.reconstructions)) == (3, 1)


def test_a_last_batch_of_one_picture_is_learnt_from_at_the_least_size(tmp_path: Path) -> None:
    rules = replace(RULES, recipe="separable", side=17, batch=4, epochs=1)
    assert trained(tmp_path, rules, training=5, held_out=1).pictures == 5


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


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Progress, Arrays]:
    """The checkpoint of a training's first epoch, as a file and as what it holds."""
    place = tmp_path_factory.mktemp("begun")
    trained(place, replace(RULES, epochs=1))
    store = open_store(str(place))
    kept = read_latest(store, FOLDER)
    assert kept is not None
    return store.read(FIRST), *kept


def refused(place: Path, checkpoint: bytes) -> str:
    """What a training says to this checkpoint; it is to name the file and the way out."""
    open_store(str(place)).write(FIRST, checkpoint)
    with pytest.raises(StoreFormatError) as raised:
        trained(place)
    found = str(raised.value)
    assert found.startswith(f"{place}/{FIRST}: "), found
    assert found.endswith("; delete it to train from the start"), found
    return found


@pytest.mark.parametrize("name", ["now", "best", "adam.0.exp_avg", "adam.3.step"])
def test_a_flipped_bit_in_a_tensor_is_found(
    begun: tuple[bytes, Progress, Arrays], name: str, tmp_path: Path
) -> None:
    data, _, arrays = begun
    array = next(array for key, array in sorted(arrays.items()) if key.startswith(name))
    at = data.index(array.tobytes())
    assert "it was altered: the sha256 of what it holds is " in refused(
        tmp_path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    )


def test_an_altered_loss_is_found(begun: tuple[bytes, Progress, Arrays], tmp_path: Path) -> None:
    data, progress, _ = begun
    loss = f'"held_out_loss":{progress.best.held_out_loss}'.encode()
    assert data.count(loss) == 1
    other = loss[:-1] + (b"1" if loss[-1:] != b"1" else b"2")
    assert "it was altered" in refused(tmp_path, data.replace(loss, other))


def test_a_newer_checkpoint_is_called_so_whatever_its_fields(tmp_path: Path) -> None:
    words = np.frombuffer(b'{"format": 2, "steps": 7}', np.uint8)
    found = refused(tmp_path, save({"progress": words}))
    assert "written in format 2, this artrec reads up to 1: use a newer artrec" in found


@pytest.mark.parametrize("facts", [b"[]", b"{}", b'{"format": "1"}', b'{"format": 1}', b"\xff"])
def test_a_file_of_tensors_that_is_no_checkpoint_is_refused(facts: bytes, tmp_path: Path) -> None:
    words = np.frombuffer(facts, np.uint8)
    assert re.search("not a checkpoint|altered", refused(tmp_path, save({"progress": words})))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("best.encoder.blocks.0.bias", None, "is missing, expected float32 (6,)"),
        ("adam.1.exp_avg_sq", None, "is missing, expected float32 (6,)"),
        ("adam.2.step", None, "is missing, expected float32 ()"),
        ("now.encoder.blocks.0.bias", np.zeros(7, np.float32), "is float32 (7,), expected float3"),
        ("now.encoder.blocks.0.bias", np.zeros(6), "is float64 (6,), expected float32 (6,)"),
        ("other", np.zeros(1, np.float32), "is float32 (1,), expected none"),
    ],
)
def test_a_checkpoint_of_other_tensors_is_refused_by_the_tensors_name(
    begun: tuple[bytes, Progress, Arrays],
    name: str,
    array: NDArray[Any] | None,
    message: str,
    tmp_path: Path,
) -> None:
    _, progress, arrays = begun
    changed = {key: value for key, value in arrays.items() if key != name}
    if array is not None:
        changed[name] = array
    store = open_store(str(tmp_path / "made"))
    write(store, FOLDER, progress, changed)
    found = refused(tmp_path / "other", store.read(FIRST))
    assert f"its tensor {name} {message}" in found


def test_the_last_checkpoint_alone_is_kept_as_it_was(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    epochs = tuple(
        Epoch(epoch=n, train_loss=0.1, held_out_loss=1 / n, learning_rate=1e-3, seconds=1.0,
              reading_seconds=0.25)
        for n in (1, 2)
    )  # fmt: skip
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(0.1).reshape(())}
    for count in (1, 2):
        write(store, FOLDER, Progress(epochs=epochs[:count]), arrays)
    kept = read_latest(store, FOLDER)
    assert kept is not None
    assert (kept[0].epochs, kept[0].best.epoch) == (epochs, 2)
    assert {name: (a.shape, a.tolist()) for name, a in kept[1].items()} == {
        "a": ((2, 3), [[0, 1, 2], [3, 4, 5]]), "b": ((), pytest.approx(0.1)),
    }  # fmt: skip
    assert [entry.path for entry in store.list(FOLDER)] == [f"{FOLDER}/epoch-000002.safetensors"]
