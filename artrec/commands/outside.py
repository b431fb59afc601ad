"""artrec lookup of a picture that is not in the catalog: decoded, encoded, and asked of the shards.

The picture is treated as the release's own were: the same limits, recipe and encoder. It comes from
outside, so it is decoded in a child process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from artrec.commands.lookup import SHOWN, labels_of
from artrec.config import IngestSettings, Settings
from artrec.encoders import Encoder, load_encoder
from artrec.encoders.device import Precision, place
from artrec.errors import ConfigError, InputError, StoreFormatError, UsageError
from artrec.index import Changes, ShardSet, Wanted, open_shards
from artrec.picture import Child, Picture, Reject
from artrec.releases import Release, artifacts_of, current_release, read_runs, table_receipts
from artrec.stages.rules import picture_limits, vector_no, vectors_identity
from artrec.storage import Store
from artrec.tables import read_range
from artrec.vectors import TopK, merge
from artrec.vectors import exact as distances_of

__all__ = ["MOST", "lookup_picture", "open_index", "precision_of", "way_of"]

MOST = 1000
"""Neighbors of one lookup."""


def lookup_picture(
    store: Store, path: str | Path, k: int = 10, exact: bool = False
) -> dict[str, Any]:
    """The picture in a local file and its ``k`` nearest images of the current release.

    With ``exact`` all vectors are scanned, whatever the release's shards were tuned for.
    Images of the very same content come first, marked ``same_picture``. Raises UsageError for a
    path that is no file, InputError with the reason for a file that is no usable picture.
    """
    if not 1 <= k <= MOST:
        raise UsageError(f"-k {k}: a lookup lists 1 to {MOST} neighbors")
    data_path = _file(path)
    release = current_release(store)
    settings, encoder = way_of(store, release)
    picture, vector = _encoded(data_path, settings, encoder)
    shards = open_index(store, release, exact=exact)
    nearest = _nearest(shards, vector, vector_no(picture.sha256), k)
    return {
        "release": release.release_id,
        "encoder": release.encoder,
        "metric": release.metric,
        "exact": shards.is_exact(),
        "picture": {
            "path": str(path),
            "content_sha256": picture.sha256.hex(),
            **{name: getattr(picture, name) for name in ("width", "height", "format")},
        },
        "neighbors": _named(store, release, nearest, picture.sha256, k),
    }


def way_of(store: Store, release: Release) -> tuple[IngestSettings, Encoder]:
    """How the pictures of a release became vectors: rules and limits of ingest, and the encoder.

    Raises ConfigError where the store's encoder is another one than the vectors' own.
    """
    settings = _settings(release)
    encoder = load_encoder(store, str(release.stages["embed"].notes["encoder_id"]))
    precision = precision_of(release)
    identity = vectors_identity(encoder, settings.ingest, precision)
    if identity != release.encoder:
        raise ConfigError(
            f"encoder {identity} is not what release {release.release_id} was made with, "
            f"{release.encoder}: its distances would mean nothing"
        )
    return settings.ingest, place(encoder, "cpu", precision)


def precision_of(release: Release) -> Precision:
    """Of the sums that the vectors of a release came from."""
    return _settings(release).embed.precision


def open_index(
    store: Store, release: Release, cache: Path | None = None, exact: bool = False
) -> ShardSet:
    """The shards of a release, each checked as it is opened; they answer any number of searches.

    They are scanned, so that answers are exact, where the release says that this is cheaper, or
    where ``exact`` asks for it.
    """
    refs = release.refs("shard_items")
    if not refs:
        raise UsageError(
            f"release {release.release_id} has no index; the next run of artrec nightly makes one"
        )
    stage = release.stages["index"]
    wanted = Wanted(release.encoder, release.metric, release.dim)
    files = artifacts_of(store, refs, "shards")
    search_k = int(stage.notes["search_k"])
    scans = exact or bool(stage.notes.get("exact", False))
    items, changes = stage.rows("shard_items"), _changes(store, release)
    shards = open_shards(store, files, wanted, items, search_k, cache, scans, changes)
    vectors = release.stages["catalog"].rows("live_vectors")
    if changes != Changes() and shards.count != vectors:
        raise StoreFormatError(
            f"release {release.release_id}: its index lists {shards.count} vectors, its catalog "
            f"has {vectors}"
        )
    return shards


def _changes(store: Store, release: Release) -> Changes:
    """What has come and gone since the shards were built: of these shards, and no others."""
    refs = release.refs("side_vectors")
    if not refs:
        return Changes()
    (main,), (run,) = release.refs("shard_items"), read_runs(store, refs)
    if run.inputs["main"] != main.run_id:
        raise StoreFormatError(
            f"{store.url}/{run.path}: main is {run.inputs['main']}, expected {main.run_id}: these "
            "are changes of other shards"
        )
    return Changes(tuple(run.receipts("side_vectors")), tuple(run.receipts("masked_items")))


def _file(path: str | Path) -> Path:
    if not os.path.exists(path):
        raise UsageError(f"{path}: there is no such file")
    if not os.path.isfile(path):
        raise UsageError(f"{path} is not a file")
    return Path(path)


def _settings(release: Release) -> Settings:
    try:
        return Settings.model_validate(release.settings)
    except ValidationError as error:
        raise StoreFormatError(
            f"release {release.release_id} was made with settings that this artrec does not know: "
            f"{error.errors()[0]['loc']}; use the artrec that made it"
        ) from None


def _encoded(
    path: Path, settings: IngestSettings, encoder: Encoder
) -> tuple[Picture, NDArray[np.float32]]:
    """The picture and its vector [d], by the steps that each picture of the release went through:
    examined, bounded if that is the recipe, decoded to the encoder's size.
    """
    limits, wanted = picture_limits(settings), encoder.preprocess
    side, seconds = settings.max_side or None, float(settings.decode_seconds)
    data = _bytes(path, limits.bytes)
    with Child(limits, side, seconds, settings.decode_memory) as child:
        picture = child.examine(data)
        if isinstance(picture, Reject):
            raise _unusable(path, picture)
        pixels = child.decode(picture.data, wanted.size, wanted.fit, wanted.filter)
        if isinstance(pixels, Reject):
            raise _unusable(path, pixels)
    vector = encoder.encode(pixels[None])[0]
    if not np.isfinite(vector).all() or (encoder.metric == "cosine" and not vector.any()):
        raise InputError(f"{path}: encoder {encoder.id} has no usable vector for this picture")
    return picture, vector


def _bytes(path: Path, most: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most:
            raise _unusable(path, Reject("too_many_bytes", f"{size} bytes; at most {most}"))
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _unusable(path: Path, found: Reject) -> InputError:
    return InputError(f"{path} is not a usable picture: {found.reason} ({found.detail})")


def _nearest(
    shards: ShardSet, vector: NDArray[np.float32], own: int, k: int
) -> list[tuple[float, int]]:
    """(distance, vector_no) of the nearest. ``own``, if it is there, is measured in any case: its
    number is known, so that it need not be found.
    """
    lists = shards.search(vector[None], k)
    found = shards.vector(own)
    if found is not None:
        alone = TopK.empty(1, k)
        alone.ids[0, 0] = own
        alone.distances[0, 0] = distances_of(shards.metric, vector[None], found[None])[0]
        lists = merge(lists, alone)
    count = int(lists.counts[0])
    return list(
        zip(lists.distances[0, :count].tolist(), lists.ids[0, :count].tolist(), strict=True)
    )


def _named(
    store: Store, release: Release, nearest: list[tuple[float, int]], sha256: bytes, k: int
) -> list[dict[str, Any]]:
    """The first k images by (distance, vector_no, image_id); of equal distances the same picture
    first.
    """
    names = table_receipts(store, release, "vector_images")
    catalog = table_receipts(store, release, "catalog")
    rows: list[dict[str, Any]] = []
    for distance, number in nearest:
        if len(rows) >= k and distance > rows[k - 1]["distance"]:
            break
        for image_id in _images(store, names, number, k):
            labels = labels_of(store, catalog, image_id, (*SHOWN, "content_sha256")) or {}
            same = labels.pop("content_sha256", None) == sha256
            rows.append({"distance": distance, "same_picture": same, "image_id": image_id} | labels)
    rows.sort(key=lambda row: (row["distance"], not row["same_picture"]))
    return [{"rank": rank} | row for rank, row in enumerate(rows[:k], 1)]


def _images(store: Store, names: list[Any], number: int, k: int) -> list[str]:
    batches = read_range(store, names, (number,), (number,), ["image_id"])
    return [name for batch in batches for name in batch.column("image_id").to_pylist()][:k]
