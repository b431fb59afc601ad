"""The recipes ``contrastive``, ``labelled``, ``combined`` and ``auto``.

The examples are read once, into a pyramid; all else is done there. Without labels ``labelled`` is
``contrastive`` and says so. ``auto`` is ``combined`` where there are pictures enough to train a
network on, else ``descriptor``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from artrec import log
from artrec.encoders import describing
from artrec.encoders.blocks import fit_blocks
from artrec.encoders.checkpoints import Epoch
from artrec.encoders.contrast.course import ENOUGH
from artrec.encoders.contrast.encoders import CombinedParameters, Parameters, Sight
from artrec.encoders.contrast.learning import learn
from artrec.encoders.contrast.network import WIDTHS, folded
from artrec.encoders.contrast.pyramid import Pyramid
from artrec.encoders.fitted import Fit, joined
from artrec.encoders.reader import open_reader
from artrec.encoders.recipes import Made, preprocess_of
from artrec.encoders.rules import Rules
from artrec.errors import TrainingError
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["auto", "combined", "contrastive", "labelled"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_COLUMNS = ("content_sha256", "picture", "artist", "style")
_BATCH = 32
_POWER = 0.375  # of the eigenvalues of the stages
_FITTED = 4096  # pictures that the hand-made blocks and the last projection are fitted to
_DIM, _JOINED = 256, 0.125  # numbers of a vector, and the power of the eigenvalues
_LEAST, _EACH = 64, 8  # no less than the one; the other is how many pictures there are for a number
_WEIGHT = 1.5  # of the network beside one block


@dataclass(frozen=True, eq=False)
class _Trained:
    """The network with what was fitted to it, and its part of every training picture's vector."""

    tensors: dict[str, Floats]
    parameters: Parameters
    vectors: Floats
    examples: Pyramid
    epochs: tuple[Epoch, ...]


def contrastive(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """The network alone, trained without labels."""
    return _alone(
        _trained(store, receipts, rules, folder, False, reader)[0], rules, "without labels"
    )


def labelled(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """The network alone, trained with artists, else with styles, where pictures share one."""
    trained, how = _trained(store, receipts, rules, folder, True, reader)
    return _alone(trained, rules, how)


def combined(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """The network, trained without labels, beside hand-made blocks, all in one projection."""
    trained, _ = _trained(store, receipts, rules, folder, False, reader)

    def again() -> Iterator[Pixels]:
        left = _FITTED
        for batch in trained.examples.whole(_BATCH):
            yield batch[:left]
            left -= len(batch)
            if left <= 0:
                return

    pictures = min(_FITTED, len(trained.examples))
    log.get(stage="train").info("fitting", pictures=pictures, what="hand-made features")
    blocks = fit_blocks(again, describing.FULL, rules.seed)
    last, done = Fit(trained.vectors.shape[1] + blocks.dim), 0
    for batch in again():
        seen = trained.vectors[done : done + len(batch)]
        last.add(joined([seen, blocks(batch)], [_WEIGHT, 1.0]))
        done += len(batch)
    projection = last.projection(max(_LEAST, min(_DIM, done // _EACH)), _JOINED)
    parameters = CombinedParameters(
        widths=trained.parameters.widths,
        numbers=trained.parameters.numbers,
        blocks=blocks.parts,
        weight=_WEIGHT,
    )
    own = {"center": projection.center, "projection": projection.matrix}
    names = ", ".join(part.name for part in blocks.parts)
    return replace(
        _alone(trained, rules, "without labels"),
        architecture="combined",
        dim=projection.dim,
        parameters=parameters.model_dump(mode="json"),
        tensors={**trained.tensors, **blocks.tensors(), **own},
        notes=f"a small network that learnt, without labels, which crops are of one picture, "
        f"beside hand-made features ({names}); each part projected as fitted, joined and reduced",
    )


def auto(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """``combined``, or ``descriptor`` for fewer training pictures than ENOUGH."""
    seen = open_reader(reader, store, receipts, 1000, "train")
    counts = (len(batch["artist"]) for batch in seen.batches(("artist",), 0, 1, 0, 0))
    few = sum(counts) < ENOUGH
    name, recipe = ("descriptor", describing.train) if few else ("combined", combined)
    log.get(stage="train").info("recipe", recipe=name)
    return replace(recipe(store, receipts, replace(rules, recipe=name), folder, reader), name=name)


def _trained(
    store: Store,
    receipts: Sequence[Receipt],
    rules: Rules,
    folder: str,
    with_labels: bool,
    reader: str,
) -> tuple[_Trained, str]:
    """The network after its training, and a few words on its labels."""
    examples, held_out = (
        _pyramid(store, receipts, rules, of, reader) for of in ("train", "held_out")
    )
    classes, how = _classes(examples) if with_labels else (None, "without labels")
    log.get(stage="train").info("pyramid", pictures=len(examples), labels=how)
    learned = learn(
        store, folder, examples, held_out, classes, rules.steps, rules.seed, rules.precision
    )
    weights = folded(learned.body)
    sight = Sight(WIDTHS, weights)
    seen = np.concatenate([sight(batch) for batch in examples.whole(_BATCH)])
    center = seen.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not np.square(seen - center).any():
        raise TrainingError(f"the trained network gives all {len(seen)} pictures the same vector")
    spread = sight.spread(seen, center)
    fit = Fit(sight.numbers)
    fit.add(spread)
    projection = fit.projection(sight.numbers, _POWER)
    tensors = {f"net.{name}": each for name, each in weights.items()} | {
        "stages.center": center,
        "seen.center": projection.center,
        "seen.projection": projection.matrix,
    }
    parameters = Parameters(widths=WIDTHS, numbers=projection.dim)
    return _Trained(tensors, parameters, projection(spread), examples, learned.epochs), how


def _pyramid(
    store: Store, receipts: Sequence[Receipt], rules: Rules, of: str, engine: str
) -> Pyramid:
    batches = open_reader(engine, store, receipts, _BATCH, of).batches(
        _COLUMNS, 0, 1, 0, rules.seed
    )
    return Pyramid(batches, sum(each.rows for each in receipts), preprocess_of(rules))


def _classes(examples: Pyramid) -> tuple[NDArray[np.int64] | None, str]:
    """A class for each picture, its own where it has no label; None where labels tell nothing."""
    for label in ("artist", "style"):
        names = examples.labels[label]
        counts = Counter(name for name in names if name)
        shared = sum(count > 1 for count in counts.values())
        if shared and len(counts) > 1:
            known = {name: number for number, name in enumerate(sorted(counts))}
            alone = len(known) + np.arange(len(names))
            found = [known[name] if name else alone[n] for n, name in enumerate(names)]
            return np.array(found, np.int64), f"with {len(counts)} labels of {label}"
    why = "without labels, since no two pictures share an artist or a style that others do not have"
    log.get(stage="train").warning("labels tell nothing apart", trained=why)
    return None, why


def _alone(trained: _Trained, rules: Rules, how: str) -> Made:
    return Made(
        architecture="contrastive",
        dim=trained.parameters.numbers,
        metric="cosine",
        preprocess=preprocess_of(rules),
        parameters=trained.parameters.model_dump(mode="json"),
        tensors=trained.tensors,
        notes=f"a small network that learnt, {how}, which crops are of one picture; mean and "
        "standard deviation of its stages, projected as fitted",
        pictures=len(trained.examples),
        epochs=trained.epochs,
        best=trained.epochs[-1],
    )
