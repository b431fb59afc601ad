"""What the commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

__all__ = ["as_json", "grid", "plain"]


def as_json(value: Any) -> None:
    """One JSON value; names stay readable, what a terminal would obey is escaped."""
    text = json.dumps(value, indent=1, default=str, ensure_ascii=False)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def grid(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Aligned columns; names of files are data and are printed without markup or control codes."""
    table = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(plain(str(value)) for value in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=10_000)  # one row, one line
    console.print(table)


def plain(text: str) -> str:
    """Text without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
