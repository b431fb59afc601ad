"""What the exact and the approximate join cost, and which of them a night takes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from artrec.planning.figures import MB, Figures, Rates, Work
from artrec.planning.joins import (
    alone_bytes,
    block_count,
    cut_pairs,
    deal_pairs,
    fits_alone,
    resolved,
    seen_blocks,
)
from artrec.planning.maintaining import Change, kept_up_products, range_count, whole_products
from artrec.planning.waves import at_once, shared_out

__all__ = ["JoinCost", "Joins", "PYTHON", "Upkeep", "chosen_join", "joins_of"]

PYTHON = 215 * MB  # a worker or driver with what it imports

ONCE = 0.5  # of the pairs of the join, where each product is computed once
LAID = 10e-9  # a byte of vectors through the layout of a join
LOADED = 5e-9  # a byte of a block that meets another
SEEN = 1.3  # a pair of the approximate join, in pairs of the exact one: it is less regular
ENTRY = 16  # bytes of an entry in the shuffle
FOUND, NEAR = 0.3, 0.6  # entries that are shuffled, for each place of a list: exact, approximate
ORDERED = 12  # bytes of an entry, while pools are brought in order
NEARBY, LONG = 8, 256  # cells near each from which it is filled; half as many of long vectors
AROUND = 0.9  # blocks' worth of other blocks' rows in them, for each of these cells, and
COPIES = 4  # times that they are held while a block is filled
TYPICAL = 1.2  # cells to look at, for each share that may be missed: data decide, the sample tells


class JoinCost(BaseModel):
    """Of one join: seconds of one core, bytes through Spark's shuffles, memory of one worker."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    core_seconds: float
    bytes_shuffled: int
    worker_bytes: int


class Upkeep(BaseModel):
    """Whether the current release's table is kept up to date: ``share`` is that of the products of
    a whole join, if so many vectors at most came and went.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kept_up: bool
    added: int
    gone: int
    share: float
    rebuild_share: float
    core_seconds: float


class Joins(BaseModel):
    """Which join a night takes, why, what to set for the other one, and the costs of both.

    How many cells the approximate one looks at depends on the vectors: ``probes`` are typical.
    ``upkeep`` is there where a table could be kept up to date.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    method: str
    why: str
    other: str
    recall: float
    probes: int
    cells: int
    exact: JoinCost
    approximate: JoinCost
    upkeep: Upkeep | None = None


def chosen_join(work: Work, rates: Rates) -> Figures:
    """The figures of the join that will be taken, or of keeping a table up to date; no names."""
    upkeep = _upkeep(work, rates)
    if upkeep is not None and upkeep.kept_up:
        return _kept_up(work, rates, upkeep)
    if resolved(work.method, work.images, work.exact_rows) == "approximate":
        return _approximate(work, rates)
    return _exact(work, rates)


def joins_of(work: Work, rates: Rates) -> Joins:
    """Both joins, and which one it will be."""
    method = resolved(work.method, work.images, work.exact_rows)
    probes, cells = _probes(work)
    costs = {}
    for name, figures, found in (
        ("exact", _exact(work, rates), FOUND),
        ("approximate", _approximate(work, rates), NEAR),
    ):
        entries = work.images * work.pool
        in_order = 4 * work.dim * work.images + int(ENTRY * found * entries) + ORDERED * entries
        whole = name == "exact" and work.images < work.pairs_from
        busy = _busy_exact(work, rates) if name == "exact" else _busy_approximate(work, rates)
        costs[name] = JoinCost(
            core_seconds=round(busy, 3),
            bytes_shuffled=0 if whole else in_order,
            worker_bytes=figures.worker_bytes,
        )
    other = "approximate" if method == "exact" else "exact"
    return Joins(
        method=method,
        why=_why(work, method),
        other=f"neighbors.method={other}",
        recall=work.recall,
        probes=probes,
        cells=cells,
        upkeep=_upkeep(work, rates),
        **costs,
    )


def _upkeep(work: Work, rates: Rates) -> Upkeep | None:
    """At most: a new member may be a picture that is known, one that is gone may have a copy."""
    change = work.change
    if change is None:
        return None
    products = kept_up_products(change, work.k, work.pool)
    whole = float(whole_products(work.images, work.pairs_from))
    if resolved(work.method, work.images, work.exact_rows) == "approximate":
        whole = _busy_approximate(work, rates) / max(rates.pair, 1e-12)
    share = products / max(1.0, whole)
    return Upkeep(
        kept_up=share < work.rebuild_share,
        added=change.added,
        gone=change.gone,
        share=round(share, 4),
        rebuild_share=work.rebuild_share,
        core_seconds=round(products * rates.pair + _moved(work, change) * LOADED, 3),
    )


def _moved(work: Work, change: Change) -> int:
    """Bytes: vectors then and now, pools read and written twice, and the added for each range."""
    ranges = range_count(work.images, work.block_rows, work.cores)
    vectors = 4 * work.dim * (3 * work.images + ranges * change.added)
    return vectors + 4 * 12 * work.images * work.pool


def _kept_up(work: Work, rates: Rates, upkeep: Upkeep) -> Figures:
    """Each range of the vectors meets what is added."""
    ranges = range_count(work.images, work.block_rows, work.cores)
    tasks = 3 * ranges + 2 * -(-upkeep.added // work.block_rows)
    size, change = 12 * work.images * work.pool, work.change
    assert change is not None
    rows = -(-work.images // ranges)
    held = rows * (4 * work.dim + 24 * work.pool) + _held(work, -(-work.images // work.block_rows))
    return Figures(
        bytes_read=_moved(work, change) - 2 * size,
        requests=8 * tasks,
        tasks=tasks,
        seconds=at_once(tasks, upkeep.core_seconds, work, rates),
        worker_bytes=PYTHON + held,
        bytes_written=size,
    )


def _why(work: Work, method: str) -> str:
    if work.method != "auto":
        return f"neighbors.method is {method}"
    side = "no more" if method == "exact" else "more"
    return (
        f"{work.images:,} vectors at most are {side} than neighbors.exact_rows = "
        f"{work.exact_rows:,}"
    )


def _exact(work: Work, rates: Rates) -> Figures:
    pairs = work.images >= work.pairs_from
    return _in_pairs(work, rates) if pairs else _one_sided(work, rates)


def _busy_exact(work: Work, rates: Rates) -> float:
    pairs = float(work.images) ** 2 * rates.pair
    laid = 2 * LAID * 4 * work.dim * work.images
    return ONCE * pairs + laid if work.images >= work.pairs_from else pairs


def _one_sided(work: Work, rates: Rates) -> Figures:
    """Each block of queries against all vectors."""
    rows, size = work.images, 4 * work.dim * work.images
    block = max(256, min(work.block_rows, -(-rows // work.cores)))
    blocks = -(-rows // block)
    held = min(rows, block) * (24 * work.pool + 8 * work.dim) + 96 * MB
    return Figures(
        bytes_read=blocks * size,
        requests=blocks * (3 + size // (64 * MB)),
        tasks=blocks,
        seconds=at_once(blocks, _busy_exact(work, rates), work, rates),
        worker_bytes=PYTHON + held,
    )


def _in_pairs(work: Work, rates: Rates) -> Figures:
    """Blocks of a layout, each with itself and with every other once."""
    rows, size = work.images, 4 * work.dim * work.images
    blocks = block_count(rows, work.block_rows, work.cores)
    pairs = blocks * (blocks - 1) // 2
    tasks = blocks + len(deal_pairs(blocks, rows, work.cores, 0, pairs))
    return Figures(
        bytes_read=(3 * blocks + pairs) * (size // blocks),
        requests=8 * (2 * blocks + pairs),
        tasks=tasks + 2 * blocks,
        seconds=shared_out(tasks, _busy_exact(work, rates), work, rates),
        worker_bytes=PYTHON + _held(work, blocks),
        bytes_written=size + 12 * rows * work.pool * len(cut_pairs(blocks, rows, work.cores)),
    )


def _held(work: Work, blocks: int) -> int:
    """Bytes of a task in which two blocks meet."""
    block = -(-work.images // blocks)
    return block * (8 * (4 * work.dim + 8) + 100 * (work.pool + 1)) + 120 * MB


def _around(work: Work, blocks: int) -> int:
    """Bytes of the vectors in other blocks from which one is filled."""
    block, near = -(-work.images // blocks), NEARBY // 2 if work.dim >= LONG else NEARBY
    return COPIES * 4 * work.dim * min(int(AROUND * near * block), work.images - block)


def _approximate(work: Work, rates: Rates) -> Figures:
    """Blocks of a layout, each with itself and with those of which one looks at the other."""
    rows, size = work.images, 4 * work.dim * work.images
    if fits_alone(rows, work.dim, work.pool):
        return Figures(
            bytes_read=size,
            requests=4 + size // (64 * MB),
            tasks=1,
            seconds=_busy_approximate(work, rates),
            worker_bytes=PYTHON + alone_bytes(rows, work.dim, work.pool),
            bytes_written=12 * rows * work.pool,
        )
    blocks, pairs = _met(work)
    tasks = blocks + min(pairs, 6 * work.cores)
    return Figures(
        bytes_read=(4 * blocks + pairs) * (size // max(1, blocks)),
        requests=8 * (3 * blocks + pairs),
        tasks=tasks + 2 * blocks,
        seconds=at_once(tasks, _busy_approximate(work, rates), work, rates),
        worker_bytes=PYTHON + _held(work, blocks) + _around(work, blocks),
        bytes_written=size + 24 * rows * work.pool,
    )


def _busy_approximate(work: Work, rates: Rates) -> float:
    rows, size = float(work.images), 4 * work.dim * work.images
    probes, cells = _probes(work)
    blocks, pairs = _met(work)
    sample = min(rows, max(500.0, min(4000.0, rows / 200)))
    seen = SEEN * rows * probes * rows / cells
    loaded = LOADED * (2 * blocks + pairs) * size / blocks
    return (seen + sample * rows + 2 * rows * cells) * rates.pair + 2 * LAID * size + loaded


def _met(work: Work) -> tuple[int, int]:
    """Blocks, and pairs of them that meet: each looks at some others."""
    blocks = seen_blocks(work.images, work.block_rows, work.cores)
    probes, _ = _probes(work)
    return blocks, int(blocks * min((blocks - 1) / 2, 2 * probes))


def _probes(work: Work) -> tuple[int, int]:
    cells = max(1, int(2 * work.images**0.5))
    return min(cells, max(4, round(TYPICAL / (1 - work.recall)))), cells
