"""Vectors made elsewhere, in the place of an encoder: each picture gets its own, or a reason."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from artrec.stages.session import Options, execute
from tests.nights import Night, night
from tests.pictures import Named, picture, write_zip
from tests.verb import artrec

WORKS: list[Named] = [(f"wikiart/Cubism/painter_{n}.jpg", picture(n)) for n in range(12)]
TWIN = "wikiart/Realism/zoe_copy.jpg"
"""A second name of the first work's content."""
LATE: Named = ("wikiart/Realism/late.jpg", picture(90))
VECTORS = np.random.default_rng(3).normal(size=(12, 6)).astype(np.float32)


def given(path: Path, root: Path, capsys: pytest.CaptureFixture[str], **columns: object) -> str:
    pq.write_table(pa.table(columns), path)
    words = ["add-encoder", "vectors", str(path), "--name", "clip", "--root", str(root)]
    code = artrec(*words, *(["--key", "content_sha256"] if "content_sha256" in columns else []))
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out.split()[0]


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    place = tmp_path_factory.mktemp("given")
    archive = write_zip(place / "works.zip", [*WORKS, (TWIN, WORKS[0][1])])
    rules = ("encoder.id=handmade", "neighbors.k=3", "gates.reject_rate=0.5", "gates.drift=10")
    return night(place / "root", "one", f"sources.main.url={archive}", *rules)


@pytest.fixture
def first(made: Night, tmp_path: Path) -> Night:
    """A copy of the night's store, to go on with."""
    shutil.copytree(made.root, tmp_path / "root")
    return replace(made, root=tmp_path / "root", assignments=made.assignments[:-1])


def test_a_release_of_given_vectors_lists_by_them_and_rejects_who_has_none(
    first: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [name for name, _ in WORKS[:11]]
    encoder = given(
        *(tmp_path / "v.parquet", first.root, capsys),
        image_id=[*names, "wikiart/of-another-catalog.jpg"],
        embedding=list(VECTORS),
    )
    said = (*first.assignments, f"encoder.id={encoder}", "gates.shrinkage=0.5")
    second = night(first.root, "two", *said)
    found = {row["image_id"]: row["embedding"] for row in second.rows("embeddings")}
    expected = dict(zip(names, VECTORS[:11], strict=True)) | {TWIN: VECTORS[0]}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(np.float32(found[name]), expected[name]) for name in found)
    rejects = [(row["image_id"], row["stage"], row["reason"]) for row in second.rows("rejects")]
    assert rejects == [(WORKS[11][0], "embed", "not_given")]
    unit = np.stack([expected[name] for name in sorted(expected)]).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    far = 1 - unit @ unit.T
    np.fill_diagonal(far, np.inf)
    lists = {row["query_id"]: row["distances"] for row in second.rows("neighbors_nested")}
    for at, name in enumerate(sorted(expected)):
        np.testing.assert_allclose(lists[name], np.sort(far[at])[:3], atol=1e-6)


@pytest.mark.long
def test_an_image_of_a_later_night_has_no_vector_either(
    first: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*(name for name, _ in WORKS), "wikiart/spare.jpg"][:12]
    encoder = given(
        *(tmp_path / "v.parquet", first.root, capsys), image_id=names, embedding=list(VECTORS)
    )
    said = (*first.assignments, f"encoder.id={encoder}")
    night(first.root, "two", *said)
    archive = write_zip(tmp_path / "more.zip", [*WORKS, (TWIN, WORKS[0][1]), LATE])
    third = night(first.root, "three", *said, f"sources.main.url={archive}")
    assert [row["reason"] for row in third.rows("rejects")] == ["not_given"]
    assert third.document["stages"]["embed"]["counters"]["encoded"] == 0


@pytest.mark.long
def test_vectors_named_by_content_find_theirs(
    first: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shas = {row["content_sha256"]: row["image_id"] for row in first.rows("catalog")}
    keys = sorted(shas)
    encoder = given(
        *(tmp_path / "v.parquet", first.root, capsys),
        content_sha256=[key.hex() for key in keys],
        embedding=list(VECTORS),
    )
    second = night(first.root, "two", *first.assignments, f"encoder.id={encoder}")
    found = {row["image_id"]: row["embedding"] for row in second.rows("embeddings")}
    for key, vector in zip(keys, VECTORS, strict=True):
        assert np.array_equal(np.float32(found[shas[key]]), vector)
    assert second.rows("rejects") == []


def test_a_name_with_two_vectors_ends_the_night_before_anything_is_kept(
    first: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [name for name, _ in WORKS[:11]] + [WORKS[0][0]]
    encoder = given(
        *(tmp_path / "v.parquet", first.root, capsys), image_id=names, embedding=list(VECTORS)
    )
    said = (*first.assignments, f"encoder.id={encoder}", f"store.root={first.root}")
    assert execute("nightly", Options(assignments=said, release="two", verbosity="quiet")) == 4
    assert f"names with several vectors: {WORKS[0][0]}" in capsys.readouterr().err
