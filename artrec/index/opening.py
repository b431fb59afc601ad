"""Opening shards: nothing is asked before file, ids and sidecar fit each other and the release.

Annoy loads nearly any file under any dimension, and a query on a wrong one ends the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artrec.errors import StoreFormatError
from artrec.index.files import cache_folder, compare, local_file, numbers_in, read_file
from artrec.index.mapped import mapped_vectors
from artrec.index.shards import Shard, ShardSet
from artrec.index.side import Changes, Side, live_items, open_side
from artrec.index.sidecar import ANNOY_METRICS, Sidecar, new_index
from artrec.releases import Artifact
from artrec.releases.runs import parse_document
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["Wanted", "open_shard", "open_shards", "side_of"]

_HASHED_AT_ONCE = 4
_NOTHING = Changes()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a release says of its vectors."""

    encoder: str
    metric: str
    dim: int


def open_shards(
    store: Store,
    files: Sequence[Artifact],
    wanted: Wanted,
    items: int,
    search_k: int = 0,
    cache: Path | None = None,
    scans: bool = False,
    changes: Changes = _NOTHING,
) -> ShardSet:
    """All shards of a run, from its artifacts named ``shards``; ``items`` is the rows of its table.

    ``changes`` are those since it was made. With ``scans`` shards are not asked but scanned, so
    that answers are exact.

    Raises StoreFormatError naming the first thing that does not fit, with both values.
    """
    sidecars = [file for file in files if file.path.endswith(".json")]
    with ThreadPoolExecutor(_HASHED_AT_ONCE) as pool:
        opening = partial(open_shard, store, wanted=wanted, cache=cache, masked=changes.masked)
        shards = list(pool.map(opening, sidecars))
    places = {(shard.sidecar.shard, shard.sidecar.shards) for shard in shards}
    if len(places) != len(shards) or len({of for _, of in places}) > 1:
        raise StoreFormatError(f"{store.url}: these shards are not of one index: {sorted(places)}")
    held = sum(len(shard.numbers) for shard in shards)
    if held != items:
        raise StoreFormatError(
            f"{store.url}: the shards hold {held} vectors, their table {items}: one is missing"
        )
    side = side_of(store, changes, wanted, cache)
    return ShardSet(shards, wanted.metric, wanted.dim, search_k, scans, side)


def side_of(
    store: Store, changes: Changes, wanted: Wanted, cache: Path | None = None
) -> Side | None:
    """The side shard, where anything came since the shards were built."""
    if not any(file.rows for file in changes.side):
        return None
    return open_side(store, changes.side, wanted.encoder, wanted.metric, wanted.dim, cache)


def open_shard(
    store: Store,
    file: Artifact,
    wanted: Wanted,
    cache: Path | None = None,
    masked: Sequence[Receipt] = (),
) -> Shard:
    """The shard of a sidecar. ``cache`` keeps files of a store that is not on this machine;
    ``masked`` are files that say which items, also of other shards, are gone.

    Raises StoreFormatError, with found and expected, for whatever does not fit.
    """
    sidecar = parse_document(read_file(store, file), f"{store.url}/{file.path}", Sidecar)
    compare(
        f"{store.url}/{file.path}",
        {
            "encoder": (sidecar.encoder, wanted.encoder),
            "metric": (sidecar.metric, wanted.metric),
            "annoy_metric": (sidecar.annoy_metric, ANNOY_METRICS.get(wanted.metric)),
            "dim": (sidecar.dim, wanted.dim),
        },
    )
    numbers = _numbers(store, sidecar)
    path = local_file(store, sidecar.file, cache or cache_folder())
    index = new_index(sidecar.dim, sidecar.metric)
    index.load(str(path))
    compare(str(path), {"items": (index.get_n_items(), sidecar.items)})
    vectors = mapped_vectors(path, index, sidecar.items, sidecar.dim)
    return Shard(sidecar, index, numbers, vectors, live_items(store, sidecar, numbers, masked))


def _numbers(store: Store, sidecar: Sidecar) -> NDArray[np.int64]:
    """The vector_no of each item, from files that are hashed as they are read."""
    parts = [np.zeros(0, np.int64)]
    for file in sidecar.item_files:
        parts += [numbers for (numbers,) in numbers_in(store, file, ["vector_no"])]
    numbers = np.concatenate(parts)
    where = f"{store.url}/{sidecar.item_files[0].path}" if sidecar.item_files else sidecar.name
    compare(where, {"items": (len(numbers), sidecar.items)})
    return numbers
