"""Tasks of a comparison: pictures through every encoder, and what the vectors are worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.config import IngestSettings
from artrec.encoders import Preprocess
from artrec.evaluation.floors import FLOOR_METRIC, FLOORS, centered, histogram, thumbnail
from artrec.evaluation.space import effective_dimension, mean_cosine
from artrec.schemas import TABLES
from artrec.stages.decoding import Decode, Pixels, decoder
from artrec.stages.encoding import checked, worker_encoder
from artrec.stages.evaluate.ground import Ground, chosen_rows, first_rows
from artrec.stages.evaluate.measuring import scan_within
from artrec.stages.evaluate.scores import retrieval_rows, row
from artrec.stages.evaluate.surveying import SEEN
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.places import placed_pictures
from artrec.stages.rejects import Rejected
from artrec.stages.rules import vector_no
from artrec.stages.slices import SliceSpec
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors import Block

__all__ = ["Compared", "encode_some", "measure_one"]

AT_ONCE = 32
"""Pictures that wait decoded for one encoder."""

_FLOORS: dict[str, Callable[[Pixels], Any]] = {"histogram": histogram, "pixels": thumbnail}
_SAMPLED = {"sample": 0.0, "held_out": 0.0}  # they stand for other pictures than themselves


@dataclass(frozen=True)
class Compared:
    """What the tasks know: the encoders, which ``root`` has, and the images in ``ground``.

    ``metrics`` are those of the encoders, and ``repeaters`` those that can repeat a picture;
    ``pending`` are the places of the pictures, cut into ``slices``.
    """

    root: Store
    encoders: tuple[str, ...]
    metrics: tuple[str, ...]
    repeaters: tuple[str, ...]
    ground: Ground
    pictures: tuple[Receipt, ...]
    pending: tuple[Receipt, ...]
    slices: tuple[SliceSpec, ...]
    ingest: IngestSettings

    @property
    def names(self) -> tuple[str, ...]:
        """The encoders, and the floors after them."""
        return (*self.encoders, *FLOORS)

    def metric(self, place: int) -> str:
        """Of the encoder in that place of ``names``."""
        return (*self.metrics, *(FLOOR_METRIC for _ in FLOORS))[place]

    def folder(self, place: int) -> str:
        """Where the vectors lie of the encoder in that place of ``names``."""
        return f"{self.ground.folder}/{place}"


def _chosen(ground: Ground, block: Block) -> pa.Table:
    """The images that are compared, but for those whose vector was left out."""
    rows = first_rows(chosen_rows(ground), ground.sample, "sample_place")
    there = np.isin(np.asarray(rows.column("vector_no"), np.int64), block.numbers)
    return rows.filter(pa.array(there))


@dataclass
class _Way:
    """One encoder at work in a task; seconds are the processor's."""

    name: str
    metric: str
    encode: Callable[[Pixels], Any]
    preprocess: Preprocess
    decode: Decode
    writer: TableWriter
    repeat: Callable[[Pixels], Any] | None = None
    found: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            ("pictures", "rejected", "no_vector", "decode_seconds", "encode_seconds", "error"), 0.0
        )
    )

    def run(self, numbers: Sequence[int], data: Sequence[bytes]) -> None:
        """Write the vectors of some pictures; what cannot be decoded counts as black.

        A vector that can be nobody's neighbor by the encoder's metric is left out.
        """
        begun = time.process_time()
        seen = [self.decode(each) for each in data]
        decoded = time.process_time()
        black = np.zeros((*self.preprocess.size, 3), np.uint8)
        pixels = np.stack([black if isinstance(each, Rejected) else each for each in seen])
        rejected = np.array([isinstance(each, Rejected) for each in seen])
        encoding = time.process_time()
        vectors = np.asarray(self.encode(pixels), np.float32)
        ended = time.process_time()
        self.found["pictures"] += len(data)
        self.found["rejected"] += int(rejected.sum())
        self.found["decode_seconds"] += decoded - begun
        self.found["encode_seconds"] += ended - encoding
        if self.repeat is not None:
            self.found["error"] += float(self.repeat(pixels)[1][~rejected].sum())
        sound = [not isinstance(checked(each, self.metric), Rejected) for each in vectors]
        self.found["no_vector"] += len(sound) - sum(sound)
        columns = {
            "vector_no": list(compress(numbers, sound)),
            "embedding": list(compress(vectors, sound)),
        }
        if any(sound):
            schema = TABLES["compared_vectors"].columns
            self.writer.write(pa.RecordBatch.from_pydict(columns, schema=schema))


def encode_some(task: Compared, attempt: Attempt) -> TaskReport:
    """One task: the vectors of the pictures of a slice, by every encoder and floor."""
    spec, out = task.slices[attempt.index], task.ground.store
    with ExitStack() as held:
        ways = list(_ways(task, attempt, held))
        for rows, data in placed_pictures(task.root, task.pending, task.pictures, spec, out):
            numbers = [vector_no(row["content_sha256"]) for row in rows]
            for start in range(0, len(data), AT_ONCE):
                some = slice(start, start + AT_ONCE)
                for way in ways:
                    way.run(numbers[some], data[some])
    receipts = [receipt for way in ways for receipt in way.writer.receipts]
    return TaskReport(receipts=receipts, notes={way.name: way.found for way in ways})


def _ways(task: Compared, attempt: Attempt, held: ExitStack) -> Iterator[_Way]:
    table, store = TABLES["compared_vectors"], task.ground.store
    for place, name in enumerate(task.names):
        repeat = None
        encode: Callable[[Pixels], Any]
        if name in _FLOORS:
            encode, preprocess = partial(_floor_of, _FLOORS[name]), SEEN
        else:
            encoder = worker_encoder(name, task.root)
            encode, preprocess = encoder.encode, encoder.preprocess
            if name in task.repeaters:
                repeat = _repeat(task.root, name)
        decode = held.enter_context(decoder(preprocess, task.ingest, attempt.number > 0))
        writer = held.enter_context(TableWriter(store, task.folder(place), table, attempt.stem))
        way = _Way(name, task.metric(place), encode, preprocess, decode, writer, repeat)
        _warm(way)
        yield way


@cache
def _repeat(root: Store, name: str) -> Callable[[Pixels], Any]:
    """Of this process; loaded once."""
    from artrec.encoders.networks.repeating import load_repeater  # with torch

    return load_repeater(root, name).repeat


def _floor_of(make: Callable[[Pixels], Any], pixels: Pixels) -> Any:
    return np.stack([make(each) for each in pixels])


def _warm(way: _Way) -> None:
    """A first call compiles, allocates and starts threads: it is nobody's time."""
    way.encode(np.zeros((1, *way.preprocess.size, 3), np.uint8))


def measure_one(
    task: Compared, receipts: Sequence[Sequence[Receipt]], attempt: Attempt
) -> TaskReport:
    """One task: the rows of the table evaluation of one encoder or floor."""
    ground, name, metric = task.ground, task.names[attempt.index], task.metric(attempt.index)
    if not receipts[attempt.index]:  # none of its vectors can be compared
        return TaskReport(notes={"rows": []})
    block = _vectors(ground.store, receipts[attempt.index])
    if name in FLOORS:
        block = Block(block.numbers, centered(block.vectors))
    found = scan_within(ground, attempt, _chosen(ground, block), block, name, metric)
    rows = list(retrieval_rows(ground.store, found.receipts, ground.encoder, _SAMPLED))
    length, cosine = mean_cosine(block.vectors)
    cloud = {
        "mean_norm": length,
        "mean_cosine": cosine,
        "effective_dimension": effective_dimension(block.vectors),
    }
    count = len(block.numbers)
    rows += [row(name, m, v, count, pool="sample") for m, v in cloud.items() if v is not None]
    return TaskReport(notes={"rows": rows, "dim": block.vectors.shape[1]})


def _vectors(store: Store, receipts: Sequence[Receipt]) -> Block:
    """The distinct vectors of an encoder, in order of their numbers."""
    schema = TABLES["compared_vectors"].columns
    rows = pa.Table.from_batches(list(read_table(store, receipts)), schema).sort_by("vector_no")
    flat = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
    return Block(np.asarray(rows.column("vector_no"), np.int64), flat.reshape(len(rows), -1))
