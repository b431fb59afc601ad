"""The morning's part of a report: tonight beside the last releases, as facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from artrec import report
from artrec.config import Settings
from artrec.releases import Draft, receipts_of, releases_before
from artrec.releases.feed import KINDS
from artrec.stages.evaluate.remembering import remembered
from artrec.stages.report.findings import Findings
from artrec.stages.report.nights import NIGHTS, beside, costs
from artrec.tables import read_table

__all__ = ["morning", "neighbors_of"]

ROWS = 20_000  # of the last release's measures that are looked at
HUB_NAMES = 1_000

Row = dict[str, Any]
Shown = Callable[[Row | None, str], report.Image]


def morning(settings: Settings, draft: Draft, found: Findings, shown: Shown) -> report.Morning:
    """``shown`` makes an image of a catalog row, or of a name alone."""
    evaluate, base = draft.stage("evaluate"), draft.base.release
    notes = evaluate.notes if evaluate else {}
    churn = notes.get("churn") or {}
    past = releases_before(draft.store, base, NIGHTS)
    nights = tuple(costs(draft, settings, past))
    if base is None:
        return report.Morning(nights=nights)
    same = base.encoder == draft.need("embed").notes["encoder"]
    before = _base_rows(draft, "evaluation", ROWS) if same else []
    memory = [each.figures for each in remembered(settings, draft, NIGHTS)]
    kinds = churn.get("kinds", {})
    return report.Morning(
        since=base.release_id,
        why=churn.get("why"),
        became=tuple(_became(found.changes.kinds, kinds)),
        hubs=tuple(shown(row, "") for row in _new_hubs(draft, found)),
        orphans=tuple(shown(row, "") for row in found.changes.orphans),
        new_orphans=found.changes.new_orphans,
        beside=tuple(beside(notes.get("figures", {}), memory, found.measures, before)),
        fresh=tuple(_fresh(found, shown)),
        all_fresh=sum(kinds.get(kind, 0) for kind in ("new", "healed")),
        turned=tuple(_turned(found, shown)),
        all_turned=churn.get("changed", 0),
        nights=nights,
    )


def neighbors_of(found: Findings, image_id: str, shown: Shown) -> tuple[report.Neighbor, ...]:
    """The list of an image, as it is shown."""
    return tuple(
        report.Neighbor(
            rank=row["rank"],
            distance=row["distance"],
            image=shown(found.images.get(row["neighbor_id"]), row["neighbor_id"]),
        )
        for row in found.lists[image_id]
    )


def _became(rows: Iterable[Row], counts: dict[str, int]) -> list[report.Became]:
    """In the order of KINDS; what became of nobody stands there too."""
    samples = {kind: list(own) for kind, own in groupby(rows, key=lambda row: str(row["kind"]))}
    return [
        report.Became(
            kind=kind,
            count=counts.get(kind, 0),
            samples=tuple(report.Renamed.model_validate(row) for row in samples.get(kind, [])),
        )
        for kind in KINDS
        if kind in counts
    ]


def _fresh(found: Findings, shown: Shown) -> Iterable[report.Fresh]:
    for row in found.changes.fresh:
        neighbors = neighbors_of(found, row["image_id"], shown)
        yield report.Fresh(image=shown(row, ""), kind=row["kind"], neighbors=neighbors)


def _turned(found: Findings, shown: Shown) -> Iterable[report.Turned]:
    changes = found.changes
    for row in changes.turned:
        name, rows = row["query_id"], changes.lists[row["query_id"]]
        entered = [each for each in rows if each["change"] == "insert"]
        left = [each for each in rows if each["change"] == "delete"]
        yield report.Turned(
            image=shown(found.images.get(name), name),
            came=row["came"],
            went=row["went"],
            entered=tuple(_entry(each, found, shown) for each in entered),
            left=tuple(_entry(each, found, shown) for each in left),
        )


def _entry(row: Row, found: Findings, shown: Shown) -> report.Entry:
    name, gone = row["neighbor_id"], found.changes.gone
    return report.Entry(
        rank=row["rank"] or row["old_rank"],
        distance=row["distance"],
        image=shown(found.images.get(name, gone.get(name)), name),
        gone=name in gone,
    )


def _new_hubs(draft: Draft, found: Findings) -> Sequence[Row]:
    """Of the images in the most lists those that the last release did not have among its hubs."""
    known = {row["image_id"] for row in _base_rows(draft, "hubs", HUB_NAMES)}
    return [row for row in found.hubs if row["image_id"] not in known] if known else []


def _base_rows(draft: Draft, table: str, most: int) -> list[Row]:
    """The beginning of a small table of the last release."""
    base = draft.base.release
    refs = base.refs(table) if base else []
    rows: list[Row] = []
    for batch in read_table(draft.store, receipts_of(draft.store, refs, table)):
        rows += batch.slice(0, most - len(rows)).to_pylist()
        if len(rows) >= most:
            break
    return rows
