"""Encoders side by side: the figures are evaluation's own, and nothing changes in the store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from artrec.encoders import load_builtin
from artrec.encoders.handmade import HANDMADE
from artrec.encoders.networks.repeating import load_repeater
from artrec.errors import ConfigError, UsageError
from artrec.picture import Limits, decode
from artrec.stages.compare import Wanted
from artrec.stages.compare.comparing import ACCOUNT, PAGE, beside
from artrec.storage import open_store
from tests.nights import Night, night, tree
from tests.pictures import Named, picture, write_zip

Rows = list[dict[str, Any]]
SAME = ("measure", "label", "variant", "average", "group", "k")
WORKS: list[Named] = [
    (f"wikiart/{('Baroque', 'Cubism')[n % 2]}/painter-{n % 5}_work-{n}.jpg", picture(n))
    for n in range(40)
]


def rows_of(account: dict[str, Any], out: Path) -> Rows:
    paths = [out / file["path"] for file in account["files"]["evaluation"]]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def figures(rows: Rows, encoder: str, pool: str) -> dict[tuple[Any, ...], tuple[int, float]]:
    return {
        tuple(row[name] for name in SAME): (row["queries"], row["value"])
        for row in rows
        if (row["encoder"], row["pool"]) == (encoder, pool)
        and row["measure"] in ("precision", "map", "map_csd")
    }


def test_figures_are_those_of_the_release_s_own_evaluation(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    before = tree(release.root)
    wanted = Wanted(("handmade-plain", HANDMADE), str(tmp_path), root=str(release.root))
    account = beside(wanted, "quiet")
    assert tree(release.root) == before
    rows, own = rows_of(account, tmp_path), release.rows("evaluation")
    for encoder in (HANDMADE, "histogram", "pixels", "chance"):
        for pool in ("sample", "held_out"):
            expected = figures(own, encoder, pool)
            assert expected
            assert figures(rows, encoder, pool) == expected
    assert figures(rows, "handmade-plain", "sample") != figures(rows, HANDMADE, "sample")
    assert {row["encoder"] for row in rows} == {
        "handmade-plain", HANDMADE, "histogram", "pixels", "chance",
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation", ACCOUNT, PAGE}


def test_the_account_and_the_page_tell_what_each_costs(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    wanted = Wanted((HANDMADE,), str(tmp_path), images=12, root=str(release.root))
    account = beside(wanted, "quiet")
    rows = account.pop("rows")
    assert json.loads((tmp_path / ACCOUNT).read_text()) == account
    assert account["images"] == 12
    (own,) = (each for each in account["encoders"] if each["encoder"] == HANDMADE)
    dim = load_builtin("handmade").dim
    assert (own["dim"], own["vector_bytes"], own["weights_bytes"]) == (dim, 4 * dim, 0)
    assert 0 < own["pictures"] <= 12  # two names of one content are one picture
    assert own["rejected"] == 0
    assert own["decode_ms"] > 0
    assert own["encode_ms"] > 0
    assert own["trained_on"] is own["training_seconds"] is own["reconstruction_error"] is None
    assert {row["queries"] for row in rows if row["measure"] == "precision"} <= {*range(1, 13)}
    page = (tmp_path / PAGE).read_text()
    assert HANDMADE in page
    assert "16 × 16 pixels" in page
    assert "On 12 images" in page


@pytest.fixture(scope="module")
def trained(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A small catalog whose evaluation has labels to share."""
    base = tmp_path_factory.mktemp("compare")
    source = write_zip(base / "works.zip", WORKS)
    return night(base / "root", "one", f"sources.main.url={source}", "encoder.id=handmade")


def test_a_setting_s_values_are_trained_compared_and_found_again(
    spark: SparkSession, trained: Night, tmp_path: Path
) -> None:
    root = shutil.copytree(trained.root, tmp_path / "root")
    asked = (
        "train.recipe=separable", "train.epochs=1", "train.batch=8", "train.held_out=0.3",
        f"store.root={root}",
    )  # fmt: skip
    first = beside(
        Wanted((HANDMADE,), str(tmp_path / "one"), over="train.latent=3,8", assignments=asked),
        "quiet",
    )
    made = [each for each in first["encoders"] if each["value"]]
    assert [(each["value"], each["dim"]) for each in made] == [("3", 3), ("8", 8)]
    store = open_store(str(root))
    data = {row["content_sha256"]: row["data"] for row in trained.rows("pictures")}
    for each in made:
        repeater = load_repeater(store, each["encoder"])
        size, fit, kind = repeater.preprocess.size, "stretch", repeater.preprocess.filter
        seen = np.stack([decode(value, Limits(), size, fit, kind) for value in data.values()])
        errors = repeater.repeat(seen)[1].astype(np.float64)
        assert each["reconstruction_error"] == pytest.approx(errors.mean(), rel=1e-4)
        assert each["trained_on"] > 20
        assert each["training_seconds"] > 0
        assert each["weights_bytes"] > 1000
    page = (tmp_path / "one" / PAGE).read_text()
    assert "Over <bdi>train.latent</bdi>" in page
    assert page.count("<polyline") >= 3
    before = tree(root)
    names = tuple(each["encoder"] for each in made)
    again = beside(
        Wanted((), str(tmp_path / "two"), over="train.latent=3,8", assignments=asked), "quiet"
    )
    assert [each["encoder"] for each in again["encoders"] if each["value"]] == list(names)
    kept = {path for path in tree(root) if not path.startswith(("drafts/", "leases/", "lease"))}
    assert kept == {p for p in before if not p.startswith(("drafts/", "leases/", "lease"))}


def test_what_cannot_be_compared_is_refused_before_work(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root, out = str(release.root), tmp_path / "out"
    with pytest.raises(ConfigError, match="has no encoder nobody-1; known: handmade, "):
        beside(Wanted(("nobody-1",), str(out), root=root), "quiet")
    with pytest.raises(UsageError, match="encoder handmade is named twice"):
        Wanted(("handmade", "handmade"), str(out))
    with pytest.raises(UsageError, match="name encoders to compare"):
        Wanted((), str(out))
    with pytest.raises(UsageError, match=r"name a setting of training and its values, each once"):
        Wanted((), str(out), over="train.latent=3,3")
    with pytest.raises(UsageError, match="--images 1: at least 2"):
        Wanted(("handmade",), str(out), images=1)
    with pytest.raises(ConfigError, match=r"train\.latent"):
        beside(Wanted((), str(out), over="train.latent=three", root=root), "quiet")
    elsewhere = Wanted(
        (), str(out), "train.seed=1", None, root, None, None, ("train.where=beside",)
    )
    with pytest.raises(ConfigError, match=r"leave train\.where=beside out"):
        beside(elsewhere, "quiet")
    assert not out.exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="is not empty"):
        beside(Wanted(("handmade",), str(tmp_path / "full"), root=root), "quiet")
    with pytest.raises(UsageError, match="is the root of the release"):
        beside(Wanted(("handmade",), str(release.root / "more"), root=root), "quiet")
