"""The recipes ``descriptor`` and ``descriptor-fast``: fitted to pictures, without labels.

The examples are read three times: patches of some for the codebooks, all for the projections of
the blocks, and some again for the one that joins them. Memory is that of the covariances,
whatever the number of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from artrec import log, picture
from artrec.encoders.blocks import Again, Part, fit_blocks
from artrec.encoders.descriptor import Parameters
from artrec.encoders.features.planes import Pixels
from artrec.encoders.fitted import Fit
from artrec.encoders.reader import open_reader
from artrec.encoders.recipes import Made, preprocess_of
from artrec.encoders.rules import Rules
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["DIM", "FAST", "FULL", "fast", "fit", "train"]

Floats = NDArray[np.float32]

DIM = 256
FULL = tuple(
    Part(name=name)
    for name in ("handmade", "patterns", "gradients", "moments", "pixel_fisher", "edge_fisher")
)
FAST = tuple(Part(name=name) for name in ("colours", "patterns", "pixel_fisher", "edge_fisher"))

_JOINED = 4096  # pictures that the last projection is fitted to
_BATCH = 32
_LIMITS = picture.Limits()


def train(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """All blocks, fitted on the training examples. ``folder`` stays empty."""
    return _made(store, receipts, rules, FULL, reader)


def fast(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """The blocks that take least time."""
    return _made(store, receipts, rules, FAST, reader)


def fit(
    pictures: Again, parts: Sequence[Part], seed: int, dim: int | None = DIM
) -> tuple[Parameters, dict[str, Floats], int]:
    """What a descriptor is made of: parameters, tensors, and its numbers (``dim`` or fewer).

    ``dim`` None leaves the last projection out. TrainingError where there are too few pictures,
    or all look the same.
    """
    blocks = fit_blocks(pictures, parts, seed)
    last = Fit(blocks.dim)
    for batch in _some(pictures()):
        last.add(blocks(batch))
    tensors = blocks.tensors()
    parameters = Parameters(blocks=blocks.parts, reduced=dim is not None)
    if dim is None:
        return parameters, tensors | {"center": last.mean.astype(np.float32)}, blocks.dim
    projection = last.projection(dim)
    tensors |= {"center": projection.center, "projection": projection.matrix}
    return parameters, tensors, projection.dim


def _some(batches: Iterable[Pixels]) -> Iterator[Pixels]:
    seen = 0
    for batch in batches:
        yield batch
        seen += len(batch)
        if seen >= _JOINED:
            return


def _made(
    store: Store, receipts: Sequence[Receipt], rules: Rules, parts: Sequence[Part], engine: str
) -> Made:
    preprocess = preprocess_of(rules)
    reader = open_reader(engine, store, receipts, _BATCH, "train")
    wanted = (preprocess.size, preprocess.fit, preprocess.filter)
    passes: list[int] = []

    def pictures() -> Iterator[Pixels]:
        passes.append(0)
        for batch in reader.batches(("picture",), 0, 1, 0, rules.seed):
            yield np.stack([picture.decode(data, _LIMITS, *wanted) for data in batch["picture"]])
            passes[-1] += len(batch["picture"])

    parameters, tensors, dim = fit(pictures, parts, rules.seed)
    count = max(passes)
    log.get(stage="train").info("fitted", pictures=count, dim=dim, passes=len(passes))
    names = ", ".join(part.name for part in parameters.blocks)
    return Made(
        architecture="descriptor",
        dim=dim,
        metric="cosine",
        preprocess=preprocess,
        parameters=parameters.model_dump(mode="json"),
        tensors=tensors,
        notes=f"hand-made features, each projected as fitted, joined and reduced: {names}",
        pictures=count,
    )
