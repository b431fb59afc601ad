"""Queries with their neighbors, from the tables of a release or of ``artrec query``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from artrec.commands.lookup import SHOWN, labels_of, look_up
from artrec.errors import NotFound, UsageError
from artrec.releases import Release, current_release, read_release, table_receipts
from artrec.storage import Store, open_store
from artrec.storage.parquet import opened
from artrec.tables import Receipt

__all__ = ["Result", "WANTED", "results_of"]

WANTED = (*SHOWN, "content_sha256", "format")
MOST = 1000  # queries of one call
_ACCOUNT = "query.json"


@dataclass(frozen=True)
class Result:
    """A query and its neighbors, rows with rank, distance and what the catalog knows of each.

    ``image`` is the query's own row, with image_id alone for one from outside, whose bytes are in
    ``file`` if anywhere.
    """

    image: dict[str, Any]
    neighbors: list[dict[str, Any]]
    file: Path | None = None

    @property
    def contents(self) -> set[bytes]:
        """The stored pictures that show it."""
        rows = [self.image, *self.neighbors]
        return {row["content_sha256"] for row in rows if row.get("content_sha256")}


def results_of(
    store: Store, names: Sequence[str], k: int, answers: str | None
) -> tuple[Release, list[Result]]:
    """The results for images or picture files; with ``answers`` those of a folder of answers.

    Of that folder all queries, or those that are named. UsageError for too many, none, or one that
    is not there.
    """
    if k < 1:
        raise UsageError(f"-k {k}: 1 neighbor is the least")
    if answers is not None:
        return _answered(store, open_store(answers), names, k)
    if not 1 <= len(names) <= MOST:
        raise UsageError(f"name 1 to {MOST} images or picture files, or a folder by --answers")
    release = current_release(store)
    catalog = table_receipts(store, release, "catalog")
    return release, [_looked_up(store, catalog, name, k) for name in dict.fromkeys(names)]


def _looked_up(store: Store, catalog: list[Receipt], name: str, k: int) -> Result:
    found = look_up(store, name, k)
    rows = [each | _labels(store, catalog, each["image_id"]) for each in found["neighbors"]]
    if "image" in found:
        image_id = found["image"]["image_id"]
        return Result(_labels(store, catalog, image_id), rows)
    return Result({"image_id": os.path.basename(name)}, rows, Path(name))


def _labels(store: Store, catalog: list[Receipt], image_id: str) -> dict[str, Any]:
    return labels_of(store, catalog, image_id, WANTED) or {"image_id": image_id}


def _answered(
    store: Store, folder: Store, names: Sequence[str], k: int
) -> tuple[Release, list[Result]]:
    try:
        account = json.loads(folder.read(_ACCOUNT))
        release = read_release(store, account["release"])
        paths = [file["path"] for file in account["files"]["neighbors"]]
        source = str(account["source"])
    except NotFound:
        raise UsageError(f"{folder.url} holds no answers of artrec query ({_ACCOUNT})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder.url}/{_ACCOUNT} is not of artrec query: {error!r}") from None
    catalog = table_receipts(store, release, "catalog")
    wanted, found = {*names}, list[Result]()
    for query, rows in groupby(_rows(folder, paths), key=lambda row: str(row["query_id"])):
        if wanted and query not in wanted:
            continue
        if len(found) == MOST:
            raise UsageError(f"{folder.url} has more than {MOST} queries: name some of them")
        neighbors = [
            {"rank": row["rank"], "distance": row["distance"]}
            | _labels(store, catalog, row["neighbor_id"])
            for row in islice(rows, k)
        ]
        found.append(Result({"image_id": query}, neighbors, _outside(source, query)))
    missing = sorted(wanted - {result.image["image_id"] for result in found})
    if missing or not found:
        raise UsageError(f"{folder.url} has no query {', '.join(missing[:5]) or 'at all'}")
    return release, found


def _rows(folder: Store, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Of the table neighbors, in its order."""
    for path in paths:
        file = opened(pa.BufferReader(folder.read(path)))
        for batch in file.iter_batches(10_000):
            yield from batch.to_pylist()


def _outside(source: str, query: str) -> Path | None:
    """The query's file, where it was asked from a folder that is still there."""
    root = Path(source.removeprefix("file://"))
    if "://" in str(root) or not root.is_dir():
        return None
    path = (root / query).resolve()
    return path if path.is_relative_to(root.resolve()) and path.is_file() else None
