"""Reading ahead: what comes next is on its way while what has come is worked on.

A store answers a request after some tens of milliseconds, as long as a core takes for one or two
pictures; a task that waits for each answer leaves its core idle for as long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["Read", "read_ahead"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """Something to read, of about ``bytes``."""

    call: Callable[[], T]
    bytes: int


def read_ahead(reads: Iterable[Read[T]], at_once: int, ahead_bytes: int) -> Iterator[T]:
    """The results of ``reads``, in order, ``at_once`` of them asked for at a time.

    What is on its way or waits to be taken is at most ``ahead_bytes``, and the result in the
    taker's hands comes on top; a read that is larger is asked for alone. An error comes out at the
    place of its read. Whoever stops taking waits for the requests that are on their way; no thread
    stays.
    """
    waiting: deque[tuple[int, Future[T]]] = deque()
    left = deque(islice(reads := iter(reads), 1))

    def ask(pool: ThreadPoolExecutor, in_hand: int) -> None:
        while left and len(waiting) <= at_once:
            held = sum(size for size, _ in waiting)
            if len(waiting) + in_hand and held + left[0].bytes > ahead_bytes:
                return
            read = left.popleft()
            waiting.append((read.bytes, pool.submit(read.call)))
            left.extend(islice(reads, 1))

    with ThreadPoolExecutor(at_once, "artrec-read") as pool:
        try:
            ask(pool, in_hand=0)
            while waiting:
                found = waiting.popleft()[1].result()
                ask(pool, in_hand=1)
                yield found
                del found
                ask(pool, in_hand=0)
        finally:
            for _, future in waiting:
                future.cancel()
