"""Clusters and maps: that every image has one, nearest to its center, night after night."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from artrec.releases import Draft, Run
from artrec.schemas import TABLES
from artrec.stages.clusters import CENTERS, CLUSTERS, make_clusters, tasks
from artrec.stages.clusters.tasks import Ground
from artrec.stages.frames import Attempt
from artrec.stages.rules import vector_no
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter, read_table
from tests.nights import Night, night, opened, put, settings_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]


def centers_of(made: Night) -> dict[int, np.ndarray]:
    rows = made.rows("cluster_centers")
    return {row["cluster"]: np.array(row["center"], np.float64) for row in rows}


def test_every_image_has_one_cluster_the_nearest(release: Night) -> None:
    rows = {row["image_id"]: row for row in release.rows("clusters")}
    catalog = {row["image_id"]: row["vector_no"] for row in release.rows("catalog")}
    assert {name: row["vector_no"] for name, row in rows.items()} == catalog
    centers = centers_of(release)
    assert [*centers] == [1, 2, 3, 4, 5, 6]
    for row in release.rows("embeddings"):
        unit = np.array(row["embedding"], np.float64)
        unit /= np.sqrt(unit @ unit)
        apart = {name: math.dist(unit, center) for name, center in centers.items()}
        mine = rows[row["image_id"]]
        assert mine["distance"] == pytest.approx(min(apart.values()), abs=1e-5)
        assert apart[mine["cluster"]] == pytest.approx(min(apart.values()), abs=1e-6)


def test_the_table_of_centers_counts_what_the_table_of_images_says(release: Night) -> None:
    rows = release.rows("clusters")
    for told in release.rows("cluster_centers"):
        own = [row for row in rows if row["cluster"] == told["cluster"]]
        vectors = {row["vector_no"]: row["distance"] for row in own}
        assert (told["images"], told["vectors"]) == (len(own), len(vectors))
        assert told["inertia"] == pytest.approx(sum(d * d for d in vectors.values()), rel=1e-6)
        first = {row["vector_no"]: row["image_id"] for row in reversed(own)}
        nearest = sorted((distance, number) for number, distance in vectors.items())[:12]
        assert told["nearest"] == [first[number] for _, number in nearest]


def test_a_later_night_keeps_the_centers_and_looks_at_new_vectors_alone(
    release: Night, next_release: Night
) -> None:
    before, after = (
        {row["vector_no"]: (row["cluster"], row["distance"]) for row in made.rows("clusters")}
        for made in (release, next_release)
    )
    one, other = centers_of(release), centers_of(next_release)
    assert all(np.array_equal(one[name], other[name]) for name in one)
    same = before.keys() & after.keys()
    assert {number: before[number] for number in same} == {n: after[n] for n in same}
    counters = next_release.document["stages"]["evaluate"]["counters"]
    assert counters["cluster_vectors"] == len(after.keys() - before.keys()) > 0
    assert counters["clustered"] == len(next_release.rows("clusters"))


def test_maps_have_the_places_and_clusters_of_their_images(release: Night) -> None:
    clusters = {row["image_id"]: row["cluster"] for row in release.rows("clusters")}
    flat = {row["image_id"]: row for row in release.rows("coordinates")}
    rows = release.rows("maps")
    assert {row["map"] for row in rows} == {"pca"}
    assert [row["image_id"] for row in rows] == sorted(flat)
    for row in rows:
        mine = flat[row["image_id"]]
        assert (row["x"], row["y"]) == pytest.approx((mine["x"], mine["y"]), abs=1e-5)
        assert row["cluster"] == clusters[row["image_id"]]
    assert any(row["z"] for row in rows)


# -- literal catalogs -----------------------------------------------------------------------


def literal(root: Path, vectors: list[list[float]], count: int) -> tuple[Draft, Any]:
    """A draft whose catalog has these vectors, each under one name."""
    settings = settings_of(f"store.root={root}", f"evaluate.clusters={count}")
    draft = opened(settings, "literal")
    draft.hold("literal")
    hashes = sorted(bytes([7 * n % 256]) + bytes(31) for n in range(len(vectors)))
    numbers = [vector_no(each) for each in hashes]
    live = [{"vector_no": n, "embedding": v} for n, v in zip(numbers, vectors, strict=True)]
    names = [{"vector_no": n, "image_id": f"image-{n}"} for n in numbers]
    put(draft, "embed", {"vectors": []}, encoder="literal-1", metric="euclidean", dim=2)
    put(draft, "catalog", {"live_vectors": live, "vector_images": names})
    return draft, settings


def rows_of(root: Path, run: Run, table: str) -> list[Row]:
    import pyarrow.parquet as pq

    files = [root / receipt.path for receipt in run.receipts(table)]
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize(
    ("vectors", "count", "sizes"),
    [
        ([], 6, []),
        ([[1.0, 2.0]], 6, [1]),
        ([[1.0, 2.0], [5.0, 5.0], [9.0, 0.0]], 6, [1, 1, 1]),
        ([[1.0, 2.0]] * 4, 6, [4]),
        ([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]], 2, [2, 1]),
    ],
    ids=["none", "one", "fewer than asked for", "equal ones", "two heaps"],
)
def test_a_catalog_of_hardly_anything_has_as_many_clusters_as_it_can(
    spark: SparkSession, tmp_path: Path, vectors: list[list[float]], count: int, sizes: list[int]
) -> None:
    draft, settings = literal(tmp_path, vectors, count)
    run = make_clusters(spark, settings, draft, sound=True)
    centers = rows_of(tmp_path, run, "cluster_centers")
    assert [row["images"] for row in centers] == sizes
    assert len(rows_of(tmp_path, run, "clusters")) == len(vectors)
    assert run.notes["clusters"] == len(sizes)
    assert (run.notes["silhouette"] is None) == (len(sizes) < 2)
    assert make_clusters(spark, settings, draft, sound=True) == run


def test_unsound_vectors_have_no_clusters(spark: SparkSession, tmp_path: Path) -> None:
    draft, settings = literal(tmp_path, [[math.nan, 1.0], [0.0, 1.0]], 6)
    run = make_clusters(spark, settings, draft, sound=False)
    assert rows_of(tmp_path, run, "clusters") == rows_of(tmp_path, run, "cluster_centers") == []


def ground_of(root: Path, cut: list[int], folder: str) -> Ground:
    """200 vectors in files that end at ``cut``, each under one name or two."""
    store, rng = open_store(str(root)), np.random.default_rng(2)
    numbers = np.sort(rng.choice(10**12, 200, replace=False)).tolist()
    heaps = rng.integers(0, 5, (200, 1)) * 3.0
    vectors = (heaps + rng.normal(size=(200, 4))).astype(np.float32).tolist()
    live = [{"vector_no": n, "embedding": v} for n, v in zip(numbers, vectors, strict=True)]
    names = [{"vector_no": n, "image_id": f"{part}-{n}"} for n in numbers
             for part in ("a", "b")[: 1 + n % 2]]  # fmt: skip
    files = [written(store, folder, "live_vectors", live[low:high], f"{low}")
             for low, high in pairwise([0, *cut, 200])]  # fmt: skip
    return Ground(
        store=store,
        folder=f"{folder}-made",
        live=tuple(file for each in files for file in each),
        names=tuple(written(store, folder, "vector_images", names, "all")),
        encoder="literal-1",
        metric="cosine",
        count=5,
    )


def written(store: Store, folder: str, table: str, rows: list[Row], stem: str) -> list[Receipt]:
    with TableWriter(store, folder, TABLES[table], stem) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=TABLES[table].columns))
    return writer.receipts


def read(ground: Ground, files: Iterable[Receipt]) -> list[Row]:
    return [row for batch in read_table(ground.store, files) for row in batch.to_pylist()]


def test_the_cut_into_files_and_what_was_known_change_nothing(tmp_path: Path) -> None:
    one = ground_of(tmp_path, [], "one")
    whole = tasks.alone(one, Attempt(0, 0, 0))
    found = [read(one, tasks.files_of([whole], table)) for table in (CLUSTERS, CENTERS)]
    assert [row["cluster"] for row in found[1]] == [1, 2, 3, 4, 5]
    assert len(found[0]) == len(read(one, one.names))

    several = ground_of(tmp_path, [3, 90, 91], "several")
    known = [row for n, row in enumerate(found[0]) if n % 3]
    for ground in (several, replace(several, folder="kept", known=tuple(
            written(several.store, "known", CLUSTERS, known, "x")))):  # fmt: skip
        centers = tasks.files_of([tasks.fit(ground, Attempt(0, 0, 9))], CENTERS)
        reports = [tasks.assign(ground, centers, Attempt(n, 0, n)) for n in range(4)]
        clusters = tasks.files_of(reports, CLUSTERS)
        told = tasks.tell(ground, centers, clusters, Attempt(0, 0, 0))
        assert read(ground, clusters) == found[0]
        assert read(ground, told.receipts) == found[1]
        assert told.notes == whole.notes
        looked = sum(report.counters["cluster_vectors"] for report in reports)
        assert (looked < 200) == bool(ground.known)


def test_new_vectors_are_taken_from_the_segments_that_brought_them(tmp_path: Path) -> None:
    ground = ground_of(tmp_path, [90], "live")
    centers = tasks.files_of([tasks.fit(ground, Attempt(0, 0, 9))], CENTERS)
    reports = [tasks.assign(ground, centers, Attempt(n, 0, n)) for n in range(2)]
    rows = read(ground, tasks.files_of(reports, CLUSTERS))
    live = {row["vector_no"]: row["embedding"] for row in read(ground, ground.live)}
    new = sorted(live)[::3]
    known = [row for row in rows if row["vector_no"] not in new]
    segment = [
        {"content_sha256": bytes([n]) * 32, "encoder": encoder, "vector_no": number,
         "embedding": vector, "reason": None, "detail": None}
        for n, number in enumerate(reversed(new))
        for encoder, vector in (("other", [9.0]), ("literal-1", live[number]))
    ]  # fmt: skip
    twice = [*segment, segment[1], {**segment[1], "vector_no": 1, "embedding": None}]
    later = replace(
        ground,
        folder="later",
        known=tuple(written(ground.store, "known", CLUSTERS, known, "x")),
        fresh=tuple(written(ground.store, "fresh", "vectors", twice, "x")),
        live=tuple(  # whose embeddings nobody has to read
            file
            for n, low in enumerate((0, 90))
            for file in written(
                ground.store, "blank", "live_vectors",
                [{"vector_no": number, "embedding": [0.0]}
                 for number in sorted(live)[low : low + 90 + 20 * n]], f"{n}")
        ),
    )  # fmt: skip
    reports = [tasks.assign(later, centers, Attempt(n, 0, n)) for n in range(2)]
    assert read(later, tasks.files_of(reports, CLUSTERS)) == rows
    assert sum(report.counters["cluster_vectors"] for report in reports) == len(new)


@pytest.mark.long
def test_another_number_of_clusters_fits_anew_and_evaluates_nothing_else_again(
    release: Night, tmp_path: Path
) -> None:
    shutil.copytree(release.root, tmp_path / "root")
    made = night(tmp_path / "root", "three", *release.assignments[:-1], "evaluate.clusters=3")
    assert len(made.rows("cluster_centers")) == 3
    assert made.files("evaluation")[0].read_bytes() == release.files("evaluation")[0].read_bytes()
    assert json.dumps(made.document["stages"]["evaluate"]["notes"]["clusters"]["wanted"]) == "3"
