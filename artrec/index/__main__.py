"""The canary of ``artrec.index``; started by it, of no use otherwise."""

from __future__ import annotations

import sys

from artrec.index.canary import answer

__all__: list[str] = []

if __name__ == "__main__":
    print(answer(sys.argv[1]))
