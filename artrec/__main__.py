"""``python -m artrec``: the artrec command, where its console script is not at hand."""

from __future__ import annotations

from artrec.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
