"""The canary: a process that opens a new shard first, so that a bad one costs nobody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artrec.errors import GateRefused
from artrec.index import Probes, Recipe, build_shard, prove_shard
from artrec.vectors import METRICS, Block
from tests.index.makers import scattered

DIM, ITEMS = 40, 3000
NODE = 12 + 4 * DIM
RECIPE = Recipe("cosine", DIM, 10, 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Probes]:
    path = tmp_path_factory.mktemp("shard") / "a.annoy"
    numbers, vectors = scattered(ITEMS, DIM)
    probes = build_shard(path, numbers, [Block(numbers, vectors)], RECIPE)
    return path.read_bytes(), probes


def prove(tmp_path: Path, data: bytes, probes: Probes, items: int = ITEMS) -> None:
    path = tmp_path / "b.annoy"
    path.write_bytes(data)
    prove_shard(path, "shard 3 of 8", items, RECIPE, probes)


def test_a_good_shard_passes(tmp_path: Path, whole: tuple[bytes, Probes]) -> None:
    prove(tmp_path, *whole)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("items", [1, 2, 10, 300])
def test_small_shards_of_each_metric_pass(tmp_path: Path, metric: str, items: int) -> None:
    numbers, vectors = scattered(items, 3)
    vectors[: items // 2] = vectors[0]
    recipe = Recipe(metric, 3, 5, 1)
    probes = build_shard(tmp_path / "a", numbers, [Block(numbers, vectors)], recipe)
    prove_shard(tmp_path / "a", "shard 0 of 1", items, recipe, probes)


def test_a_file_that_crashes_annoy_crashes_the_canary_alone(
    tmp_path: Path, whole: tuple[bytes, Probes]
) -> None:
    """Nodes of the trees point anywhere."""
    data, probes = whole
    spoiled = bytearray(data)
    at = np.arange(ITEMS * NODE, len(data) - NODE, NODE)
    for start in at:
        spoiled[start + 4 : start + 12] = b"\xf0\xff\xff\x7f" * 2
    with pytest.raises(
        GateRefused, match=r"^shard 3 of 8: the process that opened it first ended with SIG"
    ):
        prove(tmp_path, bytes(spoiled), probes)


def test_a_file_cut_by_whole_nodes_is_refused(tmp_path: Path, whole: tuple[bytes, Probes]) -> None:
    data, probes = whole
    with pytest.raises(GateRefused, match=r"^shard 3 of 8: "):
        prove(tmp_path, data[: len(data) // NODE // 2 * NODE], probes)


def test_a_file_of_no_whole_nodes_is_refused(tmp_path: Path, whole: tuple[bytes, Probes]) -> None:
    data, probes = whole
    with pytest.raises(GateRefused, match=r"^shard 3 of 8: "):
        prove(tmp_path, data[:-5], probes)


def test_a_vector_that_changed_on_its_way_is_found(
    tmp_path: Path, whole: tuple[bytes, Probes]
) -> None:
    data, probes = whole
    item = int(probes.items[50])
    at = item * NODE + 12 + 5
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    with pytest.raises(GateRefused, match=f"item {item} has another vector than went in"):
        prove(tmp_path, changed, probes)


def test_trees_that_do_not_lead_to_the_items_are_found(
    tmp_path: Path, whole: tuple[bytes, Probes]
) -> None:
    """The trees are those of other vectors, under which nobody is where he should be."""
    data, _ = whole
    numbers, vectors = scattered(ITEMS, DIM, 7)
    probes = build_shard(tmp_path / "other", numbers, [Block(numbers, vectors)], RECIPE)
    other = (tmp_path / "other").read_bytes()
    mixed = other[: ITEMS * NODE] + data[ITEMS * NODE :]
    with pytest.raises(GateRefused, match=r"the nearest to item \d+ is at 0\.\d+, itself at 0\.0"):
        prove(tmp_path, mixed, probes)


def test_another_number_of_items_is_found(tmp_path: Path, whole: tuple[bytes, Probes]) -> None:
    data, probes = whole
    with pytest.raises(GateRefused, match="holds 3000 items and 10 trees, not 2999 and 10"):
        prove(tmp_path, data, probes, items=2999)


def test_a_shard_that_does_not_answer_in_time_is_refused(
    tmp_path: Path, whole: tuple[bytes, Probes]
) -> None:
    """Not even a Python starts in a millisecond."""
    path = tmp_path / "b.annoy"
    path.write_bytes(whole[0])
    with pytest.raises(GateRefused, match=r"no answer to its first queries in 0\.001 s"):
        prove_shard(path, "shard 0 of 1", ITEMS, RECIPE, whole[1], seconds=0.001)
