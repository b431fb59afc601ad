"""Near duplicates of a night: its groups beside all pairs compared one by one."""

from __future__ import annotations

import io
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from artrec import log
from artrec.releases import Draft, StageRuns, receipts_of
from artrec.stages.evaluate import copies, pairs
from artrec.storage import open_store
from artrec.tables import read_table
from tests.nights import Night, night
from tests.pictures import Named, picture, write_zip

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BITS, SHARE = 8, 0.3
COLOURS = ("black", "white", "red", "navy", "#808080", "#7f7f7f")


def file_of(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    image.save(stream := io.BytesIO(), form, **options)
    return stream.getvalue()


def large(seed: int) -> Image.Image:
    """Soft patches, large enough to be halved and compressed."""
    return Image.open(io.BytesIO(picture(seed, "PNG", (256, 192)))).convert("RGB")


def copied(seed: int) -> list[Named]:
    image = large(seed)
    small = image.resize((128, 96), Image.Resampling.LANCZOS)
    return [
        (f"a/{seed}-0.png", file_of(image, "PNG")),
        (f"a/{seed}-1.jpg", file_of(image, quality=50)),
        (f"b/{seed}-2.jpg", file_of(small, quality=90)),
    ]


GREY = [("grey/4-0.jpg", file_of(large(4))), ("grey/4-1.jpg", file_of(large(4).convert("L")))]
SAME = [("same/one.png", picture(5, "PNG")), ("same/two.png", picture(5, "PNG"))]
FLAT = [(f"flat/{n}.png", file_of(Image.new("RGB", (64, 48), c), "PNG")) for n, c in
        enumerate(COLOURS)]  # fmt: skip
OTHERS = [(f"other/{n}.jpg", picture(n)) for n in range(20, 32)]
MEMBERS: list[Named] = [*(m for n in (1, 2, 3) for m in copied(n)), *GREY, *SAME, *FLAT, *OTHERS]


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    place = tmp_path_factory.mktemp("near")
    source = write_zip(place / "a.zip", MEMBERS)
    rules = (f"sources.main.url={source}", "encoder.id=handmade", "neighbors.k=3")
    return night(place / "root", "one", *rules, "neighbors.slack=1", "gates.index_recall=0")


def groups_of(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["group_id"], set()).add(row["image_id"])
    return found


def facts_of(made: Night) -> tuple[dict[int, int], dict[int, Any], float]:
    """Hashes and unit vectors by number, and the mean distance of all pairs."""
    catalog = made.rows("catalog", ["content_sha256", "vector_no"])
    numbers = {row["content_sha256"]: row["vector_no"] for row in catalog}
    hashes = {
        numbers[row["content_sha256"]]: row["phash"]
        for row in made.rows("pictures", ["content_sha256", "phash"])
    }
    vectors = {
        row["vector_no"]: np.array(row["embedding"], np.float64) / np.linalg.norm(row["embedding"])
        for row in made.rows("live_vectors")
    }
    apart = np.mean([1 - a @ b for a, b in combinations(vectors.values(), 2)])
    return hashes, vectors, float(apart)


def near_of(made: Night) -> dict[tuple[int, int], tuple[int, float | None]]:
    """Every near pair, by comparing all: bits, and the distance where one lists the other."""
    hashes, vectors, apart = facts_of(made)
    listed = {
        (row["vector_no"], other)
        for row in made.rows("neighbor_pool")
        for other in row["others"][:3]
    }
    found: dict[tuple[int, int], tuple[int, float | None]] = {}
    for a, b in combinations(sorted(hashes), 2):
        if any(not 30 <= bin(hashes[n] & (2**64 - 1)).count("1") <= 34 for n in (a, b)):
            continue
        bits = bin((hashes[a] ^ hashes[b]) & (2**64 - 1)).count("1")
        far = 1 - vectors[a] @ vectors[b]
        near = bits <= BITS and far <= SHARE * apart and bool({(a, b), (b, a)} & listed)
        if near or bits <= 2:
            found[a, b] = bits, float(far) if near else None
    return found


def test_copies_are_in_a_group_and_flat_pictures_in_none(made: Night) -> None:
    found = groups_of(made.rows("near_duplicates"))
    assert sorted(map(sorted, found.values())) == [
        *([name for name, _ in copied(n)] for n in (1, 2, 3)),
        [name for name, _ in GREY],
        [name for name, _ in SAME],
    ]
    assert all(group in names for group, names in found.items())


def test_groups_lie_within_those_of_all_pairs_and_round_their_middle(made: Night) -> None:
    near, home = near_of(made), {n: n for n in facts_of(made)[0]}

    def root(n: int) -> int:
        return n if home[n] == n else root(home[n])

    for a, b in near:
        home[root(a)] = root(b)
    number = {row["image_id"]: row["vector_no"] for row in made.rows("catalog")}
    rows = made.rows("near_duplicates")
    assert [(r["group_id"], r["image_id"]) for r in rows] == sorted(
        (r["group_id"], r["image_id"]) for r in rows
    )
    for row in rows:
        own, middle = number[row["image_id"]], number[row["group_id"]]
        assert root(own) == root(middle)
        bits, distance = (0, 0.0) if own == middle else near[min(own, middle), max(own, middle)]
        assert row["bits"] == bits
        assert row["distance"] == (None if distance is None else pytest.approx(distance, abs=1e-6))
    alone = {n for pair in near for n in pair} - {number[row["image_id"]] for row in rows}
    assert alone == set()  # here no group is so wide that a link lies beyond its middle's reach


def test_the_evaluation_counts_groups_and_their_images(made: Night) -> None:
    rows = {row["measure"]: row["value"] for row in made.rows("evaluation") if row["k"] == 0}
    assert rows["near_groups"] == 5
    assert rows["near_largest"] == 3
    assert rows["near_images"] == pytest.approx(13 / len(MEMBERS))
    assert rows["near_bits"] == BITS


def near_rules(made: Night, folder: str) -> tuple[Draft, pairs.Near]:
    store = open_store(str(made.root))
    draft = Draft.begin(store, folder)
    for runs in made.document["stages"].values():
        draft.record(StageRuns.model_validate(runs))
    apart = facts_of(made)[2]
    return draft, copies._near(made.settings(), draft, f"runs/{folder}", apart)


def test_joins_in_spark_find_the_pairs_that_tasks_find(
    spark: SparkSession, made: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, near = near_rules(made, "joined")
    found = []
    for limit in (pairs.IN_MEMORY, 0):
        monkeypatch.setattr(pairs, "IN_MEMORY", limit)
        receipts = pairs.near_pairs(spark, draft, near)
        rows = [row for batch in read_table(near.store, receipts) for row in batch.to_pylist()]
        found.append({(r["one"], r["other"], r["bits"]): r["distance"] for r in rows if
                      r["distance"] is not None} | {(r["one"], r["other"], r["bits"]): None
                      for r in rows if r["distance"] is None and limit == 0})  # fmt: skip
    assert {key[:2] for key in found[1]} == set(near_of(made))
    assert found[0] == {key: far for key, far in found[1].items() if far is not None}


def test_groups_of_pairs_that_other_tasks_found_are_the_same(
    spark: SparkSession, made: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, near = near_rules(made, "parted")
    monkeypatch.setattr(copies, "ALONE", 0)
    twins = receipts_of(near.store, draft.need("evaluate").tables["duplicates"], "duplicates")
    apart = facts_of(made)[2]
    found, counts = copies.near_copies(spark, made.settings(), draft, near.folder, apart, twins)
    rows = [row for batch in read_table(near.store, found) for row in batch.to_pylist()]
    assert rows == made.rows("near_duplicates")
    assert counts == {"groups": 5, "images": 13, "largest": 3, "bits": BITS}


@pytest.mark.parametrize("alone", [0, copies.ALONE])
def test_of_too_many_pairs_those_with_the_fewest_bits_are_taken_and_it_is_told(
    spark: SparkSession,
    made: Night,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    alone: int,
) -> None:
    """A pair counts once, though two files list it; images of one content are together always."""
    draft, near = near_rules(made, f"few-{alone}")
    bits = sorted(each for each, _ in near_of(made).values())
    twins = receipts_of(near.store, draft.need("evaluate").tables["duplicates"], "duplicates")
    given = spark, made.settings(), draft, near.folder, facts_of(made)[2], twins
    log.setup(as_json=True)
    monkeypatch.setattr(copies, "ALONE", alone)
    monkeypatch.setattr(copies, "PAIRS", len(bits))
    assert copies.near_copies(*given)[1]["bits"] == BITS
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(copies, "PAIRS", len(bits) - 1)
    assert copies.near_copies(*given)[1]["bits"] == bits[-1] - 1
    assert "evaluate.near_bits: those of at most" in capsys.readouterr().err
    monkeypatch.setattr(copies, "PAIRS", 0)
    found, counts = copies.near_copies(*given)
    rows = [row for batch in read_table(near.store, found) for row in batch.to_pylist()]
    assert {row["image_id"] for row in rows} == {name for name, _ in SAME}
    assert counts == {
        "groups": 1,
        "images": 2,
        "largest": 2,
        "bits": -1 if 0 in bits else min(bits) - 1,
    }
    assert "evaluate.near_bits" in capsys.readouterr().err
