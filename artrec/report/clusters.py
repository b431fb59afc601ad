"""What is shown of clusters and of maps: as frozen records, as all facts are."""

from __future__ import annotations

from pydantic import Field

from artrec.report.parts import Fact, Image
from artrec.report.text import Text

__all__ = ["Cluster", "Clusters", "MapView"]


class Cluster(Fact):
    """A cluster: how many images and vectors, the sum of squared distances from its center, the
    mean silhouette of its members in a sample, and its nearest members, if they are shown.
    """

    number: int
    images: int
    vectors: int
    inertia: float
    silhouette: float | None = None
    nearest: tuple[Image, ...] = ()


class Clusters(Fact):
    """All vectors in clusters by k-means; the silhouette is the mean ``silhouette_of`` vectors."""

    wanted: int
    inertia: float
    silhouette: float | None = None
    silhouette_of: int = 0
    clusters: tuple[Cluster, ...] = ()

    @property
    def images(self) -> int:
        return sum(each.images for each in self.clusters)


class MapView(Fact):
    """A map by its method: where each point lies, in the order of ``Facts.points``.

    ``clusters`` are their clusters, 0 for none.
    """

    name: Text
    places: tuple[tuple[float, float, float | None], ...]
    clusters: tuple[int, ...] = Field(default=())
