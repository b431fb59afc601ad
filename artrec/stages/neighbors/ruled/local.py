"""What the tasks of one executor share: files on its own disk, made once and mapped by each worker.

They lie in a folder that Spark removes when the executor ends. Mapped, they cost memory as far as
they are read, and all workers together but once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from artrec.digests import name_of
from artrec.stages.blocks import vector_blocks
from artrec.storage import Store
from artrec.tables import Receipt
from artrec.vectors.distance import Floats, Ints

__all__ = ["made_once", "mapped_vectors"]


def made_once(kind: str, receipts: Sequence[Receipt], make: Callable[[Path], None]) -> Path:
    """A folder on this machine that ``make`` has filled from the files of ``receipts``."""
    name = name_of({"kind": kind, "files": [[each.path, each.sha256] for each in receipts]})
    place = Path(_scratch()) / f"artrec-{kind}-{name}"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            making = Path(f"{place}.making")
            shutil.rmtree(making, ignore_errors=True)  # of a worker that was killed
            making.mkdir()
            make(making)
            making.rename(place)
    return place


def _scratch() -> str:
    """Spark's own scratch space, as it tells its workers."""
    given = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return given or tempfile.gettempdir()


def mapped_vectors(store: Store, live: Sequence[Receipt]) -> tuple[Ints, Floats]:
    """Numbers [n], ascending, and vectors [n, d] of a catalog."""

    def make(folder: Path) -> None:
        with open(folder / "numbers", "wb") as numbers, open(folder / "vectors", "wb") as vectors:
            for block in vector_blocks(store, live):
                numbers.write(block.numbers.tobytes())
                vectors.write(np.ascontiguousarray(block.vectors).tobytes())

    folder = made_once("vectors", live, make)
    if not (folder / "numbers").stat().st_size:
        return np.zeros(0, np.int64), np.zeros((0, 1), np.float32)
    numbers = np.memmap(folder / "numbers", np.int64, "r")
    vectors = np.memmap(folder / "vectors", np.float32, "r")
    return numbers, vectors.reshape(len(numbers), -1)
