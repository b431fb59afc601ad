"""The child process of ``artrec.picture.Child``; started by it, of no use otherwise."""

from __future__ import annotations

import sys

from artrec.picture.child import serve

__all__: list[str] = []

if __name__ == "__main__":
    serve(sys.argv[1])
