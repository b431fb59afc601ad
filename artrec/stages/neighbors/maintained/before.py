"""The neighbor table of the current release, if tonight's can be made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artrec.releases import Draft, read_runs, receipts_of
from artrec.tables import Receipt

__all__ = ["Before", "table_before"]

SAME = ("version", "encoder", "metric", "k", "slack", "method", "recall", "asked")
"""Inputs of a run of pools that have to be equal; the others are the vectors."""

_OF_THE_JOIN = (
    *("target", "near", "probes", "rounds", "cells", "recall", "products", "exact_products"),
    *("seconds", "exact_seconds"),
)


@dataclass(frozen=True)
class Before:
    """Files of a ``release``: its vectors, and their pools in the same order.

    ``notes`` are those of the approximate join that it goes back to; an exact one has none.
    """

    release: str
    live: list[Receipt]
    pool: list[Receipt]
    exact: bool
    notes: dict[str, Any]

    @property
    def rows(self) -> int:
        return sum(receipt.rows for receipt in self.live)


def table_before(draft: Draft, inputs: Mapping[str, Any]) -> Before | None:
    """The current release's table; None where there is none, or one made by other rules."""
    base = draft.base.release
    if base is None or not base.refs("neighbor_pool") or not base.refs("live_vectors"):
        return None
    runs = read_runs(draft.store, base.refs("neighbor_pool"))
    if any(run.inputs.get(name) != inputs.get(name) for run in runs for name in SAME):
        return None
    live = receipts_of(draft.store, base.refs("live_vectors"), "live_vectors")
    pool = [receipt for run in runs for receipt in run.receipts("neighbor_pool")]
    notes = base.stages["neighbors"].notes
    made = {name: notes[name] for name in ("exact", *_OF_THE_JOIN) if name in notes}
    exact = bool(notes.get("exact", True))
    found = Before(base.release_id, live, pool, exact, {} if exact else made)
    fits = sum(receipt.rows for receipt in pool) == found.rows > 0
    return found if fits else None
