"""artrec lookup: one image and its neighbors, at once, without a JVM."""

from __future__ import annotations

from typing import Any

from artrec.commands.show import as_json, grid, plain
from artrec.commands.stores import store_of
from artrec.errors import UsageError
from artrec.labels import readable
from artrec.releases import Release, current_release, table_receipts
from artrec.storage import Store
from artrec.tables import Receipt, read_range, read_table

__all__ = ["describe", "lookup", "show"]

_SHOWN = ("image_id", "style", "artist", "title", "year")


def lookup(store: Store, image_id: str, k: int) -> dict[str, Any]:
    """The image's labels and its first ``k`` neighbors of the current release.

    Raises UsageError for an image that is not in the catalog (with the reason if it was rejected),
    or a ``k`` beyond the stored lists.
    """
    release = current_release(store)
    if not 1 <= k <= release.k:
        raise UsageError(f"-k {k}: release {release.release_id} holds lists of {release.k}")
    catalog = table_receipts(store, release, "catalog")
    image = _labels(store, catalog, image_id)
    if image is None:
        raise UsageError(_missing(store, release, image_id))
    lists = table_receipts(store, release, "neighbors")
    rows = [
        row
        for batch in read_range(store, lists, (image_id, 1), (image_id, k))
        for row in batch.to_pylist()
    ]
    neighbors = [
        {"rank": row["rank"], "distance": row["distance"]}
        | (_labels(store, catalog, row["neighbor_id"]) or {"image_id": row["neighbor_id"]})
        for row in sorted(rows, key=lambda row: row["rank"])
    ]
    return {
        "release": release.release_id,
        "encoder": release.encoder,
        "metric": release.metric,
        "image": image,
        "neighbors": neighbors,
    }


def describe(image: dict[str, Any]) -> str:
    """Labels for people: "the starry night, vincent van gogh"."""
    parts = [readable(image[name]) for name in ("title", "artist") if image.get(name)]
    return ", ".join(parts)


def _labels(store: Store, catalog: list[Receipt], image_id: str) -> dict[str, Any] | None:
    for batch in read_range(store, catalog, (image_id,), (image_id,), _SHOWN):
        for row in batch.to_pylist():
            return {name: row[name] for name in _SHOWN}
    return None


def _missing(store: Store, release: Release, image_id: str) -> str:
    for batch in read_table(store, table_receipts(store, release, "rejects")):
        for row in batch.to_pylist():
            if row["image_id"] == image_id:
                detail = f" ({row['detail']})" if row["detail"] else ""
                return f"{image_id} was rejected by {row['stage']}: {row['reason']}{detail}"
    return (
        f"{image_id}: no such image in release {release.release_id}; an image_id is the member's "
        "whole path in its archive, behind the source's id_prefix"
    )


def show(root: str | None, image_id: str, k: int, json: bool) -> None:
    """Print the image and its neighbors."""
    found = lookup(store_of(root), image_id, k)
    if json:
        as_json(found)
        return
    image = found["image"]
    print(f"{plain(image['image_id'])}  {plain(describe(image))}")
    print(f"release {found['release']}, {found['encoder']}, {found['metric']}\n")
    grid(
        ["rank", "distance", "style", "artist", "title", "image_id"],
        [
            (
                each["rank"],
                f"{each['distance']:.4f}",
                each.get("style") or "",
                readable(each.get("artist") or ""),
                readable(each.get("title") or ""),
                each["image_id"],
            )
            for each in found["neighbors"]
        ],
    )
