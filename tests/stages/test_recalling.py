"""Recall of an index by a task for each shard: the very numbers that all shards at once have."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from artrec.evaluation import RECALL_CUTS, Streamed, recalls
from artrec.schemas import TABLES
from artrec.stages.evaluate.ground import Ground
from artrec.stages.evaluate.recalling import (
    Parts,
    ask_shard,
    merge_block,
    open_asked,
    scan_shard,
    truth_block,
)
from artrec.stages.evaluate.scores import scan_rows
from artrec.stages.frames import Attempt
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter
from artrec.vectors import METRICS, Block
from tests.index.makers import Made, Numbers, Vectors, changed, made, scattered

QUERIES, BLOCK, DEPTH = 90, 40, 120


def written(store: Store, name: str, columns: dict[str, Any]) -> tuple[Receipt, ...]:
    table = TABLES[name]
    arrays = [pa.array(columns[c.name]).cast(c.type) for c in table.columns]
    with TableWriter(store, "literal", table, "all") as writer:
        writer.write(pa.RecordBatch.from_arrays(arrays, schema=table.columns))
    return tuple(writer.receipts)


def ground_of(index: Made, numbers: Numbers, vectors: Vectors, queries: Numbers) -> Ground:
    """Of a catalog in which each vector has one image; the first queries are asked for twice."""
    live = {"vector_no": numbers, "embedding": list(vectors)}
    asked = np.sort(np.append(queries, queries[:5]))
    names = [f"{place:05d}" for place in range(len(asked))]
    chosen: dict[str, Any] = {
        field.name: pa.nulls(len(asked), field.type)
        if field.name.endswith("_")
        else pa.array([0] * len(asked)).cast(pa.int64())
        for field in TABLES["chosen_images"].columns
    }
    chosen |= {"vector_no": asked, "image_id": names, "place": np.arange(len(asked))}
    chosen |= {"content_sha256": [b"0" * 32] * len(asked), "file": names}
    wanted = index.wanted
    return Ground(
        store=index.store,
        folder="runs/evaluate/one/attempt",
        live=written(index.store, "live_vectors", live),
        evaluated=(),
        chosen=written(index.store, "chosen_images", chosen),
        encoder=wanted.encoder,
        metric=wanted.metric,
        k=10,
        queries=len(asked),
        sample=0,
        map_points=0,
        block=BLOCK,
        held_out=0.1,
    )


def by_tasks(ground: Ground, index: Made) -> dict[int, list[float]]:
    attempts = [Attempt(place, 0, 7) for place in range(10)]
    blocks = -(-QUERIES // BLOCK)
    truth = [truth_block(ground, attempt) for attempt in attempts[: blocks + 1]]
    queries = tuple(receipt for report in truth for receipt in report.receipts)
    assert [receipt.rows for receipt in queries] == [40, 40, 10]
    parts = Parts(tuple(index.sidecars), index.changes)
    work = partial(ask_shard, ground, queries, parts, partial(open_asked, DEPTH))
    answers = tuple(r for each in attempts[: len(parts)] for r in work(each).receipts)
    reports = [merge_block(ground, queries, answers, each) for each in attempts[:blocks]]
    return {k: [x for each in reports for x in each.notes[str(k)]] for k in RECALL_CUTS}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shards", [1, 4])
def test_recall_by_shards_is_that_of_all_shards_at_once(
    tmp_path: Path, metric: str, shards: int
) -> None:
    """Copies in several shards included."""
    numbers, vectors = scattered(1500, 24)
    vectors[::150] = vectors[0]
    index = made(tmp_path / "store", numbers, vectors, shards, metric, trees=2)
    queries = numbers[:: len(numbers) // QUERIES][:QUERIES]
    rows = np.searchsorted(numbers, queries)
    whole = Block(numbers, vectors)
    expected = recalls(
        index.opened(DEPTH),
        Streamed(lambda: [whole], metric),
        Block(queries, vectors[rows]),
        lambda: [whole],
        metric,
    )
    found = by_tasks(ground_of(index, numbers, vectors, queries), index)
    assert found == {k: share.tolist() for k, share in expected.items()}
    assert 0.05 < np.mean(found[50]) < 0.99


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shards", [1, 4])
def test_shards_that_are_scanned_list_all_that_is_nearest(
    tmp_path: Path, metric: str, shards: int
) -> None:
    """Each shard is asked a random 200 / shards of its vectors, or up to twice as many."""
    numbers, vectors = scattered(1500, 24)
    vectors[::150] = vectors[0]
    index = made(tmp_path / "store", numbers, vectors, shards, metric, trees=1)
    rows = scanned(ground_of(index, numbers, vectors, numbers[:1]), index)
    assert {row["k"]: (row["low"], row["value"]) for row in rows} == dict.fromkeys(
        RECALL_CUTS, (1.0, 1.0)
    )
    assert all(200 <= row["queries"] < 400 for row in rows)


def test_what_scanned_shards_do_not_hold_is_missed(tmp_path: Path) -> None:
    numbers, vectors = scattered(1500, 24)
    index = made(tmp_path / "store", numbers[::2], vectors[::2], 2, trees=1)
    rows = scanned(ground_of(index, numbers, vectors, numbers[:1]), index)
    assert all(0.4 < row["value"] < 0.6 for row in rows)
    assert all(row["low"] < row["value"] < row["high"] for row in rows)


def scanned(ground: Ground, index: Made) -> list[dict[str, Any]]:
    parts = Parts(tuple(index.sidecars), index.changes)
    reports = [scan_shard(ground, parts, Attempt(n, 0, 7)) for n in range(len(parts))]
    return list(scan_rows([report.notes for report in reports], "mine-1"))


# On a later night: a tenth of what the shards hold is gone, a tenth of all has come since.


def later(root: Path, metric: str, shards: int, trees: int) -> tuple[Made, Numbers, Vectors]:
    numbers, vectors = scattered(1500, 24)
    vectors[::150] = vectors[0]
    place = np.arange(len(numbers)) % 10
    index = made(root, numbers[place != 4], vectors[place != 4], shards, metric, trees)
    live = place != 7
    return changed(index, numbers[live], vectors[live]), numbers[live], vectors[live]


@pytest.mark.parametrize("shards", [1, 4])
def test_recall_of_kept_shards_is_that_of_a_look_up(tmp_path: Path, shards: int) -> None:
    index, numbers, vectors = later(tmp_path / "store", "cosine", shards, 2)
    queries = numbers[:: len(numbers) // QUERIES][:QUERIES]
    whole = Block(numbers, vectors)
    expected = recalls(
        index.opened(DEPTH),
        Streamed(lambda: [whole], "cosine"),
        Block(queries, vectors[np.searchsorted(numbers, queries)]),
        lambda: [whole],
        "cosine",
    )
    found = by_tasks(ground_of(index, numbers, vectors, queries), index)
    assert found == {k: share.tolist() for k, share in expected.items()}
    assert 0.05 < np.mean(found[50]) < 0.99


@pytest.mark.parametrize("metric", METRICS)
def test_kept_shards_that_are_scanned_list_all_that_is_nearest(tmp_path: Path, metric: str) -> None:
    index, numbers, vectors = later(tmp_path / "store", metric, 4, 1)
    rows = scanned(ground_of(index, numbers, vectors, numbers[:1]), index)
    assert {row["k"]: row["value"] for row in rows} == dict.fromkeys(RECALL_CUTS, 1.0)


@pytest.mark.parametrize("lost", ["side", "masked"])
def test_what_neither_shards_nor_side_shard_hold_is_missed(tmp_path: Path, lost: str) -> None:
    """Vectors that came and stand nowhere, or that live and are masked."""
    index, numbers, vectors = later(tmp_path / "store", "cosine", 2, 1)
    if lost == "side":
        index = replace(index, changes=replace(index.changes, side=()))
    else:
        more, theirs = scattered(1500, 24)
        numbers, vectors = more, theirs
    rows = scanned(ground_of(index, numbers, vectors, numbers[:1]), index)
    assert all(0.8 < row["value"] < 0.95 for row in rows)
