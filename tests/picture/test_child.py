"""Decoding where a crash or a hang costs a child process, and the watchdog where it costs more."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from artrec.errors import ArtrecError
from artrec.picture import (
    Child,
    Fit,
    Limits,
    Picture,
    PictureError,
    Reject,
    decode,
    examine,
    examine_in_child,
)

LIMITS = Limits()
MEMORY = 512 * 2**20

# Stands in for a decoder with a fault: loaded by every Python that finds it on its path.
FAULTY_DECODER = """
import os, signal
from PIL import Image

real = Image.open

def faulty(stream, *rest, **options):
    data = stream.getvalue()
    if b"segfault" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"hang" in data:
        while True:
            pass
    if b"exit" in data:
        print("not an answer", flush=True)
        os._exit(3)
    if b"secret" in data:
        raise ValueError(f"the secret is {os.environ.get('AWS_SECRET_ACCESS_KEY')}")
    return real(stream, *rest, **options)

Image.open = faulty
"""


@pytest.fixture
def faulty_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULTY_DECODER)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with Child(LIMITS, None, 60, MEMORY) as one:
        yield one


def jpeg(comment: bytes = b"", side: int = 40) -> bytes:
    values = np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", comment=comment)
    return stream.getvalue()


def see_through_png(width: int, height: int) -> bytes:
    values = np.random.default_rng(4).integers(0, 256, (height, width, 4), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def sparse_png(side: int) -> bytes:
    """One bit a pixel in the file, one byte a pixel once decoded."""
    chunks = b""
    rows = zlib.compress(bytes((side // 8 + 1) * side), 1)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        crc = zlib.crc32(kind + body)
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_child_gives_the_verdict_of_this_process(child: Child) -> None:
    for data in (jpeg(), jpeg(side=300), jpeg()[:200], b"", b"no picture", jpeg()):
        assert child.examine(data) == examine(data, LIMITS)


def test_a_child_sends_back_a_bounded_picture_and_knows_the_limits() -> None:
    found = examine_in_child(jpeg(side=300), Limits(background=(1, 2, 3)), 100, 60, MEMORY)
    assert found == examine(jpeg(side=300), LIMITS, 100)
    assert isinstance(found, Picture)
    assert Image.open(io.BytesIO(found.data)).size == (100, 100)
    refused = examine_in_child(jpeg(), Limits(formats=("PNG",)), None, 60, MEMORY)
    assert refused == Reject("format_not_allowed", "JPEG; allowed: PNG")


def test_more_bytes_than_allowed_are_never_sent() -> None:
    assert examine_in_child(b"12345", Limits(bytes=4), None, 60, MEMORY) == Reject(
        "too_many_bytes", "5 bytes; at most 4"
    )


@pytest.mark.usefixtures("faulty_decoder")
def test_a_decoder_that_crashes_is_a_reject_and_the_next_picture_is_decoded() -> None:
    with Child(LIMITS, None, 60, MEMORY) as child:
        assert child.examine(jpeg(b"segfault")) == Reject(
            "decode_crashed", "the decoder ended with SIGSEGV"
        )
        assert isinstance(child.examine(jpeg()), Picture)
        assert child.examine(jpeg(b"exit")) == Reject(
            "decode_crashed", "the decoder ended with exit status 3"
        )
        assert isinstance(child.examine(jpeg()), Picture)


@pytest.mark.usefixtures("faulty_decoder")
def test_a_decoder_that_hangs_is_a_reject() -> None:
    with Child(LIMITS, None, 2, MEMORY) as child:
        assert child.examine(jpeg(b"hang")) == Reject("decode_timeout", "not decoded within 2 s")
        assert isinstance(child.examine(jpeg()), Picture)


def test_a_decoder_that_wants_too_much_memory_is_a_reject() -> None:
    # 144 million pixels of one byte
    found = examine_in_child(sparse_png(12_000), LIMITS, None, 60, 100 * 2**20)
    assert isinstance(found, Reject)
    assert found.reason == "out_of_memory"


@pytest.mark.parametrize("data", [jpeg(side=300), see_through_png(90, 50)], ids=["JPEG", "PNG"])
@pytest.mark.parametrize("fit", get_args(Fit))
def test_a_child_decodes_to_the_pixels_of_this_process(child: Child, data: bytes, fit: Fit) -> None:
    here = decode(data, LIMITS, (24, 40), fit, "bicubic")
    there = child.decode(data, (24, 40), fit, "bicubic")
    assert isinstance(there, np.ndarray)
    assert there.dtype == np.uint8
    assert (there.shape, there.flags.writeable) == ((24, 40, 3), False)
    np.testing.assert_array_equal(there, here)


def test_a_child_decodes_whole_pictures_over_the_background_of_its_limits() -> None:
    limits = Limits(background=(1, 2, 3))
    with Child(limits, 10, 60, MEMORY) as child:
        for data, shape in ((see_through_png(90, 50), (50, 90, 3)), (jpeg(), (40, 40, 3))):
            there = child.decode(data)
            assert isinstance(there, np.ndarray)
            assert there.shape == shape
            np.testing.assert_array_equal(there, decode(data, limits))


def test_one_child_examines_and_decodes_in_turn(child: Child) -> None:
    for data in (jpeg(), see_through_png(90, 50)):
        assert child.examine(data) == examine(data, LIMITS)
        np.testing.assert_array_equal(child.decode(data), decode(data, LIMITS))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no picture", "not_a_picture"),
        (jpeg()[:200], "truncated"),
        (b"%PDF-1.7", "format_not_allowed"),
    ],
)
def test_what_cannot_be_decoded_has_the_reason_of_this_process(
    child: Child, data: bytes, reason: str
) -> None:
    with pytest.raises(PictureError) as here:
        decode(data, LIMITS)
    assert here.value.reason == reason
    assert child.decode(data) == Reject(reason, here.value.detail)


def test_more_bytes_than_allowed_are_not_decoded() -> None:
    with Child(Limits(bytes=4), None, 60, MEMORY) as child:
        assert child.decode(b"12345") == Reject("too_many_bytes", "5 bytes; at most 4")


@pytest.mark.usefixtures("faulty_decoder")
def test_pixels_lost_to_a_crash_or_a_hang_are_a_reject_and_the_next_picture_is_decoded() -> None:
    with Child(LIMITS, None, 2, MEMORY) as child:
        crashed = Reject("decode_crashed", "the decoder ended with SIGSEGV")
        assert child.decode(jpeg(b"segfault"), (8, 8)) == crashed
        assert isinstance(child.decode(jpeg(), (8, 8)), np.ndarray)
        hung = Reject("decode_timeout", "not decoded within 2 s")
        assert child.decode(jpeg(b"hang"), (8, 8)) == hung
        assert isinstance(child.decode(jpeg(), (8, 8)), np.ndarray)


def test_pixels_that_want_too_much_memory_are_a_reject_and_the_next_picture_is_decoded() -> None:
    with Child(LIMITS, None, 60, 100 * 2**20) as child:
        found = child.decode(sparse_png(12_000), (8, 8))
        assert isinstance(found, Reject)
        assert found.reason == "out_of_memory"
        assert isinstance(child.decode(jpeg(), (8, 8)), np.ndarray)


@pytest.mark.usefixtures("faulty_decoder")
def test_a_child_knows_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    found = examine_in_child(jpeg(b"secret"), LIMITS, None, 60, MEMORY)
    assert found == Reject("corrupt", "ValueError: the secret is None")


def test_a_child_that_cannot_start_is_no_verdict_on_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such interpreter >&2\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(ArtrecError, match="does not start: no such interpreter"):
        examine_in_child(jpeg(), LIMITS, None, 60, MEMORY)


def run(script: str) -> subprocess.CompletedProcess[str]:
    script = "import itertools, os\nfrom artrec.picture import watchdog\n" + script
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment
    )


# The interpreter's lock is never given up inside this call.
HANG = "sum(itertools.repeat(0))\n"


def test_the_watchdog_kills_a_process_that_hangs_in_c_code_and_names_the_member() -> None:
    ended = run(f"with watchdog(0.2, 'Realism/böse\\n.jpg'):\n    {HANG}")
    assert ended.returncode == -signal.SIGKILL
    assert "artrec: 'Realism/b\\xf6se\\n.jpg' took longer than 0.2 s; process " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_watchdog_forgets_a_block_that_ended() -> None:
    ended = run(
        "with watchdog(1, 'first'):\n    pass\n"
        "try:\n    with watchdog(1, 'second'):\n        raise ValueError\n"
        "except ValueError:\n    pass\n"
        f"with watchdog(1.5, 'third'):\n    {HANG}"
    )
    assert ended.returncode == -signal.SIGKILL
    assert "'third' took longer than 1.5 s" in ended.stderr


def test_blocks_nest_and_the_first_deadline_counts() -> None:
    ended = run(f"with watchdog(60, 'outer'), watchdog(0.2, 'inner'):\n    {HANG}")
    assert "'inner'" in ended.stderr
    ended = run(f"with watchdog(0.2, 'outer'), watchdog(60, 'inner'):\n    {HANG}")
    assert "'outer'" in ended.stderr


def test_a_forked_worker_has_a_watchdog_of_its_own() -> None:
    ended = run(
        "with watchdog(60, 'parent'):\n"
        "    worker = os.fork()\n"
        "    if worker == 0:\n"
        "        with watchdog(0.2, 'worker'):\n"
        f"            {HANG}"
        "    print(os.waitpid(worker, 0)[1])\n"
    )
    assert (ended.returncode, ended.stdout) == (0, f"{int(signal.SIGKILL)}\n")
    assert "'worker'" in ended.stderr


def test_a_guard_that_died_is_replaced() -> None:
    ended = run(
        "from artrec.picture.watchdog import _GUARD\n"
        "with watchdog(60, 'before'):\n"
        "    _GUARD._process.kill()\n"
        "    _GUARD._process.wait()\n"
        f"    with watchdog(0.2, 'after'):\n        {HANG}"
    )
    assert ended.returncode == -signal.SIGKILL
    assert "'after'" in ended.stderr


def test_many_threads_have_a_deadline_each() -> None:
    ended = run(
        "import threading\n"
        "ready = threading.Barrier(101)\n"
        "def work(n):\n"
        "    with watchdog(60, f'quick {n}'):\n        ready.wait()\n"
        "for n in range(100):\n    threading.Thread(target=work, args=(n,)).start()\n"
        "ready.wait()\n"
        f"with watchdog(0.3, 'slow'):\n    {HANG}"
    )
    assert ended.returncode == -signal.SIGKILL
    assert "'slow'" in ended.stderr


def test_a_process_ends_by_itself_when_nothing_hangs() -> None:
    ended = run("with watchdog(60, 'quick'):\n    print('done')\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
