"""The loss, the order of pictures, the schedule, and a training from end to end."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from artrec.encoders import Preprocess
from artrec.encoders.contrast import learning
from artrec.encoders.contrast.course import Course, course_of
from artrec.encoders.contrast.learning import Learned, learn, loss_of, order_of
from artrec.encoders.contrast.network import folded
from artrec.encoders.contrast.pyramid import Pyramid
from artrec.encoders.reader import Batch
from artrec.errors import TrainingError
from artrec.storage import open_store
from tests.encoders.examples import examples

REPOSITORY = Path(__file__).parents[3]
SEEN = Preprocess(size=(128, 128))
FOLDER = "checkpoints"


def batch(count: int, split: str = "train") -> Batch:
    rows = [row for row in examples(count + 3, 3, 128) if row["split"] == split][:count]
    return {name: [row.get(name) for row in rows] for name in rows[0]}


def pyramid(count: int, split: str = "train") -> Pyramid:
    return Pyramid([batch(count, split)], count, SEEN)


def learned(place: Path, seed: int = 3, steps: int = 4, classes: bool = False) -> Learned:
    kinds = np.arange(12) % 5 if classes else None
    store = open_store(str(place))
    torch.set_num_threads(1)  # as another number of threads gives other last bits
    return learn(store, FOLDER, pyramid(12), pyramid(3, "held_out"), kinds, steps, seed)


def same(one: Learned, other: Learned) -> bool:
    weights = [folded(each.body) for each in (one, other)]
    losses = [[e.held_out_loss for e in each.epochs] for each in (one, other)]
    equal = all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    return losses[0] == losses[1] and equal


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return learned(tmp_path_factory.mktemp("unbroken"))


def plain_loss(vectors: np.ndarray, groups: list[int], temperature: float) -> float:
    """The definition, written out."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    each = []
    for a in range(len(unit)):
        same = [b for b in range(len(unit)) if b != a and groups[a] == groups[b]]
        below = sum(math.exp(unit[a] @ unit[b] / temperature) for b in range(len(unit)) if b != a)
        if same:
            parts = [-math.log(math.exp(unit[a] @ unit[b] / temperature) / below) for b in same]
            each.append(sum(parts) / len(parts))
    return sum(each) / len(each)


def test_the_loss_is_the_one_that_is_defined() -> None:
    vectors = np.random.default_rng(1).normal(size=(7, 4))
    groups = [0, 0, 0, 1, 1, 2, 1]
    found = loss_of(torch.tensor(vectors), torch.tensor(groups), 0.15).item()
    assert found == pytest.approx(plain_loss(vectors, groups, 0.15), rel=1e-5)


def test_every_picture_has_its_turn_and_pairs_of_a_class_stay_together() -> None:
    classes = np.array([4, 1, 4, 1, 4, 9, 7, 7, 4, 2])
    found = order_of(classes, np.random.default_rng(0))
    assert sorted(found.tolist()) == list(range(10))
    beside = [classes[a] == classes[b] for a, b in pairwise(found)]
    assert sum(beside) >= 4
    alone = order_of(np.arange(1000), np.random.default_rng(0))
    assert sorted(alone.tolist()) == list(range(1000))
    assert abs(np.corrcoef(alone, np.arange(1000))[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("pictures", "given", "steps", "epochs"),
    [(2, 0, 40, 40), (540, 0, 360, 40), (7200, 0, 3360, 30), (20_000, 0, 3360, 11), (64, 7, 7, 7)],
)
def test_the_steps_grow_with_the_pictures_up_to_a_limit(
    pictures: int, given: int, steps: int, epochs: int
) -> None:
    course = course_of(pictures, given)
    assert (course.steps, course.epochs) == (steps, epochs)
    rates = [course.rate(step) for step in range(steps)]
    assert (max(rates) <= 2e-3 and 0 < rates[-1] < max(rates) / 10) or steps < 10


def test_two_trainings_with_one_seed_agree_to_the_bit(unbroken: Learned, tmp_path: Path) -> None:
    assert [each.epoch for each in unbroken.epochs] == [1, 2, 3, 4]
    assert same(learned(tmp_path / "again"), unbroken)
    assert not same(learned(tmp_path / "other", seed=4), unbroken)


def test_a_killed_training_goes_on_to_the_same_end(unbroken: Learned, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.encoders.contrast.test_learning import learned\n"
        "learned(Path(sys.argv[1]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "ARTREC_FAILPOINT": "train.epoch#2"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    kept = [entry.path for entry in open_store(str(tmp_path)).list(FOLDER)]
    assert kept == [f"{FOLDER}/epoch-000002.safetensors"]
    assert same(learned(tmp_path), unbroken)


def test_a_loss_that_is_no_number_is_named_by_its_step_and_the_last_good_state_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = Course.rate
    monkeypatch.setattr(Course, "rate", lambda self, step: 1e30 if step == 1 else rate(self, step))
    with pytest.raises(TrainingError, match="held-out loss became nan after step 2 of 4; the"):
        learned(tmp_path)
    kept = [entry.path for entry in open_store(str(tmp_path)).list(FOLDER)]
    assert kept == [f"{FOLDER}/epoch-000001.safetensors"]


def test_labels_change_what_is_learnt(unbroken: Learned, tmp_path: Path) -> None:
    found = learned(tmp_path, classes=True)
    assert not same(found, unbroken)
    assert all(np.isfinite(each).all() for each in folded(found.body).values())


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with pytest.raises(TrainingError, match="1 for training and 3 held out; 2 and 1 are the least"):
        learn(store, FOLDER, pyramid(1), pyramid(3, "held_out"), None, 1, 0)


def test_a_pyramid_is_the_same_in_memory_and_in_files_and_in_any_order() -> None:
    whole = batch(7)
    turned = {name: values[::-1] for name, values in whole.items()}
    parts = [{n: v[a:b] for n, v in turned.items()} for a, b in ((0, 4), (4, 7))]
    one, other = Pyramid([whole], 7, SEEN), Pyramid(parts, 9, SEEN, in_memory=0)
    assert one.sizes == (48, 64, 96, 128)
    assert one.labels == other.labels
    pictures, levels = np.repeat(np.arange(7), 4), np.tile(np.arange(4), 7)
    places = np.random.default_rng(2).random((28, 2))
    found = [each.crops(pictures, levels, places, 48) for each in (one, other)]
    assert np.array_equal(found[0], found[1])
    assert [len(each) for each in other.whole(4)] == [4, 3]
    assert np.array_equal(found[0][3], next(one.whole(7))[0][
        int(places[3, 0] * 81):, int(places[3, 1] * 81):][:48, :48])  # fmt: skip


def test_a_loss_that_is_no_number_in_a_step_names_that_step(tmp_path: Path) -> None:
    work = learning._Work(pyramid(12), pyramid(3, "held_out"), None, Course(9, 1), 0, "float32")
    with torch.no_grad():
        next(work.learner.head.parameters()).fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"the loss became nan in step 5 of 9; the last good"):
        work._step(4, np.arange(12))
