"""Training an autoencoder on the table ``examples``: pictures in, encoder and curves out.

Mean squared error, Adam. Held-out examples decide which epoch was the best and when to stop. It
knows no Spark: it reads through the Store and runs in one process, on a GPU where torch finds one.
With one seed two trainings on one machine's processors agree to the bit, also where one was killed
between; on a GPU they may differ in last bits.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from artrec import log, picture
from artrec.encoders import Preprocess, checkpoints
from artrec.encoders.card import Tensors
from artrec.encoders.checkpoints import Epoch, Progress
from artrec.encoders.convolutional import Autoencoder, features, scaled
from artrec.encoders.reader import Batch, Reader, open_reader
from artrec.encoders.recipes import Made, Reconstruction, preprocess_of
from artrec.encoders.rules import Rules
from artrec.errors import TrainingError
from artrec.failpoints import reached
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["pixels", "train"]

SHOWN = 16
_LIMITS = picture.Limits()
_COLUMNS = ("content_sha256", "picture")


def train(store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str) -> Made:
    """Train to the end, or on from the checkpoint that stands in ``folder`` of the store.

    TrainingError when a loss is not a finite number, or when all examples get the same vector;
    StoreFormatError for a checkpoint that it cannot go on from.
    """
    work = _Work(store, receipts, rules)
    kept = checkpoints.read_latest(store, folder, work.shapes())
    if kept is None:
        progress, best = Progress(), work.weights()
    else:
        progress, best = kept[0], work.restore(kept[1])
    while not _is_over(progress, rules):
        done = work.epoch(len(progress.epochs) + 1)
        progress = Progress(epochs=(*progress.epochs, done))
        if progress.best is done:
            best = work.weights()
        checkpoints.write(store, folder, progress, work.state(best))
        log.get(stage="train").info("epoch", **done.model_dump())
        reached("train.epoch")
    return work.result(progress, best)


def pixels(batch: Batch, preprocess: Preprocess) -> NDArray[np.uint8]:
    """The pictures of a batch of examples: ``uint8 [n, h, w, 3]``."""
    wanted = (preprocess.size, preprocess.fit, preprocess.filter)
    return np.stack([picture.decode(data, _LIMITS, *wanted) for data in batch["picture"]])


def _is_over(progress: Progress, rules: Rules) -> bool:
    done = len(progress.epochs)
    return done >= rules.epochs or (done > 0 and done - progress.best.epoch >= rules.patience)


class _Work:
    """The network, its optimizer and its readers."""

    def __init__(self, store: Store, receipts: Sequence[Receipt], rules: Rules) -> None:
        self._rules = rules
        self._preprocess = preprocess_of(rules)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._examples = open_reader("arrow", store, receipts, rules.batch, "train")
        self._held_out = open_reader("arrow", store, receipts, rules.batch, "held_out")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rules.seed)
            self._network = Autoencoder(rules.channels)
        self._place()
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=rules.learning_rate)
        self._reading = 0.0

    def _place(self) -> None:
        self._network.to(self._device)
        # as pictures lie; faster so
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def epoch(self, number: int) -> Epoch:
        begun, self._reading = time.monotonic(), 0.0
        train_loss = self._over(self._examples, number, learn=True)
        held_out_loss = self._over(self._held_out, number, learn=False)
        return Epoch(
            epoch=number,
            train_loss=train_loss,
            held_out_loss=held_out_loss,
            learning_rate=self._rules.learning_rate,
            seconds=time.monotonic() - begun,
            reading_seconds=self._reading,
        )

    def _over(self, reader: Reader, epoch: int, learn: bool) -> float:
        """The mean loss over all examples of a reader, after a step on each batch or without."""
        total, count = 0.0, 0
        with torch.set_grad_enabled(learn):
            for step, (_, pictures) in enumerate(self._batches(reader, epoch), 1):
                loss = functional.mse_loss(self._network(pictures), pictures)
                value = float(loss.detach())
                if not np.isfinite(value):
                    raise TrainingError(self._diverged(value, epoch, step, learn))
                if learn:
                    self._optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    self._optimizer.step()
                total += value * len(pictures)
                count += len(pictures)
        if not count:
            raise TrainingError(f"there is no {'training' if learn else 'held-out'} example at all")
        return total / count

    def _diverged(self, value: float, epoch: int, step: int, learn: bool) -> str:
        which = "training" if learn else "held-out"
        return (
            f"the {which} loss became {value} in epoch {epoch}, step {step}: the learning rate of "
            f"{self._rules.learning_rate:g} is too high; lower train.learning_rate, or go without "
            "training by encoder.id=handmade"
        )

    def _batches(self, reader: Reader, epoch: int) -> Iterator[tuple[Batch, Tensor]]:
        batches = reader.batches(_COLUMNS, 0, 1, epoch, self._rules.seed)
        while True:
            begun = time.monotonic()
            batch = next(batches, None)
            if batch is None:
                return
            found = scaled(pixels(batch, self._preprocess), self._preprocess).to(self._device)
            self._reading += time.monotonic() - begun
            yield batch, found

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """A copy of all weights of the network."""
        found = self._network.state_dict().items()
        return {name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in found}

    def state(self, best: Tensors) -> dict[str, NDArray[np.float32]]:
        """All that the next epoch depends on, and the best weights so far."""
        arrays = {f"now.{name}": array for name, array in self.weights().items()}
        arrays |= {f"best.{name}": array for name, array in best.items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            for name, tensor in moments.items():
                arrays[f"adam.{index}.{name}"] = tensor.detach().cpu().contiguous().numpy()
        return arrays

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What ``state`` holds after an epoch."""
        weights = {name: tuple(each.shape) for name, each in self._network.state_dict().items()}
        found = {f"{part}.{n}": shape for part in ("now", "best") for n, shape in weights.items()}
        for index, weight in enumerate(self._network.parameters()):
            for moment in ("exp_avg", "exp_avg_sq"):
                found[f"adam.{index}.{moment}"] = tuple(weight.shape)
            found[f"adam.{index}.step"] = ()
        return found

    def restore(self, arrays: Tensors) -> dict[str, NDArray[np.float32]]:
        """Be as ``state`` was; returns the best weights."""
        parts: dict[str, dict[str, NDArray[np.float32]]] = {"now": {}, "best": {}, "adam": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        self._load(parts["now"])
        adam = self._optimizer.state_dict()
        adam["state"] = {}
        for name, array in parts["adam"].items():
            index, _, moment = name.partition(".")
            tensor = torch.tensor(array)
            if tensor.ndim == 4:  # lies as its weights do, so that sums come out the same
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            adam["state"].setdefault(int(index), {})[moment] = tensor
        self._optimizer.load_state_dict(adam)
        return parts["best"]

    def _load(self, weights: Tensors) -> None:
        found = {name: torch.tensor(array) for name, array in weights.items()}
        self._network.load_state_dict(found)
        self._place()

    def result(self, progress: Progress, best: Tensors) -> Made:
        self._load(best)
        center, pictures = self._center()
        own = "encoder."
        tensors = {n.removeprefix(own): a for n, a in best.items() if n.startswith(own)}
        return Made(
            architecture="convolutional",
            dim=self._rules.channels[-1],
            metric="cosine",
            preprocess=self._preprocess,
            parameters={"channels": list(self._rules.channels)},
            tensors={**tensors, "center": center},
            notes="convolutional autoencoder; the largest value of each channel of its last block",
            pictures=pictures,
            epochs=progress.epochs,
            best=progress.best,
            reconstructions=self._reconstructions(),
        )

    def _center(self) -> tuple[NDArray[np.float32], int]:
        """The mean vector of the training examples, and their number."""
        total = np.zeros(self._rules.channels[-1])
        low, high = np.full_like(total, np.inf), np.full_like(total, -np.inf)
        count = 0
        with torch.inference_mode():
            for _, pictures in self._batches(self._examples, 0):
                found = features(self._network.encoder, pictures).cpu().numpy()
                total += found.sum(axis=0, dtype=np.float64)
                low, high = np.minimum(low, found.min(axis=0)), np.maximum(high, found.max(axis=0))
                count += len(found)
        if np.array_equal(low, high):
            raise TrainingError(
                f"the trained network gives all {count} examples the same vector: its weights have "
                "died; lower train.learning_rate, or go without training by encoder.id=handmade"
            )
        return (total / count).astype(np.float32), count

    def _reconstructions(self) -> list[Reconstruction]:
        """Of the held-out examples with the smallest hashes."""
        kept: dict[bytes, bytes] = {}
        for batch in self._held_out.batches(_COLUMNS, 0, 1, 0, 0):
            kept |= dict(zip(batch["content_sha256"], batch["picture"], strict=True))
            kept = dict(sorted(kept.items())[:SHOWN])
        originals = pixels({"picture": list(kept.values())}, self._preprocess)
        with torch.inference_mode():
            pictures = scaled(originals, self._preprocess).to(self._device)
            repeated = self._network(pictures)
            errors = (repeated - pictures).square().mean(dim=(1, 2, 3)).cpu().tolist()
            bytes_ = (repeated * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        rows = zip(kept, errors, kept.values(), bytes_, strict=True)
        return [Reconstruction(key, error, data, _png(made)) for key, error, data, made in rows]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()
