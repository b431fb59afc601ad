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

from artrec.config import load
from artrec.encoders import Preprocess, load_builtin
from artrec.encoders.card import Card, save_encoder
from artrec.encoders.handmade import HANDMADE
from artrec.encoders.networks.repeating import load_repeater
from artrec.errors import ArtrecError, ConfigError, UsageError
from artrec.picture import Limits, decode
from artrec.releases import read_release
from artrec.stages.compare import Wanted
from artrec.stages.compare.comparing import ACCOUNT, PAGE, beside
from artrec.stages.compare.known import card_of, repeats, sampled_of
from artrec.stages.compare.training import held_out_of_all, settings_over
from artrec.storage import open_store
from tests.nights import Night, night, tree
from tests.pictures import Named, picture, write_zip
from tests.services.s3 import Server

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
        size, kind = repeater.preprocess.size, repeater.preprocess.filter
        seen = np.stack([decode(value, Limits(), size, "stretch", kind) for value in data.values()])
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
    decoder = root / "encoders" / names[0] / "decoder.safetensors"
    whole = decoder.read_bytes()
    decoder.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ConfigError, match=r"decoder\.safetensors was altered"):
        beside(Wanted((names[0],), str(tmp_path / "three"), root=str(root)), "quiet")
    assert not (tmp_path / "three").exists()
    decoder.unlink()  # copied without it
    assert not repeats(store, names[0], card_of(store, names[0]))


def dark(root: Path) -> str:
    """An encoder of one number, 0 for pictures darker than the middle, which has no cosine."""
    seen = Preprocess(size=(8, 8), filter="box", scale=1 / 255)
    card = Card(
        name="dark", architecture="dense", dim=1, metric="cosine", preprocess=seen,
        parameters={"latent": 1, "center": False, "unit": False},
    )  # fmt: skip
    tensors = {
        "layer.weight": np.full((1, 192), 1 / 192, np.float32),
        "layer.bias": np.array([-0.5], np.float32),
    }
    return save_encoder(open_store(str(root)), card, tensors)


def test_a_picture_without_a_vector_is_left_out_of_that_encoder_alone(
    spark: SparkSession, trained: Night, tmp_path: Path
) -> None:
    root = shutil.copytree(trained.root, tmp_path / "root")
    name = dark(root)
    data = {row["content_sha256"]: row["data"] for row in trained.rows("pictures")}
    means = [np.mean(decode(each, Limits(), (8, 8), "stretch", "box")) for each in data.values()]
    lost = sum(mean <= 127.5 for mean in means)
    assert 0 < lost < len(means)
    account = beside(Wanted((name, HANDMADE), str(tmp_path / "out"), root=str(root)), "quiet")
    assert [each["no_vector"] for each in account["encoders"]] == [lost, 0, 0, 0]
    rows = rows_of(account, tmp_path / "out")
    assert figures(rows, HANDMADE, "sample") == figures(
        trained.rows("evaluation"), HANDMADE, "sample"
    )
    asked = {row["queries"] for row in rows if row["encoder"] == name and row["pool"] == "sample"}
    assert max(asked) == len(means) - lost


@pytest.mark.long
def test_a_release_on_s3_is_compared_as_one_on_a_disk(
    spark: SparkSession, trained: Night, tmp_path: Path, s3_server: Server
) -> None:
    bucket, client = s3_server.bucket(), s3_server.client()
    for path in trained.root.rglob("*"):
        if path.is_file():
            key = f"root/{path.relative_to(trained.root)}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    root, out = f"s3://{bucket}/root", open_store(f"s3://{bucket}/compared")
    before = [entry.path for entry in open_store(root).list()]
    there = beside(Wanted((HANDMADE,), out.url, root=root), "quiet")
    here = beside(Wanted((HANDMADE,), str(tmp_path / "out"), root=str(trained.root)), "quiet")
    assert there["rows"] == here["rows"]
    assert [entry.path for entry in open_store(root).list()] == before
    left = {entry.path.partition("/")[0] for entry in out.list()}
    assert left == {"evaluation", ACCOUNT, PAGE}


def test_a_picture_that_is_not_there_is_missed(
    spark: SparkSession, trained: Night, tmp_path: Path
) -> None:
    root, out = shutil.copytree(trained.root, tmp_path / "root"), tmp_path / "out"
    for path in root.glob("runs/ingest/*/run.json"):
        run = json.loads(path.read_text())
        run["tables"]["pictures"] = []
        path.write_text(json.dumps(run))
    with pytest.raises(ArtrecError, match=r"40 of 40 pictures are not in the release's table"):
        beside(Wanted((HANDMADE,), str(out), root=str(root)), "quiet")
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_held_out_is_what_no_training_of_a_sweep_sees() -> None:
    over = settings_over(Wanted((), "out", over="train.held_out=0.3,0.05"))
    assert held_out_of_all([load(None, ())[0], *over.values()]) == 0.05


def test_a_release_without_an_evaluation_has_nothing_to_compare_on(release: Night) -> None:
    root = open_store(str(release.root))
    found = read_release(root, None)
    stages = {name: each for name, each in found.stages.items() if name != "evaluate"}
    with pytest.raises(UsageError, match="first was published without an evaluation"):
        sampled_of(root, found.model_copy(update={"stages": stages}))


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
    with pytest.raises(UsageError, match=f"handmade and {HANDMADE} are one encoder; name it once"):
        beside(Wanted(("handmade", HANDMADE), str(out), root=root), "quiet")
    with pytest.raises(UsageError, match=r"train\.latent: recipe auto does not read it; dense, "):
        beside(Wanted((), str(out), over="train.latent=5,10", root=root), "quiet")
    with pytest.raises(UsageError, match=r"train\.seed: 1 and 01 train the same encoder"):
        beside(Wanted((), str(out), over="train.seed=1,01", root=root), "quiet")
    assert not out.exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="is not empty"):
        beside(Wanted(("handmade",), str(tmp_path / "full"), root=root), "quiet")
    with pytest.raises(UsageError, match="is the root of the release"):
        beside(Wanted(("handmade",), str(release.root / "more"), root=root), "quiet")
