"""A timed sample on the driver: some pictures read, examined and encoded, without a JVM.

What it takes is bounded by ``plan.sample_seconds``, but for the one picture under way. Work is
timed by the processor, so that a moment in which others had it says nothing. What they take is
told by how many processes run meanwhile, and did in the last minute, for Spark on this very machine
alone: the smaller counts, as the minute remembers a night that has just ended. Nothing is written.
What cannot be read or decoded is no error here: the night itself will say so.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from artrec import picture
from artrec.archive import Archive, Member
from artrec.config import Settings
from artrec.encoders import Encoder
from artrec.errors import ConfigError
from artrec.planning import Rates
from artrec.stages.rules import picture_limits
from artrec.vectors import Block, join

__all__ = ["GROUP", "GROUPS", "Sampled", "busy", "pace", "sample"]

GROUPS, GROUP = 4, 8
"""Places of the listing that are looked at, and neighboring members at each."""

_PACE_SECONDS = 0.011  # of _plain_python on an idle core of the reference machine
_OWN_LOAD = 0.5  # of the driver and of a Spark that has just started
_QUERIES, _VECTORS = 256, 16_384
_SMALL = (128, 128)

Sampled = Sequence[tuple[Archive, Sequence[Member]]]
"""Members that lie beside each other, and the archive that they are in."""


@dataclass
class _Seen:
    """Sums over the pictures of a sample."""

    bytes: int = 0
    pictures: int = 0
    pixels: int = 0
    examine: float = 0.0
    encode: float = 0.0
    decode: float = 0.0
    reads: list[tuple[int, float]] = field(default_factory=list)
    running: list[float] = field(default_factory=list)


def sample(
    groups: Sampled, settings: Settings, encoder: Encoder, vectors: int, cores: int
) -> Rates:
    """Rates of one core now; those of the reference machine where there is nothing to measure.

    ``vectors`` is how many the join will meet, on so many ``cores``.
    """
    begun, budget = time.perf_counter(), settings.plan.sample_seconds
    usual = Rates()
    if not budget:
        return usual
    slow = pace()
    seen = _seen(groups, settings, encoder, begun + 0.8 * budget)
    request, byte = _reading(seen.reads, usual)
    return Rates(
        pace=slow,
        busy=busy(cores, _load(seen.running), os.cpu_count() or 1),
        request=request,
        byte=byte,
        pair=_pair(encoder.dim, vectors) if vectors else usual.pair * slow,
        examine=seen.examine / seen.bytes if seen.bytes else usual.examine * slow,
        encode=seen.encode / seen.bytes if seen.pictures else usual.encode * slow,
        decode=seen.decode / seen.pictures if seen.pictures else usual.decode * slow,
        pixels=seen.pixels or usual.pixels,
        pictures=seen.pictures,
        seconds=time.perf_counter() - begun,
    )


def busy(cores: int, load: float, here: int) -> float:
    """How many times longer tasks on all ``cores`` take beside what else runs on this machine.

    ``load`` is the mean number of running processes, of which the driver is a part of one. More
    cores than are ``here`` are of other machines, of which nothing is known.
    """
    return 1.0 if cores > here else 1.0 + max(0.0, load - _OWN_LOAD) / here


def _load(running: Sequence[float]) -> float:
    minute = os.getloadavg()[0]
    return min(minute, statistics.fmean(running)) if running else minute


def _running() -> Iterator[float]:
    """Other processes and threads that run now; nothing where there is no Linux to ask."""
    with suppress(OSError), open("/proc/stat", encoding="ascii") as lines:
        yield from (float(line.split()[1]) - 1 for line in lines if line.startswith("procs_run"))


def pace() -> float:
    """How many times the processor's seconds of a reference core plain Python takes."""
    return max(0.2, statistics.median(_timed(_plain_python) for _ in range(7)) / _PACE_SECONDS)


def _plain_python() -> int:
    counts: dict[int, int] = {}
    mixed = 0
    for i in range(60_000):
        counts[i % 997] = counts.get(i % 997, 0) + i * 3 % 7
        mixed ^= hash((i, mixed)) & 0xFFFF
    return mixed


def _timed(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _seen(groups: Sampled, settings: Settings, encoder: Encoder, until: float) -> _Seen:
    seen, warm = _Seen(), False
    for data in _read(groups, seen):
        if not warm:  # the first picture pays for imports
            _look(data, settings, encoder, _Seen())
            warm = True
        _look(data, settings, encoder, seen)
        seen.running += _running()
        if time.perf_counter() > until:
            break
    return seen


def _read(groups: Sampled, seen: _Seen) -> Iterator[bytes]:
    """Bytes of the members, each group by ranges of its own; the first member alone before."""
    for archive, members in groups:
        for part in [members[:1], members[1:]] if not seen.reads else [members]:
            begun = time.perf_counter()
            found = list(archive.read(part)) if part else []
            if part:
                size = sum(member.stored_bytes for member in part)
                seen.reads.append((size, time.perf_counter() - begun))
            yield from (content.data for content in found if content.data)


def _look(data: bytes, settings: Settings, encoder: Encoder, seen: _Seen) -> None:
    limits, wanted = picture_limits(settings.ingest), encoder.preprocess
    begun = time.process_time()
    found = picture.examine(data, limits, settings.ingest.max_side or None)
    examined = time.process_time()
    seen.bytes += len(data)
    seen.examine += examined - begun
    if not isinstance(found, picture.Picture):
        return
    try:
        pixels = picture.decode(found.data, limits, wanted.size, wanted.fit, wanted.filter)
        with suppress(ConfigError):  # vectors made elsewhere encode nothing, and cost nothing
            encoder.encode(pixels[np.newaxis])
        encoded = time.process_time()
        picture.decode(found.data, limits, _SMALL, "stretch", "box")
    except picture.PictureError:
        return
    seen.encode += encoded - examined
    seen.decode += time.process_time() - encoded
    seen.pictures += 1
    seen.pixels = max(seen.pixels, found.width * found.height)


def _reading(reads: Sequence[tuple[int, float]], usual: Rates) -> tuple[float, float]:
    """(seconds of a request, seconds of a byte) from a small read and larger ones after it."""
    if len(reads) < 2:
        return usual.request, usual.byte
    small, rest = reads[0], reads[1:]
    size, seconds = statistics.median(n for n, _ in rest), statistics.median(t for _, t in rest)
    byte = max(0.0, seconds - small[1]) / size if size > small[0] else usual.byte
    return max(0.0, min(small[1], seconds)), byte


def _pair(dim: int, vectors: int) -> float:
    """Seconds of one pair of the join, on vectors without any order."""
    random = np.random.default_rng(0)
    count = max(2, min(vectors, _VECTORS))
    values = random.random((count, dim), np.float32)
    block = Block(np.arange(count, dtype=np.int64), values)
    queries = Block(block.numbers[:_QUERIES], values[:_QUERIES])
    asked = len(queries.numbers)

    def once() -> None:
        join(queries, [block], k=64, metric="cosine", total=count)

    return min(_timed(once) for _ in range(3)) / (asked * count)  # threads of a BLAS may spin
