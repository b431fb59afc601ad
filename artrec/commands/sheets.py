"""artrec sheet, clusters and map: what a release's tables say, as pages and pictures for people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.commands.lookup import labels_of
from artrec.commands.names import Names
from artrec.commands.pictures import ingest_settings, small, stored_pictures
from artrec.commands.results import WANTED, Result, results_of
from artrec.commands.stores import store_of
from artrec.errors import UsageError
from artrec.labels import readable
from artrec.releases import Release, read_release, table_receipts
from artrec.storage import Store
from artrec.tables import read_table

__all__ = [
    "new_folder",
    "show_clusters",
    "show_map",
    "show_sheet",
    "write_clusters",
    "write_map",
    "write_sheet",
]

PAGE = "index.html"
SHOWN = 100  # clusters on one sheet
ACROSS = 7  # a large query, and ten neighbors in two rows beside it
COLOURS = ("cluster", "style", "artist")
_NOTHING = {"cluster": "no cluster", "style": "no style", "artist": "no artist"}

Pixels = NDArray[np.uint8]


def new_folder(out: Path) -> Path:
    """The folder, made; UsageError where something lies there."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already: name a folder that is absent or empty")
    out.mkdir(parents=True, exist_ok=True)
    return out


class _Thumbs:
    """Small pictures of a release, written below a folder's ``thumbs`` as they come."""

    def __init__(self, out: Path, store: Store, release: Release) -> None:
        self._folder, self._store, self._release = out / "thumbs", store, release
        self._settings = ingest_settings(release)
        self._known: dict[str, Pixels] = {}

    def read(self, contents: set[bytes]) -> None:
        """Those of the release."""
        for content, data in stored_pictures(self._store, self._release, contents):
            self.keep(content, data)

    def keep(self, content: bytes, data: bytes) -> None:
        """One picture, if it can be decoded."""
        from artrec.report import jpeg

        pixels, name = small(data, self._settings), content.hex()[:16]
        if pixels is not None:
            self._folder.mkdir(exist_ok=True)
            (self._folder / f"{name}.jpg").write_bytes(jpeg(pixels))
            self._known[name] = pixels

    def image(self, row: dict[str, Any]) -> Any:
        """The image of a row as pages show it."""
        from artrec.report import Image

        words = {name: row.get(name) for name in ("style", "artist", "title")}
        name = (row.get("content_sha256") or b"").hex()[:16]
        return Image(
            image_id=row["image_id"],
            thumb=name if name in self._known else None,
            **{key: readable(text) if text else None for key, text in words.items()},
        )

    def tile(self, image: Any, *first: str, large: bool = False) -> Any:
        """The image of a sheet, with words below."""
        from artrec.report import Tile

        lines = [*first, image.title or image.image_id, image.artist or "", image.style or ""]
        return Tile(self._known.get(image.thumb or ""), lines, large)


def show_sheet(root: str | None, names: list[str], out: Path, k: int, answers: str | None) -> None:
    """Write a page of queries and their neighbors, and a PNG of each; say where."""
    store = store_of(root)
    release, results = results_of(store, names, k, answers)
    page = write_sheet(store, release, results, new_folder(out))
    print(f"{len(results)} {'query' if len(results) == 1 else 'queries'}: {page}")


def write_sheet(store: Store, release: Release, results: list[Result], out: Path) -> Path:
    """The page and the PNG files, from results and stored pictures; returns the page's path."""
    from artrec.report import Neighbor, Query, draw_sheet, page_of_queries

    thumbs = _Thumbs(out, store, release)
    thumbs.read({content for result in results for content in result.contents})
    queries, files, taken = [], {}, Names()
    for number, result in enumerate(results):
        image = thumbs.image(_own(thumbs, result))
        neighbors = [
            Neighbor(rank=row["rank"], distance=row["distance"], image=thumbs.image(row))
            for row in result.neighbors
        ]
        queries.append(Query(image=image, neighbors=tuple(neighbors)))
        tiles = [thumbs.tile(image, "query", large=True)]
        tiles += [thumbs.tile(n.image, f"{n.rank}   {n.distance:.4f}") for n in neighbors]
        files[number] = taken.fresh(Path(result.image["image_id"]).stem, ".png")
        title = f"{image.image_id}: release {release.release_id}, {release.metric} distances"
        (out / files[number]).write_bytes(draw_sheet(title, tiles, ACROSS))
    data = page_of_queries(release.release_id, release.encoder, release.metric, queries, files)
    (out / PAGE).write_bytes(data)
    return out / PAGE


def _own(thumbs: _Thumbs, result: Result) -> dict[str, Any]:
    """The query's row; a file from outside gets a small picture too."""
    if result.file is None:
        return result.image
    data = result.file.read_bytes()
    content = hashlib.sha256(data).digest()
    thumbs.keep(content, data)
    return result.image | {"content_sha256": content}


def show_clusters(root: str | None, release_id: str | None, out: Path) -> None:
    """Write a page of the clusters, and a PNG of each; say where."""
    store = store_of(root)
    release = read_release(store, release_id)
    page = write_clusters(store, release, out)
    print(f"clusters of release {release.release_id}: {page}")


def write_clusters(store: Store, release: Release, out: Path) -> Path:
    """From the table cluster_centers alone, and the stored pictures of its nearest members."""
    from artrec.report import Cluster, Clusters, draw_sheet, page_of_clusters

    rows = _rows(store, release, "cluster_centers")[:SHOWN]
    if not rows:
        raise UsageError(f"release {release.release_id} has no vectors, so no clusters")
    catalog = table_receipts(store, release, "catalog")
    names = {name for row in rows for name in row["nearest"]}
    images = {name: labels_of(store, catalog, name, WANTED) or {} for name in sorted(names)}
    thumbs = _Thumbs(new_folder(out), store, release)
    thumbs.read({row["content_sha256"] for row in images.values() if row})
    clusters, files = [], {}
    for row in rows:
        members = [thumbs.image(images[name] | {"image_id": name}) for name in row["nearest"]]
        told = {name: row[name] for name in ("images", "vectors", "inertia", "silhouette")}
        clusters.append(Cluster(number=row["cluster"], nearest=tuple(members), **told))
        files[row["cluster"]] = f"cluster-{row['cluster']:03d}.png"
        title = f"cluster {row['cluster']}: {row['images']:,} images"
        tiles = [thumbs.tile(member) for member in members]
        (out / files[row["cluster"]]).write_bytes(draw_sheet(title, tiles, 6))
    notes = release.stages["evaluate"].notes["clusters"]
    fields = ("wanted", "inertia", "silhouette", "silhouette_of")
    found = Clusters(clusters=tuple(clusters), **{name: notes[name] for name in fields})
    (out / PAGE).write_bytes(page_of_clusters(release.release_id, found, files))
    return out / PAGE


def show_map(root: str | None, release_id: str | None, out: Path, by: list[str]) -> None:
    """Write the maps of a release as PNG files; say which."""
    store = store_of(root)
    release = read_release(store, release_id)
    for path in write_map(store, release, out, by or list(COLOURS)):
        print(path)


def write_map(store: Store, release: Release, out: Path, by: Iterable[str]) -> list[Path]:
    """Each map of the table maps, flat and, if it can be, in space, in the colours of ``by``."""
    from artrec.report import draw_map

    for colour in by:
        if colour not in COLOURS:
            raise UsageError(f"--by {colour}: there are: {', '.join(COLOURS)}")
    maps: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(store, release, "maps"):
        maps.setdefault(row["map"], []).append(row)
    if not maps:
        raise UsageError(f"release {release.release_id} has no images, so no map")
    labels = {row["image_id"]: row for row in _rows(store, release, "coordinates")}
    made, new = list[Path](), new_folder(out)
    for name, rows in maps.items():
        deep = any(row["z"] for row in rows)
        for colour in by:
            names = [_name(row, labels.get(row["image_id"], {}), colour) for row in rows]
            for axes in ("xy", "xyz") if deep else ("xy",):
                places = [[row[axis] for axis in axes] for row in rows]
                title = f"{len(rows):,} images of release {release.release_id}: {name}, by {colour}"
                made.append(new / f"{name}-{len(axes)}d-{colour}.png")
                made[-1].write_bytes(draw_map(title, places, names, _NOTHING[colour]))
    return made


def _name(row: dict[str, Any], labels: dict[str, Any], colour: str) -> str:
    if colour == "cluster":
        return f"cluster {row['cluster']}" if row["cluster"] else ""
    return readable(labels.get(colour) or "")


def _rows(store: Store, release: Release, table: str) -> list[dict[str, Any]]:
    """A table that the settings bound; UsageError for a release that has none of the name."""
    if not release.refs(table):
        raise UsageError(
            f"release {release.release_id} has no table {table}; the next night makes one"
        )
    receipts = table_receipts(store, release, table)
    return [row for batch in read_table(store, receipts) for row in batch.to_pylist()]
