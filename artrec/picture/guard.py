"""The process behind ``watchdog``: it kills its parent when a deadline passes.

Its source is handed to a bare interpreter, so it stands alone and takes the standard library
only. Standard input brings lines: ``token seconds name`` sets a deadline, ``token`` lifts it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

__all__ = ["main"]


def main(parent: int) -> None:
    """Watch until standard input closes or a deadline passes."""
    deadlines: dict[bytes, tuple[float, bytes, bytes]] = {}
    rest = b""
    while True:
        first = min(deadlines.values(), default=None)
        wait = None if first is None else max(0.0, first[0] - time.monotonic())
        if select.select([0], [], [], wait)[0]:
            read = os.read(0, 65_536)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                token, _, order = line.partition(b" ")
                seconds, _, name = order.partition(b" ")
                if seconds:
                    deadlines[token] = (time.monotonic() + float(seconds), seconds, name)
                else:
                    deadlines.pop(token, None)
        elif first is not None and os.getppid() == parent:
            message = b"artrec: %s took longer than %s s; process %d is ended\n"
            os.write(2, message % (first[2], first[1], parent))
            os.kill(parent, signal.SIGKILL)
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
