"""Tasks of evaluation that look: at the vectors as a whole, and at some pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artrec.config import IngestSettings
from artrec.encoders import Preprocess
from artrec.evaluation.floors import SIDE, histogram, thumbnail
from artrec.evaluation.space import (
    effective_dimension,
    faults,
    mean_cosine,
    moments,
    plane,
    profile,
    random_distances,
)
from artrec.schemas import TABLES
from artrec.stages.blocks import vector_blocks
from artrec.stages.decoding import Pixels, decoder
from artrec.stages.evaluate.ground import (
    LABELS,
    Ground,
    chosen_rows,
    first_rows,
    vector_hashes,
    vectors_of,
)
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.rejects import Rejected
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file, read_table
from artrec.vectors import Block

__all__ = ["SEEN", "decode_sample", "keep_floors", "look_over", "missing_places", "survey"]

SEEN = Preprocess(size=(SIDE, SIDE), filter="box")
"""How the floors see a picture."""


def keep_floors(ground: Ground, known: tuple[Receipt, ...], attempt: Attempt) -> TaskReport:
    """Those of the last release's floor vectors that tonight's sample still needs."""
    wanted = _sample_numbers(ground)
    table, kept = TABLES["floor_vectors"], 0
    with TableWriter(
        ground.store, ground.folder, table, f"kept-{attempt.stem}", even_empty=True
    ) as writer:
        for batch in read_table(ground.store, known):
            mine = np.flatnonzero(np.isin(np.asarray(batch.column("vector_no")), wanted))
            writer.write(batch.take(pa.array(mine)))
            kept += len(mine)
    return TaskReport(receipts=writer.receipts, counters={"floors_kept": kept})


def missing_places(ground: Ground, done: Sequence[Receipt]) -> tuple[list[tuple[str, int]], int]:
    """Where the sample's pictures lie that have no floor vectors yet, in order; and how many."""
    missing = _missing(ground, done)
    return sorted(_by_place(missing)), len(missing)


def _missing(ground: Ground, done: Sequence[Receipt]) -> pa.Table:
    rows = first_rows(chosen_rows(ground), ground.sample, "sample_place")
    known = [np.asarray(b.column(0)) for b in read_table(ground.store, done, ["vector_no"])]
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    there = np.isin(numbers, np.concatenate([np.zeros(0, np.int64), *known]))
    return rows.take(pa.array(np.flatnonzero(~there)))


def _by_place(rows: pa.Table) -> dict[tuple[str, int], dict[bytes, int]]:
    """(file, row group) -> the numbers of the contents that are to be read there."""
    found: dict[tuple[str, int], dict[bytes, int]] = {}
    for row in rows.select(["file", "row_group", "content_sha256", "vector_no"]).to_pylist():
        place = found.setdefault((row["file"], row["row_group"]), {})
        place[row["content_sha256"]] = row["vector_no"]
    return found


def _sample_numbers(ground: Ground) -> Any:
    rows = first_rows(chosen_rows(ground), ground.sample, "sample_place")
    return np.unique(np.asarray(rows.column("vector_no"), np.int64))


def decode_sample(
    ground: Ground,
    done: tuple[Receipt, ...],
    pictures: dict[str, Receipt],
    places: Sequence[tuple[str, int]],
    tasks: int,
    settings: IngestSettings,
    attempt: Attempt,
) -> TaskReport:
    """The floors' vectors of the sample's pictures in some row groups; each content once."""
    wanted = _by_place(_missing(ground, done))
    table, decoded = TABLES["floor_vectors"], 0
    with (
        decoder(SEEN, settings, in_child=attempt.number > 0) as decode,
        TableWriter(ground.store, ground.folder, table, attempt.stem) as writer,
    ):
        for place in places[attempt.index :: tasks]:
            opened = open_file(ground.store, pictures[place[0]])
            stored = opened.read_row_group(place[1], columns=["content_sha256", "data"])
            numbers = wanted[place]
            mine = pc.is_in(stored.column(0), pa.array(list(numbers), pa.binary()))
            for row in stored.take(pa.array(np.flatnonzero(np.asarray(mine)))).to_pylist():
                number = numbers.pop(row["content_sha256"], None)
                if number is not None:
                    writer.write(_floor_row(number, decode(row["data"])))
                    decoded += 1
    return TaskReport(receipts=writer.receipts, counters={"decoded": decoded})


def _floor_row(number: int, decoded: Pixels | Rejected) -> pa.RecordBatch:
    """What cannot be decoded, though it could when it was encoded, counts as black."""
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels = black if isinstance(decoded, Rejected) else decoded
    row = {"vector_no": number, "histogram": histogram(pixels), "pixels": thumbnail(pixels)}
    schema = TABLES["floor_vectors"].columns
    return pa.RecordBatch.from_pylist([row], schema=schema)


def look_over(store: Store, live: Sequence[Receipt], metric: str, attempt: Attempt) -> TaskReport:
    """Note the vectors of one file that say nothing; of sound ones add up what they are.

    Where there is no other file, also how many differ.
    """
    found = {"vectors": 0, "non_finite": 0, "zero": 0, "flat": 0}
    total: Any = 0.0
    squares = 0.0
    hashes: set[int] = set()
    for block in vector_blocks(store, [live[attempt.index]]):
        of_block = faults(block.vectors)
        found["vectors"] += len(block.numbers)
        for name in ("non_finite", "zero", "flat"):
            found[name] += getattr(of_block, name)
        if not of_block.non_finite:
            more, square = moments(block.vectors, metric)
            total, squares = total + more, squares + square
        if len(live) == 1:
            hashes.update(vector_hashes(block))
    notes = {"found": found, "total": np.atleast_1d(total).tolist(), "squares": squares}
    return TaskReport(notes=notes | ({"distinct": len(hashes)} if len(live) == 1 else {}))


def survey(ground: Ground, attempt: Attempt) -> TaskReport:
    """The map, and what the vectors of the randomly chosen images look like together."""
    rows = chosen_rows(ground)
    block = vectors_of(ground, rows)
    mapped = first_rows(rows, ground.map_points)
    own = np.searchsorted(block.numbers, np.asarray(mapped.column("vector_no"), np.int64))
    places = plane(block.vectors[own])
    columns = {name: mapped.column(name) for name in ("image_id", "content_sha256", *LABELS)}
    columns["title"] = mapped.column("title")
    columns |= {"x": pa.array(places[:, 0]), "y": pa.array(places[:, 1])}
    table = TABLES["coordinates"]
    sheet = pa.table({c.name: columns[c.name].cast(c.type) for c in table.columns}).sort_by(
        "image_id"
    )
    with TableWriter(ground.store, ground.folder, table, attempt.stem, even_empty=True) as writer:
        for batch in sheet.combine_chunks().to_batches():
            writer.write(batch)
    asked = first_rows(rows, max(ground.queries, ground.map_points))
    return TaskReport(receipts=writer.receipts, notes=_cloud(ground, asked, block))


def _cloud(ground: Ground, rows: pa.Table, block: Block) -> dict[str, Any]:
    """Of the distinct vectors in random order; bounded by the settings."""
    _by_place = np.argsort(np.asarray(rows.column("place"), np.int64))
    numbers = np.asarray(rows.column("vector_no"), np.int64)[_by_place]
    _, first = np.unique(numbers, return_index=True)
    own = np.searchsorted(block.numbers, numbers[np.sort(first)])
    vectors = block.vectors[own]
    found = profile(vectors)
    length, cosine = mean_cosine(vectors)
    return {
        "cloud": {"count": found.count, "mean": found.mean, "spread": found.spread},
        "mean_norm": length,
        "mean_cosine": cosine,
        "effective_dimension": effective_dimension(vectors),
        "random": random_distances(vectors, ground.metric).tolist(),
    }
