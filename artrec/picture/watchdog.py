"""Ends a process that hangs in a decoder, even while C code holds the interpreter's lock.

No thread or signal handler of this process could run then, so another process watches: one for
each process that ever sets a deadline, idle otherwise, gone when its parent is.
"""

from __future__ import annotations

import atexit
import inspect
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from artrec.picture import guard

__all__ = ["watchdog"]

_NAME = 500  # characters of a name, so that a line is written in one piece


class _Guard:
    """The watching process, started when first needed, again after a fork or its own death."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None

    def tell(self, line: str) -> None:
        with self._lock:
            try:
                self._write(line)
            except BrokenPipeError:
                self.close()
                self._write(line)

    def _write(self, line: str) -> None:
        if self._process is None or self._owner != os.getpid():
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", inspect.getsource(guard), str(self._owner)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                bufsize=0,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode("ascii"))

    def close(self) -> None:
        """The guard ends with its pipe; one that belongs to a parent process is left alone."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


_GUARD = _Guard()
_TOKENS = itertools.count()
atexit.register(_GUARD.close)


@contextmanager
def watchdog(seconds: float, name: str = "decoding") -> Iterator[None]:
    """Kill this process (SIGKILL) if the block takes longer, with the name on standard error.

    Blocks may nest and run in several threads; each has its own deadline.
    """
    token = next(_TOKENS)
    _GUARD.tell(f"{token} {seconds:g} {ascii(name)[:_NAME]}\n")
    try:
        yield
    finally:
        _GUARD.tell(f"{token}\n")
