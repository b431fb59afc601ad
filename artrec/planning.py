"""What a night will cost: formulas over counts, bytes, cores and rates; nothing is measured here.

Work that grows with the pictures is priced by the rates of a timed sample. What Spark itself takes
(a stage's fixed seconds, rows through a shuffle) stands here as measured on one idle core of an
Intel Xeon, Python 3.11 and Spark 4.1, and is multiplied by the sample's ``pace``: how much slower
than there, and then, a fixed piece of plain Python ran.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

__all__ = ["START_SECONDS", "Figures", "Prices", "Rates", "Work", "cost", "expected", "total"]

MB = 1 << 20
WINDOW = 64 * MB  # of one range read, as archive/ranges.py
ROW_GROUP = 8 * MB  # of pictures, as stages/ingest.py

START_SECONDS = 5.0
"""Until Spark's JVM answers."""

TASK = 0.03  # between two tasks of a worker
WARM = 4.0  # first use: Python workers are forked and import, the JVM compiles
STAGE = {
    "inventory": 0.05,
    "ingest": 1.2,
    "train": 2.5,
    "embed": 1.2,
    "catalog": 4.0,
    "index": 0.4,
    "neighbors": 2.2,
    "evaluate": 6.0,
    "report": 1.4,
    "publish": 0.05,
}
"""Seconds that a stage takes with next to nothing to do."""

LISTING = 12e-6  # a member of the central directory, as a row
WRITING = 4e-9  # a byte written: compressed, hashed, its row's digest
ROW = 0.6e-3  # a member through the joins of the catalog
ENTRY = 2.2e-6  # a list's entry from the pool to both neighbor tables
JOINED = 0.25e-3  # a row of the catalog through the side jobs of evaluate
TREE = 3.5e-7  # a vector, for each tree and each halving
SCANNED = 4.0  # an evaluated pair, in pairs of the join: exact, by several variants
MAPPED = 0.2e-3  # a point of the map
FLOPS = 2e10  # of a convolution, in a second of one core
STEP = 3.0  # a training step in forward passes

PYTHON = 215 * MB  # a worker or driver with what it imports
NETWORK = 350 * MB  # torch, once loaded
MEMBER = 100  # bytes on the driver
VIEWED = 3 * 4  # bytes a pixel while a picture is decoded and brought to size


class Figures(BaseModel):
    """Of one stage, as expected or as measured.

    ``worker_bytes`` is the peak of one Python worker up to then, ``driver_bytes`` that of the
    driver's Python beside its JVM; 0 where a stage has none or nobody measured it. ``money`` is
    None where no price is known.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: int = 0
    bytes_read: int = 0
    requests: int = 0
    tasks: int = 0
    seconds: float = 0.0
    worker_bytes: int = 0
    driver_bytes: int = 0
    bytes_written: int = 0
    money: float | None = None


class Rates(BaseModel):
    """What a sample took on one core of the driver.

    ``examine`` and ``encode`` are seconds for each byte of a picture (reading left out; decoding
    and the forward pass), ``decode`` for one picture at a small size, ``pair`` for one distance of
    the join. Reading ``n`` bytes takes ``request + n * byte``. ``pixels`` are of the largest
    picture met.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pace: float = 1.0
    request: float = 0.0001
    byte: float = 1e-9
    examine: float = 30e-9
    encode: float = 200e-9
    decode: float = 0.002
    pair: float = 25e-9
    pixels: int = 1 << 20
    pictures: int = 0
    seconds: float = 0.0


class Prices(BaseModel):
    """Of a core for an hour, of 1,000 requests, of 10^9 bytes moved; 0 where it is not known."""

    model_config = ConfigDict(frozen=True)

    hour: float = 0.0
    request: float = 0.0
    gb: float = 0.0


@dataclass(frozen=True)
class Work:
    """What there is to do, and how it is cut. ``kept`` names stages that find their work done."""

    listed: int
    unread: int
    unread_bytes: int
    encode: int
    encode_bytes: int
    images: int
    dim: int
    cores: int
    kept: frozenset[str] = frozenset()
    trains: bool = False
    torch: bool = False
    slice_bytes: int = 64 * MB
    embed_slice_bytes: int = 128 * MB
    batch: int = 32
    side: int = 256
    k: int = 50
    pool: int = 64
    block_rows: int = 16_384
    trees: int = 20
    shards: int = 1
    queries: int = 2000
    sample: int = 5000
    decoded: int = 5000
    map_points: int = 8000
    thumbnails: int = 600
    embeddings: bool = True
    examples: int = 0
    epochs: int = 0
    example_flops: float = 0.0
    sources: int = 1
    listed_bytes: int = field(default=0)

    @property
    def picture_bytes(self) -> float:
        """Of a picture on average."""
        return self.listed_bytes / self.listed if self.listed else 0.0


def expected(work: Work, rates: Rates, prices: Prices | None = None) -> dict[str, Figures]:
    """Stage -> what it will cost, in the order of a night; kept stages cost next to nothing."""
    made = {
        "inventory": _inventory(work, rates),
        "ingest": _ingest(work, rates),
        **({"train": _train(work, rates)} if work.trains else {}),
        "embed": _embed(work, rates),
        "catalog": _catalog(work, rates),
        "index": _index(work, rates),
        "neighbors": _neighbors(work, rates),
        "evaluate": _evaluate(work, rates),
        "report": _report(work, rates),
        "publish": Figures(requests=8, bytes_written=20_000),
    }
    found: dict[str, Figures] = {}
    peak, cold = 0, True
    for name, figures in made.items():
        if name in work.kept:
            found[name] = Figures()
            continue
        fixed = STAGE[name] + (WARM if cold and figures.tasks else 0.0)
        cold = cold and not figures.tasks
        peak = max(peak, figures.worker_bytes)  # a worker stays, and what it holds stays with it
        found[name] = figures.model_copy(
            update={
                "seconds": round(figures.seconds + rates.pace * fixed, 3),
                "worker_bytes": peak if figures.worker_bytes else 0,
                "driver_bytes": _driver(work, torch=work.torch or work.trains),
            }
        )
    return {name: _priced(each, work.cores, prices) for name, each in found.items()}


def total(stages: Mapping[str, Figures]) -> Figures:
    """All stages together: sums, and of memory the largest."""
    every = list(stages.values())
    money = [each.money for each in every if each.money is not None]
    summed = ("bytes_read", "requests", "tasks", "bytes_written")
    return Figures(
        images=max((each.images for each in every), default=0),
        seconds=sum(each.seconds for each in every),
        worker_bytes=max((each.worker_bytes for each in every), default=0),
        driver_bytes=max((each.driver_bytes for each in every), default=0),
        money=sum(money) if money else None,
        **{name: sum(getattr(each, name) for each in every) for name in summed},
    )


def cost(figures: Figures, cores: int, prices: Prices) -> float | None:
    """Core hours, requests by the thousand and gigabytes moved, as far as they have a price."""
    parts = (
        (prices.hour, cores * figures.seconds / 3600),
        (prices.request, figures.requests / 1000),
        (prices.gb, (figures.bytes_read + figures.bytes_written) / 1e9),
    )
    known = [price * amount for price, amount in parts if price]
    return sum(known) if known else None


def _priced(figures: Figures, cores: int, prices: Prices | None) -> Figures:
    money = cost(figures, cores, prices) if prices else None
    return figures.model_copy(update={"money": money})


def _driver(work: Work, torch: bool) -> int:
    return PYTHON + MEMBER * work.listed + (NETWORK if torch else 0)


def _at_once(tasks: int, seconds: float, work: Work, rates: Rates) -> float:
    """Wall seconds of equal tasks: the last wave has cores without one."""
    if not tasks:
        return 0.0
    waves = math.ceil(tasks / work.cores)
    return waves * (seconds / tasks + rates.pace * TASK)


def _rows(count: int, each: float, work: Work, rates: Rates) -> float:
    """Wall seconds of rows through Spark's own joins."""
    return rates.pace * count * each / work.cores


def _inventory(work: Work, rates: Rates) -> Figures:
    directory = 100 * work.listed
    return Figures(
        images=work.listed,
        bytes_read=directory,
        requests=3 * work.sources + directory // (8 * MB) + 8,
        seconds=rates.pace * LISTING * work.listed + 2 * work.sources * rates.request,
        bytes_written=60 * work.listed,
    )


def _ingest(work: Work, rates: Rates) -> Figures:
    size, count = work.unread_bytes, work.unread
    cut = min(work.slice_bytes, max(MB, -(-size // (4 * work.cores)))) or 1
    tasks = -(-size // cut)
    reads = sum(-(-min(cut, size - at) // WINDOW) for at in range(0, size, cut))
    written = size + 150 * count
    busy = reads * rates.request + size * (rates.byte + rates.examine)
    busy += rates.pace * WRITING * written
    return Figures(
        images=count,
        bytes_read=size,
        requests=reads + 6 * tasks + 10 if tasks else 0,
        tasks=tasks,
        seconds=_at_once(tasks, busy, work, rates) + _rows(count, 50e-6, work, rates),
        worker_bytes=PYTHON + min(cut, WINDOW) + 3 * ROW_GROUP + VIEWED * rates.pixels,
        bytes_written=written,
    )


def _train(work: Work, rates: Rates) -> Figures:
    steps = work.examples * work.example_flops * STEP * work.epochs / (FLOPS * work.cores)
    size = int(work.examples * work.picture_bytes)
    prepare = work.examples * work.picture_bytes * rates.encode
    tasks = 2 * work.cores
    return Figures(
        images=work.examples,
        bytes_read=size,
        requests=8 * tasks,
        tasks=tasks,
        seconds=rates.pace * steps + _at_once(tasks, prepare, work, rates),
        worker_bytes=PYTHON + 4 * ROW_GROUP + VIEWED * rates.pixels,
        bytes_written=work.examples * 6000,
    )


def _embed(work: Work, rates: Rates) -> Figures:
    size = work.encode_bytes
    cut = min(float(work.embed_slice_bytes), max(ROW_GROUP, size / (2 * work.cores)))
    tasks = math.ceil(size / cut) if size else 0
    groups = size // ROW_GROUP + tasks
    forward = work.encode * work.example_flops / FLOPS if work.torch or work.trains else 0.0
    busy = size * (rates.encode + rates.byte) + groups * rates.request + rates.pace * forward
    network = NETWORK if work.torch or work.trains else 0
    pixels = work.batch * work.side**2 * 3
    return Figures(
        images=work.encode,
        bytes_read=size,
        requests=groups + 5 * tasks + 10 if tasks else 0,
        tasks=tasks,
        seconds=_at_once(tasks, busy, work, rates) + _rows(work.encode, 50e-6, work, rates),
        worker_bytes=PYTHON + network + 4 * ROW_GROUP + 4 * pixels + VIEWED * rates.pixels,
        bytes_written=work.encode * (4 * work.dim + 120),
    )


def _catalog(work: Work, rates: Rates) -> Figures:
    rows = work.images
    vectors = 4 * work.dim * rows * (3 if work.embeddings else 2)
    return Figures(
        images=rows,
        bytes_read=vectors + 300 * work.listed,
        requests=60,
        tasks=8 * work.cores,
        seconds=_rows(work.listed, ROW, work, rates) + rates.pace * WRITING * vectors,
        bytes_written=4 * work.dim * rows * (2 if work.embeddings else 1) + 150 * work.listed,
    )


def _index(work: Work, rates: Rates) -> Figures:
    rows, shards = work.images, work.shards
    each = rows / shards
    busy = rows * work.trees * TREE * math.log2(each + 2) * work.dim / 154
    size = rows * (4 * work.dim + 16 + 14 * work.trees)
    in_shard = int(each * (8 * work.dim + 30 * work.trees))
    return Figures(
        images=rows,
        bytes_read=4 * work.dim * rows,
        requests=8 * shards + 8,
        tasks=shards,
        seconds=_at_once(shards, rates.pace * busy, work, rates),
        worker_bytes=PYTHON + in_shard,
        bytes_written=size,
    )


def _neighbors(work: Work, rates: Rates) -> Figures:
    rows = work.images
    block = max(256, min(work.block_rows, -(-rows // work.cores)))
    blocks = -(-rows // block)
    busy = float(rows) * rows * rates.pair
    entries = rows * work.k
    held = min(rows, block) * (24 * work.pool + 8 * work.dim) + 96 * MB
    size = 4 * work.dim * rows
    return Figures(
        images=rows,
        bytes_read=blocks * size + entries * 24,
        requests=blocks * (3 + size // (64 * MB)) + 40,
        tasks=blocks + 4 * work.cores,
        seconds=_at_once(blocks, busy, work, rates) + _rows(entries, ENTRY, work, rates),
        worker_bytes=PYTHON + held,
        bytes_written=entries * 14 + rows * work.pool * 12,
    )


def _evaluate(work: Work, rates: Rates) -> Figures:
    rows = work.images
    queries, sample = min(work.queries, rows), min(work.sample, rows)
    pairs = queries * rows + 3 * min(queries, sample) * sample
    busy = SCANNED * pairs * rates.pair + min(sample, work.decoded) * rates.decode
    points = min(work.map_points, rows)
    alone = rates.pace * MAPPED * points
    blocks = -(-queries // max(64, min(1024, -(-queries // work.cores))))
    size = 4 * work.dim * rows
    return Figures(
        images=queries,
        bytes_read=blocks * size + int(sample * work.picture_bytes) + 24 * rows * work.k,
        requests=blocks * 6 + sample // 20 + 80,
        tasks=3 * blocks + 2 * work.cores + 6,
        seconds=_at_once(blocks, busy, work, rates) + alone + _rows(rows, JOINED, work, rates),
        worker_bytes=PYTHON + 700 * MB + 8 * sample * work.dim,
        bytes_written=sample * 3500 + points * 120 + 200_000,
    )


def _report(work: Work, rates: Rates) -> Figures:
    shown = min(work.thumbnails, work.images)
    groups = min(shown, int(work.images * work.picture_bytes) // ROW_GROUP + 1)
    tasks = min(groups, 2 * work.cores)
    return Figures(
        images=shown,
        bytes_read=groups * ROW_GROUP,
        requests=groups + shown + 30,
        tasks=tasks,
        seconds=_at_once(tasks, shown * (2 * rates.decode + rates.request), work, rates),
        worker_bytes=PYTHON + 4 * ROW_GROUP + VIEWED * rates.pixels,
        bytes_written=shown * 7000 + 600_000,
    )
