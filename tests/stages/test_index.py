"""index: every live vector in exactly one shard, built once, found again, refused when wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from annoy import AnnoyIndex
from pyspark.sql import SparkSession

from artrec import log
from artrec.commands.outside import open_index
from artrec.errors import ConfigError, GateRefused
from artrec.releases import Draft, artifacts_of, read_release
from artrec.stages import index
from artrec.storage import open_store
from artrec.tables import Receipt
from artrec.vectors import BruteForce
from tests.index.makers import scattered
from tests.nights import SHARDS, Night, draft_rows, opened, put, settings_of

DIM = 6


def begun(root: Path, numbers: list[int], vectors: list[list[float]], *more: str) -> Draft:
    """A draft whose catalog has these vectors."""
    settings = settings_of(f"store.root={root}", *more)
    draft = opened(settings, "one")
    draft.hold("literal")
    dim = len(vectors[0]) if vectors else DIM
    live = [{"vector_no": n, "embedding": v} for n, v in zip(numbers, vectors, strict=True)]
    put(draft, "catalog", {"live_vectors": live})
    put(draft, "embed", {"vectors": []}, encoder="mine-1", metric="cosine", dim=dim)
    return draft


def run(spark: SparkSession, root: Path, draft: Draft, *more: str) -> Any:
    return index.run(spark, settings_of(f"store.root={root}", *more), draft)


def written(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in (root / "runs/index").rglob("*.*")}


def test_eight_shards_hold_each_vector_once_in_the_order_of_their_numbers(
    spark: SparkSession, tmp_path: Path
) -> None:
    root, rules = tmp_path / "root", ("index.shards=8", "index.trees=3", "index.seed=5")
    numbers, vectors = scattered(200, DIM)
    draft = begun(root, numbers.tolist(), vectors.tolist(), *rules)
    done = run(spark, root, draft, *rules)
    tuned = {"search_k": 0, "recall": 1.0, "low": 1.0, "k": 50, "bytes": 200 * (4 * 6 + 24)}
    told = {"shards": 8, "trees": 3, "search_k": 0, "seed": 5}
    assert done.notes == told | {"exact": True, "tuned": tuned}  # so few are scanned
    rows = draft_rows(root, "one", "index", "shard_items")
    assert [row["vector_no"] for row in rows] == numbers.tolist()
    assert [row["shard"] for row in rows] == [number * 8 >> 63 for number in numbers.tolist()]
    sizes = np.bincount([row["shard"] for row in rows]).tolist()
    assert [row["item"] for row in rows] == [item for size in sizes for item in range(size)]

    files = artifacts_of(draft.store, done.tables["shard_items"], "shards")
    assert len(files) == 16
    found = []
    for sidecar in (json.loads((root / f.path).read_bytes()) for f in files[1::2]):
        assert (sidecar["trees"], sidecar["seed"], sidecar["shards"]) == (3, 5, 8)
        assert (sidecar["encoder"], sidecar["metric"]) == ("mine-1", "cosine")
        assert sidecar["versions"].keys() == {"annoy", "artrec"}
        annoy = AnnoyIndex(DIM, sidecar["annoy_metric"])
        annoy.load(str(root / sidecar["file"]["path"]))
        ids = pq.read_table(root / sidecar["item_files"][0]["path"])["vector_no"].to_pylist()
        assert annoy.get_n_items() == sidecar["items"] == len(ids)
        found += [(number, annoy.get_item_vector(item)) for item, number in enumerate(ids)]
    assert found == list(zip(numbers.tolist(), map(list, vectors.tolist()), strict=True))
    counters = {key: done.counters[key] for key in ("shards", "items", "bytes")}
    assert counters == {"shards": 8, "items": 200, "bytes": sum(f.bytes for f in files[::2])}


def test_few_vectors_leave_shards_empty_and_without_a_file(
    spark: SparkSession, tmp_path: Path
) -> None:
    root, rules = tmp_path / "root", ("index.shards=8",)
    draft = begun(root, [5, 2**62 + 1], [[1.0] * DIM, [2.0] * DIM], *rules)
    done = run(spark, root, draft, *rules)
    rows = [
        (row["shard"], row["vector_no"]) for row in draft_rows(root, "one", "index", "shard_items")
    ]
    assert rows == [(0, 5), (4, 2**62 + 1)]
    assert done.counters["shards"] == 2
    assert len([path for path in written(root) if path.endswith(".annoy")]) == 2


def test_no_vector_at_all_makes_an_empty_table(spark: SparkSession, tmp_path: Path) -> None:
    draft = begun(tmp_path / "root", [], [])
    done = run(spark, tmp_path / "root", draft)
    assert done.notes["shards"] == 0
    assert draft_rows(tmp_path / "root", "one", "index", "shard_items") == []


def test_rows_decide_how_many_shards_there_are(spark: SparkSession, tmp_path: Path) -> None:
    root, rules = tmp_path / "root", ("index.shard_rows=40",)
    numbers, vectors = scattered(100, DIM)
    draft = begun(root, numbers.tolist(), vectors.tolist(), *rules)
    assert run(spark, root, draft, *rules).counters["shards"] == 3


def test_a_known_index_is_not_built_again(spark: SparkSession, tmp_path: Path) -> None:
    """Nor for another search_k, which is a matter of look-ups; another seed is another index."""
    root = tmp_path / "root"
    numbers, vectors = scattered(50, DIM)
    draft = begun(root, numbers.tolist(), vectors.tolist())
    first = run(spark, root, draft)
    before = written(root)
    nothing: Any = None
    assert index.run(nothing, settings_of(f"store.root={root}"), draft) == first
    deeper = index.run(nothing, settings_of(f"store.root={root}", "index.search_k=77"), draft)
    assert (deeper.notes["search_k"], deeper.tables) == (77, first.tables)
    assert (first.notes["exact"], deeper.notes["exact"]) == (True, False)
    assert deeper.inputs != first.inputs
    assert written(root) == before
    assert run(spark, root, draft, "index.seed=2").tables != first.tables


# Tuned.


def grouped(n: int) -> tuple[Any, Any]:
    """Easy to tell apart: twenty groups, each along three directions."""
    numbers, noise = scattered(n, DIM)
    random = np.random.default_rng(3)
    groups = 5 * random.standard_normal((20, DIM))
    own = groups[random.integers(0, 20, len(numbers))]
    return numbers, (own + noise * np.array([1, 1, 1, 0, 0, 0])).astype(np.float32)


def tuning_of(root: Path, draft: Draft, done: Any) -> tuple[dict[str, Any], list[Any]]:
    """As the run tells it, and as the sidecars do."""
    (ref,) = done.tables["shard_items"]
    files = artifacts_of(draft.store, done.tables["shard_items"], "shards")
    sidecars = [json.loads((root / file.path).read_bytes())["tuning"] for file in files[1::2]]
    return json.loads((root / ref.path).read_bytes())["notes"]["tuning"], sidecars


def test_an_index_is_tuned_once_and_tells_how(spark: SparkSession, tmp_path: Path) -> None:
    root, rules = tmp_path / "root", ("index.shards=2", "index.recall=0.9")
    numbers, vectors = grouped(12_000)
    draft = begun(root, numbers.tolist(), vectors.tolist(), *rules)
    done = run(spark, root, draft, *rules)
    said, beside = tuning_of(root, draft, done)
    assert beside == [said, said]
    assert not said["exact"]
    assert said["low"] >= said["target"] == 0.9
    assert len(said["tried"]) > 1
    assert (done.notes["trees"], done.notes["exact"]) == (said["trees"], False)
    assert done.notes["tuned"]["search_k"] == said["search_k"] > 0
    nothing: Any = None
    again = index.run(nothing, settings_of(f"store.root={root}", *rules), draft)
    assert again == done


def test_too_little_memory_for_trees_is_told_and_for_a_scan_refused(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    numbers, vectors = scattered(60, DIM)
    bare = len(numbers) * (4 * DIM + 24)
    rules = f"index.memory={bare}"
    draft = begun(root, numbers.tolist(), vectors.tolist(), rules)
    log.setup(as_json=True)
    done = run(spark, root, draft, rules)
    assert (done.notes["exact"], done.notes["trees"]) == (True, 5)
    assert done.notes["tuned"]["bytes"] == bare
    assert "do not fit into index.memory" in capsys.readouterr().err
    run(spark, root, draft, rules, "index.search_k=9")
    assert "look-ups exceed index.memory" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=f"expected at least {bare}"):
        run(spark, root, draft, f"index.memory={bare - 1}")


def test_a_recall_that_no_trees_reach_is_told(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any order in 64 dimensions, whoever finds nearly all has seen nearly all."""
    rules = ("index.recall=0.99", "index.trees=5")
    numbers, vectors = scattered(3000, 64)
    draft = begun(tmp_path / "root", numbers.tolist(), vectors.tolist(), *rules)
    log.setup(as_json=True)
    assert run(spark, tmp_path / "root", draft, *rules).notes["exact"]
    assert "no trees that cost less reach index.recall" in capsys.readouterr().err


def test_whoever_sets_trees_and_candidates_has_nothing_tuned(
    spark: SparkSession, tmp_path: Path
) -> None:
    root, rules = tmp_path / "root", ("index.trees=3", "index.search_k=50")
    numbers, vectors = scattered(50, DIM)
    draft = begun(root, numbers.tolist(), vectors.tolist(), *rules)
    done = run(spark, root, draft, *rules)
    assert done.notes == {"shards": 1, "trees": 3, "search_k": 50, "seed": 1, "exact": False}
    assert tuning_of(root, draft, done) == (None, [None])


def test_shards_that_lost_a_vector_are_refused(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is counted and compared, whoever dealt it."""
    root = tmp_path / "root"
    numbers, vectors = scattered(9, DIM)
    draft = begun(root, numbers.tolist(), vectors.tolist())
    run(spark, root, draft)
    store = open_store(str(root))
    (ref,) = draft.need("index").tables["shard_items"]
    document = json.loads(store.read(ref.path))
    items = [Receipt.model_validate(each) for each in document["tables"]["shard_items"]]
    vectors_said = document["inputs"]["vectors"]
    index._check_items(store, items, vectors_said)
    with pytest.raises(
        GateRefused, match=r"gate shards: found 0 vectors in the shards, expected .*9"
    ):
        index._check_items(store, [], vectors_said)
    with pytest.raises(GateRefused, match="found 18 vectors"):
        index._check_items(store, items * 2, vectors_said)
    swapped = vectors_said | {"": vectors_said[""] ^ 1}
    with pytest.raises(GateRefused, match=r"found 9 vectors .* their digests differ"):
        index._check_items(store, items, swapped)


# The release.


def test_the_shards_of_a_release_are_found_by_its_table_and_answer_like_its_vectors(
    next_release: Night,
) -> None:
    store = open_store(str(next_release.root))
    release = read_release(store, None)
    shards = open_index(store, release)
    assert release.stages["index"].notes["shards"] == SHARDS
    live = next_release.rows("live_vectors")
    numbers = np.array([row["vector_no"] for row in live])
    vectors = np.array([row["embedding"] for row in live], np.float32)
    truth = BruteForce(vectors, numbers, "cosine").search(vectors, 5)
    found = shards.search(vectors, 5)
    assert found.ids.tolist() == truth.ids.tolist()
    assert found.distances.tobytes() == truth.distances.tobytes()


def test_distances_of_the_shards_are_those_of_the_neighbor_table(release: Night) -> None:
    numbers = {row["image_id"]: row["vector_no"] for row in release.rows("catalog")}
    vectors = {row["vector_no"]: row["embedding"] for row in release.rows("live_vectors")}
    store = open_store(str(release.root))
    shards = open_index(store, read_release(store, None))
    compared = 0
    for row in release.rows("neighbors"):
        query = np.array([vectors[numbers[row["query_id"]]]], np.float32)
        found = shards.search(query, 20)
        distances = dict(zip(found.ids[0].tolist(), found.distances[0].tolist(), strict=True))
        assert distances[numbers[row["neighbor_id"]]] == row["distance"]
        compared += 1
    assert compared > 100


# Killed. That a real SIGKILL is survived too is shown in tests/faults.


class Killed(BaseException):
    """What a process that is killed does not catch."""


@pytest.mark.parametrize("point", ["index.shards", "index.run"])
def test_a_driver_killed_after_its_shards_leaves_nothing_that_counts_twice(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def reached(here: str) -> None:
        if here == point:
            raise Killed

    root, rules = tmp_path / "root", ("index.shards=2",)
    numbers, vectors = scattered(60, DIM)
    draft = begun(root, numbers.tolist(), vectors.tolist(), *rules)
    with monkeypatch.context() as patch:
        patch.setattr(index, "reached", reached)
        with pytest.raises(Killed):
            run(spark, root, draft, *rules)
    before = written(root)
    assert len([path for path in before if path.endswith(".annoy")]) == 2
    again = opened(settings_of(f"store.root={root}", *rules), "one")
    again.hold("literal")
    run(spark, root, again, *rules)
    assert len(draft_rows(root, "one", "index", "shard_items")) == 60
    assert bool(written(root) - before) == (point == "index.shards")
