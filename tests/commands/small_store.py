"""A small finished store, made without Spark: 14 paintings on a line, and two rejects.

The vector of painting n lies at PLACES[n]; no two differences of places are equal, so every list
of neighbors has one right order, which ``nearest`` counts out.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.digests import name_of
from artrec.index import Recipe
from artrec.releases import (
    Draft,
    GateResult,
    Release,
    Run,
    RunRef,
    StageRuns,
    publish,
    record_run,
)
from artrec.schemas import TABLES
from artrec.storage import Store, open_store
from artrec.tables import TableWriter
from artrec.vectors import Block
from tests.index.makers import written

__all__ = [
    "EVIL",
    "PAINTINGS",
    "REJECTED",
    "Painting",
    "nearest",
    "publish_paintings",
    "record_paintings",
    "release_of",
    "stage_runs",
    "write_run",
]

Row = dict[str, Any]


@dataclass(frozen=True)
class Painting:
    """A catalog row and the place of its vector, which has one number."""

    image_id: str
    place: int
    style: str | None
    artist: str | None
    title: str | None
    year: int | None = None

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.image_id.encode()).digest()

    @property
    def vector_no(self) -> int:
        return int.from_bytes(self.sha256[:8], "big") >> 1


EVIL = "wikiart/Cubism/\x1b[31mred_\x1b]0;owned\x07\nsecond line.jpg"

PAINTINGS = (
    Painting("wikiart/Baroque/rembrandt_the-night-watch-1642.jpg", 0, "Baroque", "rembrandt",
             "the-night-watch-1642", 1642),
    Painting("wikiart/Baroque/rembrandt_self-portrait.jpg", 1, "Baroque", "rembrandt",
             "self-portrait"),
    Painting("wikiart/Baroque/clara-peeters_still-life.jpg", 4, "Baroque", "clara-peeters",
             "still-life"),
    Painting(EVIL, 11, "Cubism", "\x1b[31mred", "\x1b]0;owned\x07\nsecond line"),
    Painting("wikiart/Cubism/juan-gris_guitar-1913.jpg", 28, "Cubism", "juan-gris",
             "guitar-1913", 1913),
    Painting("wikiart/Impressionism/joaquín-sorolla_el-baño-1909.jpg", 62, "Impressionism",
             "joaquín-sorolla", "el-baño-1909", 1909),
    Painting("loose.jpg", 130, None, None, None),
    *(
        Painting(f"wikiart/Ukiyo_e/hokusai_view-{n}.jpg", 300 * 3**n, "Ukiyo_e", "hokusai",
                 f"view-{n}")
        for n in range(7)
    ),
)  # fmt: skip

REJECTED = {
    "wikiart/Baroque/rembrandt_half.jpg": ("ingest", "truncated_data", "the picture ends early"),
    "wikiart/Baroque/no\x1b[2Jtes.txt": ("ingest", "not_a_picture", None),
}

assert len({abs(a.place - b.place) for a, b in combinations(PAINTINGS, 2)}) == 14 * 13 // 2


def nearest(painting: Painting, among: Sequence[Painting], k: int) -> list[tuple[str, float]]:
    """(image_id, distance) of the k nearest others."""
    others = (p for p in among if p is not painting)
    found = sorted((abs(p.place - painting.place), p.image_id) for p in others)
    return [(image_id, float(distance)) for distance, image_id in found[:k]]


def write_run(
    store: Store, stage: str, tables: Mapping[str, Sequence[Row]], attempt: str = "attempt"
) -> RunRef:
    """A run of these rows, named by them, written and recorded by hand."""
    name = name_of({"stage": stage, "rows": repr(tables)})
    receipts = {}
    for table, rows in tables.items():
        schema = TABLES[table].columns
        ordered = sorted(rows, key=lambda row: [row[column] for column in TABLES[table].sort])
        folder = f"runs/{stage}/{name}/{attempt}"
        with TableWriter(store, folder, TABLES[table], "x", even_empty=True) as writer:
            writer.write(pa.RecordBatch.from_pylist(ordered, schema=schema))
        receipts[table] = writer.receipts
    run = Run(
        stage=stage,
        run_id=name,
        tables=receipts,
        inputs={},
        settings={},
        versions={},
        counters={},
        seconds=1.0,
    )
    return RunRef.of(record_run(store, run))


def stage_runs(stage: str, ref: RunRef, **notes: Any) -> StageRuns:
    return StageRuns(
        stage=stage,
        inputs=ref.run_id,
        tables={table: [ref] for table in ref.rows},
        seconds=1.5,
        notes=notes,
    )


def publish_paintings(
    root: Path | str,
    name: str,
    paintings: Sequence[Painting] = PAINTINGS,
    k: int = 10,
    change: Callable[[dict[str, list[Row]]], object] = lambda rows: None,
) -> Store:
    """Publish these paintings as a release; ``change`` may spoil the rows before."""
    store = open_store(str(root))
    draft = Draft.begin(store, name)
    counts = record_paintings(draft, paintings, k, change)
    publish(store, release_of(draft, k, counts), draft.base)
    return store


def record_paintings(
    draft: Draft,
    paintings: Sequence[Painting],
    k: int = 10,
    change: Callable[[dict[str, list[Row]]], object] = lambda rows: None,
) -> dict[str, int]:
    """All stages of a night but the last, with real files; returns the release's counts."""
    name = draft.release_id
    draft.hold(name_of({"paintings": [p.image_id for p in paintings], "k": k}))
    rows = _rows(paintings, name, k)
    change(rows)
    for stage, tables in {
        "inventory": ["members"],
        "catalog": ["catalog", "rejects", "embeddings"],
        "neighbors": ["neighbors", "neighbors_nested"],
    }.items():
        ref = write_run(draft.store, stage, {t: rows[t] for t in tables}, draft.attempt)
        draft.record(stage_runs(stage, ref))
    draft.record(stage_runs("index", _indexed(draft.store, paintings, draft.attempt)))
    return {
        "listed": len(rows["members"]),
        "stored": len(rows["catalog"]),
        "rejected": len(REJECTED),
    }


def _indexed(store: Store, paintings: Sequence[Painting], attempt: str) -> RunRef:
    """A run of one shard that holds every painting's vector."""
    ordered = sorted(paintings, key=lambda painting: painting.vector_no)
    numbers = np.array([painting.vector_no for painting in ordered], np.int64)
    places = np.array([[painting.place] for painting in ordered], np.float32)
    name = name_of({"index": numbers.tolist()})
    folder = f"runs/index/{name}/{attempt}"
    with tempfile.TemporaryDirectory() as scratch:
        recipe = Recipe("euclidean", 1, 5, 1)
        made = written(store, Path(scratch), (0, 1), Block(numbers, places), recipe, folder)
    run = Run(
        stage="index",
        run_id=name,
        tables={"shard_items": made.items},
        artifacts={"shards": made.files},
        inputs={},
        settings={},
        versions={},
        counters={},
        seconds=1.0,
    )
    return RunRef.of(record_run(store, run))


def release_of(draft: Draft, k: int, counts: dict[str, int]) -> Release:
    """What publish is given at the end of a night."""
    assert draft.head is not None
    stages = {name: draft.stage(name) for name in ("inventory", "catalog", "index", "neighbors")}
    return Release(
        release_id=draft.release_id,
        previous=draft.base.release_id,
        inputs=draft.head.inputs,
        created=datetime.now(UTC),
        settings={},
        versions={"artrec": "0"},
        encoder="line-1",
        metric="euclidean",
        dim=1,
        k=k,
        stages={name: runs for name, runs in stages.items() if runs is not None},
        gates=[GateResult(gate="balance", passed=True, found="0 lost", expected="0 lost")],
        counts=counts,
    )


def _rows(paintings: Sequence[Painting], release: str, k: int) -> dict[str, list[Row]]:
    names = [*(p.image_id for p in paintings), *REJECTED]
    entries = {name: entry for entry, name in enumerate(names)}
    lists = {p.image_id: nearest(p, paintings, k) for p in paintings}
    return {
        "members": [_member(entry, name) for name, entry in entries.items()],
        "catalog": [_image(p, entries[p.image_id], release) for p in paintings],
        "rejects": [_reject(name, entries[name], release) for name in REJECTED],
        "embeddings": [{"image_id": p.image_id, "embedding": [float(p.place)]} for p in paintings],
        "neighbors": [
            {"query_id": query, "rank": rank, "neighbor_id": other, "distance": distance}
            for query, found in lists.items()
            for rank, (other, distance) in enumerate(found, 1)
        ],
        "neighbors_nested": [
            {"query_id": query, "ids": [i for i, _ in found], "distances": [d for _, d in found]}
            for query, found in lists.items()
        ],
    }


def _member(entry: int, name: str) -> Row:
    return {
        "source": "main",
        "entry": entry,
        "raw_name": name.encode(),
        "occurrence": 0,
        "image_id": name,
        "bytes": 1000 + entry,
        "stored_bytes": 1000 + entry,
        "fingerprint": f"crc32={entry:08x}",
        "offset": 2000 * entry,
        "method": "stored",
    }


def _image(painting: Painting, entry: int, release: str) -> Row:
    labels = {name: getattr(painting, name) for name in ("style", "artist", "title", "year")}
    return {
        "image_id": painting.image_id,
        "source": "main",
        "entry": entry,
        "content_sha256": painting.sha256,
        "vector_no": painting.vector_no,
        "width": 64,
        "height": 48,
        "format": "JPEG",
        "bytes": 1000 + entry,
        **labels,
        "genre": None,
        "split": None,
        "license": None,
        "extra": None,
        "first_release": release,
        "changed_release": release,
    }


def _reject(name: str, entry: int, release: str) -> Row:
    stage, reason, detail = REJECTED[name]
    return {
        "source": "main",
        "entry": entry,
        "image_id": name,
        "stage": stage,
        "reason": reason,
        "detail": detail,
        "content_sha256": None,
        "bytes": 1000 + entry,
        "first_release": release,
        "attempts": 1,
    }
