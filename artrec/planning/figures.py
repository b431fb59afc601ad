"""What plans are made of: what there is to do, what it takes, and what comes out of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from artrec.planning.maintaining import Change

__all__ = ["Figures", "MB", "Prices", "Rates", "RuledWork", "WRITING", "Work", "cost", "total"]

MB = 1 << 20
WRITING = 4e-9  # a byte written: compressed, hashed, its row's digest


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
    """What a sample took of one core of the driver, in seconds of its processor.

    ``examine`` and ``encode`` are seconds for each byte of a picture (reading left out; decoding
    and the forward pass), ``decode`` for one picture at a small size, ``pair`` for one distance of
    the join. Reading ``n`` bytes takes ``request + n * byte``. ``pixels`` are of the largest
    picture met.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pace: float = 1.0
    busy: float = 1.0
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
class RuledWork:
    """A table under a rule: what its rule says, how many it lists and keeps, and among how many
    it picks for diversity. ``kept`` says that the current release has it, to be kept up to date.
    """

    name: str
    k: int
    pool: int
    within: bool = False
    never: bool = False
    counted: bool = False
    flagged: bool = False
    candidates: int = 0
    kept: bool = False


@dataclass(frozen=True)
class Work:
    """What there is to do, and how it is cut. ``kept`` names stages that find their work done.

    ``trial_trees`` are those of the index that tuning builds beside, 0 where it builds none.
    ``alone_bytes`` are of the largest source that one task has to read alone. A night that
    ``trains`` is taken to keep the hand-made encoder; ``torch`` says that the named one needs it.
    ``beside`` vectors stand by shards of the index that are kept; None where they are built.
    One that ``joins`` makes the lists without a rule; ``ruled`` are the tables under rules to make.
    ``change`` is what came and went at most since a table that can be kept up to date.
    """

    listed: int
    listed_bytes: int
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
    slice_bytes: int = 256 * MB
    embed_slice_bytes: int = 256 * MB
    batch: int = 32
    side: int = 256
    k: int = 50
    pool: int = 64
    block_rows: int = 16_384
    pairs_from: int = 32_768
    method: str = "auto"
    exact_rows: int = 3_000_000
    recall: float = 0.98
    trees: int = 20
    trial_trees: int = 0
    shards: int = 1
    beside: int | None = None
    queries: int = 2000
    sample: int = 5000
    decoded: int = 5000
    map_points: int = 8000
    thumbnails: int = 600
    embeddings: bool = True
    examples: int = 0
    epochs: int = 0
    example_flops: float = 0.0
    example_bytes: int = 6000
    sources: int = 1
    alone_bytes: int = 0
    joins: bool = True
    ruled: tuple[RuledWork, ...] = ()
    change: Change | None = None
    rebuild_share: float = 0.5

    @property
    def picture_bytes(self) -> float:
        """Of a picture on average."""
        return self.listed_bytes / self.listed if self.listed else 0.0


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
