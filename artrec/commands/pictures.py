"""The stored pictures behind images of a release, without a JVM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from artrec import picture
from artrec.config import IngestSettings, Settings
from artrec.errors import StoreFormatError
from artrec.releases import Release, table_receipts
from artrec.stages.rules import picture_limits, picture_recipe
from artrec.storage import Store
from artrec.storage.ahead import Read, read_ahead
from artrec.tables import Receipt, open_file

__all__ = ["SIDE", "ingest_settings", "small", "stored_pictures"]

AT_ONCE, AHEAD = 8, 64 << 20  # files that are looked through together
SIDE = 400  # of a small picture, in pixels


@dataclass(frozen=True)
class _Found:
    receipt: Receipt
    groups: dict[int, list[bytes]]


def stored_pictures(
    store: Store, release: Release, contents: set[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """(hash, bytes) of these contents as the release stores them, each once, one by one.

    Nothing says in which file a content lies: the hashes of all are read past, by several requests
    at a time, until all are found.
    """
    wanted = {*contents}
    recipe = picture_recipe(ingest_settings(release))
    known = wanted and release.refs("pictures")
    receipts = table_receipts(store, release, "pictures") if known else []
    reads = (
        Read(partial(_look, store, receipt, frozenset(contents), recipe), 1 << 20)
        for receipt in receipts
    )
    for found in read_ahead(reads, AT_ONCE, AHEAD):
        for group, there in found.groups.items():
            mine = [content for content in there if content in wanted]
            if not mine:
                continue
            file = open_file(store, found.receipt)
            rows = file.read_row_group(group, columns=["content_sha256", "recipe", "data"])
            for content, how, data in zip(*(rows.column(n) for n in range(3)), strict=True):
                key = content.as_py()
                if key in wanted and how.as_py() == recipe:
                    wanted.discard(key)
                    yield key, data.as_py()
        if not wanted:
            return


def _look(store: Store, receipt: Receipt, wanted: frozenset[bytes], recipe: str) -> _Found:
    """Which of them lie in which row groups of a file."""
    file, groups = open_file(store, receipt), dict[int, list[bytes]]()
    for group in range(file.metadata.num_row_groups):
        rows = file.read_row_group(group, columns=["content_sha256", "recipe"])
        for content, how in zip(*(rows.column(n).to_pylist() for n in range(2)), strict=True):
            if content in wanted and how == recipe:
                groups.setdefault(group, []).append(content)
    return _Found(receipt, groups)


def ingest_settings(release: Release) -> IngestSettings:
    """How the release's pictures were read and stored."""
    try:
        return Settings.model_validate(release.settings).ingest
    except ValidationError as error:
        raise StoreFormatError(
            f"release {release.release_id} was made with settings that this artrec does not know: "
            f"{error.errors()[0]['loc']}; use the artrec that made it"
        ) from None


def small(data: bytes, settings: IngestSettings, side: int = SIDE) -> NDArray[np.uint8] | None:
    """The picture with no side longer than ``side``; None for what cannot be decoded."""
    try:
        return picture.shrunk(data, picture_limits(settings), side)
    except picture.PictureError:
        return None
