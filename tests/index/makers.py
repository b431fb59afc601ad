"""Shards made by hand in a store: vectors dealt, built, and written as the stage does it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from artrec.index import (
    ANNOY_METRICS,
    Changes,
    Recipe,
    ShardSet,
    Sidecar,
    Tuning,
    Wanted,
    build_shard,
    open_shards,
    shard_ranges,
)
from artrec.releases import Artifact, upload_artifact, write_artifact
from artrec.schemas import TABLES
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors import Block

__all__ = ["Made", "Written", "changed", "made", "scattered", "written"]

Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]
EVERYTHING = 10**6  # a search_k beyond all that a small shard holds


@dataclass(frozen=True)
class Made:
    """The files of an index, sidecars last for each shard."""

    store: Store
    files: tuple[Artifact, ...]
    wanted: Wanted
    items: int
    item_files: tuple[Receipt, ...] = ()
    changes: Changes = field(default_factory=Changes)

    def opened(self, search_k: int = EVERYTHING, scans: bool = False) -> ShardSet:
        given = self.store, self.files, self.wanted, self.items
        return open_shards(*given, search_k, scans=scans, changes=self.changes)

    @property
    def sidecars(self) -> list[Artifact]:
        return [file for file in self.files if file.path.endswith(".json")]


def scattered(n: int, dim: int, seed: int = 0) -> tuple[Numbers, Vectors]:
    """``n`` random vectors under numbers from the whole range, ascending."""
    random = np.random.default_rng(seed)
    numbers = np.unique(random.integers(0, 2**63 - 1, n, dtype=np.int64))
    return numbers, random.standard_normal((len(numbers), dim)).astype(np.float32)


def made(
    root: Path,
    numbers: Numbers,
    vectors: Vectors,
    shards: int = 1,
    metric: str = "cosine",
    trees: int = 4,
    seed: int = 1,
    tuning: Tuning | None = None,
) -> Made:
    """Shards of all ``vectors`` below ``root``."""
    store = open_store(str(root))
    recipe = Recipe(metric, vectors.shape[1], trees, seed)
    files: list[Artifact] = []
    items: list[Receipt] = []
    for shard, (low, high) in enumerate(shard_ranges(shards)):
        own = (numbers >= low) & (numbers <= high)
        if own.any():
            block, place = Block(numbers[own], vectors[own]), (shard, shards)
            found = written(store, root, place, block, recipe, "index", tuning)
            files, items = files + found.files, items + found.items
    wanted = Wanted("mine-1", metric, vectors.shape[1])
    return Made(store, tuple(files), wanted, len(numbers), tuple(items))


def changed(made: Made, live: Numbers, vectors: Vectors) -> Made:
    """The same shards on a later night, when the vectors of the catalog are ``live``."""
    items = pa.Table.from_batches(read_table(made.store, made.item_files))
    had = np.asarray(items["vector_no"])
    gone = items.filter(pa.array(~np.isin(had, live)))
    came = ~np.isin(live, had)
    facts = {name: str(getattr(made.wanted, name)) for name in ("encoder", "metric", "dim")}
    masked, side = TABLES["masked_items"], TABLES["side_vectors"]
    with TableWriter(made.store, "later", masked, "all", facts, even_empty=True) as masks:
        for batch in gone.to_batches():
            masks.write(batch)
    with TableWriter(made.store, "later", side, "all", facts, even_empty=True) as beside:
        columns = {"vector_no": live[came], "embedding": list(vectors[came])}
        beside.write(pa.RecordBatch.from_pydict(columns, schema=side.columns))
    return replace(made, changes=Changes(tuple(beside.receipts), tuple(masks.receipts)))


@dataclass(frozen=True)
class Written:
    """One shard's files: its rows of shard_items, and its Annoy file and sidecar."""

    items: list[Receipt]
    files: list[Artifact]


def written(
    store: Store,
    scratch: Path,
    place: tuple[int, int],
    block: Block,
    recipe: Recipe,
    folder: str,
    tuning: Tuning | None = None,
) -> Written:
    """One shard, in the store below ``folder``."""
    shard, shards = place
    table = TABLES["shard_items"]
    with TableWriter(store, folder, table, f"{shard}") as items:
        columns = {
            "shard": np.full(len(block.numbers), shard, np.int32),
            "item": np.arange(len(block.numbers), dtype=np.int32),
            "vector_no": block.numbers,
        }
        items.write(pa.RecordBatch.from_pydict(columns, schema=table.columns))
    local = scratch / f"{shard}.tmp"
    scratch.mkdir(exist_ok=True)
    build_shard(local, block.numbers, [block], recipe)
    file = upload_artifact(store, local, f"{folder}/shards/{shard}.annoy")
    local.unlink()
    sidecar = Sidecar(
        shard=shard,
        shards=shards,
        file=file,
        item_files=[Artifact(**receipt.model_dump()) for receipt in items.receipts],
        items=len(block.numbers),
        trees=recipe.trees,
        dim=recipe.dim,
        metric=recipe.metric,
        annoy_metric=ANNOY_METRICS[recipe.metric],
        seed=recipe.seed,
        encoder="mine-1",
        versions={},
        tuning=tuning,
    )
    beside = write_artifact(store, sidecar.to_bytes(), f"{folder}/shards/{shard}.json")
    return Written(items.receipts, [file, beside])
