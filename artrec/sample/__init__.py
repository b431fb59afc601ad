"""A sample archive of procedural paintings in WikiArt's layout, with a truth planted in it.

Twelve styles, each a family of palettes, strokes and compositions; in each some artists, each a
region of the style. So a descriptor of colour and texture must find pictures of the same style
and the same artist far above chance, though not always: styles overlap. The names have WikiArt's
oddities, some pictures stand there twice, and any number of broken members can be added, of which
``broken_members`` knows the kinds. The archive depends on (images, seed, broken) alone, with one
version of numpy and Pillow: not on the number of processes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from artrec.errors import UsageError
from artrec.sample.archive import BROKEN_KINDS, member_bytes, write_zip
from artrec.sample.plan import Member, plan_members

__all__ = ["BROKEN_KINDS", "SampleReport", "broken_members", "write_sample"]

_BATCH = 16
_WORTH_PROCESSES = 200


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What a sample archive holds.

    ``members`` counts all of them, the ``broken`` ones too; ``pictures`` counts the distinct
    contents of the good ones; ``bytes`` is the size of the archive.
    """

    path: Path
    members: int
    pictures: int
    styles: int
    artists: int
    broken: int
    bytes: int


def write_sample(
    path: Path, images: int, seed: int = 0, broken: int = 0, workers: int | None = None
) -> SampleReport:
    """Write a zip of ``images`` good members and ``broken`` others, sorted by name.

    Equal arguments give equal bytes. From 200 members on they are painted in ``workers``
    processes (one for each core unless told; 1 means none besides this one), started afresh, so
    that a script calls this under ``if __name__ == "__main__":``. A picture takes about 16 ms of a
    core and 22 kB of the archive; memory holds the names and a few batches of pictures.

    Raises UsageError for numbers or a path that make no archive.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name the zip file to write")
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; it must be at least 1")
    members = _plan(images, seed, broken)
    processes = (workers or os.cpu_count() or 1) if len(members) >= _WORTH_PROCESSES else 1
    path.parent.mkdir(parents=True, exist_ok=True)
    # Closed even when a write fails, so that no process goes on painting for nobody.
    with closing(_contents(members, seed, processes)) as contents:
        size = write_zip(path, contents)
    works = {member.work for member in members if member.kind is None}
    return SampleReport(
        path=path,
        members=len(members),
        pictures=len(works),
        styles=len({work.style for work in works}),
        artists=len({(work.style, work.artist) for work in works}),
        broken=broken,
        bytes=size,
    )


def broken_members(images: int, seed: int, broken: int) -> dict[str, str]:
    """The broken members of a sample by name, each with its kind, a key of ``BROKEN_KINDS``.

    Kinds take turns in the order of ``BROKEN_KINDS``. Raises UsageError as ``write_sample`` does.
    """
    members = _plan(images, seed, broken)
    return {member.name: member.kind for member in members if member.kind is not None}


def _plan(images: int, seed: int, broken: int) -> list[Member]:
    for name, value, least in (("images", images, 1), ("seed", seed, 0), ("broken", broken, 0)):
        if value < least:
            raise UsageError(f"{name} is {value}; it must be at least {least}")
    return plan_members(images, seed, broken, tuple(BROKEN_KINDS))


def _contents(
    members: Sequence[Member], seed: int, processes: int
) -> Generator[tuple[Member, bytes], None, None]:
    """Each member with its bytes, in order; few batches are ahead of the one being taken."""
    if processes == 1:
        for member in members:
            yield member, member_bytes(member, seed)
        return
    batches = (members[start : start + _BATCH] for start in range(0, len(members), _BATCH))
    # Spawned: forking a process that has threads (a JVM's, a BLAS's) may hang the child.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ahead: deque[tuple[Sequence[Member], Future[list[bytes]]]] = deque()
        try:
            for batch in batches:
                ahead.append((batch, pool.submit(_batch_bytes, batch, seed)))
                if len(ahead) > 2 * processes:
                    yield from _taken(*ahead.popleft())
            while ahead:
                yield from _taken(*ahead.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _batch_bytes(batch: Sequence[Member], seed: int) -> list[bytes]:
    return [member_bytes(member, seed) for member in batch]


def _taken(batch: Sequence[Member], future: Future[list[bytes]]) -> Iterator[tuple[Member, bytes]]:
    try:
        contents = future.result()
    except BrokenProcessPool as error:
        raise UsageError(
            "a painting process ended before its work was done: call write_sample under "
            'if __name__ == "__main__":, or with workers=1'
        ) from error
    yield from zip(batch, contents, strict=True)
