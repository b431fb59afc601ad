"""How much of the lists is not what it was in the last release: what readers have to load again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artrec.releases import Draft, Release
from artrec.releases.feed import KINDS

__all__ = ["churn"]

_COUNTS = (
    *("images", "new", "gone", "lists", "changed", "first", "entries", "came", "went"),
    *("insert", "delete", "update"),
)


def churn(draft: Draft, feeds: Mapping[str, Any]) -> dict[str, Any] | None:
    """The draft's lists beside those that are current, as notes; None where there are none.

    ``since`` names that release, ``kinds`` counts what became of images. ``why`` says why the lists
    cannot be compared, or there are counts of their feed: ``images`` now, how many of them are
    ``new`` and how many of the last ones ``gone``; of images that are in both their ``lists``, how
    many of these are ``changed`` in a neighbor or a distance, and in how many the ``first`` is
    another; their ``entries`` now, and how many neighbors ``came`` and ``went``. ``insert``,
    ``delete`` and ``update`` are entries of the feed, of new lists and gone ones too.
    """
    base = draft.base.release
    lists, images = feeds["neighbor_changes"], feeds["catalog_changes"]
    if base is None or lists["from"] is None:
        return None
    kinds = {kind: images.get(kind, 0) for kind in (*KINDS, "unchanged")}
    found = {"since": base.release_id, "kinds": kinds}
    other = _other(base, draft)
    if other:
        return found | {"why": f"other {', '.join(other)}, not comparable"}
    return found | {name: lists[name] for name in _COUNTS}


def _other(base: Release, draft: Draft) -> list[str]:
    embed, neighbors = draft.need("embed").notes, draft.need("neighbors").notes
    now = {"encoder": embed["encoder"], "metric": embed["metric"], "k": neighbors["k"]}
    return [name for name, value in now.items() if getattr(base, name) != value]
