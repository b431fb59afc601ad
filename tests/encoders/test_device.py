"""Where an encoder runs, and batches that fit; a GPU is played by a device of the tests' own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.encoders import Encoder
from artrec.encoders.card import pack, read_encoder
from artrec.encoders.device import (
    PROBE,
    Fitting,
    Movable,
    choose_device,
    cuda_count,
    place,
    precision_of,
)
from artrec.errors import ConfigError
from tests.encoders.test_convolutional import card, pictures, tensors

NONE: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("wanted", "addresses", "task", "visible", "expected"),
    [
        ("cpu", NONE, 0, 0, "cpu"),
        ("cpu", ("1",), 0, 2, "cpu"),
        ("auto", NONE, 0, 4, "cpu"),  # Spark gave none: a local run on a laptop stays as it was
        ("auto", ("3",), 0, 4, "cuda:3"),
        ("auto", ("2", "0"), 7, 4, "cuda:2"),
        ("cuda", ("1",), 0, 2, "cuda:1"),
        ("cuda", NONE, 0, 2, "cuda:0"),
        ("cuda", NONE, 5, 2, "cuda:1"),
    ],
)
def test_a_task_runs_on_the_gpu_that_spark_gave_it(
    wanted: str, addresses: tuple[str, ...], task: int, visible: int, expected: str
) -> None:
    assert choose_device(wanted, addresses, task, lambda: visible) == expected


def test_torch_is_not_asked_where_no_gpu_is_wanted() -> None:
    def asked() -> int:
        raise AssertionError("asked")

    assert choose_device("auto", NONE, 0, asked) == choose_device("cpu", ("0",), 0, asked) == "cpu"


def test_a_gpu_that_is_not_there_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"torch finds no GPU here.*embed.device=cpu"):
        choose_device("cuda", NONE, 0, lambda: 0)
    with pytest.raises(ConfigError, match=r"the GPU '2', torch sees 2 here.*discovery script"):
        choose_device("auto", ("2",), 0, lambda: 2)
    with pytest.raises(ConfigError, match=r"the GPU 'GPU-8a', torch sees 2"):
        choose_device("auto", ("GPU-8a",), 0, lambda: 2)


# -- batches that fit -----------------------------------------------------------------------


class OutOfMemory(RuntimeError):
    """As torch's own is, by its kind."""


class Device:
    """A GPU whose memory holds ``room`` pictures at once; ``seems`` free is what it says."""

    def __init__(self, room: int, seems: int | None = None) -> None:
        self.room, self.released = room, 0
        self._seems = room if seems is None else seems

    def free(self) -> int:
        return self._seems * 1000

    def peak(self, work: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], int]:
        found = work()
        return found, len(found) * 1000

    def is_exhausted(self, error: BaseException) -> bool:
        return isinstance(error, OutOfMemory)

    def release(self) -> None:
        self.released += 1


class Counting:
    """An encoder on that device: a vector is the picture's first pixel."""

    id, dim, metric, preprocess = "counting-0", 3, "cosine", None

    def __init__(self, device: Device) -> None:
        self.device, self.batches, self.moved = device, [], []  # type: ignore[var-annotated]

    def move(self, device: str, precision: str) -> None:
        self.moved.append((device, precision))

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(pictures))
        if len(pictures) > self.device.room:
            raise OutOfMemory(f"tried to hold {len(pictures)} pictures")
        return pictures[:, 0, 0].astype(np.float32)


def numbered(count: int) -> NDArray[np.uint8]:
    found = np.zeros((count, 2, 2, 3), np.uint8)
    found[:, 0, 0, 0] = np.arange(count)
    return found


def fitting(room: int, most: int = 64, seems: int | None = None) -> tuple[Fitting, Any]:
    counting: Any = Counting(Device(room, seems))
    return Fitting(counting, counting.device, most, "cuda:1"), counting


def test_a_batch_is_what_two_fifths_of_the_free_memory_hold() -> None:
    made, encoder = fitting(room=50)
    found = made.encode(numbered(100))
    assert found[:, 0].tolist() == list(range(100))
    assert made.batch == 20
    assert encoder.batches == [PROBE, 20, 20, 20, 20, 12]
    assert encoder.device.released == 0


def test_no_batch_is_larger_than_the_setting() -> None:
    made, encoder = fitting(room=10**6, most=30)
    made.encode(numbered(70))
    assert encoder.batches == [PROBE, 30, 30, 2]
    made, encoder = fitting(room=10**6, most=3)
    made.encode(numbered(7))
    assert encoder.batches == [3, 3, 1]


def test_out_of_memory_halves_the_batch_and_goes_on_and_no_picture_is_lost() -> None:
    """Others took the memory that seemed free: 25 pictures fit where it looked like 250."""
    made, encoder = fitting(room=25, most=64, seems=250)
    found = made.encode(numbered(100))
    assert found[:, 0].tolist() == list(range(100))
    assert encoder.batches == [PROBE, 64, 32, 16, 16, 16, 16, 16, 12]
    assert encoder.device.released == 2
    made.encode(numbered(40))  # and it stays so
    assert encoder.batches[9:] == [16, 16, 8]


def test_it_halves_even_before_anything_was_measured() -> None:
    made, encoder = fitting(room=3)
    assert made.encode(numbered(9))[:, 0].tolist() == list(range(9))
    assert encoder.batches == [8, 4, 2, 2, 2, 2, 1]


def test_where_not_one_picture_fits_it_says_so() -> None:
    made, encoder = fitting(room=0)
    with pytest.raises(ConfigError, match=r"cuda:1 does not hold one picture.*counting-0"):
        made.encode(numbered(9))
    assert encoder.batches == [8, 4, 2, 1]


def test_another_error_is_no_matter_of_memory() -> None:
    made, encoder = fitting(room=50)

    def broken(pictures: Any) -> Any:
        raise RuntimeError("a kernel failed")

    encoder.encode = broken
    with pytest.raises(RuntimeError, match="a kernel failed"):
        made.encode(numbered(9))
    assert encoder.device.released == 0


# -- real encoders --------------------------------------------------------------------------


def convolutional() -> Encoder:
    return read_encoder(*pack(card(), tensors()))


def test_an_encoder_that_cannot_move_stays_where_it_is() -> None:
    encoder: Any = SimpleNamespace(encode=None)
    assert not isinstance(encoder, Movable)
    assert place(encoder, "cuda:7", "bfloat16") is encoder
    assert precision_of(encoder, "bfloat16") == "float32"


def test_the_hand_made_encoder_knows_one_precision_and_takes_no_torch_to_the_processor() -> None:
    code = (
        "import sys; from artrec.encoders import load_builtin\n"
        "from artrec.encoders.device import place, precision_of\n"
        "for name in ('handmade', 'handmade-plain'):\n"
        "    encoder = load_builtin(name)\n"
        "    assert place(encoder, 'cpu', 'bfloat16') is encoder\n"
        "    assert precision_of(encoder, 'bfloat16') == 'float32'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert precision_of(convolutional(), "bfloat16") == "bfloat16"


def test_a_network_on_the_processor_is_as_it_was_to_the_bit() -> None:
    plain, placed = convolutional(), place(convolutional(), "cpu", "float32")
    assert isinstance(plain, Movable)
    assert np.array_equal(plain.encode(pictures(20)), placed.encode(pictures(20)))


def test_another_precision_gives_other_vectors_that_are_near() -> None:
    right = convolutional().encode(pictures(20))
    found = place(convolutional(), "cpu", "bfloat16").encode(pictures(20))
    assert found.dtype == np.float32
    assert not np.array_equal(found, right)
    assert (found * right).sum(axis=1).min() > 0.98


@pytest.mark.skipif(cuda_count() == 0, reason="there is no GPU here")
def test_on_a_gpu_vectors_are_the_same_but_for_the_last_bits() -> None:
    right = convolutional().encode(pictures(20))
    placed = place(convolutional(), "cuda:0", "float32", 16)
    found = placed.encode(pictures(20))
    assert np.abs(found - right).max() < 1e-5
    assert np.array_equal(placed.encode(pictures(20)), found)
