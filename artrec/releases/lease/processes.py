"""Processes of a machine, told from any other that has had their number."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_gone", "this_process"]


def this_process() -> tuple[str, int]:
    """(this boot with our namespace of process ids, our start); empty where none is told.

    Containers may share a host's name, but then their processes have numbers of their own.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.stat("/proc/self/ns/pid").st_ino
        return f"{boot}/{space}", _started(os.getpid()) or 0
    except (OSError, ValueError):
        return "", 0


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the boot; None for one that has ended."""
    state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if state in "ZX" else int(numbers[18])


def is_gone(pid: int, started: int) -> bool:
    """Whether no process has this number, or it is another one's by now."""
    try:
        os.kill(pid, 0)
        return _started(pid) != started
    except ProcessLookupError:
        return True
    except (OSError, ValueError):  # it is there, and not ours to look at
        return False
