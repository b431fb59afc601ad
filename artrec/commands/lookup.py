"""artrec lookup: one image and its neighbors, at once, without a JVM."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from artrec.commands.show import as_json, grid, plain
from artrec.commands.stores import store_of
from artrec.errors import UsageError
from artrec.labels import readable
from artrec.releases import Release, current_release, table_receipts
from artrec.storage import Store
from artrec.tables import Receipt, read_range, read_table

__all__ = ["SHOWN", "UnknownImage", "describe", "labels_of", "look_up", "lookup", "show"]

SHOWN = ("image_id", "style", "artist", "title", "year")
CANDIDATES, READ = 3, 2_000_000  # ids that are offered for a part of one; rows read for them


class UnknownImage(UsageError):
    """The catalog has no image of that id."""


def lookup(store: Store, image_id: str, k: int) -> dict[str, Any]:
    """The image's labels and its first ``k`` neighbors of the current release.

    Raises UsageError for an image that is not in the catalog (with the reason if it was rejected),
    or a ``k`` beyond the stored lists.
    """
    release = current_release(store)
    catalog = table_receipts(store, release, "catalog")
    image = labels_of(store, catalog, image_id)
    if image is None:
        raise UnknownImage(_missing(store, release, image_id))
    if not 1 <= k <= release.k:
        raise UsageError(
            f"-k {k}: release {release.release_id} holds lists of {release.k}; "
            f"ask for 1 to {release.k}"
        )
    lists = table_receipts(store, release, "neighbors")
    rows = [
        row
        for batch in read_range(store, lists, (image_id, 1), (image_id, k))
        for row in batch.to_pylist()
    ]
    neighbors = [
        {"rank": row["rank"], "distance": row["distance"]}
        | (labels_of(store, catalog, row["neighbor_id"]) or {"image_id": row["neighbor_id"]})
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


def labels_of(
    store: Store, catalog: list[Receipt], image_id: str, columns: Sequence[str] = SHOWN
) -> dict[str, Any] | None:
    """Some columns of an image's row of the catalog; None if it has none."""
    for batch in read_range(store, catalog, (image_id,), (image_id,), columns):
        for row in batch.to_pylist():
            return {name: row[name] for name in columns}
    return None


def _missing(store: Store, release: Release, image_id: str) -> str:
    for batch in read_table(store, table_receipts(store, release, "rejects")):
        for row in batch.to_pylist():
            if row["image_id"] == image_id:
                detail = f" ({row['detail']})" if row["detail"] else ""
                return f"{image_id} was rejected by {row['stage']}: {row['reason']}{detail}"
    like = _ending_in(store, release, image_id)
    hint = f"; did you mean {' or '.join(like)}?" if like else ""
    return (
        f"{image_id}: no such image in release {release.release_id}; an image_id is the member's "
        "whole path in its archive, behind the source's id_prefix; a picture file is named by its "
        f"path here{hint}"
    )


def _ending_in(store: Store, release: Release, name: str) -> list[str]:
    """A few ids of which a name is the end; of a catalog too large to be read at once none."""
    catalog, found = table_receipts(store, release, "catalog"), list[str]()
    if not name or sum(receipt.rows for receipt in catalog) > READ:
        return found
    for batch in read_table(store, catalog, ["image_id"]):
        ids = batch.column("image_id")
        found += ids.filter(pc.ends_with(ids, f"/{name}")).to_pylist()
        if len(found) >= CANDIDATES:
            break
    return found[:CANDIDATES]


def show(
    root: str | None, name: str, k: int, json: bool, picture: bool = False, exact: bool = False
) -> None:
    """Print an image, or the picture in a local file, and its neighbors.

    ``name`` is an image_id if the catalog has it, unless ``picture`` says that it is a file; of a
    file all vectors are scanned if that has to be ``exact``.
    """
    store = store_of(root)
    found = look_up(store, name, k, picture, exact)
    if json:
        as_json(found)
        return
    print(_heading(found))
    how = {None: "", True: ", all vectors scanned", False: ", by the trees of the shards"}
    asked = how[found.get("exact")]
    print(f"release {found['release']}, {found['encoder']}, {found['metric']}{asked}\n")
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
    if len(found["neighbors"]) < k:
        print(f"\nOnly {len(found['neighbors'])}, not {k}: the release has no other images.")


def look_up(
    store: Store, name: str, k: int, picture: bool = False, exact: bool = False
) -> dict[str, Any]:
    """What ``lookup`` finds of an image or, where the catalog has none of that name, of a file."""
    if not picture:
        try:
            found = lookup(store, name, k)
        except UnknownImage:
            if os.path.isdir(name):
                raise UsageError(
                    f"{name} is a folder: artrec query {name} --out DIR asks for all in it"
                ) from None
            if not os.path.isfile(name):
                raise
        else:
            if exact:
                raise UsageError(
                    f"{name}: --exact is for a picture file; the lists of images are those of the "
                    "neighbor table"
                )
            return found
    from artrec.commands.outside import lookup_picture  # not needed for an image's own row

    return lookup_picture(store, name, k, exact)


def _heading(found: dict[str, Any]) -> str:
    if "image" in found:
        image = found["image"]
        return f"{plain(image['image_id'])}  {plain(describe(image))}"
    seen = found["picture"]
    lines = [f"{plain(seen['path'])}  {seen['width']}x{seen['height']} {seen['format']}"]
    same = (each["image_id"] for each in found["neighbors"] if each["same_picture"])
    return "\n".join([*lines, *(f"the same picture as {plain(name)}" for name in same)])
