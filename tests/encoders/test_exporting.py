"""What leaves artrec: files of other formats, lines of plain torch, the half that repeats."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from artrec.config import load
from artrec.encoders import Encoder, load_builtin, load_encoder
from artrec.encoders.card import parse_card
from artrec.encoders.exporting import export
from artrec.encoders.making import encoder_begun, encoder_run
from artrec.encoders.networks.repeating import load_repeater
from artrec.encoders.recipes import preprocess_of
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError
from artrec.picture import Limits, decode
from artrec.releases import Run, begin_run, record_run
from artrec.schemas import TABLES
from artrec.storage import Store, open_store
from artrec.tables import TableWriter, read_table
from tests.commands.conftest import Call, artrec
from tests.encoders.examples import examples, written

__all__ = ["artrec"]

OWN = replace(Rules.of(load()[0].train), recipe="convolutional")
RULES = replace(OWN, side=20, channels=(4, 6), latent=16, epochs=2, batch=5, license="CC-BY-4.0")
EXPORTED = ("convolutional", "dense")
FAMILIES = ("convolutional", "dense", "separable", "small", "tiny")


@pytest.fixture(scope="module", params=FAMILIES)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, Run]:
    """A store with an encoder of each family, made of examples as the stage leaves them."""
    store = open_store(str(tmp_path_factory.mktemp("made")))
    run = encoder_run(store, "one", replace(RULES, recipe=request.param), left(store), 1)
    return store, run


def left(store: Store) -> Run:
    """The run of examples, with the hand-made vectors of the held-out ones."""
    import pyarrow as pa

    rows = examples(12, 4, 20)
    receipts = written(store, rows, 4)
    plain, table = load_builtin("handmade"), TABLES["held_out_vectors"]
    size = plain.preprocess.size
    with TableWriter(store, "made", table, "vectors", {"encoder": plain.id}) as writer:
        for row in rows:
            if row["split"] == "held_out":
                seen = decode(row["picture"], Limits(), size)
                (vector,) = plain.encode(seen[None])
                values = {"embedding": vector, "copy_embedding": vector}
                batch = [{"content_sha256": row["content_sha256"], **values}]
                writer.write(pa.RecordBatch.from_pylist(batch, schema=table.columns))
    tables = {"examples": receipts, "held_out_vectors": writer.receipts}
    run = begin_run("train", 1, {"rules": {}}, {})
    return run.done(tables, 0.0, {"examples": 16, "held_out": 4})


def encoder_of(made: tuple[Store, Run]) -> Encoder:
    return load_encoder(made[0], made[1].notes["encoder_id"])


def pictures(count: int = 5) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(2).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)


def readme_of(made: tuple[Store, Run]) -> str:
    store, run = made
    return store.read(f"encoders/{run.notes['encoder_id']}/README.md").decode()


def test_the_lines_of_the_readme_load_the_encoder_in_plain_torch(
    made: tuple[Store, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = made
    (tmp_path / "model.safetensors").write_bytes(
        store.read(f"encoders/{run.notes['encoder_id']}/model.safetensors")
    )
    (lines,) = re.findall(r"```python\n(.*?)```", readme_of(made), re.DOTALL)
    assert "artrec" not in lines
    assert len(lines.splitlines()) <= (17 if "separable" in run.notes["encoder_id"] else 11)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"pictures": pictures()}
    exec(lines, names)
    assert np.allclose(names["vectors"].numpy(), encoder_of(made).encode(pictures()), atol=1e-5)


def test_the_readme_says_what_people_want_to_know(made: tuple[Store, Run]) -> None:
    text, run = readme_of(made), made[1]
    for part in (
        "20x20 pixels",
        "Licence: CC-BY-4.0.",
        "On 12 pictures; 4 others were held out.",
        f"Taken is epoch {run.notes['best_epoch']} of 2, with a loss of "
        f"{run.notes['best_loss']:.5f} on the held-out",
        "batch 5",
        f"Run `train/{run.run_id}`",
        "| this encoder | ",
        "| hand-made | ",
        f"`artrec export-encoder {run.notes['encoder_id']} DIR --format onnx|torch --root ROOT`",
    ):
        assert part in text, part
    assert (
        len(
            re.findall(
                r"^\| [12]( \(taken\))? \| 0\.\d{5} \| 0\.\d{5} \| 0\.0{2,3}[13] \|$", text, re.M
            )
        )
        == 2
    )
    card = parse_card(made[0].read(f"encoders/{run.notes['encoder_id']}/config.json"))
    assert card.license == "CC-BY-4.0"
    assert card.training is not None
    reads = card.architecture in ("dense", "separable", "tiny")
    assert card.training.settings.get("latent") == (16 if reads else None)
    assert "steps" not in card.training.settings


@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch's own
def test_torch_runs_the_exported_program_to_the_same_vectors(
    made: tuple[Store, Run], tmp_path: Path
) -> None:
    if made[1].settings["recipe"] not in EXPORTED:
        pytest.skip("one family of each kind is enough: an export takes seconds")
    path = export(encoder_of(made), tmp_path, "torch")
    program = torch.export.load(path).module()
    for count in (1, 5):
        found = program(torch.tensor(pictures(count)))
        assert np.allclose(
            found.detach().numpy(), encoder_of(made).encode(pictures(count)), atol=1e-5
        )


def test_onnx_computes_the_same_vectors(made: tuple[Store, Run], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="artrec[onnx] is not installed")
    reference = pytest.importorskip("onnx.reference")
    path = export(encoder_of(made), tmp_path, "onnx")
    session = reference.ReferenceEvaluator(str(path))
    for count in (1, 3):
        (found,) = session.run(None, {"pictures": pictures(count)})
        assert np.allclose(found, encoder_of(made).encode(pictures(count)), atol=1e-5)


def test_what_is_no_module_of_torch_is_not_exported(tmp_path: Path) -> None:
    theirs: Any = SimpleNamespace(id="theirs-1")
    with pytest.raises(ConfigError, match=r"theirs-1 is no module of torch, which is"):
        export(theirs, tmp_path, "onnx")


def test_the_half_that_repeats_stands_beside_the_encoder(made: tuple[Store, Run]) -> None:
    store, run = made
    repeater = load_repeater(store, run.notes["encoder_id"])
    rows = [
        r for batch in read_table(store, run.receipts("reconstructions")) for r in batch.to_pylist()
    ]
    seen = np.stack([decode(row["original"], Limits()) for row in rows])
    again, errors = repeater.repeat(seen)
    assert (again.shape, again.dtype) == ((4, 20, 20, 3), np.uint8)
    assert errors.tolist() == pytest.approx([row["error"] for row in rows], rel=1e-4)
    shown = np.stack([decode(row["reconstruction"], Limits()) for row in rows])
    assert np.abs(again.astype(int) - shown).max() <= 1


def test_a_half_that_was_altered_or_is_not_there_is_named(
    made: tuple[Store, Run], tmp_path: Path
) -> None:
    store, run = made
    name = run.notes["encoder_id"]
    other = open_store(str(tmp_path))
    for file in ("config.json", "model.safetensors", "decoder.safetensors"):
        data = store.read(f"encoders/{name}/{file}")
        other.write(f"encoders/{name}/{file}", data[:-1] + b"\x01" if file[0] == "d" else data)
    with pytest.raises(ConfigError, match=r"decoder\.safetensors was altered: sha256"):
        load_repeater(other, name)
    with pytest.raises(ConfigError, match="has no encoder nobody"):
        load_repeater(other, "nobody")


def test_a_second_training_on_the_same_examples_is_the_first_ones_run(
    made: tuple[Store, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = made
    rules = replace(RULES, recipe=run.settings["recipe"])
    monkeypatch.setattr("artrec.encoders.making.train", None)
    again = encoder_run(store, "two", rules, left(open_store(f"{store.url}/again")), 1)
    assert (again.run_id, again.notes) == (run.run_id, run.notes)
    assert encoder_begun(rules, left(open_store(f"{store.url}/more")), 2).run_id != run.run_id


def test_the_verbs_train_and_export_and_say_so_alone_on_stdout(
    tmp_path: Path, artrec: Call
) -> None:
    store, root = open_store(str(tmp_path)), ("--root", str(tmp_path))
    seen = preprocess_of(RULES).model_dump(mode="json")
    examples = record_run(store, left(store).model_copy(update={"settings": {"preprocess": seen}}))
    given = [
        f"--set=train.{key}"
        for key in ("recipe=convolutional", "side=20", "channels=[4,6]", "epochs=1")
    ]
    said = json.loads(artrec("train-encoder", examples.run_id, *root, "--json", *given).out)
    assert (said["epochs"], said["best_epoch"], said["won"]) == (1, 1, False)
    out = tmp_path / "out"
    written_to = artrec("export-encoder", said["encoder_id"], str(out), "--format=torch", *root)
    assert written_to.out.strip() == str(out / "encoder.pt2")
    assert (out / "encoder.pt2").stat().st_size > 1000
    assert artrec("export-encoder", said["encoder_id"], str(out), "--format=x", *root).code == 2
    again = artrec("export-encoder", said["encoder_id"], str(out), "--format=torch", *root)
    assert (again.code, again.err) == (
        2, f"artrec: {out / 'encoder.pt2'} is there already; name a folder without it\n",
    )  # fmt: skip
    nobody = artrec("export-encoder", "tiny-0", str(out), *root)
    assert nobody.code == 3
    assert "has no encoder tiny-0; known: handmade, handmade-plain" in nobody.err
    built_in = artrec("export-encoder", "handmade", str(tmp_path / "two"), "--format=torch", *root)
    assert built_in.out.strip() == str(tmp_path / "two" / "encoder.pt2")


def test_training_in_a_process_of_its_own_needs_no_spark() -> None:
    code = (
        "import sys\nimport artrec.commands.training, artrec.encoders.making\n"
        "import artrec.encoders.training\n"
        "print(sorted({'torch', 'pyspark', 'py4j'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["['torch']"]
