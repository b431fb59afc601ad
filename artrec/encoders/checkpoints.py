"""Checkpoints: what a training needs to go on after a kill as if nothing had happened.

One file of plain tensors after each epoch, in the folder of the run; an older one is deleted when
the next stands. Nothing random is drawn in an epoch but the order of its examples, which follows
from seed and epoch, so no generator's state has to be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from artrec.errors import ConditionFailed, NotFound, StoreFormatError
from artrec.storage import Store

__all__ = ["Epoch", "Progress", "clear", "read_latest", "write"]

FORMAT = 1
_PROGRESS = "progress"  # the tensor that holds the JSON of a Progress

Arrays = Mapping[str, NDArray[Any]]


class Epoch(BaseModel):
    """What one epoch came to; losses are means over its examples, seconds are of the clock."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    train_loss: float
    held_out_loss: float
    learning_rate: float
    seconds: float
    reading_seconds: float


class Progress(BaseModel):
    """All epochs so far."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    epochs: tuple[Epoch, ...] = ()

    @property
    def best(self) -> Epoch:
        """The epoch with the smallest loss on the held-out examples; of equal ones the first."""
        return min(self.epochs, key=lambda each: (each.held_out_loss, each.epoch))


def write(store: Store, folder: str, progress: Progress, arrays: Arrays) -> None:
    """Keep the state after the last epoch of ``progress``, and let the one before go."""
    words = np.frombuffer(progress.model_dump_json().encode(), np.uint8)
    data = save({name: np.ascontiguousarray(a) for name, a in arrays.items()} | {_PROGRESS: words})
    path = _path(folder, len(progress.epochs))
    with suppress(ConditionFailed):  # another process trains the same run, to the same end
        store.write(path, data)
    _delete_all(store, folder, but=path)


def read_latest(store: Store, folder: str) -> tuple[Progress, dict[str, NDArray[Any]]] | None:
    """The last state that was kept, or None; StoreFormatError for one that cannot be read."""
    paths = [entry.path for entry in store.list(folder)]
    if not paths:
        return None
    where = f"{store.url}/{max(paths)}"
    try:
        arrays = load(store.read(max(paths)))
        progress = Progress.model_validate_json(arrays.pop(_PROGRESS).tobytes())
    except (SafetensorError, KeyError, ValidationError) as error:
        raise StoreFormatError(
            f"{where}: not a checkpoint of artrec ({error}); delete it to train from the start"
        ) from error
    if progress.format > FORMAT:
        raise StoreFormatError(
            f"{where}: written in format {progress.format}, this artrec reads up to {FORMAT}: use "
            "a newer artrec, or delete it to train from the start"
        )
    return progress, arrays


def clear(store: Store, folder: str) -> None:
    """Delete what was kept, once the training has its result."""
    _delete_all(store, folder, but=None)


def _path(folder: str, epoch: int) -> str:
    return f"{folder}/epoch-{epoch:06d}.safetensors"


def _delete_all(store: Store, folder: str, but: str | None) -> None:
    for entry in list(store.list(folder)):
        if entry.path != but:
            with suppress(NotFound):
                store.delete(entry.path)
