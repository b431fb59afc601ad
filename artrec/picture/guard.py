"""The process behind ``watchdog``: it kills its parent when a deadline passes.

Its source is handed to a bare interpreter, so it stands alone and takes the standard library
only. Deadlines stand in memory that both processes map: ``SLOTS`` slots of ``SLOT_BYTES``, each a
deadline (monotonic seconds as a double, 0 where none is set), the seconds that were allowed, and
a name up to its first zero byte. Standard input tells only that the parent is gone.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import struct
import sys
import time

__all__ = ["NAME_BYTES", "SLOTS", "SLOT_BYTES", "main"]

SLOTS = 128
NAME_BYTES = 500
SLOT_BYTES = 16 + NAME_BYTES + 4
TICK = 0.1  # seconds between two looks


def main(parent: int, memory: int) -> None:
    """Watch until standard input closes or a deadline passes."""
    shared = mmap.mmap(memory, SLOTS * SLOT_BYTES)
    while not select.select([0], [], [], TICK)[0]:
        for start in range(0, SLOTS * SLOT_BYTES, SLOT_BYTES):
            seconds = overdue(shared, start)
            if seconds is None or os.getppid() != parent:
                continue
            name = shared[start + 16 : start + 16 + NAME_BYTES].partition(b"\0")[0]
            message = b"artrec: %s took longer than %s s; process %d is ended\n"
            os.write(2, message % (name, b"%g" % seconds, parent))
            os.kill(parent, signal.SIGKILL)
            return


def overdue(shared: mmap.mmap, start: int) -> float | None:
    """The seconds that a slot was allowed, if it is past its deadline at two looks."""
    for _ in range(2):  # the first may have met a write half-way
        deadline, seconds = struct.unpack_from("<2d", shared, start)
        if not deadline or time.monotonic() < deadline:
            return None
        time.sleep(0.001)
    return float(seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
