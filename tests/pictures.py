"""Tiny pictures and archives of them, the same bytes for the same arguments."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tests.archive.zip_maker import Item, build

__all__ = ["Named", "item", "picture", "write_folder", "write_zip", "zip_bytes"]

UTF8 = 0x800  # the flag that says how a name is spelled

Named = tuple[str, bytes]
"""A member's path and bytes."""


def picture(seed: int, form: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A file of ``form`` (Pillow's name) with soft patches of colour; ``size`` is (w, h)."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def item(name: str, data: bytes, method: int = 0, **lies: object) -> Item:
    """A member as it should be, but for what ``lies`` say (see ``zip_maker.Item``)."""
    flags = UTF8 | int(str(lies.pop("flags", 0)))
    return Item(name.encode(), data, method, flags, **lies)  # type: ignore[arg-type]


def zip_bytes(members: Iterable[Named | Item]) -> bytes:
    """A zip of ``members`` in their order, names as often as they are given."""
    return build([each if isinstance(each, Item) else item(*each) for each in members])


def write_zip(path: Path, members: Iterable[Named | Item]) -> Path:
    path.write_bytes(zip_bytes(members))
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        file = path / name
        os.makedirs(file.parent, exist_ok=True)
        file.write_bytes(data)
    return path
