"""Encoders made elsewhere: they give what their own library gives, and say what they lack."""

from __future__ import annotations

import json
import socket
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from artrec.encoders import load_encoder
from artrec.encoders.brought.backbone import Parameters, usual
from artrec.encoders.brought.giving import give_vectors, read_receipts, weights_of
from artrec.encoders.card import read_encoder
from artrec.errors import ConfigError, InputError
from artrec.storage import open_store
from tests.verb import artrec

PIXELS = np.random.default_rng(5).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
SIZE = '{"size": [64, 64]}'
Added = Callable[..., str]


@pytest.fixture
def added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Added:
    """Runs ``artrec add-encoder`` with these words, and returns the id that it prints."""

    def run(*words: str) -> str:
        code = artrec("add-encoder", *words, "--name", "theirs", "--root", str(tmp_path / "root"))
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out.split()[0]

    return run


def theirs(network: torch.nn.Module, mean: Any, std: Any) -> np.ndarray[Any, Any]:
    """What the library's own network makes of PIXELS, of length 1."""
    values = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).double() / 255
    values = (values - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.inference_mode():
        found = network.eval()(values.float()).flatten(1).double()
    return (found / found.norm(dim=1, keepdim=True)).numpy()


def test_a_network_of_timm_gives_timms_vectors(added: Added, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("resnet18", pretrained=False)  # with its classifier
    torch.save(network.state_dict(), tmp_path / "r.pth")
    found = added("timm", str(tmp_path / "r.pth"), "--model", "resnet18", "--preprocess", SIZE)
    encoder = load_encoder(open_store(str(tmp_path / "root")), found)
    network.reset_classifier(0)
    facts = network.pretrained_cfg
    expected = theirs(network, facts["mean"], facts["std"])
    assert (encoder.dim, encoder.preprocess.fit, encoder.preprocess.filter) == (
        *(512, "crop"),
        facts["interpolation"],
    )
    np.testing.assert_allclose(encoder.encode(PIXELS), expected, atol=1e-5)


def test_a_network_of_torchvision_gives_its_vectors(added: Added, tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(2)
    network = models.get_model("resnet18", weights=None)
    save_tensors(network.state_dict(), tmp_path / "r.safetensors")
    weights = str(tmp_path / "r.safetensors")
    found = added("torchvision", weights, "--model", "resnet18", "--preprocess", SIZE)
    encoder = load_encoder(open_store(str(tmp_path / "root")), found)
    network.fc = torch.nn.Identity()
    expected = theirs(network, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    np.testing.assert_allclose(encoder.encode(PIXELS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("library", "model", "options"),
    [
        ("timm", "hf-hub:timm/resnet18.a1_in1k", {}),
        ("timm", "hf_hub:timm/resnet18", {}),
        ("timm", "local-dir:/models/resnet18", {}),
        ("timm", "resnet18", {"pretrained": True}),
        ("timm", "resnet18", {"checkpoint_path": "/models/r.pth"}),
        ("torchvision", "fcn_resnet50", {}),  # is built around a trained one
        ("torchvision", "resnet18", {"weights": "DEFAULT"}),
    ],
)
def test_what_a_library_would_download_is_refused_before_it_is_asked(
    library: Any, model: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(library)

    def called(*_: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", called)
    monkeypatch.setattr(socket, "getaddrinfo", called)
    with pytest.raises(ConfigError, match=r"nothing is downloaded|those of its own file"):
        usual(library, Parameters(model=model, options=options))


@pytest.mark.parametrize("batch", ["n", 2])
def test_an_onnx_file_gives_its_own_answers_whatever_its_batch(
    added: Added, tmp_path: Path, batch: str | int
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
        helper.make_node("Mul", ["mean", "weights"], ["vector"]),
    ]
    weights = np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1)
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("picture", kinds.FLOAT, [batch, 3, 64, 64])],
        [helper.make_tensor_value_info("vector", kinds.FLOAT, [batch, 3, 1, 1])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    refused = ("onnx", str(tmp_path / "m.onnx"), "--raw", "--dim", "4", "--name", "x")
    assert artrec("add-encoder", *refused, "--root", str(tmp_path / "other")) == 2
    found = added("onnx", str(tmp_path / "m.onnx"), "--raw")
    encoder = load_encoder(open_store(str(tmp_path / "root")), found)
    assert (encoder.dim, encoder.preprocess.size) == (3, (64, 64))
    expected = PIXELS.mean(axis=(1, 2)) / 255 * [1, 2, 3]
    np.testing.assert_allclose(encoder.encode(PIXELS), expected, rtol=1e-5)


PLUGIN = """
    import numpy as np

    class Corner:
        def __init__(self, encoder_id, card, tensors):
            self.id, self.dim, self.metric = encoder_id, card.dim, card.metric
            self.preprocess, self.scale = card.preprocess, tensors["scale"]

        @staticmethod
        def shapes(card):
            return {"scale": (3,)}

        def encode(self, pictures):
            return pictures[:, 0, 0].astype(np.float32) * self.scale
"""


def test_an_installed_package_adds_an_architecture_of_its_own(
    added: Added, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "corner-1.dist-info").mkdir(parents=True)
    (site / "corner.py").write_text(textwrap.dedent(PLUGIN))
    (site / "corner-1.dist-info/METADATA").write_text("Name: corner\nVersion: 1\n")
    points = "[artrec.encoders]\ncorner = corner:Corner\n"
    (site / "corner-1.dist-info/entry_points.txt").write_text(points)
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    save_file({"scale": np.array([1, 10, 100], np.float32)}, tmp_path / "w.safetensors")
    facts = ("--dim", "3", "--preprocess", SIZE)
    found = added("corner", str(tmp_path / "w.safetensors"), *facts)
    encoder = load_encoder(open_store(str(tmp_path / "root")), found)
    assert np.array_equal(encoder.encode(PIXELS), PIXELS[:, 0, 0] * np.float32([1, 10, 100]))


def test_an_architecture_that_nobody_adds_is_named_with_those_there_are() -> None:
    card = {
        "format": 1,
        "name": "x",
        "architecture": "absent",
        "dim": 3,
        "metric": "cosine",
        "preprocess": {"size": [8, 8]},
    }
    with pytest.raises(ConfigError, match=r"'absent'; known: .*handmade.*entry point"):
        read_encoder(json.dumps(card).encode(), None)


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("run",))

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ConfigError, match="nothing but tensors"):
        weights_of(tmp_path / "trap.pth")


def rows(*vectors: list[float] | None, names: list[Any] | None = None) -> Callable[[], Any]:
    keys = names or [f"image-{n}.jpg" for n in range(len(vectors))]
    kinds = pa.list_(pa.float64())
    batch = pa.RecordBatch.from_arrays(
        [pa.array(keys), pa.array(vectors, kinds)], names=["name", "embedding"]
    )
    return lambda: [batch.slice(0, 1), batch.slice(1)]


def columns(names: list[Any], vectors: list[Any]) -> Callable[[], Any]:
    """One batch of whatever types these have."""
    batch = pa.RecordBatch.from_pydict({"name": names, "embedding": vectors})
    return lambda: [batch]


def test_given_vectors_are_kept_once_under_an_id_of_what_they_are(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    facts = ("clip", "image_id", "cosine")
    first = give_vectors(store, *facts, rows([1, 2], [3, 4], [5, 6]), "a")
    assert give_vectors(store, *facts, rows([1, 2], [3, 4], [5, 6]), "b") == first
    assert give_vectors(store, *facts, rows([1, 2], [3, 4], [5, 7]), "c") != first
    (receipt,) = read_receipts(store, first)
    found = pq.read_table(tmp_path / receipt.path).to_pydict()
    assert found == {
        "name": ["image-0.jpg", "image-1.jpg", "image-2.jpg"],
        "embedding": [[1, 2], [3, 4], [5, 6]],
    }
    with pytest.raises(ConfigError, match="cannot encode a picture"):
        load_encoder(store, first).encode(PIXELS)


def test_names_of_given_vectors_are_spelt_as_the_catalog_spells_them(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    found = give_vectors(
        store, "clip", "image_id", "cosine", rows([1, 2], names=["Ce\u0301zanne.jpg"]), "a"
    )
    (receipt,) = read_receipts(store, found)
    names = pq.read_table(tmp_path / receipt.path).column("name").to_pylist()
    assert names == ["C\u00e9zanne.jpg"]


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        (rows([1, 2], [3, 4, 5]), "image_id", "image-1.jpg has 3 numbers, the first one 2"),
        (rows([1, 2], None), "image_id", "null as its embedding"),
        (rows([1, 2], [3, 4], names=["a" * 64, "xyz"]), "content_sha256", "'xyz' is no sha256"),
        (lambda: [], "image_id", "no vector at all"),
        (columns(["a"], ["1 2"]), "image_id", "embedding is string, expected lists of numbers"),
        (columns(["a"], [["1", "2"]]), "image_id", "is list<.*string>, expected lists of numbers"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    tmp_path: Path, given: Callable[[], Any], key: Any, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        give_vectors(open_store(str(tmp_path)), "clip", key, "cosine", given, "a")
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("timm", "WEIGHTS"), "--model: which network"),
        (("torchvision", "WEIGHTS", "--model", "resnet18", "--metric", "dot"), "--metric dot"),
        (("vectors", "WEIGHTS"), "no whole Parquet"),
        (("nothing-known", "WEIGHTS"), "--dim and --preprocess"),
        (("vectors", "missing.parquet"), "there is no such file"),
        (("onnx", "FOLDER"), "is a folder: expected a file"),
        (("vectors", "WEIGHTS", "--name", "My Net"), "--name 'My Net': small letters"),
        (("mine", "WEIGHTS", "--dim", "3", "--preprocess", SIZE), "no .safetensors file"),
    ],
)
def test_what_is_missing_is_said(
    words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    files = {"WEIGHTS": str(tmp_path / "w.safetensors"), "FOLDER": str(tmp_path)}
    given = [files.get(word, word) for word in words]
    root = ("--root", str(tmp_path / "root"))
    assert artrec("add-encoder", "--name", "x", *given, *root) in (2, 3, 4)
    assert says in capsys.readouterr().err
