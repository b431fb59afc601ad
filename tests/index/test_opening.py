"""Opening shards: whatever does not fit is refused with both values, and no query is run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annoy import AnnoyIndex

from artrec.errors import StoreFormatError
from artrec.index import Wanted, open_shard, open_shards
from artrec.releases import Artifact, write_artifact
from artrec.storage.local import LocalStore
from artrec.vectors import BruteForce
from tests.index.makers import EVERYTHING, Made, made, scattered

DIM = 8
NODE = 12 + 4 * DIM  # bytes of one of annoy's nodes under ``angular``


@pytest.fixture
def index(tmp_path: Path) -> Made:
    return made(tmp_path / "store", *scattered(400, DIM), shards=2)


def rewritten(index: Made, path: str, change: Callable[[bytes], bytes]) -> None:
    file = Path(index.store.path_url(path))
    file.write_bytes(change(file.read_bytes()))


def with_sidecar(index: Made, **changes: Any) -> Artifact:
    """Another sidecar for shard 0, properly listed: only what it says is wrong."""
    said = json.loads(index.store.read(index.sidecars[0].path)) | changes
    return write_artifact(index.store, json.dumps(said).encode(), "index/shards/other.json")


def test_an_index_that_fits_is_opened(index: Made) -> None:
    opened = index.opened()
    assert [shard.sidecar.shard for shard in opened.shards] == [0, 1]
    assert sum(len(shard.numbers) for shard in opened.shards) == 400


FILE = "index/shards/0.annoy"
ITEMS = "index/shard_items/0-000.parquet"


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (FILE, lambda data: data[: -7 * NODE], r"0\.annoy: bytes is \d+, expected \d+"),
        (FILE, lambda data: data + bytes(NODE), r"0\.annoy: bytes is \d+, expected \d+"),
        (FILE, lambda data: bytes(len(data)), r"0\.annoy: sha256 is [0-9a-f]{64}, expected"),
        (FILE, lambda data: b"", r"0\.annoy: bytes is 0, expected \d+"),
        (
            FILE,
            lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:],
            r"0\.annoy: sha256 is [0-9a-f]{64}, expected [0-9a-f]{64}",
        ),
        (ITEMS, lambda data: data[:-1], r"0-000\.parquet: bytes is \d+, expected \d+"),
        (
            ITEMS,
            lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
            r"0-000\.parquet: sha256 is [0-9a-f]{64}, expected [0-9a-f]{64}",
        ),
        ("index/shards/0.json", lambda data: data + b" ", r"0\.json: bytes is \d+, expected \d+"),
    ],
    ids=[
        *("cut by whole nodes", "a node too many", "another file", "empty", "a flipped bit"),
        *("items cut", "a flipped bit in the items", "sidecar altered"),
    ],
)
def test_altered_files_are_refused(
    index: Made, path: str, change: Callable[[bytes], bytes], message: str
) -> None:
    rewritten(index, path, change)
    with pytest.raises(StoreFormatError, match=message):
        index.opened()


@pytest.mark.parametrize("path", [FILE, ITEMS, "index/shards/0.json"])
def test_a_missing_file_is_named(index: Made, path: str) -> None:
    os.unlink(index.store.path_url(path))
    with pytest.raises(StoreFormatError, match=re.escape(path) + " is missing"):
        index.opened()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"dim": 9}, "dim is 8, expected 9"),
        ({"metric": "euclidean"}, "metric is cosine, expected euclidean"),
        ({"encoder": "theirs-2"}, "encoder is mine-1, expected theirs-2"),
    ],
)
def test_shards_of_other_vectors_are_refused(
    index: Made, wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(StoreFormatError, match=rf"0\.json: {message}; this shard is not asked"):
        replace(index, wanted=replace(index.wanted, **wanted)).opened()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"format": 2}, "written in format 2, this artrec reads up to 1: use a newer artrec"),
        ({"dim": 83}, "dim is 83, expected 8"),
        ({"annoy_metric": "euclidean"}, "annoy_metric is euclidean, expected angular"),
        ({"items": 7}, r"items is \d+, expected 7"),
        ({"items": "many"}, "not a Sidecar of artrec"),
    ],
    ids=["newer", "dimension", "annoy's metric", "items", "no sidecar"],
)
def test_a_sidecar_that_says_otherwise_is_refused(
    index: Made, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(StoreFormatError, match=message):
        open_shard(index.store, with_sidecar(index, **said), index.wanted)


def test_an_index_that_lacks_a_shard_is_refused(index: Made) -> None:
    some = replace(index, files=index.files[:2])
    with pytest.raises(
        StoreFormatError, match=r"hold \d+ vectors, their table 400: one is missing"
    ):
        some.opened()


def test_shards_of_two_indexes_are_not_mixed(index: Made) -> None:
    other = with_sidecar(index, shards=3)
    with pytest.raises(StoreFormatError, match="these shards are not of one index"):
        open_shards(index.store, [*index.files, other], index.wanted, 400)


# A store on another machine: files come into a cache, under their hashes.


@dataclass(frozen=True)
class FarStore(LocalStore):
    """The same files, but only behind a URL."""

    @property
    def url(self) -> str:
        return f"far://{self.root}"

    def path_url(self, path: str) -> str:
        return f"{self.url}/{path}"


def far(index: Made, cache: Path) -> Any:
    store = FarStore(index.store.url)
    return open_shards(store, index.files, index.wanted, index.items, EVERYTHING, cache)


def test_a_far_store_is_read_once_into_the_cache(index: Made, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    query = scattered(1, DIM, 5)[1]
    near = index.opened().search(query, 5)
    assert far(index, cache).search(query, 5).ids.tolist() == near.ids.tolist()
    files = [file for file in index.files if file not in index.sidecars]
    assert {path.name for path in cache.iterdir()} == {f"{file.sha256}.annoy" for file in files}
    os.unlink(index.store.path_url(FILE))
    assert far(index, cache).search(query, 5).ids.tolist() == near.ids.tolist()


def test_a_spoiled_cache_is_filled_again(index: Made, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    far(index, cache)
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[: -3 * NODE])
    assert len(far(index, cache).shards) == 2


def test_what_arrives_spoiled_is_refused(index: Made, tmp_path: Path) -> None:
    rewritten(index, FILE, lambda data: data[: -3 * NODE])
    with pytest.raises(StoreFormatError, match="bytes is"):
        far(index, tmp_path / "cache")


def test_wanted_is_compared_before_any_file_is_opened(index: Made) -> None:
    os.unlink(index.store.path_url(FILE))
    with pytest.raises(StoreFormatError, match="dim is 8, expected 154"):
        open_shard(index.store, index.sidecars[0], Wanted("mine-1", "cosine", 154))


# With annoy alone.


def test_a_shard_opens_with_annoy_alone(index: Made) -> None:
    import pyarrow.parquet as pq

    numbers, vectors = scattered(400, DIM)
    query = vectors[3]
    found: list[tuple[float, int]] = []
    for shard in (0, 1):
        annoy = AnnoyIndex(DIM, "angular")
        annoy.load(index.store.path_url(f"index/shards/{shard}.annoy"))
        ids = pq.read_table(index.store.path_url(f"index/shard_items/{shard}-000.parquet"))
        items, far = annoy.get_nns_by_vector(query, 5, search_k=EVERYTHING, include_distances=True)
        found += zip(far, (ids["vector_no"][item].as_py() for item in items), strict=True)
    truth = BruteForce(vectors, numbers, "cosine").search(query[None], 5)
    assert [number for _, number in sorted(found)[:5]] == truth.ids[0].tolist()
    cosines = [distance**2 / 2 for distance, _ in sorted(found)[:5]]
    assert cosines == pytest.approx(truth.distances[0].tolist(), abs=1e-6)


def test_annoy_is_loaded_with_the_first_shard_and_not_before() -> None:
    code = "import sys, artrec.index; print('annoy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_files_of_one_seed_are_equal_and_of_another_are_not(tmp_path: Path) -> None:
    numbers, vectors = scattered(400, DIM)
    seeds = enumerate((1, 1, 2))
    ones = [made(tmp_path / f"{n}", numbers, vectors, seed=seed) for n, seed in seeds]
    one, same, other = ([file.sha256 for file in each.files] for each in ones)
    assert one == same
    assert one != other
    assert np.array_equal(ones[0].opened().shards[0].numbers, numbers)
