"""artrec releases diff: what differs between two releases."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from artrec.commands.show import as_json, grid, plain
from artrec.commands.stores import store_of
from artrec.releases import read_release
from artrec.releases.compare import Change, Comparison, Difference, compare

__all__ = ["show"]

TITLES = {
    "facts": "fact",
    "settings": "setting",
    "versions": "version",
    "counts": "count",
    "rows": "rows of",
}


def show(root: str | None, one: str, other: str, json: bool) -> None:
    """Changed rows as counts with the first few names, then changed values as grids."""
    store = store_of(root)
    found = compare(store, read_release(store, one), read_release(store, other))
    if json:
        as_json({"a": one, "b": other} | asdict(found))
        return
    _tell(found)
    for name, title in TITLES.items():
        changes: dict[str, Change] = getattr(found, name)
        if changes:
            print()
            grid([title, one, other], [(key, *values) for key, values in changes.items()])


def _tell(found: Comparison) -> None:
    rows: list[tuple[str, str, str]] = [
        (f"{what} {kind.replace('_', ' ')}", f"{each.count:,}", _first(each))
        for what, kinds in (("images", found.images), ("lists", found.lists))
        for kind, each in kinds.items()
    ]
    rows += [(f"neighbors {kind}", f"{count:,}", "") for kind, count in found.entries.items()]
    grid(["difference", "", "first"], rows)


def _first(each: Difference) -> Any:
    more = " …" if each.count > len(each.first) else ""
    return ", ".join(map(plain, each.first)) + more
