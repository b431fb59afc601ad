"""Two nights over small archives, and readers of what they wrote that use no code of artrec.

``FIRST`` and ``SECOND`` are the zip of source ``main`` on each night, ``MORE`` the folder of source
``more``. Each name says what is odd about its member.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artrec.config import Settings, load
from artrec.releases import Draft, Run, RunRef, StageRuns, record_run
from artrec.releases.lease import LEASE
from artrec.schemas import TABLES
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from artrec.tables import TableWriter
from tests.archive.zip_maker import Item
from tests.pictures import Named, item, picture

__all__ = [
    "BROKEN",
    "DAMAGED",
    "DECOMPOSED",
    "FIRST",
    "K",
    "MANY",
    "MORE",
    "OUTSIDE",
    "PAINTINGS",
    "PREFIX",
    "REPEATED",
    "SAME",
    "SECOND",
    "SHARDS",
    "SLACK",
    "TWINS",
    "Night",
    "draft_rows",
    "night",
    "opened",
    "put",
    "put_as",
    "settings_of",
    "tree",
]

K, SLACK, SHARDS = 5, 3, 3
MANY = 0.5
"""gates.reject_rate for archives of which a good part is broken on purpose."""
PREFIX = "more:"

STYLES = ("Baroque", "Cubism", "Realism")
PAINTINGS: list[Named] = [
    (f"wikiart/{STYLES[n % 3]}/painter-{n % 4}_work-{n}-{1880 + n}.jpg", picture(n))
    for n in range(16)
]
FORMATS: list[Named] = [
    (f"wikiart/Cubism/painter-9_as.{form.lower()}", picture(30 + n, form))
    for n, form in enumerate(("PNG", "GIF", "WEBP", "BMP", "TIFF"))
]
SAME = ("wikiart/Baroque/zoe_copy-1.jpg", "wikiart/Realism/zoe_copy-2.jpg")
"""Names of the content of PAINTINGS[0], beside its own."""
DAMAGED = "wikiart/Realism/joaquã\xadn-sorolla_beach-1908.jpg"
OUTSIDE = "cover.jpg"
DECOMPOSED = "wikiart/Realism/rene\u0301-magritte_pipe-1929.jpg"
TWINS = ("wikiart/Realism/andre\u0301_twin.jpg", "wikiart/Realism/andr\xe9_twin.jpg")
"""One name in two spellings."""
REPEATED = "wikiart/Realism/anna_repeated.jpg"


def _claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims this size; it has no pixels."""
    header = b"IHDR" + struct.pack(">LL5B", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT", b"IEND"]
    framed = (
        struct.pack(">L", len(each) - 4) + each + struct.pack(">L", zlib.crc32(each))
        for each in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


TRUNCATED = "wikiart/Baroque/x_truncated.jpg"
BROKEN: dict[str, tuple[Item, str]] = {
    each.name.decode(): (each, reason)
    for each, reason in (
        (item("wikiart/Baroque/x_page.jpg", b"<html>Not Found</html>"), "not_a_picture"),
        (item("wikiart/Baroque/x_empty.jpg", b""), "empty"),
        (item(TRUNCATED, picture(70)[:600]), "truncated"),
        (item("wikiart/Baroque/x_crc.jpg", picture(71), crc=7), "bad_crc"),
        (item("wikiart/Baroque/x_locked.jpg", picture(72), flags=1), "encrypted"),
        (item("wikiart/Baroque/x_lzma.jpg", picture(73), method=14), "unsupported_method"),
        (
            item("wikiart/Baroque/x_deflate.jpg", picture(74), method=8, packed=b"\xff" * 90),
            "bad_deflate",
        ),
        (item("wikiart/Baroque/x_huge.png", _claiming(60_000, 60_000)), "too_many_pixels"),
    )
}
"""Name -> the member and the reason for its rejection."""

FIRST: list[Named | Item] = [
    PAINTINGS[0],
    item("wikiart/Baroque/", b""),
    *PAINTINGS[1:8],
    *(each for each, _ in BROKEN.values()),
    (SAME[0], picture(0)),
    *FORMATS,
    *PAINTINGS[8:],
    (DAMAGED, picture(40)),
    (OUTSIDE, picture(41)),
    (DECOMPOSED, picture(42)),
    (TWINS[0], picture(43)),
    (TWINS[1], picture(44)),
    (REPEATED, picture(45)),
    (REPEATED, picture(46)),
    (SAME[1], picture(0)),
]

MORE = {
    "1889/vincent_stars-1889.jpg": picture(50),
    "1889/vincent_room.jpg": picture(51, size=(40, 90)),
    "1890/paul_copy.jpg": picture(0),
    "notes.txt": b"not a picture",
}

REMOVED = (PAINTINGS[3][0], PAINTINGS[4][0])
RENAMED = (PAINTINGS[5][0], "wikiart/Cubism/somebody-else_moved-1885.jpg")
CHANGED = PAINTINGS[6][0]
ADDED: list[Named] = [(f"wikiart/Cubism/newcomer_{n}.jpg", picture(60 + n)) for n in range(3)]


def _second(member: Named | Item) -> list[Named | Item]:
    name = member.name.decode() if isinstance(member, Item) else member[0]
    if name in REMOVED:
        return []
    if name == RENAMED[0]:
        return [(RENAMED[1], picture(5))]
    replaced = {CHANGED: picture(65), TRUNCATED: picture(70)}
    return [(name, replaced[name]) if name in replaced else member]


SECOND: list[Named | Item] = [*(new for old in FIRST for new in _second(old)), *ADDED]


@dataclass(frozen=True)
class Night:
    """A published release: where it lies, how it was asked for, and the account it printed."""

    root: Path
    name: str
    assignments: tuple[str, ...]
    account: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """The release's JSON."""
        found: dict[str, Any] = json.loads((self.root / f"releases/{self.name}.json").read_bytes())
        return found

    def files(self, table: str) -> list[Path]:
        """The files of a table, by way of the release and its runs."""
        return _files(self.root, self.document["stages"].values(), table)

    def rows(self, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
        return _rows(self.files(table), columns)

    def settings(self) -> Settings:
        return settings_of(*self.assignments)


def settings_of(*assignments: str) -> Settings:
    """The settings of these assignments alone."""
    return load(None, assignments, {})[0]


def night(root: Path, name: str, *assignments: str) -> Night:
    """Run a whole night as the command line does; it has to succeed."""
    assignments = (*assignments, f"store.root={root}")
    with redirect_stdout(io.StringIO()) as printed:
        options = Options(assignments=assignments, release=name, as_json=True, verbosity="quiet")
        code = execute("nightly", options)
    assert code == 0, f"the night ended with {code}"
    return Night(root, name, assignments, json.loads(printed.getvalue()))


def opened(settings: Settings, name: str) -> Draft:
    """A new draft on what is current in the store of the settings."""
    return Draft.begin(open_store(settings.store.root), name)


def put(
    draft: Draft, stage: str, tables: dict[str, list[dict[str, Any]]], /, **notes: object
) -> None:
    """Record literal rows as the whole work of a stage."""
    put_as(f"literal-{draft.release_id}", draft, stage, tables, **notes)


def put_as(
    run_id: str,
    draft: Draft,
    stage: str,
    tables: dict[str, list[dict[str, Any]]],
    /,
    **notes: object,
) -> None:
    """The same under a name, of which a later night has another; again it is adopted."""
    written = {}
    for table, rows in tables.items():
        folder, kind = f"runs/{stage}/{run_id}/{draft.attempt}", TABLES[table]
        with TableWriter(draft.store, folder, kind, "all", even_empty=True) as writer:
            if rows:
                writer.write(pa.RecordBatch.from_pylist(rows, schema=kind.columns))
        written[table] = writer.receipts
    nothing: dict[str, Any] = {"inputs": {}, "settings": {}, "versions": {}, "counters": {}}
    run = Run(stage=stage, run_id=run_id, tables=written, seconds=0.0, **nothing)
    refs = [RunRef.of(record_run(draft.store, run))]
    recorded = dict.fromkeys(tables, refs)
    draft.record(StageRuns(stage=stage, inputs=run_id, tables=recorded, notes=notes))


def draft_rows(
    root: Path, release: str, stage: str, table: str, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    """A table as a draft that is not published has it."""
    record = json.loads((root / f"drafts/{release}/{stage}.json").read_bytes())
    return _rows(_files(root, [record], table), columns)


def _files(root: Path, stages: Iterable[dict[str, Any]], table: str) -> list[Path]:
    refs = [ref for stage in stages for ref in stage["tables"].get(table, [])]
    runs = [root / "runs" / ref["stage"] / ref["run_id"] / "run.json" for ref in refs]
    receipts = [receipt for run in runs for receipt in _receipts(run, table)]
    return [root / receipt["path"] for receipt in receipts]


def _receipts(run: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run.read_bytes())["tables"][table]
    return found


def _rows(files: list[Path], columns: list[str] | None) -> list[dict[str, Any]]:
    tables = [pq.ParquetFile(file).read(columns=columns) for file in files]
    found: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return found


def tree(root: Path) -> dict[str, tuple[int, str]]:
    """Every path below ``root``, folders too, with its time and the hash of its bytes.

    All but the lease, which every job writes that may have something to do.
    """
    return {
        str(path.relative_to(root)): (
            path.stat().st_mtime_ns if path.is_file() else 0,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in root.rglob("*")
        if path != root / LEASE
    }
