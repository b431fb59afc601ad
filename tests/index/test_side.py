"""Shards of an earlier night: what came since is scanned, what is gone is never listed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from artrec.errors import StoreFormatError
from artrec.index import Changes, Tuning
from artrec.schemas import TABLES
from artrec.tables import TableWriter
from artrec.vectors import METRICS, BruteForce, TopK
from tests.index.makers import Made, Numbers, Vectors, changed, made, scattered
from tests.index.test_opening import FarStore

DIM = 8


def later(seed: int = 0) -> tuple[Numbers, Vectors, Numbers, Vectors]:
    """600 vectors, and 560 of a later night: each tenth is gone, 20 have come."""
    numbers, vectors = scattered(620, DIM, seed)
    first = np.arange(len(numbers)) % 31 != 5
    gone = first & (np.arange(len(numbers)) % 10 == 3)
    return numbers[first], vectors[first], numbers[~gone], vectors[~gone]


def night(root: Path, metric: str = "cosine", shards: int = 3, trees: int = 4) -> Made:
    numbers, vectors, live, theirs = later()
    return changed(made(root, numbers, vectors, shards, metric, trees), live, theirs)


def same(found: TopK, expected: TopK) -> bool:
    return bool(
        np.array_equal(found.ids, expected.ids)
        and found.distances.tobytes() == expected.distances.tobytes()
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scans", [True, False], ids=["scanned", "asked for all"])
def test_lists_are_those_of_the_vectors_that_live(tmp_path: Path, metric: str, scans: bool) -> None:
    _, _, live, vectors = later()
    opened = night(tmp_path / "store", metric).opened(scans=scans)
    queries = np.concatenate([vectors[::40], scattered(5, DIM, 9)[1]])
    for k in (1, 12):
        assert same(opened.search(queries, k), BruteForce(vectors, live, metric).search(queries, k))
    assert opened.count == len(live) == 560


def test_each_vector_that_lives_is_found_by_its_number_and_none_that_is_gone(
    tmp_path: Path,
) -> None:
    numbers, _, live, vectors = later()
    opened = night(tmp_path / "store").opened()
    for number, vector in zip(live.tolist(), vectors, strict=True):
        found = opened.vector(number)
        assert found is not None
        assert found.tobytes() == vector.tobytes()
    gone = sorted(set(numbers.tolist()) - set(live.tolist()))
    assert len(gone) == 60
    assert [opened.vector(number) for number in gone] == [None] * 60


@pytest.mark.parametrize("search_k", [0, 40], ids=["usual depth", "few candidates"])
def test_where_all_that_is_near_is_masked_what_lies_behind_is_found(
    tmp_path: Path, search_k: int
) -> None:
    """All 300 of a group around the query are gone: far more than are on average."""
    numbers, vectors = scattered(2000, DIM, 3)
    group = np.arange(len(numbers)) % 20 < 3
    vectors[group] = 0.01 * vectors[group] + np.float32(5)
    vectors[~group] -= np.float32(2)
    shards = made(tmp_path / "store", numbers, vectors, 1, "euclidean", trees=10)
    opened = changed(shards, numbers[~group], vectors[~group]).opened(search_k)
    query = np.full((1, DIM), 5, np.float32)
    found = opened.search(query, 10)
    assert int(found.counts[0]) == 10
    assert not np.isin(found.ids, numbers[group]).any()
    truth = BruteForce(vectors[~group], numbers[~group], "euclidean").search(query, 10)
    assert len(np.intersect1d(found.ids, truth.ids)) >= 8


def test_masks_cost_no_recall(tmp_path: Path) -> None:
    """With a fifth masked, at a depth that finds about half, no less is found than of shards that
    never had them.
    """
    numbers, vectors = scattered(4000, 24, 5)
    live = np.arange(len(numbers)) % 5 != 2
    queries = scattered(150, 24, 6)[1]
    truth = BruteForce(vectors[live], numbers[live], "cosine").search(queries, 10).ids
    whole = made(tmp_path / "whole", numbers, vectors, 2, trees=3)
    masked = changed(whole, numbers[live], vectors[live])
    anew = made(tmp_path / "anew", numbers[live], vectors[live], 2, trees=3)
    shares = [
        np.mean([np.isin(row, own).mean() for row, own in zip(truth, found, strict=True)])
        for found in (each.opened(150).search(queries, 10).ids for each in (masked, anew))
    ]
    assert 0.2 < shares[1] < 0.9
    assert shares[0] >= shares[1] - 0.02


def test_a_shard_of_which_all_is_gone_lists_nothing(tmp_path: Path) -> None:
    numbers, vectors = scattered(50, DIM)
    behind = numbers > 2**62
    shards = made(tmp_path / "store", numbers, vectors, 2)
    left = changed(shards, numbers[behind], vectors[behind])
    for scans in (True, False):
        opened = left.opened(scans=scans)
        found = opened.search(vectors[:4], 50)
        assert found.counts.tolist() == [int(behind.sum())] * 4


def test_an_index_that_is_all_side_shard_answers(tmp_path: Path) -> None:
    """Also where the shard of a range has no file."""
    numbers, vectors = scattered(40, DIM)
    low = numbers < 2**62
    shards = made(tmp_path / "store", numbers[low][:1], vectors[low][:1], 2)
    opened = changed(shards, numbers[~low], vectors[~low]).opened()
    truth = BruteForce(vectors[~low], numbers[~low], "cosine").search(vectors[:3], 5)
    assert same(opened.search(vectors[:3], 5), truth)


def test_tuned_depth_is_used_with_masks_too(tmp_path: Path) -> None:
    numbers, vectors, live, theirs = later()
    facts = dict.fromkeys(("recall", "low", "high", "cost", "target", "exact_cost"), 1.0)
    counts = {"trees": 4, "search_k": 10**5, "memory": 0, "bytes": 0, "k": 50, "queries": 1}
    tuning = Tuning(**facts, **counts, exact=False, tried=[])
    shards = made(tmp_path / "store", numbers, vectors, 2, tuning=tuning)
    opened = changed(shards, live, theirs).opened(0)
    truth = BruteForce(theirs, live, "cosine").search(theirs[:30], 10)
    assert same(opened.search(theirs[:30], 10), truth)


# Files that are not what was written.

SIDE, MASKS = "later/side_vectors/all-000.parquet", "later/masked_items/all-000.parquet"


def flipped(data: bytes) -> bytes:
    return data[:60] + bytes([data[60] ^ 1]) + data[61:]


@pytest.mark.parametrize("path", [SIDE, MASKS])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-9], r"-000\.parquet: bytes is \d+, expected \d+"),
        (flipped, r"-000\.parquet: sha256 is [0-9a-f]{64}, expected [0-9a-f]{64}"),
        (lambda data: bytes(len(data)), r"-000\.parquet: sha256 is [0-9a-f]{64}, expected"),
    ],
    ids=["cut", "flipped", "replaced"],
)
def test_altered_files_are_refused(
    tmp_path: Path, path: str, change: Callable[[bytes], bytes], message: str
) -> None:
    index = night(tmp_path / "store")
    file = Path(index.store.path_url(path))
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(StoreFormatError, match=message):
        index.opened()


@pytest.mark.parametrize("path", [SIDE, MASKS])
def test_a_missing_file_is_named(tmp_path: Path, path: str) -> None:
    index = night(tmp_path / "store")
    os.unlink(index.store.path_url(path))
    with pytest.raises(StoreFormatError, match=re.escape(path) + " is missing"):
        index.opened()


def rewritten(index: Made, table: str, rows: list[dict[str, Any]], **facts: str) -> Made:
    """Other rows, properly listed: only what they say is wrong."""
    kind = TABLES[table]
    with TableWriter(index.store, f"wrong-{len(str(rows))}", kind, "all", facts) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=kind.columns))
    files = tuple(writer.receipts)
    own = {"side" if table == "side_vectors" else "masked": files}
    return replace(index, changes=replace(index.changes, **own))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"encoder": "theirs-2"}, "encoder is theirs-2, expected mine-1"),
        ({"metric": "dot"}, "metric is dot, expected cosine"),
        ({"dim": "9"}, "dim is 9, expected 8"),
    ],
)
def test_a_side_shard_of_other_vectors_is_refused(
    tmp_path: Path, facts: dict[str, str], message: str
) -> None:
    row = {"vector_no": 7, "embedding": [1.0] * DIM}
    due = {"encoder": "mine-1", "metric": "cosine", "dim": "8"}
    wrong = rewritten(night(tmp_path / "store"), "side_vectors", [row], **{**due, **facts})
    with pytest.raises(StoreFormatError, match=message + "; this shard is not asked"):
        wrong.opened()


def test_masks_of_other_shards_are_refused(tmp_path: Path) -> None:
    index = night(tmp_path / "store")
    number = later()[0][3]
    rows = [{"shard": 0, "item": 3, "vector_no": int(number) + 1}]
    with pytest.raises(
        StoreFormatError, match=f"vector_no of item 3 is {number + 1}, expected {number}"
    ):
        rewritten(index, "masked_items", rows).opened()
    rows = [{"shard": 0, "item": 5000, "vector_no": 1}]
    with pytest.raises(StoreFormatError, match="item is 5000, expected one of"):
        rewritten(index, "masked_items", rows).opened()


def test_a_far_store_is_read_once_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = night(tmp_path / "store")
    far = replace(index, store=FarStore(index.store.url))
    query = scattered(1, DIM, 5)[1]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    near, first = index.opened().search(query, 5), far.opened().search(query, 5)
    os.unlink(index.store.path_url(SIDE))
    again = far.opened().search(query, 5)
    assert same(first, near)
    assert same(again, near)
    (side,) = index.changes.side
    assert (tmp_path / f"artrec/shards/{side.sha256}.parquet").exists()


def test_nothing_changed_is_no_side_shard(tmp_path: Path) -> None:
    numbers, vectors = scattered(30, DIM)
    index = made(tmp_path / "store", numbers, vectors)
    again = changed(index, numbers, vectors)
    assert again.changes != Changes()
    assert again.opened().side is None
    assert again.opened().shards[0].live is None
