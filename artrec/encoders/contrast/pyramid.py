"""Pictures at several sizes, where any crop of any of them is a copy of few bytes.

A picture takes 384,000 bytes. Up to ``IN_MEMORY`` bytes they are held in memory; more lie in
files without a name, of which the system keeps in memory what fits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artrec import picture
from artrec.encoders import Preprocess
from artrec.encoders.reader import Batch

__all__ = ["IN_MEMORY", "Pyramid", "SIZES", "picture_bytes"]

Pixels = NDArray[np.uint8]
Whole = NDArray[np.int64]

SIZES = (96, 128, 192, 256)
"""Sides of the square levels; the last is the size of an example."""

IN_MEMORY = 1 << 30
_LIMITS = picture.Limits()


def picture_bytes(sizes: Sequence[int] = SIZES) -> int:
    """What one picture takes."""
    return 3 * sum(size * size for size in sizes)


class Pyramid:
    """Pictures in the order of their keys, in whatever order they came."""

    def __init__(
        self, batches: Iterable[Batch], room: int, wanted: Preprocess, in_memory: int = IN_MEMORY
    ) -> None:
        self.sizes = tuple(size * wanted.size[0] // SIZES[-1] for size in SIZES)
        in_files = room * picture_bytes(self.sizes) > in_memory
        self._levels = [self._empty((room, size, size, 3), in_files) for size in self.sizes]
        keys: list[bytes] = []
        labels: dict[str, list[str | None]] = {"artist": [], "style": []}
        work = partial(_levels, wanted, self.sizes)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for batch in batches:
                for place, made in enumerate(threads.map(work, batch["picture"]), len(keys)):
                    for level, pixels in zip(self._levels, made, strict=True):
                        level[place] = pixels
                keys += batch["content_sha256"]
                for name, values in labels.items():
                    values += batch[name]
        self._order = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        self.labels = {name: [each[i] for i in self._order] for name, each in labels.items()}

    def __len__(self) -> int:
        return len(self._order)

    def _empty(self, shape: tuple[int, ...], in_file: bool) -> Pixels:
        if not in_file:
            return np.empty(shape, np.uint8)
        with tempfile.TemporaryFile(prefix="artrec-") as file:  # the map holds it open
            return np.memmap(file, np.uint8, "w+", shape=shape)

    def whole(self, batch: int) -> Iterator[Pixels]:
        """All pictures at their full size, in order."""
        for start in range(0, len(self), batch):
            yield self._levels[-1][self._order[start : start + batch]]

    def crops(
        self, pictures: Whole, levels: Whole, places: NDArray[np.float64], side: int
    ) -> Pixels:
        """A square of ``side`` of each of these: ``uint8 [n, side, side, 3]``.

        ``places`` ``[n, 2]``, 0 to 1, says where between the topmost (leftmost) and the lowest.
        """
        found = np.empty((len(pictures), side, side, 3), np.uint8)
        rooms = np.array(self.sizes)[levels] - side + 1
        corners = (places * rooms[:, None]).astype(np.int64)
        rows = self._order[pictures]
        for n, (row, level, (top, left)) in enumerate(zip(rows, levels, corners, strict=True)):
            found[n] = self._levels[level][row, top : top + side, left : left + side]
        return found


def _levels(wanted: Preprocess, sizes: Sequence[int], data: bytes) -> list[Pixels]:
    whole = picture.decode(data, _LIMITS, wanted.size, wanted.fit, wanted.filter)
    image = Image.fromarray(whole)
    smaller = (image.resize((size, size), Image.Resampling.LANCZOS) for size in sizes[:-1])
    return [*(np.asarray(each) for each in smaller), whole]
