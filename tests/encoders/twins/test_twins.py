"""Twins in torch against numpy's numbers: planes and counts exactly, others to the last digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artrec.encoders import Encoder, load_builtin
from artrec.encoders.blocks import Part
from artrec.encoders.device import cuda_count
from artrec.encoders.exporting import export
from artrec.encoders.features import BLOCKS, Coded, planes, raw
from artrec.encoders.features.counts import counts
from artrec.encoders.features.fisher import Codebook, fit_codebook, sampled
from artrec.encoders.twins import moving
from artrec.encoders.twins.blocks import CODED, PLAIN
from artrec.encoders.twins.fisher import Fisher
from artrec.encoders.twins.handmade import Counts
from artrec.encoders.twins.planes import Seen
from tests.encoders.test_descriptor import made
from tests.encoders.test_descriptor import pictures as ramps
from tests.encoders.test_handmade import handmade

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

COUNTED = {"handmade", "colours", "patterns"}
SIZES = [(64, 64), (97, 131), (256, 256)]


def odd(size: tuple[int, int]) -> Pixels:
    """Noise, one colour, a ramp that leaps, all of them in one, and a gray one."""
    height, width = size
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    flat = np.full_like(noise, (200, 30, 90))
    slopes = np.arange(width)[:, None] * np.array([1, 2, 3]) // 2
    ramp = (slopes + np.arange(height)[:, None, None]).astype(np.uint8)
    mixed = noise.copy()
    mixed[: height // 2], mixed[:, : width // 3] = flat[: height // 2], ramp[:, : width // 3]
    gray = np.repeat(noise[..., :1] // 3 + 70, 3, axis=2)
    return np.stack([noise, flat, ramp, mixed, gray])


@cache
def codebook(name: str) -> Codebook:
    """Fitted to other pictures."""
    block = BLOCKS[name]
    assert isinstance(block, Coded)
    patches = sampled([block.patches(ramps(12))], 12, 0)[::4]
    return fit_codebook(patches, block.dim, block.gaussians, 0)


def twin_of(name: str, pictures: Pixels) -> tuple[Floats, Floats]:
    """numpy's numbers of a block and its twin's."""
    book = codebook(name) if name in CODED else None
    twin = PLAIN[name]() if book is None else Fisher(CODED[name], book)
    with torch.inference_mode():
        found = twin(Seen(torch.from_numpy(pictures)))
    assert found.dtype == torch.float32
    return raw(name, pictures, book), found.numpy()


def test_every_block_has_its_twin() -> None:
    assert {*PLAIN, *CODED} == {*BLOCKS}
    assert not {*PLAIN} & {*CODED}


@pytest.mark.parametrize("size", SIZES)
def test_planes_are_numpys_to_the_last_one(size: tuple[int, int]) -> None:
    pictures = odd(size)
    seen = Seen(torch.from_numpy(pictures))
    bright, opponent = planes.bright(pictures), planes.opponent(pictures)
    for halvings in (0, 1, 2, 3):
        assert np.array_equal(seen.bright(halvings).numpy(), bright)
        assert np.array_equal(seen.opponent(halvings).numpy(), opponent)
        bright, opponent = planes.halved(bright), planes.halved(opponent)


def test_every_colour_that_there_is_has_numpys_planes() -> None:
    values = np.arange(256, dtype=np.uint8)
    for red in range(0, 256, 5):
        green, blue = np.meshgrid(values, values)
        every = np.stack([np.full_like(green, red), green, blue], axis=2)[None]
        seen = Seen(torch.from_numpy(every))
        assert np.array_equal(seen.bright().numpy(), planes.bright(every))
        assert np.array_equal(seen.opponent().numpy(), planes.opponent(every))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_has_numpys_numbers(name: str, size: tuple[int, int]) -> None:
    right, found = twin_of(name, odd(size))
    assert found.shape == right.shape
    if name in COUNTED:  # shares of counts may be divided otherwise
        assert np.allclose(found, right, rtol=2e-7, atol=0)
        return
    # what cancels (one colour) is rounding of numbers about 10 long; exponents enlarge it
    lengths = np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 10)
    assert (np.abs(found - right) / lengths).max() < (1e-4 if name in CODED else 1e-5)


@pytest.mark.parametrize("edges", ["root", "linear"])
def test_counts_are_exact(edges: str) -> None:
    pictures, root = odd((67, 131)), edges == "root"
    with torch.inference_mode():
        found = Counts(root)(Seen(torch.from_numpy(pictures)))
    for twin, right in zip(found, counts(pictures, root), strict=True):
        assert np.array_equal(twin.numpy(), right)


def test_every_magnitude_of_an_edge_has_its_bin() -> None:
    """Those of a Sobel operator between 0 and 255 in whole numbers, against roots in float64."""
    across, along = np.meshgrid(np.arange(0, 1021, 3), np.arange(0, 1021, 7))
    wide = (across**2 + along**2).astype(np.float64)
    right = 32 * np.sqrt(np.sqrt(wide) / 1020)
    found = Counts(root=True).bins.numpy()[across**2 + along**2]
    sure = np.abs(right - np.rint(right)) > 1e-4
    assert sure.mean() > 0.99
    assert np.array_equal(found[sure], np.minimum(right, 31).astype(int)[sure])


@pytest.mark.parametrize("name", BLOCKS)
def test_a_pictures_numbers_do_not_depend_on_its_batch(name: str) -> None:
    pictures = odd((64, 67))
    together = twin_of(name, pictures)[1]
    for number in (0, 3):
        alone = twin_of(name, pictures[number : number + 1])[1]
        assert alone == pytest.approx(together[number : number + 1], rel=1e-4, abs=1e-4)


# -- whole encoders -------------------------------------------------------------------------


def fitted() -> Encoder:
    """Center and projection after the counts."""
    random = np.random.default_rng(2)
    tensors = {
        "center": random.normal(0, 0.1, 154).astype(np.float32),
        "projection": random.normal(0, 1, (154, 7)).astype(np.float32),
    }
    parameters = {"weights": [2, 1, 0.5], "edges": "linear", "center": True, "projection": True}
    return handmade((23, 17), tensors, 7, **parameters)


def descriptor(*names: str, dim: int | None = 6) -> Encoder:
    return made(ramps(12), tuple(Part(name=name, dim=8, weight=0.5) for name in names), dim)


ENCODERS: dict[str, Any] = {
    "handmade": lambda: load_builtin("handmade"),
    "plain": lambda: load_builtin("handmade-plain-212"),
    "fitted": fitted,
    "descriptor": lambda: descriptor(*BLOCKS),
    "unreduced": lambda: descriptor("handmade", "edge_fisher", dim=None),
}


def batch(encoder: Encoder, count: int) -> Pixels:
    height, width = encoder.preprocess.size
    return ramps(count, max(height, width), seed=5)[:, :height, :width]


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_moves_to_its_twin_and_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "AT_ONCE", 2)
    encoder = ENCODERS[name]()
    pictures = batch(encoder, 5)
    plain = encoder.encode(pictures)
    encoder.move("cpu:0", "bfloat16")  # a device of torch, if no other; features are float32 there
    moved = encoder.encode(pictures)
    assert moved.dtype == np.float32
    assert not np.array_equal(moved, plain)
    assert np.abs(moved - plain).max() < 1e-5
    assert encoder.encode(pictures[:0]).shape == (0, encoder.dim)
    with pytest.raises(ValueError, match="expected uint8"):
        encoder.encode(pictures[:, 1:])
    encoder.move("cpu", "float32")
    assert np.array_equal(encoder.encode(pictures), plain)


@pytest.mark.skipif(cuda_count() == 0, reason="there is no GPU here")
@pytest.mark.parametrize("name", ENCODERS)
def test_on_a_gpu_vectors_are_the_same_but_for_the_last_digits(name: str) -> None:
    right, moved = ENCODERS[name](), ENCODERS[name]()
    pictures = np.concatenate([batch(right, 40), np.full_like(batch(right, 1), 77)])
    moved.move("cuda:0", "float32")
    found = moved.encode(pictures)
    assert np.abs(found - right.encode(pictures))[:40].max() < 1e-4
    assert np.array_equal(moved.encode(pictures), found)


@pytest.mark.skipif(cuda_count() == 0, reason="there is no GPU here")
def test_counts_on_a_gpu_are_exact() -> None:
    pictures = torch.from_numpy(odd((97, 131)))
    for name in sorted(COUNTED):
        with torch.inference_mode():
            right = PLAIN[name]()(Seen(pictures))
            found = PLAIN[name]().to("cuda:0")(Seen(pictures.to("cuda:0"))).cpu()
        assert np.allclose(found.numpy(), right.numpy(), rtol=2e-7, atol=0), name


def assert_onnx_agrees(encoder: Encoder, folder: Path) -> None:
    pytest.importorskip("onnxscript", reason="artrec[onnx] is not installed")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(export(encoder, folder, "onnx")))
    for count in (1, 5):
        (found,) = session.run(None, {"pictures": batch(encoder, count)})
        assert np.abs(found - encoder.encode(batch(encoder, count))).max() < 1e-5


def test_onnx_counts_and_has_directions_and_patches(tmp_path: Path) -> None:
    assert_onnx_agrees(descriptor("colours", "edge_fisher"), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_leaves_as_onnx(name: str, tmp_path: Path) -> None:
    assert_onnx_agrees(ENCODERS[name](), tmp_path)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch's own
@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_leaves_as_a_program_of_torch(name: str, tmp_path: Path) -> None:
    encoder = ENCODERS[name]()
    program = torch.export.load(export(encoder, tmp_path, "torch")).module()
    for count in (1, 5):
        found = program(torch.tensor(batch(encoder, count))).detach().numpy()
        assert np.abs(found - encoder.encode(batch(encoder, count))).max() < 1e-5
