"""train: a store's first night trains, compares and chooses; other nights keep what they have."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from artrec.commands.training import trained
from artrec.encoders import Preprocess, comparing, load_encoder
from artrec.encoders.handmade import HANDMADE
from artrec.encoders.networks.repeating import load_repeater
from artrec.errors import ConfigError, UsageError
from artrec.picture import Limits, decode
from artrec.releases import RunRef, StageRuns, artifacts_of, receipts_of
from artrec.report import read_facts
from artrec.schemas import TABLES
from artrec.stages import NAMES
from artrec.stages.encoding import keep_encoder
from artrec.stages.frames import Attempt
from artrec.stages.places import place_units
from artrec.stages.reconstruct import Wanted
from artrec.stages.reconstruct.repeating import ACCOUNT, ERRORS, SHEET, repeat
from artrec.stages.session import Options, execute
from artrec.stages.train import examples
from artrec.storage import open_store
from artrec.tables import TableWriter, read_table
from tests.faults.rig import command, environment, job
from tests.nights import Night, night, settings_of, tree
from tests.pictures import Named, picture, write_zip

SMALL = (
    "train.recipe=convolutional",
    "train.side=16",
    "train.channels=[4,8]",
    "train.epochs=3",
    "train.batch=16",
    "train.held_out=0.5",
    "neighbors.k=3",
)
STYLES = ("Baroque", "Cubism")
WORKS: list[Named] = [
    (f"wikiart/{STYLES[n % 2]}/painter-{n % 5}_work-{n}.jpg", picture(n)) for n in range(60)
]
TWICE: Named = ("wikiart/Realism/zoe_copy.jpg", picture(0))


def options(*assignments: str, **more: Any) -> Options:
    return Options(assignments=assignments, verbosity="quiet", **more)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zip(tmp_path_factory.mktemp("archive") / "works.zip", [*WORKS, TWICE])


@pytest.fixture(scope="module")
def first(spark: SparkSession, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    root = tmp_path_factory.mktemp("store") / "root"
    return night(root, "one", f"sources.main.url={archive}", *SMALL)


def copied(made: Night, root: Path) -> tuple[str, ...]:
    """A copy of the night's store, and the assignments that go on with it."""
    shutil.copytree(made.root, root)
    return (*made.assignments[:-1], f"store.root={root}")


def record(made: Night) -> dict[str, Any]:
    found: dict[str, Any] = made.document["stages"]["train"]
    return found


def encoders(root: Path) -> set[str]:
    return {path.name for path in (root / "encoders").iterdir()}


def test_examples_are_the_distinct_pictures_as_the_network_sees_them(first: Night) -> None:
    rows = first.rows("examples")
    assert [row["content_sha256"] for row in rows] == sorted(
        {row["content_sha256"] for row in first.rows("catalog")}
    )
    assert len(rows) == 60
    by_key = {row["content_sha256"]: row for row in rows}
    for image in first.rows("catalog"):
        row = by_key[image["content_sha256"]]
        name = image["image_id"]
        assert row["artist"] == ("painter-0" if name == TWICE[0] else image["artist"])
        data = dict(WORKS).get(name)
        if data is not None:
            with Image.open(io.BytesIO(data)) as whole, Image.open(io.BytesIO(row["picture"])) as a:
                expected = whole.convert("RGB").resize((16, 16), Image.Resampling.LANCZOS)
                assert (a.format, a.size) == ("PNG", (16, 16))
                # a JPEG is shrunk while it is read, so the same but for rounding
                assert np.abs(np.asarray(a, float) - np.asarray(expected, float)).mean() < 3


def test_the_last_bits_of_the_hash_say_who_is_held_out(first: Night) -> None:
    for row in first.rows("examples", ["content_sha256", "split"]):
        last = int(row["content_sha256"].hex()[-13:], 16)
        assert row["split"] == ("held_out" if last < 2**51 else "train")
    splits = Counter(row["split"] for row in first.rows("examples", ["split"]))
    assert record(first)["counters"]["held_out"] == splits["held_out"] >= 20


def test_a_night_leaves_nothing_in_sparks_cache(first: Night, spark: SparkSession) -> None:
    state: Any = spark._jsparkSession  # type: ignore[attr-defined]
    assert state.sharedState().cacheManager().isEmpty()


def test_a_task_gathers_a_bounded_part_and_many_parts_become_the_same_table(
    first: Night, tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(first, tmp_path / "root")
    store, settings = open_store(str(tmp_path / "root")), settings_of(*first.assignments)
    refs = {
        table: [
            RunRef.model_validate(ref) for ref in first.document["stages"][stage]["tables"][table]
        ]
        for stage, table in (("ingest", "pictures"), ("train", "examples"))
    }
    pictures = receipts_of(store, refs["pictures"], "pictures")
    pending = receipts_of(store, refs["examples"], "pending_examples")
    slices = list(place_units(store, pending, pictures))
    monkeypatch.setattr(examples, "PART_BYTES", 3000)
    monkeypatch.setattr(examples, "WAYS", 3)
    wanted = Preprocess(size=(16, 16))
    reports = [
        examples._slice(
            store, pending, pictures, settings, wanted, slices, "new", Attempt(index, 0, index)
        )
        for index in range(len(slices))
    ]
    parts = [each for report in reports for each in report.receipts if each.table == "examples"]
    largest = max(len(row["picture"]) for row in first.rows("examples"))
    held = [sum(sum(map(len, b.column("picture").to_pylist())) for b in read_table(store, [part]))
            for part in parts]  # fmt: skip
    assert len(parts) > 9, "more than two rounds of merging"
    assert max(held) < 3000 + largest
    merged, spare = examples._merged(spark, store, parts, "new")
    rows = [row for batch in read_table(store, merged) for row in batch.to_pylist()]
    assert rows == first.rows("examples")
    left = {entry.path for entry in store.list("new/parts")}
    assert left == {each.path for each in spare} > {each.path for each in parts}


class Asked:
    """A batch that knows how many of its rows were taken; only its keys are given whole."""

    taken = 0

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def column(self, name: str) -> pa.Array:
        assert name == "content_sha256"
        return self._batch.column(name)

    def take(self, rows: pa.Array) -> pa.RecordBatch:
        Asked.taken += len(rows)
        return self._batch.take(rows)


def test_only_the_vectors_that_are_compared_become_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, table = open_store(str(tmp_path)), TABLES["held_out_vectors"]
    rows = [
        {"content_sha256": bytes([n]) * 32, "embedding": [n, 0.5], "copy_embedding": [-n, 0.25]}
        for n in range(9)
    ]
    with TableWriter(store, "made", table, "all") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=table.columns))
    monkeypatch.setattr(comparing, "read_table", lambda *of: map(Asked, read_table(*of)))
    keys = [bytes([7]) * 32, bytes([2]) * 32]
    first, copies = comparing._handmade(store, writer.receipts, keys)
    assert first.tolist() == [[7, 0.5], [2, 0.5]]
    assert copies.tolist() == [[-7, 0.25], [-2, 0.25]]
    assert Asked.taken == 2


def test_curves_and_reconstructions_are_tables_of_the_release(first: Night) -> None:
    curves = {(row["epoch"], row["measure"]): row["value"] for row in first.rows("curves")}
    measures = {"train_loss", "held_out_loss", "learning_rate", "seconds", "reading_seconds"}
    assert set(curves) == {(n, measure) for n in (1, 2, 3) for measure in measures}
    assert curves[3, "held_out_loss"] < curves[1, "held_out_loss"]
    shown = first.rows("reconstructions")
    assert len(shown) == 16
    held = {r["content_sha256"]: r for r in first.rows("examples") if r["split"] == "held_out"}
    for row in shown:
        assert row["original"] == held[row["content_sha256"]]["picture"]
        assert 0 < row["error"] < 1


def test_reconstructions_by_epoch_are_in_a_table_and_in_the_report(first: Night) -> None:
    rows = first.rows("epoch_reconstructions")
    shown = sorted(row["content_sha256"] for row in first.rows("reconstructions"))[:6]
    assert [(row["epoch"], row["content_sha256"]) for row in rows] == [
        (epoch, key) for epoch in (1, 2, 3) for key in shown
    ]
    runs = StageRuns.model_validate(first.document["stages"]["report"])
    store = open_store(str(first.root))
    files = [each.path for each in artifacts_of(store, runs.tables["report"], "report")]
    (path,) = (each for each in files if each.endswith("data.json"))
    training = read_facts(store.read(path), path).training
    assert training is not None
    errors = [each.error or 0.0 for each in training.reconstructions]
    assert errors == sorted(errors, reverse=True)
    stepped = [each for each in training.reconstructions if each.steps]
    assert len(stepped) == 6
    for each in stepped:
        assert [step.epoch for step in each.steps] == [1, 2, 3]
        for step in each.steps:
            assert any(file.endswith(f"/thumbs/{step.picture}.jpg") for file in files)


def test_every_image_has_an_error_of_the_trained_encoder(
    spark: SparkSession, first: Night, tmp_path: Path
) -> None:
    encoder = record(first)["notes"]["trained"]
    before = tree(first.root)
    out = tmp_path / "errors"
    account = repeat(Wanted(str(out), encoder, 5, str(first.root)), "quiet")
    assert tree(first.root) == before
    catalog = first.rows("catalog")
    rows = [row for file in account["files"][ERRORS] for row in
            pq.read_table(out / file["path"]).to_pylist()]  # fmt: skip
    assert [row["image_id"] for row in rows] == [row["image_id"] for row in catalog]
    assert account["counts"]["images"] == len(catalog)
    repeater = load_repeater(open_store(str(first.root)), encoder)
    data = {row["content_sha256"]: row["data"] for row in first.rows("pictures")}
    for row in rows[::9]:
        wanted = repeater.preprocess
        seen = decode(data[row["content_sha256"]], Limits(), wanted.size, wanted.fit, wanted.filter)
        made = repeater.repeat(seen[None])[0][0]
        apart = np.square((made.astype(np.float64) - seen) / 255).mean()
        assert row["error"] == pytest.approx(apart, rel=0.02)
    with Image.open(out / SHEET) as sheet:
        assert sheet.format == "PNG"
    assert {path.name for path in out.iterdir()} == {ERRORS, SHEET, ACCOUNT}


def test_an_encoder_that_cannot_repeat_is_refused_and_leaves_nothing(
    first: Night, tmp_path: Path
) -> None:
    wanted = Wanted(str(tmp_path / "errors"), HANDMADE, root=str(first.root))
    with pytest.raises(ConfigError, match="has no half that repeats pictures"):
        repeat(wanted, "quiet")
    assert not (tmp_path / "errors").exists()
    with pytest.raises(UsageError, match="the sheet shows 0 to 200"):
        Wanted(str(tmp_path), worst=201)


def test_the_night_says_who_was_chosen_and_why(first: Night) -> None:
    notes = record(first)["notes"]
    assert encoders(first.root) == {notes["trained"], HANDMADE}
    assert notes["encoder_id"] in encoders(first.root)
    assert first.document["stages"]["embed"]["notes"]["encoder_id"] == notes["encoder_id"]
    assert list(first.document["stages"]) == [
        "inventory", "ingest", "train", "embed", "catalog", "index", "neighbors", "evaluate",
        "report",
    ]  # fmt: skip
    figures = notes["compared"]
    assert {each["label"] for each in figures.values()} == {"artist"}
    for each in figures.values():
        assert f"precision@1 {each['at_1']:.3f} and precision@5 {each['at_5']:.3f}" in notes["why"]
    assert first.account["stages"]["train"]["notes"]["why"] == notes["why"]
    assert first.account["stages"]["train"]["epochs"] == 3


def test_the_report_shows_what_the_training_recorded(first: Night) -> None:
    store, notes = open_store(str(first.root)), record(first)["notes"]
    runs = StageRuns.model_validate(first.document["stages"]["report"])
    paths = [each.path for each in artifacts_of(store, runs.tables["report"], "report")]
    (path,) = (each for each in paths if each.endswith("data.json"))
    facts = read_facts(store.read(path), path)
    assert facts.training is not None
    assert facts.training.chosen == notes["encoder_id"]
    assert facts.training.why == notes["why"].removeprefix("hand-made: ")
    assert facts.training.trained == notes["trained"]
    assert {"best_epoch", "best_loss"} <= set(facts.training.notes)
    (page,) = (each for each in paths if each.endswith("index.html"))
    assert f"<b><bdi>{notes['encoder_id']}</bdi></b>" in store.read(page).decode()
    assert len(facts.training.reconstructions) == 12


def test_the_card_says_how_the_encoder_was_trained(first: Night) -> None:
    notes = record(first)["notes"]
    folder = first.root / "encoders" / notes["trained"]
    card = json.loads((folder / "config.json").read_bytes())
    splits = Counter(row["split"] for row in first.rows("examples", ["split"]))
    run = record(first)["tables"]["curves"][0]["run_id"]
    settings = card["training"].pop("settings")
    assert (settings["recipe"], settings["channels"], settings["batch"]) == (
        *("convolutional", [4, 8], 16),
    )
    decoder = (folder / "decoder.safetensors").read_bytes()
    assert card["training"].pop("decoder") == {
        "bytes": len(decoder), "sha256": hashlib.sha256(decoder).hexdigest(),
    }  # fmt: skip
    assert card["training"] == {
        "run": run, "pictures": splits["train"], "held_out": splits["held_out"], "epochs": 3,
        "best_epoch": notes["best_epoch"], "best_loss": notes["best_loss"], "seed": 0,
    }  # fmt: skip
    assert f"Run `train/{run}`" in (folder / "README.md").read_text()
    assert not (first.root / f"runs/train/{run}/checkpoints").exists()


def test_a_command_trains_beside_the_cluster_what_a_night_then_takes(
    first: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The examples are there already: the stage says how to go on, and takes what came of it."""
    assignments = copied(first, tmp_path / "root")
    root, other = str(tmp_path / "root"), "train.seed=9"
    asked = (*assignments, other, "train.where=beside")
    assert execute("train", options(*asked)) == 0
    said = capsys.readouterr().out
    (name,) = re.findall(r"To train: artrec train-encoder (\w+) --root", said)
    assert name == record(first)["tables"]["examples"][0]["run_id"]
    assert encoders(tmp_path / "root") == encoders(first.root)

    run = trained(open_store(root), name, None, (*SMALL, other))
    made = run.notes["encoder_id"]
    assert encoders(tmp_path / "root") == {*encoders(first.root), made}
    assert execute("train", options(*asked, as_json=True)) == 0
    notes = json.loads(capsys.readouterr().out)["stages"]["train"]["notes"]
    assert (notes["trained"], notes["why"]) == (made, run.notes["why"])


def test_training_beside_names_what_does_not_fit(first: Night) -> None:
    store, name = open_store(str(first.root)), record(first)["tables"]["examples"][0]["run_id"]
    with pytest.raises(UsageError, match="run train/nothing holds no examples; artrec train --set"):
        trained(store, "nothing", None, SMALL)
    with pytest.raises(ConfigError, match=r"give the same train\.recipe and train\.side"):
        trained(store, name, None, (*SMALL, "train.recipe=tiny"))


def test_a_second_night_trains_nothing_and_knows_itself_unchanged(
    first: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = copied(first, tmp_path / "root")
    assert execute("nightly", options(*assignments, as_json=True)) == 0
    account = json.loads(capsys.readouterr().out)
    assert account["status"] == "unchanged"
    assert account["stages"]["train"] == {"seconds": 0.0, "kept_from": "one"}


def test_a_night_with_other_pictures_keeps_the_encoder_and_its_record(
    first: Night, tmp_path: Path
) -> None:
    other = write_zip(tmp_path / "other.zip", WORKS[3:])
    assignments = copied(first, tmp_path / "root")
    root = tmp_path / "root"
    asked = (*assignments[1:-1], f"sources.main.url={other}")
    made = night(root, "two", *asked)
    assert record(made) == record(first)
    assert made.document["encoder"] == first.document["encoder"]
    assert encoders(root) == encoders(first.root)
    last = night(root, "three", *asked, f"encoder.id={record(first)['notes']['trained']}")
    assert record(last) == record(first)
    assert (last.document["dim"], last.document["metric"]) == (8, "cosine")
    encoder = load_encoder(open_store(str(root)), record(first)["notes"]["trained"])
    found = {row["image_id"]: row["embedding"] for row in last.rows("embeddings")}
    wanted = encoder.preprocess
    seen = decode(WORKS[7][1], Limits(), wanted.size, wanted.fit, wanted.filter)
    expected = encoder.encode(seen[None])[0]
    assert np.allclose(found[WORKS[7][0]], expected, atol=1e-5)


@pytest.mark.long
def test_a_training_killed_in_the_middle_ends_at_the_same_encoder(
    first: Night, archive: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    surroundings = environment(tmp_path, ARTREC_FAILPOINT="train.epoch#2")
    ended = job(command(root, archive, *SMALL, release="one"), surroundings)
    assert ended.code == -signal.SIGKILL, ended
    kept = list((root / "runs/train").rglob("*.safetensors"))
    assert [path.name for path in kept] == ["epoch-000002.safetensors"]
    made = night(root, "one", f"sources.main.url={archive}", *SMALL)
    assert record(made)["notes"] == record(first)["notes"]
    assert encoders(root) == encoders(first.root)
    curves = [
        {(r["epoch"], r["measure"]): r["value"] for r in n.rows("curves")} for n in (made, first)
    ]
    assert curves[0].keys() == curves[1].keys()
    assert all(curves[0][n, "held_out_loss"] == curves[1][n, "held_out_loss"] for n in (1, 2, 3))


def test_training_by_its_verb_changes_no_release(
    first: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = copied(first, tmp_path / "root")
    root = tmp_path / "root"
    before = (root / "CURRENT.json").read_bytes()
    runs = sorted(path.name for path in (root / "runs/train").iterdir())
    assert execute("train", options(*assignments)) == 0
    assert f"--set encoder.id={record(first)['notes']['trained']}" in capsys.readouterr().out
    assert sorted(path.name for path in (root / "runs/train").iterdir()) == runs, "made again"

    assert execute("train", options(*assignments, "train.seed=5", as_json=True)) == 0
    notes = json.loads(capsys.readouterr().out)["stages"]["train"]["notes"]
    assert encoders(root) == {*encoders(first.root), notes["trained"]}
    assert (root / "CURRENT.json").read_bytes() == before
    assert not list((root / "drafts").rglob("train.json"))[1:], "no other draft names it"


@pytest.mark.long
def test_in_an_open_draft_that_nothing_names_an_encoder_for_the_verb_chooses(
    first: Night, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    given = (f"sources.main.url={archive}", *SMALL, f"store.root={root}")
    assert execute("train", options(*given)) == 2
    assert "inventory has not run yet; run artrec inventory first" in capsys.readouterr().err
    assert execute("inventory", options(*given, release="one")) == 0
    assert execute("ingest", options(*given)) == 0
    assert execute("train", options(*given)) == 0
    notes = record(first)["notes"]
    assert f"Draft one will use {notes['encoder_id']}." in capsys.readouterr().out
    for name in NAMES[2:]:
        assert execute(name, options(*given)) == 0
    made = Night(root, "one", given, {})
    assert record(made)["notes"] == notes
    assert made.document["encoder"] == first.document["encoder"]


@pytest.mark.long
def test_a_night_that_was_to_choose_takes_what_was_trained_beside(
    first: Night, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    given = (f"sources.main.url={archive}", *SMALL, f"store.root={root}")
    for name in NAMES[:2]:
        assert execute(name, options(*given, release="one")) == 0
    assert execute("train", options(*given, "train.where=beside")) == 0
    (name,) = re.findall(r"artrec train-encoder (\w+) --root", capsys.readouterr().out)
    made = trained(open_store(str(root)), name, None, SMALL)
    assert execute("nightly", options(*given, "train.where=beside")) == 0
    notes = record(Night(root, "one", given, {}))["notes"]
    assert (notes["trained"], notes["why"]) == (made.notes["encoder_id"], made.notes["why"])


@pytest.mark.parametrize(
    ("count", "held_out", "why"),
    [
        (1, 0.1, "hand-made: too few pictures to train on: 1 for training and 0 held out"),
        pytest.param(
            *(5, 0.1, "hand-made: only 1 held-out examples: fewer than 20 cannot show"),
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_night_does_not_train_where_the_result_could_not_win(
    count: int, held_out: float, why: str, tmp_path: Path, spark: SparkSession
) -> None:
    few = write_zip(tmp_path / "few.zip", WORKS[:count])
    made = night(
        tmp_path / "root",
        "one",
        f"sources.main.url={few}",
        *SMALL,
        f"train.held_out={held_out}",
    )
    notes = record(made)["notes"]
    assert (notes["encoder_id"], notes["trained"]) == (HANDMADE, None)
    assert notes["why"].startswith(why)
    assert encoders(tmp_path / "root") == {HANDMADE}
    assert made.document["encoder"] == HANDMADE


def test_the_verb_says_how_many_pictures_it_would_need(
    tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_zip(tmp_path / "one.zip", WORKS[:1])
    given = (f"sources.main.url={one}", f"store.root={tmp_path / 'root'}", *SMALL)
    assert execute("inventory", options(*given)) == 0
    assert execute("ingest", options(*given)) == 0
    assert execute("train", options(*given)) == 1
    said = capsys.readouterr().err
    assert "too few pictures to train on: 0 for training and 1 held out; 2 and 1 are" in said


def test_a_training_that_diverges_ends_the_night_with_what_to_do(
    archive: Path, tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    given = (f"sources.main.url={archive}", f"store.root={root}", *SMALL)
    assert execute("nightly", options(*given, "train.learning_rate=1e30", release="one")) == 1
    said = capsys.readouterr().err
    assert "in epoch 1, step 2: the learning rate of 1e+30 is too high" in said
    assert "lower train.learning_rate" in said
    assert not (root / "CURRENT.json").exists()
    outcome = json.loads((root / "drafts/one/outcome.json").read_bytes())
    assert outcome["exit_code"] == 1


def test_a_draft_without_a_release_before_it_takes_the_encoder_of_its_training(
    first: Night, tmp_path: Path
) -> None:
    copied(first, tmp_path / "root")
    store = open_store(str(tmp_path / "root"))
    trained = record(first)["notes"]["trained"]
    chosen = StageRuns(stage="train", inputs="x", tables={}, notes={"encoder_id": trained})
    assert keep_encoder(store, "", None, chosen).id == trained
    assert keep_encoder(store, "handmade", None, chosen).id == HANDMADE


def test_in_a_worker_torch_takes_one_thread(spark: SparkSession) -> None:
    def threads(batches: Any) -> Any:
        import pyarrow as pa
        import torch

        for _ in batches:
            yield pa.RecordBatch.from_pylist([{"threads": torch.get_num_threads()}])

    rows = spark.range(0, 1, 1, 1).mapInArrow(threads, "threads long").collect()
    assert [row.threads for row in rows] == [1]
