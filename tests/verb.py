"""The artrec command, in this process."""

from __future__ import annotations

import sys
from unittest.mock import patch

from artrec.cli import main

__all__ = ["artrec"]


def artrec(*words: str) -> int:
    """Run it with these words; its exit code."""
    with patch.object(sys, "argv", ["artrec", *words]):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0
