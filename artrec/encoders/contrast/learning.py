"""Training the network: crops of one picture are to be nearer to each other than to all others.

The loss with several positives of Khosla and others, "Supervised contrastive learning", 2020: of
crops, and with labels also of pictures. It knows no Spark; what a step is trained on follows from
the seed and the step's number alone, so a training that was killed ends where an unbroken one does,
on a processor to the bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from artrec import log
from artrec.encoders import checkpoints
from artrec.encoders.checkpoints import Epoch, Progress
from artrec.encoders.contrast.altering import altered, drawn
from artrec.encoders.contrast.course import BATCH, Course, course_of
from artrec.encoders.contrast.network import WIDTHS, Body, Learner
from artrec.encoders.contrast.pyramid import Pyramid
from artrec.encoders.forward import repeatable
from artrec.encoders.moments import array_of, moments_of, restore_moments, shapes_of_moments
from artrec.errors import TrainingError
from artrec.failpoints import reached
from artrec.storage import Store

__all__ = ["Learned", "learn", "loss_of", "order_of"]

Whole = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]

VIEWS, SIDE = 4, 64
_TEMPERATURE, _LABELS = 0.15, 0.5
_BETAS, _DECAY = (0.9, 0.98), 0.05
_HELD_OUT = 256  # pictures that the loss is watched on


@dataclass(frozen=True)
class Learned:
    """The body after the last epoch, and the curve."""

    body: Body
    epochs: tuple[Epoch, ...]


def loss_of(vectors: Tensor, groups: Tensor, temperature: float = _TEMPERATURE) -> Tensor:
    """How far those of a group are from being nearer to each other than to all others.

    A vector alone in its group counts nothing.
    """
    length = functional.normalize(vectors, dim=1)
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    near = (length @ length.T / temperature).masked_fill(itself, -1e9)
    shares = near - torch.logsumexp(near, dim=1, keepdim=True)
    same = ((groups[:, None] == groups[None]) & ~itself).float()
    count = same.sum(dim=1)
    each = (shares * same).sum(dim=1) / count.clamp(min=1)
    return -each.sum() / (count > 0).sum().clamp(min=1)


def order_of(classes: Whole, random: np.random.Generator) -> Whole:
    """All pictures in random order, but two of a class behind each other where there are two.

    So a batch holds pairs however many classes there are; with a class for each picture it is
    plainly random.
    """
    sorting = np.lexsort((random.random(len(classes)), classes))
    _, first, counts = np.unique(classes[sorting], return_index=True, return_counts=True)
    places = np.arange(len(classes)) - np.repeat(first, counts)
    firsts = places % 2 == 0
    keys = random.random(int(firsts.sum()))[np.cumsum(firsts) - 1]
    return sorting[np.argsort(keys, kind="stable")]


def learn(
    store: Store,
    folder: str,
    examples: Pyramid,
    held_out: Pyramid,
    classes: Whole | None,
    steps: int,
    seed: int,
    precision: str = "auto",
) -> Learned:
    """Train to the end, or on from the checkpoint in ``folder`` of the store.

    ``classes`` of the examples, where labels are to count too. TrainingError for a loss that is
    not a finite number, or without examples; what was kept before stays.
    """
    if len(examples) < 2 or not len(held_out):
        raise TrainingError(
            f"too few pictures to compare: {len(examples)} for training and {len(held_out)} held "
            "out; 2 and 1 are the least"
        )
    work = _Work(examples, held_out, classes, course_of(len(examples), steps), seed, precision)
    with repeatable():
        return _to_the_end(store, folder, work)


def _to_the_end(store: Store, folder: str, work: _Work) -> Learned:
    kept = checkpoints.read_latest(store, folder, work.shapes())
    progress = Progress()
    if kept is not None:
        progress = kept[0]
        work.restore(kept[1])
    while len(progress.epochs) < work.course.epochs:
        done = work.epoch(len(progress.epochs) + 1)
        progress = Progress(epochs=(*progress.epochs, done))
        checkpoints.write(store, folder, progress, work.state())
        log.get(stage="train").info("epoch", **done.model_dump())
        reached("train.epoch")
    return Learned(work.learner.body.eval(), progress.epochs)


class _Work:
    """The network, its optimizer and its pictures."""

    def __init__(
        self,
        examples: Pyramid,
        held_out: Pyramid,
        classes: Whole | None,
        course: Course,
        seed: int,
        precision: str,
    ) -> None:
        self._examples, self._held_out, self.course, self._seed = examples, held_out, course, seed
        self._classes = classes
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._short = precision == "bfloat16" or (precision == "auto" and _has_bfloat16())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.learner = Learner(WIDTHS)
        self._place()
        self._optimizer = torch.optim.AdamW(
            self.learner.parameters(), betas=_BETAS, weight_decay=_DECAY
        )
        self._reading = 0.0

    def _place(self) -> None:
        self.learner.to(self._device)
        self.learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def epoch(self, number: int) -> Epoch:
        """The steps of one epoch, then the loss on held-out pictures, by crops always the same."""
        begun, self._reading, losses = time.monotonic(), 0.0, []
        self.learner.train()
        start = (number - 1) * self.course.each
        alone = np.arange(len(self._examples))
        classes = alone if self._classes is None else self._classes
        order = order_of(classes, np.random.default_rng((self._seed, 1, number)))
        for step, batch in enumerate(np.array_split(order, self.course.each), start):
            if step < self.course.steps:
                losses.append(self._step(step, batch))
        done = min(start + self.course.each, self.course.steps)
        return Epoch(
            epoch=number,
            train_loss=float(np.mean(losses)),
            held_out_loss=self._watched(done),
            learning_rate=self.course.rate(done - 1),
            seconds=time.monotonic() - begun,
            reading_seconds=self._reading,
        )

    def _step(self, step: int, batch: Whole) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self.course.rate(step)
        vectors, rows = self._seen(
            self._examples, batch, np.random.default_rng((self._seed, 2, step))
        )
        loss = loss_of(vectors, rows)
        if self._classes is not None:
            classes = torch.from_numpy(self._classes).to(self._device)[rows]
            loss = (1 - _LABELS) * loss + _LABELS * loss_of(vectors, classes)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(self._diverged(value, "loss", f"in step {step + 1}"))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return value

    def _watched(self, done: int) -> float:
        """Over batches as large as those of the training, since a loss depends on their size."""
        self.learner.eval()
        random, losses = np.random.default_rng((self._seed, 3)), []
        some = np.arange(min(_HELD_OUT, len(self._held_out)))
        with torch.inference_mode():
            for batch in np.array_split(some, math.ceil(len(some) / BATCH)):
                losses.append(float(loss_of(*self._seen(self._held_out, batch, random))))
        value = float(np.mean(losses))
        if not math.isfinite(value):
            raise TrainingError(self._diverged(value, "held-out loss", f"after step {done}"))
        return value

    def _diverged(self, value: float, which: str, when: str) -> str:
        return (
            f"the {which} became {value} {when} of {self.course.steps}; the last good epoch is "
            "kept: the same command goes on from there, another train.seed starts anew, and "
            "train.recipe=descriptor or encoder.id=handmade do without a network"
        )

    def _seen(
        self, pyramid: Pyramid, batch: Whole, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Crops of these pictures as the head gives them, and which picture each is of."""
        begun = time.monotonic()
        rows = np.repeat(batch, VIEWS)
        levels = random.integers(len(pyramid.sizes), size=len(rows))
        places = random.random((len(rows), 2))
        side = min(SIDE, pyramid.sizes[0] // 16 * 16)
        crops = torch.from_numpy(pyramid.crops(rows, levels, places, side)).to(self._device)
        with torch.no_grad():
            pixels = altered(crops.permute(0, 3, 1, 2).float(), drawn(random, len(rows)))
        self._reading += time.monotonic() - begun
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._short):
            vectors = self.learner(pixels.contiguous(memory_format=torch.channels_last))
        return vectors.float(), torch.from_numpy(rows).to(self._device)

    def _weights(self) -> dict[str, Tensor]:
        """All but the counters of batches, which nothing reads."""
        found = self.learner.state_dict()
        return {name: each for name, each in found.items() if each.is_floating_point()}

    def state(self) -> Arrays:
        """All that the next epoch depends on."""
        arrays = {f"now.{name}": array_of(each) for name, each in self._weights().items()}
        return arrays | moments_of(self._optimizer)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What ``state`` holds after an epoch."""
        found = {f"now.{name}": tuple(each.shape) for name, each in self._weights().items()}
        return found | shapes_of_moments(self.learner.parameters())

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Be as ``state`` was."""
        now = {
            n.removeprefix("now."): torch.tensor(a) for n, a in arrays.items() if n[:4] == "now."
        }
        self.learner.load_state_dict(now, strict=False)
        self._place()
        restore_moments(self._optimizer, arrays)


def _has_bfloat16() -> bool:
    """Whether products in bfloat16 are the machine's own; elsewhere they are slower."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
