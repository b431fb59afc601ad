"""Clusters, maps and reconstructions as a report shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from artrec import picture, report
from artrec.config import Settings
from artrec.releases import Artifact, Draft, StageRuns
from artrec.stages.report.findings import Findings, Row
from artrec.stages.report.thumbnails import keep, thumb_name

__all__ = ["clusters_of", "map_views", "reconstructions"]

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


def reconstructions(
    settings: Settings, draft: Draft, found: Findings, folder: str
) -> tuple[tuple[report.Reconstruction, ...], list[Artifact]]:
    """What a decoder made of held-out examples, the worst first, and the small pictures of it."""
    made: list[Artifact] = []

    def kept(name: str, pixels: NDArray[np.uint8]) -> str:
        data = report.jpeg(pixels, quality=92)
        made.append(keep(draft.store, data, f"{folder}/thumbs/{name}.jpg"))
        return name

    def small(data: bytes) -> NDArray[np.uint8]:
        return picture.shrunk(data, picture.Limits(), settings.report.side)

    shown = []
    for row in sorted(found.reconstructions, key=lambda row: -row["error"]):
        name = thumb_name(row["content_sha256"])
        one, other = (small(row[side]) for side in ("original", "reconstruction"))
        apart = report.difference(one, other) if one.shape == other.shape else one
        sides = {"original": one, "reconstruction": other, "difference": apart}
        steps = [
            report.Step(
                epoch=step["epoch"],
                error=step["error"],
                picture=kept(f"{name}-e{step['epoch']}", small(step["reconstruction"])),
            )
            for step in found.steps
            if step["content_sha256"] == row["content_sha256"]
        ]
        names = {side: kept(f"{name}-{side}", pixels) for side, pixels in sides.items()}
        shown.append(report.Reconstruction(error=row["error"], steps=tuple(steps), **names))
    return tuple(shown), made
