"""An encoder's two files: what is written is what is read, and anything else is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import save

from artrec.encoders import Preprocess, check_named, load_encoder
from artrec.encoders.card import (
    CARD_FILE,
    WEIGHTS_FILE,
    Card,
    encoder_id,
    pack,
    parse_card,
    read_encoder,
    save_encoder,
)
from artrec.errors import ConfigError
from artrec.storage import open_store


def tensors(center: float = 0.01) -> dict[str, NDArray[np.float32]]:
    return {"center": np.full(154, center, dtype=np.float32)}


def card(**changed: Any) -> Card:
    fields: dict[str, Any] = {
        "name": "centered",
        "architecture": "handmade",
        "dim": 154,
        "metric": "cosine",
        "preprocess": Preprocess(size=(16, 16)),
        "parameters": {"center": True},
    }
    return Card(**(fields | changed))


def altered(card_bytes: bytes, **changed: Any) -> bytes:
    return json.dumps(json.loads(card_bytes) | changed).encode()


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = save_encoder(open_store(str(tmp_path)), card(), tensors())
    folder = tmp_path / "encoders" / written
    card_bytes, weights = (folder / CARD_FILE).read_bytes(), (folder / WEIGHTS_FILE).read_bytes()
    encoder = read_encoder(card_bytes, weights)
    assert encoder.id == written == encoder_id(card_bytes)
    assert (encoder.dim, encoder.metric) == (154, "cosine")
    assert encoder.preprocess == Preprocess(size=(16, 16))
    found = json.loads(card_bytes)["weights"]
    assert found == {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights)}


def test_a_card_without_weights_is_one_file(tmp_path: Path) -> None:
    written = save_encoder(open_store(str(tmp_path)), card(parameters={}), {})
    assert [path.name for path in (tmp_path / "encoders" / written).iterdir()] == [CARD_FILE]


def test_an_encoder_that_would_be_refused_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        save_encoder(open_store(str(tmp_path)), card(), {})
    assert not (tmp_path / "encoders").exists()


def test_an_id_is_the_name_and_a_digest_of_the_card_as_written() -> None:
    data = b'{"name": "small", "b": [1.5, null], "a": "\xc3\xa9"}'
    canonical = '{"a":"é","b":[1.5,null],"name":"small"}'.encode()
    assert encoder_id(data) == "small-" + hashlib.sha256(canonical).hexdigest()[:12]


def test_the_same_encoder_has_the_same_bytes_and_another_one_another_id() -> None:
    assert pack(card(), tensors()) == pack(card(), tensors())
    ids = {
        encoder_id(pack(card(**changed), tensors(center))[0])
        for changed, center in (
            ({}, 0.01),
            ({}, 0.02),
            ({"notes": "other"}, 0.01),
            ({"parameters": {"center": True, "power": 0.5}}, 0.01),
            ({"preprocess": Preprocess(size=(16, 16), filter="box")}, 0.01),
        )
    }
    assert len(ids) == 5


def test_the_order_of_tensors_does_not_matter() -> None:
    both = {"a": np.zeros(2, np.float32), "b": np.ones(3, np.float32)}
    assert pack(card(), both) == pack(card(), dict(reversed(both.items())))


def test_altered_weights_are_refused_with_both_digests() -> None:
    card_bytes, weights = pack(card(), tensors())
    assert weights is not None
    other = weights[:-1] + b"\x01"
    with pytest.raises(ConfigError) as raised:
        read_encoder(card_bytes, other)
    assert hashlib.sha256(weights).hexdigest() in str(raised.value)
    assert hashlib.sha256(other).hexdigest() in str(raised.value)
    with pytest.raises(ConfigError, match="altered"):
        read_encoder(card_bytes, weights[:-10])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_with_the_first_of_them(value: float) -> None:
    center = tensors()["center"]
    center[[7, 100]] = [value, -np.inf]
    with pytest.raises(ConfigError) as raised:
        read_encoder(*pack(card(), {"center": center}))
    assert str(raised.value) == (
        "tensor center of encoder centered has 2 of 154 values that are not finite; the first is "
        f"{value} at [7]"
    )


@pytest.mark.parametrize("kind", ["int64", "float16", "float64"])
def test_weights_of_another_type_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"center of encoder centered is {kind}, expected float3"):
        read_encoder(*pack(card(), {"center": np.zeros(154, kind)}))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"center": np.zeros(153, np.float32)}, r"center is \(153,\), expected \(154,\)"),
        ({"other": np.zeros(154, np.float32)}, "center is missing, expected"),
        (tensors() | {"extra": np.zeros(1, np.float32)}, r"extra is \(1,\), expected none"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    found: dict[str, NDArray[np.float32]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_encoder(*pack(card(), found))


def test_weights_that_are_missing_or_too_many_are_refused() -> None:
    card_bytes, weights = pack(card(), tensors())
    with pytest.raises(ConfigError, match="names some weights, there are none"):
        read_encoder(card_bytes, None)
    with pytest.raises(ConfigError, match="names none weights, there are some"):
        read_encoder(pack(card(parameters={}), {})[0], weights)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code was run')",))


@pytest.mark.parametrize("data", [pickle.dumps(Evil()), b"", b"\xff" * 64, save(tensors())[:40]])
def test_weights_of_another_kind_are_refused_and_never_run(data: bytes) -> None:
    weights = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": max(1, len(data))}
    card_bytes = altered(pack(card(), tensors())[0], weights=weights)
    with pytest.raises(ConfigError, match="unreadable"):
        read_encoder(card_bytes, data)


def test_a_newer_format_is_named_before_anything_else_is_found_wrong() -> None:
    card_bytes = altered(pack(card(), tensors())[0], format=2, layers=[])
    with pytest.raises(ConfigError, match="format 2, this artrec knows 1"):
        parse_card(card_bytes)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": 3}, "layers: Extra inputs"),
        ({"dim": 0}, "dim: "),
        ({"dim": "154x"}, "dim: "),
        ({"metric": "manhattan"}, "metric: "),
        ({"name": "../evil"}, "name: "),
        ({"preprocess": {"size": [16]}}, r"preprocess\.size"),
        ({"preprocess": {"size": [16, 16], "fit": "squash"}}, r"preprocess\.fit"),
        ({"weights": {"sha256": "abc", "bytes": 1}}, r"weights\.sha256"),
    ],
)
def test_a_card_with_a_wrong_field_is_refused_by_the_fields_name(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_card(altered(pack(card(), tensors())[0], **changed))


TRAINED = {
    "run": "x", "pictures": 2, "held_out": 1, "epochs": 1, "best_epoch": 1, "best_loss": 0.5,
    "seed": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "key", "value"),
    [
        ({"preprocess": {"size": [16, 16], "mean": [0, np.nan, 0]}}, "preprocess.mean.1", "nan"),
        ({"preprocess": {"size": [16, 16], "std": [np.inf, 1, 1]}}, "preprocess.std.0", "inf"),
        ({"preprocess": {"size": [16, 16], "scale": np.inf}}, "preprocess.scale", "inf"),
        ({"training": TRAINED | {"best_loss": -np.inf}}, "training.best_loss", "-inf"),
        ({"parameters": {"center": True, "power": np.nan}}, "parameters", "power is nan"),
        ({"parameters": {"deep": [{"er": np.inf}]}}, "parameters", "deep is [{'er': inf}]"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_key_and_value(
    changed: dict[str, Any], key: str, value: str
) -> None:
    card_bytes, weights = pack(card(), tensors())
    with pytest.raises(ConfigError) as raised:
        read_encoder(altered(card_bytes, **changed), weights)
    found = str(raised.value)
    assert found.startswith(f"the encoder's config.json is not valid: {key}: "), found
    assert "finite number" in found
    assert value in found


def test_a_wrong_value_is_shown_and_a_missing_one_only_named() -> None:
    fields = json.loads(pack(card(), tensors())[0])
    del fields["dim"]
    with pytest.raises(ConfigError) as raised:
        parse_card(json.dumps(fields | {"metric": "m" * 200}).encode())
    found = str(raised.value)
    assert "dim: Field required; metric: " in found
    assert "(it is 'mmm" in found
    assert "m" * 81 not in found


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_a_card_that_is_no_card_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"not (JSON|valid)"):
        parse_card(data)


def test_an_unknown_architecture_is_refused_with_those_known() -> None:
    with pytest.raises(ConfigError, match=r"'resnet'; known: .*handmade"):
        read_encoder(*pack(card(architecture="resnet"), tensors()))


def test_a_card_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        card().dim = 3
    with pytest.raises(ValidationError):
        card().preprocess.size = (1, 1)


def test_an_encoder_is_found_in_a_store_by_its_id(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    written = save_encoder(store, card(), tensors())
    encoder = load_encoder(store, written)
    assert encoder.id == written == encoder_id(pack(card(), tensors())[0])
    assert encoder.encode(np.zeros((2, 16, 16, 3), np.uint8)).shape == (2, 154)


def test_a_name_that_no_encoder_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    written = save_encoder(store, card(), tensors())
    check_named(store, "handmade")
    check_named(store, written)
    with pytest.raises(ConfigError, match=f"no encoder resnet; known: handmade, .*, {written}$"):
        check_named(store, "resnet")


def test_an_encoder_under_anothers_name_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    written = save_encoder(store, card(), tensors())
    (tmp_path / "encoders" / written).rename(tmp_path / "encoders/centered-000000000000")
    with pytest.raises(ConfigError, match=written):
        load_encoder(store, "centered-000000000000")


def test_an_encoder_that_is_not_there_or_half_there_is_named(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with pytest.raises(ConfigError, match="encoder missing-1 is not whole"):
        load_encoder(store, "missing-1")
    written = save_encoder(store, card(), tensors())
    (tmp_path / "encoders" / written / WEIGHTS_FILE).unlink()
    with pytest.raises(ConfigError, match=f"encoder {written} is not whole"):
        load_encoder(store, written)


def test_torch_is_not_needed() -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from artrec.encoders import load_builtin\n"
        "import artrec.encoders.card\n"
        "print(load_builtin('handmade').dim)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (found.stdout, found.stderr) == ("154\n", "")
