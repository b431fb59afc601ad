"""artrec copy-out: the picture files of queries and their neighbors, one folder for each query."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artrec.commands.names import Names
from artrec.commands.pictures import stored_pictures
from artrec.commands.results import Result, results_of
from artrec.commands.sheets import new_folder
from artrec.commands.stores import store_of
from artrec.releases import Release
from artrec.storage import Store

__all__ = ["LIST", "copy_out", "show"]

LIST = "list.csv"
_COLUMNS = ("file", "rank", "distance", "image_id", "style", "artist", "title", "year")
_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


def copy_out(store: Store, release: Release, results: list[Result], out: Path) -> list[Path]:
    """Write, for each query, its picture and those of its neighbors, as they are stored.

    Files begin with the rank, 000 being the query; ``list.csv`` beside them says what each is. Of
    a picture that is not there the list has the row, without a file.
    """
    folders = Names()
    places: dict[bytes, list[Path]] = {}
    made = []
    for result in results:
        folder = out / folders.fresh(Path(result.image["image_id"]).stem)
        folder.mkdir()
        made.append(folder)
        rows = list(_rows(result))
        for row in rows:
            if row.get("content_sha256"):
                places.setdefault(row["content_sha256"], []).append(folder / row["file"])
        if result.file is not None:
            (folder / rows[0]["file"]).write_bytes(result.file.read_bytes())
    for content, data in stored_pictures(store, release, {*places}):
        for path in places.pop(content):
            path.write_bytes(data)
    for folder, result in zip(made, results, strict=True):
        _list(folder, result)
    return made


def _rows(result: Result) -> Iterator[dict[str, Any]]:
    """The rows of the list, the query first, each with the name of its file."""
    taken = Names()
    query = result.image | {"rank": 0, "distance": None}
    for row in (query, *result.neighbors):
        path = Path(row["image_id"])
        known = row.get("format")
        ending = _ENDINGS.get(known, f".{known.lower()}") if known else _plain(path.suffix)
        yield row | {"file": taken.fresh(f"{row['rank']:03d}_{path.stem}", ending)}


def _plain(ending: str) -> str:
    """The ending of a file from outside, if it is one."""
    return ending.lower() if ending[1:].isascii() and ending[1:].isalnum() else ""


def _list(folder: Path, result: Result) -> None:
    with open(folder / LIST, "x", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, _COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for row in _rows(result):
            there = (folder / row["file"]).is_file()
            writer.writerow(row | {"file": row["file"] if there else ""})


def show(root: str | None, names: list[str], out: Path, k: int, answers: str | None) -> None:
    """Copy, and say where."""
    store = store_of(root)
    release, results = results_of(store, names, k, answers)
    made = copy_out(store, release, results, new_folder(out))
    for folder in made:
        print(f"{sum(path.name != LIST for path in folder.iterdir())} files: {folder}")
