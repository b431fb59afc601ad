"""Feeding a training: reading and decoding go on while the network works on what it has.

A thread takes the batches of a reader, and a few more decode them; what comes out is in the
reader's order, so that a training does not depend on who was faster.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from artrec.encoders.reader import Batch
from artrec.storage.ahead import Read, read_ahead

__all__ = ["decoders", "fed", "in_thread"]

T = TypeVar("T")

AHEAD = 4
"""Batches that are ready before they are asked for."""


def decoders(device: str) -> int:
    """How many threads decode for a training there: beside a network on a processor, one."""
    return 1 if device == "cpu" else min(8, os.cpu_count() or 1)


def fed(
    batches: Iterable[Batch], work: Callable[[Batch], T], threads: int = 1, ahead: int = AHEAD
) -> Generator[tuple[Batch, T]]:
    """Each batch with what ``work`` makes of it, in order, made by ``threads`` in the background.

    Held are ``ahead`` results that wait, and ``threads`` in the making. Whoever stops taking, or
    meets an error, leaves no thread and no open reader.
    """

    def made(batch: Batch) -> tuple[Batch, T]:
        return batch, work(batch)

    reads = (Read(partial(made, batch), 1) for batch in batches)
    return in_thread(lambda: read_ahead(reads, threads, threads), ahead, batches)


def in_thread(
    start: Callable[[], Iterator[T]], ahead: int, source: Iterable[object] = ()
) -> Generator[T]:
    """What an iterator gives that lives in a thread of its own, at most ``ahead`` of it waiting.

    An error comes out at its place. The iterator, and then ``source`` that it draws from, are
    closed in that thread, which has ended when this iterator has.
    """
    found: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    room, left = threading.Semaphore(ahead), threading.Event()

    def give(items: Iterator[T]) -> None:
        for item in items:
            room.acquire()
            if left.is_set():
                return
            found.put((True, item))
            del item

    def run() -> None:
        last: BaseException | None = None
        try:
            with _closed(source), _closed(items := start()):
                give(items)
        except BaseException as error:
            last = error
        found.put((False, last))

    thread = threading.Thread(target=run, name="artrec-feed", daemon=True)
    thread.start()
    try:
        while True:
            is_item, each = found.get()
            if not is_item:
                break
            yield each
            del each
            room.release()
        if each is not None:
            raise each
    finally:
        left.set()
        room.release()
        thread.join()


@contextmanager
def _closed(iterator: object) -> Iterator[None]:
    """Close it at the end, if it is of a kind that can be closed."""
    try:
        yield
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
