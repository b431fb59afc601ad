"""Training an autoencoder on the table ``examples``: pictures in, encoder and curves out.

Adam. Held-out examples decide which epoch was the best and when to stop. It knows no Spark: it
reads through the Store and runs in one process or several, on a GPU where torch finds one. With one
seed two trainings on one machine's processors agree to the bit, also where one was killed between;
on a GPU, or in another number of processes, they may differ in last bits.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from artrec import log
from artrec.encoders import Preprocess, checkpoints, seen
from artrec.encoders.card import Tensors
from artrec.encoders.checkpoints import Progress
from artrec.encoders.forward import repeatable
from artrec.encoders.learning import COLUMNS, Arrays, Learner, batches_of, pixels
from artrec.encoders.networks import Autoencoder, Network, architecture_of, scaled
from artrec.encoders.processes import ALONE, Group, together
from artrec.encoders.reader import open_reader
from artrec.encoders.recipes import Made, Reconstruction, preprocess_of
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError, TrainingError
from artrec.failpoints import reached
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["learn", "repeated", "train"]

SHOWN = 16
_INNER, _OUTER = "encoder.", "decoder."


def train(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """Train to the end, or on from the checkpoint that stands in ``folder`` of the store.

    ``reader`` is the engine that reads the examples: all give the same, so that it is no rule.
    TrainingError when a loss is not a finite number, or when all examples get the same vector;
    ConfigError for a size that the network cannot take; StoreFormatError for a checkpoint that it
    cannot go on from.
    """
    if rules.processes > rules.batch:
        raise ConfigError(
            f"{rules.processes} processes cannot share batches of {rules.batch}: lower "
            "train.processes, or raise train.batch"
        )
    task = (store, receipts, rules, folder, reader)
    with together(rules.processes, f"{__name__}:learn", task) as group:
        progress, best = learn(group, *task)
    made = _Result(store, receipts, rules, best, reader).made(progress)
    return replace(made, by_epoch=seen.kept(store, folder))


def learn(
    group: Group,
    store: Store,
    receipts: Sequence[Receipt],
    rules: Rules,
    folder: str,
    reader: str = "arrow",
) -> tuple[Progress, Arrays]:
    """One process's part of a training; all come to the same epochs and weights.

    Only the first one writes checkpoints.
    """
    with repeatable():
        return _learn(group, store, receipts, rules, folder, reader)


def _learn(
    group: Group,
    store: Store,
    receipts: Sequence[Receipt],
    rules: Rules,
    folder: str,
    reader: str,
) -> tuple[Progress, Arrays]:
    network, family = _network(rules)
    loss = rules.loss or family.loss
    paced = replace(rules, learning_rate=rules.learning_rate * family.pace)
    work = Learner(store, receipts, paced, network, preprocess_of(rules), loss, group, reader)
    kept = checkpoints.read_latest(store, folder, work.shapes())
    if kept is None:
        progress, best = Progress(), work.weights()
    else:
        progress, best = kept[0], work.restore(kept[1])
    shown = _first(reader, store, receipts, rules, seen.EXAMPLES) if group.rank == 0 else {}
    while not _is_over(progress, rules):
        done = work.epoch(len(progress.epochs) + 1)
        progress = Progress(epochs=(*progress.epochs, done))
        if progress.best is done:
            best = work.weights()
        if group.rank == 0 and seen.is_seen(done.epoch):
            rows = _made_of(network, shown, preprocess_of(rules), group.device)
            seen.keep(store, folder, done.epoch, rows)
        if group.rank == 0:
            checkpoints.write(store, folder, progress, work.state(best))
            log.get(stage="train").info("epoch", **done.model_dump())
            reached("train.epoch")
    return progress, best


def _is_over(progress: Progress, rules: Rules) -> bool:
    done = len(progress.epochs)
    return done >= rules.epochs or (done > 0 and done - progress.best.epoch >= rules.patience)


def _network(rules: Rules) -> tuple[Autoencoder, type[Network]]:
    """The network of these rules, of the seed's weights, and its family."""
    family, size = architecture_of(rules.recipe), preprocess_of(rules).size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rules.seed)
        try:
            return family.autoencoder(family.wanted(rules), size), family
        except ConfigError as error:
            raise ConfigError(f"recipe {rules.recipe}: {error}") from error


class _Result:
    """The best epoch's network, and what is made with it: center, encoder, reconstructions."""

    def __init__(
        self,
        store: Store,
        receipts: Sequence[Receipt],
        rules: Rules,
        best: Tensors,
        reader: str = "arrow",
    ) -> None:
        self._read = (reader, store, receipts)
        self._rules, self._best, self._preprocess = rules, best, preprocess_of(rules)
        self._network, self._family = _network(rules)
        self._device = ALONE.device
        self._network.load_state_dict({n: torch.tensor(array) for n, array in best.items()})
        self._network.to(self._device).eval()
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._examples = open_reader(reader, store, receipts, rules.batch, "train")

    def made(self, progress: Progress) -> Made:
        parameters = self._family.wanted(self._rules)
        center, pictures = self._center()
        tensors = {"center": center} if parameters.center else {}
        return Made(
            architecture=self._rules.recipe,
            dim=self._family.dim_of(parameters, self._preprocess.size),
            metric=self._family.own_metric,
            preprocess=self._preprocess,
            parameters=parameters.model_dump(mode="json"),
            tensors=self._half(_INNER) | tensors,
            decoder=self._half(_OUTER),
            notes=self._family.said(parameters),
            pictures=pictures,
            epochs=progress.epochs,
            best=progress.best,
            reconstructions=self._reconstructions(),
        )

    def _half(self, own: str) -> dict[str, NDArray[np.float32]]:
        return {n.removeprefix(own): a for n, a in self._best.items() if n.startswith(own)}

    def _center(self) -> tuple[NDArray[np.float32], int]:
        """The mean code of the training examples, and their number."""
        total = low = high = np.zeros(0)
        count = 0
        read = batches_of(self._examples, self._preprocess, 0, 0, ALONE)
        with closing(read) as batches, torch.inference_mode():
            for pictures, _ in batches:
                found = self._network.codes(pictures.to(self._device)).float().cpu().numpy()
                if not count:
                    total = np.zeros(found.shape[1])
                    low, high = np.full_like(total, np.inf), np.full_like(total, -np.inf)
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
        shown = _first(*self._read, self._rules, SHOWN)
        return _made_of(self._network, shown, self._preprocess, self._device)


def _first(
    reader: str, store: Store, receipts: Sequence[Receipt], rules: Rules, count: int
) -> dict[bytes, bytes]:
    """The pictures of the held-out examples with the smallest hashes."""
    kept: dict[bytes, bytes] = {}
    examples = open_reader(reader, store, receipts, rules.batch, "held_out")
    for batch in examples.batches(COLUMNS, 0, 1, 0, 0):
        kept |= dict(zip(batch["content_sha256"], batch["picture"], strict=True))
        kept = dict(sorted(kept.items())[:count])
    return kept


def _made_of(
    network: Autoencoder, shown: dict[bytes, bytes], preprocess: Preprocess, device: torch.device
) -> list[Reconstruction]:
    """What a network makes of examples, while it is not learning."""
    learning = network.training
    network.eval()
    pairs = repeated(network, list(shown.values()), preprocess, device)
    network.train(learning)
    rows = zip(shown.items(), *pairs, strict=True)
    return [Reconstruction(key, error, data, _png(made)) for (key, data), made, error in rows]


def repeated(
    network: Autoencoder, data: Sequence[bytes], preprocess: Preprocess, device: torch.device
) -> tuple[NDArray[np.uint8], list[float]]:
    """What a network makes of these examples, ``uint8 [n, h, w, 3]``, and each one's MSE."""
    originals = pixels({"picture": list(data)}, preprocess)
    with torch.inference_mode():
        pictures = scaled(originals, preprocess).to(device)
        found = network.repeat(pictures)
        errors = (found - pictures).square().mean(dim=(1, 2, 3)).cpu().tolist()
        bytes_ = (found * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return bytes_, errors


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()
