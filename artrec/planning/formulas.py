"""What each stage will cost; nothing is measured here.

Work that grows with the pictures is priced by the rates of a timed sample. What Spark itself takes
(a stage's fixed seconds, rows through a shuffle) stands here as measured on one idle core of an
Intel Xeon, Python 3.11 and Spark 4.1, and is multiplied by the sample's ``pace``: how much slower
than there a fixed piece of plain Python ran. All of it is multiplied by ``busy``: the share of the
cores that other work on this machine takes away.
"""

from __future__ import annotations

from artrec.planning.figures import MB, WRITING, Figures, Prices, Rates, Work, cost
from artrec.planning.indexing import index_figures
from artrec.planning.joining import PYTHON, chosen_join
from artrec.planning.ruling import ruled_figures, with_tables
from artrec.planning.waves import at_once, joined_rows, shared_out, slice_count

__all__ = ["START_SECONDS", "expected", "expected_tables"]

WINDOW = 8 * MB  # of one range read, as archive/ranges.py
ROW_GROUP = 8 * MB  # of pictures, as stages/places.py

UNITS = 16  # as stages/slices.py

START_SECONDS = 5.0
"""Until Spark's JVM answers."""

WARM = 3.0  # first use: Python workers are forked and import, the JVM compiles
STAGE = {
    "inventory": 0.05,
    "ingest": 1.2,
    "train": 2.5,
    "embed": 1.2,
    "catalog": 1.0,
    "index": 0.4,
    "neighbors": 2.3,
    "evaluate": 6.7,
    "report": 1.2,
    "publish": 0.05,
}
"""Seconds that a stage takes with next to nothing to do."""

LISTING = 12e-6  # a member of the central directory, as a row
AT_ONCE = 250_000  # as stages/atonce.py
ROW = 0.9e-3  # a member through the joins of the catalog
ROW_AT_ONCE = 30e-6  # the same in one task
ENTRY = 2.2e-6  # a list's entry from the pool to both neighbor tables
JOINED = 0.25e-3  # a row of the catalog through the side jobs of evaluate
SCANNED = 4.0  # an evaluated pair, in pairs of the join: exact, by several variants
QUERY = 7.6e-3  # an evaluated query, by labels and variants
MAPPED = 0.2e-3  # a point of the map
FLOPS = 2e10  # of a convolution, in a second of one core
STEP = 3.0  # a training step in forward passes

NETWORK = 350 * MB  # torch, once loaded
TRAINING = 750 * MB  # torch, once it has trained
MEMBER = 100  # bytes on the driver
VIEWED = 3 * 4  # bytes a pixel while a picture is decoded and brought to size


def expected(work: Work, rates: Rates, prices: Prices | None = None) -> dict[str, Figures]:
    """Stage -> what it will cost, in the order of a night; kept stages cost next to nothing."""
    made = {
        "inventory": _inventory(work, rates),
        "ingest": _ingest(work, rates),
        **({"train": _train(work, rates)} if work.trains else {}),
        "embed": _embed(work, rates),
        "catalog": _catalog(work, rates),
        "index": index_figures(work, rates),
        "neighbors": with_tables(_neighbors(work, rates), _tables(work, rates)),
        "evaluate": _evaluate(work, rates),
        "report": _report(work, rates),
        "publish": Figures(requests=8, bytes_written=20_000),
    }
    found: dict[str, Figures] = {}
    peak, cold, loaded = 0, True, NETWORK if work.torch else 0
    for name, figures in made.items():
        loaded = TRAINING if name == "train" else loaded
        if name in work.kept:
            found[name] = Figures()
            continue
        fixed = STAGE[name] + (WARM if cold and figures.tasks else 0.0)
        cold = cold and not figures.tasks
        peak = max(peak, figures.worker_bytes)  # a worker stays, and what it holds stays with it
        found[name] = figures.model_copy(
            update={
                "seconds": round(rates.busy * (figures.seconds + rates.pace * fixed), 3),
                "worker_bytes": peak if figures.worker_bytes else 0,
                "driver_bytes": PYTHON + MEMBER * work.listed + loaded,
            }
        )
    return {name: _priced(each, work.cores, prices) for name, each in found.items()}


def expected_tables(work: Work, rates: Rates, prices: Prices | None = None) -> dict[str, Figures]:
    """Name -> what a table under a rule will cost, which is a part of what neighbors costs."""
    if "neighbors" in work.kept:
        return {}
    found = {
        name: each.model_copy(update={"seconds": round(rates.busy * each.seconds, 3)})
        for name, each in _tables(work, rates).items()
    }
    return {name: _priced(each, work.cores, prices) for name, each in found.items()}


def _tables(work: Work, rates: Rates) -> dict[str, Figures]:
    return {f"neighbors_{each.name}": ruled_figures(each, work, rates) for each in work.ruled}


def _priced(figures: Figures, cores: int, prices: Prices | None) -> Figures:
    money = cost(figures, cores, prices) if prices else None
    return figures.model_copy(update={"money": money})


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
    unit = max(1, min(work.slice_bytes // UNITS, max(MB, size // (UNITS * work.cores))))
    tasks = slice_count(size, work.slice_bytes, unit, work.cores)
    reads = -(-size // WINDOW) + tasks
    written = size + 150 * count
    busy = reads * rates.request + size * (rates.byte + rates.examine)
    busy += rates.pace * WRITING * written
    alone = min(work.alone_bytes, size) * (rates.byte + rates.examine)
    seconds = max(shared_out(tasks, busy, work, rates), alone)
    return Figures(
        images=count,
        bytes_read=size,
        requests=reads + 6 * tasks + 10 if tasks else 0,
        tasks=tasks,
        seconds=seconds + joined_rows(count, 50e-6, work, rates),
        worker_bytes=PYTHON + 5 * WINDOW + 6 * ROW_GROUP + VIEWED * rates.pixels,
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
        seconds=rates.pace * steps + at_once(tasks, prepare, work, rates),
        worker_bytes=PYTHON + 4 * ROW_GROUP + VIEWED * rates.pixels,
        bytes_written=work.examples * work.example_bytes,
    )


def _embed(work: Work, rates: Rates) -> Figures:
    size = work.encode_bytes
    tasks = slice_count(size, work.embed_slice_bytes, ROW_GROUP, work.cores)
    groups = size // ROW_GROUP + tasks
    busy = size * (rates.encode + rates.byte) + groups * rates.request
    network = NETWORK if work.torch or work.trains else 0
    pixels = work.batch * work.side**2 * 3
    return Figures(
        images=work.encode,
        bytes_read=size,
        requests=groups + 5 * tasks + 10 if tasks else 0,
        tasks=tasks,
        seconds=shared_out(tasks, busy, work, rates) + joined_rows(work.encode, 50e-6, work, rates),
        worker_bytes=PYTHON + network + 5 * ROW_GROUP + 4 * pixels + VIEWED * rates.pixels,
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
        seconds=_account(work, rates) + rates.pace * WRITING * vectors,
        bytes_written=4 * work.dim * rows * (2 if work.embeddings else 1) + 150 * work.listed,
    )


def _account(work: Work, rates: Rates) -> float:
    """Wall seconds in which every member becomes an image or a reject."""
    if work.listed <= AT_ONCE:
        return rates.pace * work.listed * ROW_AT_ONCE
    return joined_rows(work.listed, ROW, work, rates)


def _neighbors(work: Work, rates: Rates) -> Figures:
    rows = work.images
    if not work.joins:
        return Figures(images=rows)
    entries = rows * work.k
    joined = chosen_join(work, rates)
    return Figures(
        images=rows,
        bytes_read=joined.bytes_read + entries * 24,
        requests=joined.requests + 40,
        tasks=joined.tasks + 4 * work.cores,
        seconds=joined.seconds + joined_rows(entries, ENTRY, work, rates),
        worker_bytes=joined.worker_bytes,
        bytes_written=joined.bytes_written + entries * 14 + rows * work.pool * 12,
    )


def _evaluate(work: Work, rates: Rates) -> Figures:
    rows = work.images
    queries, sample = min(work.queries, rows), min(work.sample, rows)
    pairs = queries * rows + 3 * min(queries, sample) * sample
    busy = SCANNED * pairs * rates.pair + min(sample, work.decoded) * rates.decode
    busy += rates.pace * QUERY * queries
    points = min(work.map_points, rows)
    alone = rates.pace * MAPPED * points
    blocks = -(-queries // max(64, min(1024, -(-queries // work.cores))))
    size = 4 * work.dim * rows
    return Figures(
        images=queries,
        bytes_read=blocks * size + int(sample * work.picture_bytes) + 24 * rows * work.k,
        requests=blocks * 6 + sample // 20 + 80,
        tasks=3 * blocks + 2 * work.cores + 6,
        seconds=at_once(blocks, busy, work, rates) + alone + joined_rows(rows, JOINED, work, rates),
        worker_bytes=PYTHON
        + 40 * MB
        + 3 * MB * min(rows, 1150) // 4
        + 24 * work.dim * min(rows, 100_000),
        bytes_written=sample * 3500 + points * 120 + 200_000,
    )


def _report(work: Work, rates: Rates) -> Figures:
    shown = min(work.thumbnails, work.images)
    groups = min(shown, int(work.images * work.picture_bytes) // ROW_GROUP + 1)
    tasks = min(groups, 2 * work.cores)
    requests = 2 * (groups + shown)  # to open and to read; to write and to see it written
    busy = groups * ROW_GROUP * rates.byte + shown * 2 * rates.decode + requests * rates.request
    return Figures(
        images=shown,
        bytes_read=groups * ROW_GROUP,
        requests=requests + 30,
        tasks=tasks,
        seconds=at_once(tasks, busy, work, rates),
        worker_bytes=PYTHON + 4 * ROW_GROUP + VIEWED * rates.pixels,
        bytes_written=shown * 7000 + 600_000,
    )
