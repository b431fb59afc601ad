"""Ends a process that hangs in a decoder, even while C code holds the interpreter's lock.

No thread or signal handler of this process could run then, so another process watches: one for
each process that ever sets a deadline, gone when its parent is. Setting a deadline is a write to
memory that both share, since a worker sets one for each picture.
"""

from __future__ import annotations

import atexit
import inspect
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from artrec.errors import ArtrecError
from artrec.picture import guard

__all__ = ["watchdog"]

_DEADLINE = struct.Struct("<d")
_ALLOWED = struct.Struct(f"<d{guard.NAME_BYTES}sx")


class _Guard:
    """The watching process, started when first needed, again after a fork or its own death."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._file = -1
        self._memory: mmap.mmap | None = None
        self._free: list[int] = []

    def set(self, seconds: float, name: str) -> tuple[int, int]:
        """Set a deadline; what ``lift`` takes to lift it."""
        with self._lock:
            memory = self._watched()
            if not self._free:
                raise ArtrecError(f"more than {guard.SLOTS} decoders are at work in one process")
            start = self._free.pop()
            # The deadline last: it is what makes a slot count.
            named = ascii(name).encode()[: guard.NAME_BYTES]
            _ALLOWED.pack_into(memory, start + _DEADLINE.size, seconds, named)
            _DEADLINE.pack_into(memory, start, time.monotonic() + seconds)
            return self._owner, start

    def lift(self, owner: int, start: int) -> None:
        """A deadline of the process before a fork is left to that process."""
        with self._lock:
            if owner == os.getpid() == self._owner and self._memory is not None:
                _DEADLINE.pack_into(self._memory, start, 0.0)
                self._free.append(start)

    def _watched(self) -> mmap.mmap:
        alive = self._process is not None and self._owner == os.getpid()
        if alive and self._process is not None and self._process.poll() is None:
            assert self._memory is not None
            return self._memory
        if not alive:
            self._owner, size = os.getpid(), guard.SLOTS * guard.SLOT_BYTES
            self._file = _memory_file(size)
            self._memory = mmap.mmap(self._file, size)
            self._free = [n * guard.SLOT_BYTES for n in range(guard.SLOTS)]
        self._process = self._started(self._file)
        assert self._memory is not None
        return self._memory

    def _started(self, memory: int) -> subprocess.Popen[bytes]:
        source = inspect.getsource(guard)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", source, str(self._owner), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[memory],
            bufsize=0,
        )

    def close(self) -> None:
        """The guard ends with its pipe; one that belongs to a parent process is left alone."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _memory_file(size: int) -> int:
    """A file that another process can map; on no disk where the system has such, as disks fill."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("artrec-watchdog")
    else:
        with tempfile.TemporaryFile() as named:
            file = os.dup(named.fileno())
    os.truncate(file, size)
    return file


_GUARD = _Guard()
atexit.register(_GUARD.close)


@contextmanager
def watchdog(seconds: float, name: str = "decoding") -> Iterator[None]:
    """Kill this process (SIGKILL) if the block takes longer, with the name on standard error.

    Blocks may nest and run in several threads; each has its own deadline.
    """
    deadline = _GUARD.set(seconds, name)
    try:
        yield
    finally:
        _GUARD.lift(*deadline)
