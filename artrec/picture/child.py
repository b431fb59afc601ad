"""Decoding pictures in a child process, where a crash, a hang or a flood of memory is a Reject.

Parent and child talk over pipes. A message is 8 bytes of length, a JSON object of that length, and
as many bytes as its ``bytes`` says: the picture in a request; in an answer the pixels, or what is
stored where that is not the picture itself. The child gets no more of the environment than Python
needs, so no credentials.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ArtrecError
from artrec.picture.decoding import decode, examine, shrunk
from artrec.picture.opening import check_formats
from artrec.picture.records import Filter, Fit, Limits, Picture, PictureError, Reject

__all__ = ["Child", "examine_in_child", "serve"]

_START_SECONDS = 60.0
_ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR")
_READY = b"artrec-1"
_LENGTH = 8

_Message = tuple[dict[str, Any], bytes | memoryview]


def examine_in_child(
    data: bytes, limits: Limits, max_side: int | None, seconds: float, memory_bytes: int
) -> Picture | Reject:
    """``examine`` in a process of its own; for more than one picture keep a ``Child``."""
    with Child(limits, max_side, seconds, memory_bytes) as child:
        return child.examine(data)


class Child:
    """A process that decodes pictures one by one, started when needed and after each failure.

    A start costs a few tenths of a second, a picture then a few copies of its bytes.
    ``memory_bytes`` is what decoding may take beyond the idle child, the picture's bytes included.
    """

    def __init__(
        self, limits: Limits, max_side: int | None, seconds: float, memory_bytes: int
    ) -> None:
        check_formats(limits.formats)
        self._limits = limits
        self._seconds = seconds
        self._task = json.dumps([asdict(limits), max_side, seconds, memory_bytes])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def examine(self, data: bytes) -> Picture | Reject:
        """Like ``artrec.picture.examine``; ``ArtrecError`` if no child can be started at all."""
        answer = self._asked({"task": "examine"}, data)
        if isinstance(answer, Reject):
            return answer
        known, stored = answer
        known["sha256"] = bytes.fromhex(known["sha256"])
        return Picture(data=stored or data, **known)

    def decode(
        self,
        data: bytes,
        size: tuple[int, int] | None = None,
        fit: Fit = "stretch",
        filter: Filter = "lanczos",
    ) -> NDArray[np.uint8] | Reject:
        """Like ``artrec.picture.decode``, but a ``Reject`` where that has a ``PictureError``.

        Pixels are ``uint8 [h, w, 3]``, read-only. ``ArtrecError`` if no child can be started.
        """
        return self._pixels({"task": "decode", "size": size, "fit": fit, "filter": filter}, data)

    def shrunk(self, data: bytes, side: int) -> NDArray[np.uint8] | Reject:
        """Like ``artrec.picture.shrunk``, but a ``Reject`` where that has a ``PictureError``."""
        return self._pixels({"task": "shrink", "side": side}, data)

    def _pixels(self, task: dict[str, Any], data: bytes) -> NDArray[np.uint8] | Reject:
        answer = self._asked(task, data)
        if isinstance(answer, Reject):
            return answer
        return np.frombuffer(answer[1], dtype=np.uint8).reshape(answer[0]["shape"])

    def _asked(self, task: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes] | Reject:
        if len(data) > self._limits.bytes or not data:
            verdict = examine(data, self._limits)  # without decoding
            assert isinstance(verdict, Reject)
            return verdict
        process = self._running()
        deadline = time.monotonic() + self._seconds
        try:
            assert process.stdin is not None
            _send(process.stdin, (task, data))
        except BrokenPipeError:
            pass  # what became of the child shows when its answer is read
        try:
            return self._answer(process, deadline)
        except TimeoutError:
            self._stop()
            return Reject("decode_timeout", f"not decoded within {self._seconds:g} s")
        except EOFError:
            self._stop()
            return Reject("decode_crashed", f"the decoder ended with {_ending(process)}")

    def _answer(
        self, process: subprocess.Popen[bytes], deadline: float
    ) -> tuple[dict[str, Any], bytes] | Reject:
        size = int.from_bytes(_read(process, _LENGTH, deadline), "big")
        answer: dict[str, Any] = json.loads(_read(process, size, deadline))
        body = _read(process, answer.pop("bytes"), deadline)
        if "reason" not in answer:
            return answer, body
        if answer["reason"] == "out_of_memory":
            self._stop()  # the next picture finds a fresh one
        return Reject(**answer)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        with tempfile.TemporaryFile() as chatter:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "artrec.picture", self._task],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=chatter,
                env=_environment(),
            )
            try:
                if _read(process, len(_READY), time.monotonic() + _START_SECONDS) == _READY:
                    return process
            except (EOFError, TimeoutError):
                pass
            self._stop()
            raise ArtrecError(f"the decoder process does not start: {_last_line(chatter)}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # bytes that the child never read
                pipe.close()


def _environment() -> dict[str, str]:
    """One thread for each library, since every thread reserves limited address space."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return kept | {
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _read(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    """Exactly ``size`` bytes of the child's answer, or TimeoutError, or EOFError."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    parts = bytearray()
    while len(parts) < size:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError
        part = os.read(pipe, min(size - len(parts), 2**20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _ending(process: subprocess.Popen[bytes]) -> str:
    status = process.wait()
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def _last_line(chatter: IO[bytes]) -> str:
    chatter.seek(0)
    lines = chatter.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


def serve(task: str) -> None:
    """The child's life: announce itself, then answer pictures until the pipe closes."""
    fields, max_side, seconds, memory_bytes = json.loads(task)
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    limits = Limits(**known)
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not reach the answers
    _confine(memory_bytes)
    answers.write(_READY)
    answers.flush()
    while length := requests.read(_LENGTH):
        # Should the parent be gone when this runs out, nobody else ends a hanging decoder.
        signal.setitimer(signal.ITIMER_REAL, 2 * seconds + 1)
        request = json.loads(requests.read(int.from_bytes(length, "big")))
        _send(answers, _served(requests, request, limits, max_side))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _served(
    requests: IO[bytes], task: dict[str, Any], limits: Limits, max_side: int | None
) -> _Message:
    try:
        data = requests.read(task["bytes"])
        if task["task"] == "examine":
            return _examined(data, limits, max_side)
        if task["task"] == "shrink":
            pixels = shrunk(data, limits, task["side"])
        else:
            pixels = decode(data, limits, task["size"], task["fit"], task["filter"])
        return {"shape": pixels.shape}, pixels.data
    except PictureError as error:
        found = Reject(error.reason, error.detail)
    except MemoryError:
        found = Reject("out_of_memory", "MemoryError")
    return asdict(found), b""


def _examined(data: bytes, limits: Limits, max_side: int | None) -> _Message:
    found = examine(data, limits, max_side)
    answer = asdict(found)
    if isinstance(found, Reject):
        return answer, b""
    del answer["data"]
    answer["sha256"] = found.sha256.hex()
    return answer, b"" if found.data is data else found.data


def _send(pipe: IO[bytes], message: _Message) -> None:
    """Without a copy of the body, which would count against the child's memory."""
    fields, body = message
    header = json.dumps(fields | {"bytes": memoryview(body).nbytes}).encode()
    pipe.write(len(header).to_bytes(_LENGTH, "big") + header)
    pipe.write(body)
    pipe.flush()


def _confine(memory_bytes: int) -> None:
    """Memory above what is mapped by now; no core files. Platforms without limits have none."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", "rb") as file:
            idle = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (idle + memory_bytes, idle + memory_bytes))
    except (OSError, ValueError):
        pass
