"""One network while it learns: its steps, its learning rate, its loss, and its state as arrays.

In one process or, with a share of every step's rows, in several. Held-out examples are looked at
without a step. A loss is the mean over all rows of a batch, whoever holds them: several processes
come to the weights of one that were given the same batches, but for rounding. Where a network
normalises, each process does so by its own rows, as if its batches were smaller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from artrec import picture
from artrec.encoders import Preprocess
from artrec.encoders.card import Tensors
from artrec.encoders.checkpoints import Epoch
from artrec.encoders.feeding import decoders, fed
from artrec.encoders.moments import array_of, moments_of, restore_moments, shapes_of_moments
from artrec.encoders.networks import Autoencoder, scaled, weights_of
from artrec.encoders.processes import Group
from artrec.encoders.reader import Batch, Reader, open_reader
from artrec.encoders.rules import Rules
from artrec.errors import ArtrecError, TrainingError
from artrec.storage import Store
from artrec.tables import Receipt, read_table

__all__ = ["COLUMNS", "Learner", "batches_of", "losses", "pixels", "rate_at"]

COLUMNS = ("content_sha256", "picture")
WARM_UP = 0.05
"""Share of the steps in which the schedule ``cosine`` rises."""

Arrays = dict[str, NDArray[np.float32]]
_LIMITS = picture.Limits()


def pixels(batch: Batch, preprocess: Preprocess) -> NDArray[np.uint8]:
    """The pictures of a batch of examples: ``uint8 [n, h, w, 3]``."""
    wanted = (preprocess.size, preprocess.fit, preprocess.filter)
    return np.stack([picture.decode(data, _LIMITS, *wanted) for data in batch["picture"]])


def batches_of(
    reader: Reader, preprocess: Preprocess, epoch: int, seed: int, group: Group
) -> Generator[tuple[Tensor, float]]:
    """This process's pictures as the network sees them, and the seconds that it waited for them.

    They are read and decoded ahead, in threads that end when this is closed.
    """
    batches = reader.batches(COLUMNS, group.rank, group.size, epoch, seed)
    decode = partial(pixels, preprocess=preprocess)
    with closing(fed(batches, decode, decoders(group.device.type))) as made:
        while True:
            begun = time.monotonic()
            batch = next(made, None)
            if batch is None:
                return
            found = scaled(batch[1], preprocess)
            yield found, time.monotonic() - begun


def losses(kind: str, logits: Tensor, pictures: Tensor) -> Tensor:
    """The loss of each picture, ``[n]``; ``bce`` is the cross entropy of each colour value."""
    logits = logits.float()
    if kind == "bce":
        each = functional.binary_cross_entropy_with_logits(logits, pictures, reduction="none")
    elif kind == "mae":
        each = (torch.sigmoid(logits) - pictures).abs()
    else:
        each = (torch.sigmoid(logits) - pictures).square()
    return each.flatten(1).mean(1)


def rate_at(rules: Rules, done: float) -> float:
    """The learning rate after this share of the training: constant, or a rise and half a cosine."""
    if rules.schedule == "constant":
        return rules.learning_rate
    if done < WARM_UP:
        return rules.learning_rate * max(done, 1e-3) / WARM_UP
    fallen = (1 + math.cos(math.pi * min(1.0, (done - WARM_UP) / (1 - WARM_UP)))) / 2
    return rules.learning_rate * fallen


class Learner:
    """The network, its optimizer and its readers."""

    def __init__(
        self,
        store: Store,
        receipts: Sequence[Receipt],
        rules: Rules,
        network: Autoencoder,
        preprocess: Preprocess,
        loss: str,
        group: Group,
        reader: str = "arrow",
    ) -> None:
        self.rules, self.network, self.group = rules, network, group
        self._preprocess, self._loss, self._device = preprocess, loss, group.device
        batch = group.part(rules.batch)
        self.examples = open_reader(reader, store, receipts, batch, "train")
        self.held_out = open_reader(reader, store, receipts, batch, "held_out")
        self._rows = _counted(store, receipts)
        self._place()
        self._optimizer = torch.optim.Adam(network.parameters(), lr=rules.learning_rate)
        self._shared = group.shared(network)
        self._autocast = self._precision()
        self._idle = torch.zeros(1, 3, *preprocess.size)
        self._reading = 0.0

    def _place(self) -> None:
        self.network.to(self._device)
        # as pictures lie; faster so
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _precision(self) -> AbstractContextManager[Any]:
        """Half precision where it is asked for; by itself on a GPU that has it."""
        gpu = self._device.type == "cuda"
        able = gpu and torch.cuda.is_bf16_supported()
        if self.rules.precision == "bfloat16" or (self.rules.precision == "auto" and able):
            return torch.autocast(self._device.type, torch.bfloat16)
        return nullcontext()

    def epoch(self, number: int) -> Epoch:
        """Learn from every example once, in an order of this epoch's, and look at the held-out."""
        begun, self._reading = time.monotonic(), 0.0
        train_loss = self._over(self.examples, number, learn=True)
        self.group.agree(self.network)
        held_out_loss = self._over(self.held_out, number, learn=False)
        return Epoch(
            epoch=number,
            train_loss=train_loss,
            held_out_loss=held_out_loss,
            learning_rate=self._optimizer.param_groups[0]["lr"],
            seconds=time.monotonic() - begun,
            reading_seconds=self._reading,
        )

    def _over(self, reader: Reader, epoch: int, learn: bool) -> float:
        """The mean loss over all examples of a reader, after a step on each batch or without."""
        total, count = 0.0, 0
        self.network.train(learn)
        expected = self._rows["train" if learn else "held_out"]
        if not expected:
            raise TrainingError(f"there is no {'training' if learn else 'held-out'} example at all")
        with closing(self._steps(reader, epoch)) as steps:
            for step, (pictures, weight) in enumerate(steps, 1):
                if learn:
                    self._set_rate((epoch - 1 + count / expected) / self.rules.epochs)
                sum_, rows = self._step(pictures, weight, learn, (epoch, step))
                total, count = total + sum_, count + rows
        if count != expected:
            raise ArtrecError(
                f"epoch {epoch} gave {count} of {expected} {'training' if learn else 'held-out'} "
                "examples: what was read is not what was counted"
            )
        return total / count

    def _steps(self, reader: Reader, epoch: int) -> Generator[tuple[Tensor, int]]:
        """Batches until nobody has one left; who has none takes part with a picture of no weight.

        The last real batch stands in, so that running means do not move towards nothing.
        """
        seed = self.rules.seed
        with closing(batches_of(reader, self._preprocess, epoch, seed, self.group)) as mine:
            while True:
                found = next(mine, None)
                if found is not None:
                    self._idle = found[0][:1]
                    self._reading += found[1]
                left = torch.tensor([float(found is not None)])
                if not float(self.group.summed(left)):
                    return
                pictures, weight = (found[0], 1) if found is not None else (self._idle, 0)
                yield pictures.to(self._device), weight

    def _step(
        self, pictures: Tensor, weight: int, learn: bool, place: tuple[int, int]
    ) -> tuple[float, int]:
        """One batch: the sum of its losses and its rows, over all processes."""
        with torch.set_grad_enabled(learn):
            network = self._shared if learn else self.network
            with self._autocast:
                logits = network(pictures)
            own = losses(self._loss, logits, pictures).sum() * weight
        facts = torch.tensor([float(own.detach()), len(pictures) * weight], dtype=torch.float64)
        sum_, rows = self.group.summed(facts).tolist()
        if not math.isfinite(sum_):
            raise TrainingError(self._diverged(sum_ / rows, place, learn))
        if learn:
            self._optimizer.zero_grad()
            # the processes' gradients are averaged: times their number it is the whole batch's
            (own * self.group.size / rows).backward()
            self._optimizer.step()
        return sum_, round(rows)

    def _set_rate(self, done: float) -> None:
        for part in self._optimizer.param_groups:
            part["lr"] = rate_at(self.rules, done)

    def _diverged(self, value: float, place: tuple[int, int], learn: bool) -> str:
        which = "training" if learn else "held-out"
        kept = f"; the state after epoch {place[0] - 1} is kept" if place[0] > 1 else ""
        return (
            f"the {which} loss became {value} in epoch {place[0]}, step {place[1]}: the learning "
            f"rate of {self.rules.learning_rate:g} is too high; lower train.learning_rate, or go "
            f"without training by encoder.id=handmade{kept}"
        )

    def weights(self) -> Arrays:
        """A copy of all weights of the network."""
        return {name: array_of(tensor) for name, tensor in weights_of(self.network).items()}

    def state(self, best: Tensors) -> Arrays:
        """All that the next epoch depends on, and the best weights so far."""
        arrays = {f"now.{name}": array for name, array in self.weights().items()}
        arrays |= {f"best.{name}": array for name, array in best.items()}
        return arrays | moments_of(self._optimizer)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What ``state`` holds after an epoch."""
        weights = {name: tuple(each.shape) for name, each in weights_of(self.network).items()}
        found = {f"{part}.{n}": shape for part in ("now", "best") for n, shape in weights.items()}
        return found | shapes_of_moments(self.network.parameters())

    def restore(self, arrays: Tensors) -> Arrays:
        """Be as ``state`` was; returns the best weights."""
        parts: dict[str, Arrays] = {"now": {}, "best": {}, "adam": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        self.load(parts["now"])
        restore_moments(self._optimizer, arrays)
        return parts["best"]

    def load(self, weights: Tensors) -> None:
        """Take these weights."""
        found = {name: torch.tensor(array) for name, array in weights.items()}
        self.network.load_state_dict(found)
        self._place()


def _counted(store: Store, receipts: Sequence[Receipt]) -> dict[str, int]:
    """How many examples each side has."""
    found = {"train": 0, "held_out": 0}
    for batch in read_table(store, receipts, ["split"]):
        for name in batch.column("split").to_pylist():
            found[name] = found.get(name, 0) + 1
    return found
