"""Makes a golden store: ``python -m tests.golden.make tests/golden/v1``, from the repository.

Seven tiny pictures and a broken one, one night with the hand-made encoder and a table under a rule.
Written are the archive, the store as a zip, and what readers and the next night are to find.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from artrec.releases.lease import LEASE
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from tests.nights import Night, night
from tests.pictures import picture, write_zip

__all__ = ["ASSIGNMENTS", "NAME", "make"]

NAME = "golden"
ASSIGNMENTS = (
    "sources.main.url=pictures.zip",
    "encoder.id=handmade",
    "neighbors.k=3",
    "neighbors.slack=2",
    'neighbors.tables.others={"never": ["artist"]}',
    "gates.reject_rate=0.5",
    "report.queries=2",
    "report.thumbnails=4",
    "report.side=32",
)
"""What the golden night was asked; the archive and the store lie where the process stands."""

PLACE = b"/golden/store"  # where views look for it

STYLES = ("Baroque", "Cubism")
PICTURES = [
    (f"{STYLES[n % 2]}/painter-{n % 3}_work-{n}-{1880 + n}.jpg", picture(n, size=(24, 18)))
    for n in range(6)
]
PICTURES += [
    ("Cubism/painter-0_copy.jpg", picture(0, size=(24, 18))),
    ("Baroque/painter-1_broken.jpg", b"<html>Not Found</html>"),
]

ORDERS = {
    "catalog": ("image_id", "artist", "style", "title", "year", "width", "height", "first_release"),
    "rejects": ("image_id", "stage", "reason"),
    "neighbors": ("query_id", "rank", "neighbor_id", "distance"),
    "neighbors_others": ("query_id", "rank", "neighbor_id", "distance"),
}
"""Tables that a golden store is asked for, and the columns of them."""


def make(folder: Path) -> None:
    """Write pictures.zip, store.zip and expected.json."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        write_zip(Path("pictures.zip"), PICTURES)
        made = night(Path("store"), NAME, *ASSIGNMENTS)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy("pictures.zip", folder)
        _pack(Path("store"), folder / "store.zip")
        expected = json.dumps(_expected(made), indent=1, ensure_ascii=False, sort_keys=True)
        (folder / "expected.json").write_text(expected + "\n", encoding="utf-8")


def _pack(root: Path, file: Path) -> None:
    """All of the store but the lease, which no job holds any more; views name a place of no one."""
    here = str(root.absolute()).encode()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path != root / LEASE:
                entry = zipfile.ZipInfo(path.relative_to(root).as_posix())
                entry.compress_type = zipfile.ZIP_DEFLATED
                data = path.read_bytes()
                out.writestr(entry, data.replace(here, PLACE) if path.suffix == ".sql" else data)


def _expected(made: Night) -> dict[str, object]:
    stages = made.document["stages"].values()
    names = sorted({name for stage in stages for name in stage["tables"] if name in TABLES})
    return {
        "counts": {k: made.document["counts"][k] for k in ("listed", "stored", "rejected")},
        "rows": {table: made.rows(table, [*columns]) for table, columns in ORDERS.items()},
        "table_versions": {name: TABLES[name].version for name in names},
        "result_versions": RESULT_VERSIONS,
    }


if __name__ == "__main__":
    target = Path(sys.argv[1]).absolute()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    make(target)
