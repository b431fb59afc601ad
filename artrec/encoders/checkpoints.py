"""Checkpoints: what a training needs to go on after a kill as if nothing had happened.

One file of plain tensors after each epoch, in the folder of the run; an older one is deleted when
the next stands. Nothing random is drawn in an epoch but the order of its examples, which follows
from seed and epoch, so no generator's state has to be kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
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
    """All epochs so far; ``sha256``, in a file, is over them and the tensors beside them."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    epochs: tuple[Epoch, ...] = ()
    sha256: str = ""

    @property
    def best(self) -> Epoch:
        """The epoch with the smallest loss on the held-out examples; of equal ones the first."""
        return min(self.epochs, key=lambda each: (each.held_out_loss, each.epoch))


def write(store: Store, folder: str, progress: Progress, arrays: Arrays) -> None:
    """Keep the state after the last epoch of ``progress``, and let the one before go."""
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    progress = progress.model_copy(update={"sha256": _digest(progress, plain)})
    words = np.frombuffer(progress.model_dump_json().encode(), np.uint8)
    path = _path(folder, len(progress.epochs))
    with suppress(ConditionFailed):  # another process trains the same run, to the same end
        store.write(path, save(plain | {_PROGRESS: words}))
    _delete_all(store, folder, but=path)


def read_latest(
    store: Store, folder: str, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[Progress, dict[str, NDArray[Any]]] | None:
    """The last state that was kept, or None.

    StoreFormatError for one that cannot be read, was altered, is of a newer format, or has other
    float32 tensors than ``shapes``, where they are given.
    """
    paths = [entry.path for entry in store.list(folder)]
    if not paths:
        return None
    try:
        return _parsed(store.read(max(paths)), shapes)
    except StoreFormatError as error:
        where = f"{store.url}/{max(paths)}"
        raise StoreFormatError(f"{where}: {error}; delete it to train from the start") from error


def _parsed(
    data: bytes, shapes: Mapping[str, tuple[int, ...]] | None
) -> tuple[Progress, dict[str, NDArray[Any]]]:
    try:
        arrays = load(data)
        facts = json.loads(arrays.pop(_PROGRESS).tobytes())
        if facts["format"] > FORMAT:  # before its other fields are looked at
            raise StoreFormatError(
                f"written in format {facts['format']}, this artrec reads up to {FORMAT}: use a "
                "newer artrec"
            )
        progress = Progress.model_validate(facts)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StoreFormatError(f"not a checkpoint of artrec ({error})") from error
    found = _digest(progress, arrays)
    if found != progress.sha256:
        raise StoreFormatError(
            f"it was altered: the sha256 of what it holds is {found}, it says "
            f"{progress.sha256 or 'none'}"
        )
    kinds = {name: ("float32", shape) for name, shape in (shapes or {}).items()}
    others = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    if shapes is not None and kinds != others:
        name = min(n for n in kinds | others if kinds.get(n) != others.get(n))
        raise StoreFormatError(
            f"not a checkpoint of this training: its tensor {name} is "
            f"{_words(others.get(name), 'missing')}, expected {_words(kinds.get(name), 'none')}"
        )
    return progress, arrays


def _words(kind: tuple[str, tuple[int, ...]] | None, nothing: str) -> str:
    return f"{kind[0]} {kind[1]}" if kind else nothing


def _digest(progress: Progress, arrays: Arrays) -> str:
    """Over the epochs, and each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(progress.model_dump_json(exclude={"sha256"}).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


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
