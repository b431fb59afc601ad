"""Clusters and maps as a report shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from artrec import report
from artrec.releases import StageRuns
from artrec.stages.report.findings import Findings, Row

__all__ = ["clusters_of", "map_views"]

DIGITS = 6  # of a place on a map


def clusters_of(
    found: Findings, stages: Mapping[str, StageRuns], image: Callable[..., report.Image]
) -> report.Clusters | None:
    """What evaluate recorded of the clusters, and the images nearest to the centers."""
    evaluate = stages.get("evaluate")
    notes = evaluate.notes.get("clusters") if evaluate else None
    if not notes or not found.clusters:
        return None
    return report.Clusters(
        **{name: notes[name] for name in ("wanted", "inertia", "silhouette", "silhouette_of")},
        clusters=tuple(_cluster(row, found, image) for row in found.clusters),
    )


def _cluster(row: Row, found: Findings, image: Callable[..., report.Image]) -> report.Cluster:
    names = ("images", "vectors", "inertia", "silhouette")
    return report.Cluster(
        number=row["cluster"],
        **{name: row[name] for name in names},
        nearest=tuple(image(found.images.get(name), name) for name in row["nearest"]),
    )


def map_views(found: Findings) -> tuple[report.MapView, ...]:
    """The maps that show the points of the report."""
    return tuple(
        report.MapView(
            name=name,
            places=tuple(
                (_short(r["x"]), _short(r["y"]), None if r["z"] is None else _short(r["z"]))
                for r in rows
            ),
            clusters=tuple(row["cluster"] or 0 for row in rows),
        )
        for name, rows in found.maps.items()
    )


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
