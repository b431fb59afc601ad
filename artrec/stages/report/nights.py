"""What releases were planned to cost and did, and their figures: from their own small documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from artrec import report
from artrec.config import Settings
from artrec.planning import Figures, Prices, cost, total
from artrec.releases import Draft, Planned, Release
from artrec.stages import ORDER

__all__ = ["NIGHTS", "beside", "costs"]

NIGHTS = 7

Row = dict[str, Any]

_FIGURES = {
    "reject_rate": "rejects",
    "churn": "entries changed beyond the images' own changes",
    "first_churn": "first neighbors changed beyond the images' own",
    "drift": "mean vector moved, of the spread",
    "index_recall": "recall of the index, not below",
    "table_recall": "recall of the table, not below",
}
_MEASURES = {
    "orphans": "images in no list",
    "hubness": "hubness: skewness of the number of lists",
    "mutual": "entries that are listed back",
    "mean_cosine": "mean cosine of two images",
    "mean_norm": "length of the mean direction",
    "effective_dimension": "axes along which vectors spread (participation ratio)",
}
_SHARES = {"reject_rate", "churn", "first_churn", "index_recall", "table_recall"}
_SHARES |= {"orphans", "mutual"}


def costs(draft: Draft, settings: Settings, past: Iterable[Release]) -> Iterator[report.NightCost]:
    """Of the last releases, the oldest first, and of tonight as far as it has come."""
    for release in reversed(list(past)):
        yield report.NightCost(
            release=release.release_id,
            created=release.created,
            images=release.counts.get("stored", 0),
            **_spent(release.plan, release.settings),
        )
    yield report.NightCost(
        release=draft.release_id,
        images=draft.need("catalog").rows("catalog"),
        **_spent(draft.planned(), settings.model_dump(mode="json")),
    )


def _spent(planned: Planned | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Up to the report, which tonight has not been made yet."""
    if planned is None:
        return {}
    counted = ORDER[: ORDER.index("report")]
    expected, measured = (
        total({name: each for name, each in stages.items() if name in counted})
        for stages in (planned.expected, planned.measured)
    )
    return {
        "seconds": measured.seconds,
        "expected_seconds": expected.seconds,
        "written": measured.bytes_written,
        "expected_written": expected.bytes_written,
        "expected_read": expected.bytes_read,
        "money": _money(measured, planned.cores, settings),
        "expected_money": _money(expected, planned.cores, settings),
    }


def _money(figures: Figures, cores: int, settings: Mapping[str, Any]) -> float | None:
    names = {"hour": "price_hour", "request": "price_request", "gb": "price_gb"}
    given = settings.get("plan", {})
    return cost(figures, cores, Prices(**{to: given.get(key, 0.0) for to, key in names.items()}))


def beside(
    figures: Mapping[str, float],
    past: Sequence[Mapping[str, float]],
    now: Iterable[Row],
    before: Iterable[Row],
) -> Iterator[report.Beside]:
    """Tonight's figures beside the last releases', and measures beside the last release's.

    ``past`` are the figures of releases that compare, the newest first; ``now`` and ``before`` are
    rows of the two tables ``evaluation``.
    """
    for name, words in _FIGURES.items():
        known = [each[name] for each in past if name in each]
        if name in figures:
            yield report.Beside(
                name=words,
                now=figures[name],
                before=past[0].get(name) if past else None,
                low=min(known, default=None),
                high=max(known, default=None),
                nights=len(known),
                share=name in _SHARES,
            )
    tonight, last = _measures(now), _measures(before)
    for key in tonight:
        if key in last:
            name, share = key
            yield report.Beside(name=name, now=tonight[key], before=last[key], share=share)


def _measures(rows: Iterable[Row]) -> dict[tuple[str, bool], float | None]:
    """The encoder's own, with names for people: (name, whether it is a share) -> value."""
    found: dict[tuple[str, bool], float | None] = {}
    distances: dict[int, float | None] = {}
    for row in rows:
        name, own = row["measure"], row["average"] in ("", "micro")
        if name in _MEASURES and own and not row["label"]:
            found[_MEASURES[name], name in _SHARES] = row["value"]
        if name == "distance" and row["group"] == "0.5":
            distances[row["k"]] = row["value"]  # of random pairs at 0
    wanted = sorted({1, 10, max(distances, default=0)} & {*distances} - {0})
    for rank in wanted:
        found[f"median distance at rank {rank}", False] = distances[rank]
    if 0 in distances:
        found["median distance of random pairs", False] = distances[0]
    return found
