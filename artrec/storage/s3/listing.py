"""Lists of a bucket: page after page, and where there are subfolders several of them at once.

Subfolders are looked up with a delimiter, and their names cut what is left of the list into
ranges of keys. A range is listed by its first and last key, not by a prefix, so the ranges together
are the plain list, in its order, whatever the names found are.
"""

from __future__ import annotations

import pickle
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from typing import Any, Protocol

from artrec.errors import ConfigError

__all__ = ["Found", "Listing", "NAME", "Pages"]

NAME = "artrec-list"
"""Of the threads."""
_DEPTH = 3  # levels of subfolders that are looked at, below the folder that is listed
_WANTED = 4  # pages of a range, about
_BUFFERED = 32  # pages of a range that wait for their turn, packed

Found = tuple[str, int, str, datetime]
"""Key, bytes, etag and time of an object."""


class Pages(Protocol):
    """Whoever answers requests, as ``Asking`` does."""

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Page:
    """Objects in order, the last name that is known now, and how to go on (None: the end)."""

    found: Sequence[Found]
    last: str
    token: str | None

    def spans(self, level: int) -> int:
        """How many subfolders of a level the page has objects of."""
        return len({"/".join(key.split("/")[:level]) for key, *_ in self.found})


@dataclass(frozen=True)
class Listing:
    """Objects whose keys begin with ``folder``, by up to ``threads`` requests at a time.

    ``stopped`` is set when the rest is not wanted any more.
    """

    ask: Pages
    folder: str
    threads: int
    page_keys: int = 1000
    stopped: Event = field(default_factory=Event)

    def __iter__(self) -> Iterator[Found]:
        """Page after page, until one ends in a subfolder; then the ranges that lie behind it."""
        after, token, pages, pause = "", None, 0, 1
        while True:
            page = self.page(after, token)
            yield from page.found
            after, token, pages = page.last, page.token, pages + 1
            if token is None:
                return
            if not page.found:  # a store may answer so where much was deleted
                continue
            if self.threads > 1 and pages >= pause and "/" in after[len(self.folder) :]:
                bounds = self._bounds(after)
                spanned = page.spans(str(bounds[0]).count("/")) if bounds else 0
                if len(bounds) <= max(1, 2 * spanned):  # not worth it, and less often looked for
                    pages, pause = 0, 2 * pause
                    continue
                yield from _Ranges(self, [after, *bounds], spanned).found()
                if bounds[-1] is None:
                    return
                after, token, pages, pause = bounds[-1], None, 0, 1

    def page(self, after: str, token: str | None) -> _Page:
        """The first objects behind ``after``, or where ``token`` goes on."""
        more = {"StartAfter": after} if after else {}
        more = {"ContinuationToken": token} if token else more
        answer = self.ask("list_objects_v2", Prefix=self.folder, MaxKeys=self.page_keys, **more)
        found = [
            (each["Key"], each["Size"], each["ETag"].strip('"'), each["LastModified"])
            for each in answer.get("Contents", [])
        ]
        if found and token is None and found[0][0] <= after:
            raise ConfigError(
                f"the store lists {found[0][0]!r} where names behind {after!r} were asked for; set "
                "store.s3.listers=1 if it does not know start-after. One that lists in the order "
                "of names is needed (buckets of S3 Express do not)"
            )
        further = answer["NextContinuationToken"] if answer.get("IsTruncated") else None
        return _Page(found, found[-1][0] if found else after, further)

    def _bounds(self, after: str) -> list[str | None]:
        """Names behind ``after`` to cut the list at, the last one its end (None: that of all).

        Of the levels of subfolders the first that has enough, else that which has most.
        """
        best: list[str | None] = []
        limit: str | None = None
        for prefix in self._above(after):
            names, more = self._subfolders(prefix, after)
            bounds = [*names, *(() if more else (limit,))]
            if len(bounds) > len(best):
                best = bounds
            if len(names) >= self.threads:
                break
            limit = names[0] if names else limit
        return best

    def _above(self, key: str) -> list[str]:
        """The folder that is listed, and the folders on the way from there to a key."""
        parts = key[len(self.folder) :].split("/")[:-1][: _DEPTH - 1]
        ends = range(len(parts) + 1)
        return [self.folder + "".join(f"{part}/" for part in parts[:end]) for end in ends]

    def _subfolders(self, prefix: str, after: str) -> tuple[list[str], bool]:
        """Up to one page of them behind ``after``, and whether there may be more."""
        more = {"StartAfter": after, "MaxKeys": self.page_keys}
        answer = self.ask("list_objects_v2", Prefix=prefix, Delimiter="/", **more)
        names = {each["Prefix"] for each in answer.get("CommonPrefixes", [])}
        return sorted(name for name in names if name > after), bool(answer.get("IsTruncated"))


@dataclass
class _Range:
    """Keys behind ``low`` up to ``high``, fetched by a thread; pages wait packed for their turn.

    It is made of ``parts`` neighboring names of the bounds.
    """

    low: str
    high: str | None
    parts: int
    thread: Thread | None = None
    pages: SimpleQueue[bytes | BaseException | None] = field(default_factory=SimpleQueue)
    room: Semaphore = field(default_factory=lambda: Semaphore(_BUFFERED))

    @property
    def fetching(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


class _Ranges:
    """Neighboring ranges, listed by threads some steps ahead of who takes what they find.

    In memory: twice ``threads`` ranges, each with ``_BUFFERED`` packed pages at most. A page may
    reach beyond its range, so ranges are some pages long where there are bounds enough.
    """

    def __init__(
        self, listing: Listing, bounds: Sequence[str | None], parts_of_a_page: int
    ) -> None:
        self._listing = listing
        self._bounds = bounds
        self._next = 0  # of the bounds: where the next range begins
        self._most = max(1, len(bounds) // listing.threads)
        self._parts = max(1, min(self._most, parts_of_a_page * _WANTED))
        self._lock = Lock()
        self._ahead: deque[_Range] = deque()

    def found(self) -> Iterator[Found]:
        """All objects, in order. However it ends, no thread is left."""
        try:
            self._start()
            while self._ahead:
                yield from self._drained(self._ahead[0])
                self._ahead.popleft()
                self._start()
        except BaseException:
            self._stop()
            raise

    def _drained(self, first: _Range) -> Iterator[Found]:
        while (packed := first.pages.get()) is not None:
            if isinstance(packed, BaseException):
                raise packed
            first.room.release()
            self._start()
            yield from pickle.loads(zlib.decompress(packed))
        if first.thread is not None:
            first.thread.join()

    def _start(self) -> None:
        """Threads for the next ranges, as many as may be."""
        threads = self._listing.threads
        while len(self._ahead) < 2 * threads and sum(r.fetching for r in self._ahead) < threads:
            claimed = self._claim()
            if claimed is None:
                return
            claimed.thread = Thread(target=self._fetch, args=(claimed,), name=NAME, daemon=True)
            self._ahead.append(claimed)
            claimed.thread.start()

    def _claim(self) -> _Range | None:
        with self._lock:
            low = self._bounds[self._next]
            end = min(self._next + self._parts, len(self._bounds) - 1)
            if low is None or end == self._next:
                return None
            begun, self._next = self._next, end
            return _Range(low, self._bounds[end], end - begun)

    def _fetch(self, of: _Range) -> None:
        try:
            fetched = 0
            for packed in self._packed(of):
                of.room.acquire()
                of.pages.put(packed)
                fetched += 1
            with self._lock:  # the next ranges are to have the wanted length
                self._parts = max(1, min(self._most, of.parts * _WANTED // max(1, fetched)))
            of.pages.put(None)
        except BaseException as error:
            of.pages.put(error)

    def _packed(self, of: _Range) -> Iterator[bytes]:
        after, token, on = of.low, None, True
        while on and not self._listing.stopped.is_set():
            page = self._listing.page(after, token)
            self._grow(of, page)
            kept = [each for each in page.found if of.high is None or each[0] <= of.high]
            yield zlib.compress(pickle.dumps(kept), 1)
            after, token = page.last, page.token
            on = token is not None and len(kept) == len(page.found)

    def _grow(self, of: _Range, page: _Page) -> None:
        """A page that holds all of what lies behind its range takes that in, if nobody has begun.

        So a row of small subfolders costs a request for each page, not for each of them.
        """
        with self._lock:
            while of.high == self._bounds[self._next] and self._holds_next(page):
                self._next += 1
                of.high, of.parts = self._bounds[self._next], of.parts + 1

    def _holds_next(self, page: _Page) -> bool:
        if self._next == len(self._bounds) - 1:
            return False
        end = self._bounds[self._next + 1]
        return page.token is None or (end is not None and page.last > end)

    def _stop(self) -> None:
        self._listing.stopped.set()
        for each in self._ahead:
            each.room.release()  # wakes one that waits for room
        for each in self._ahead:
            if each.thread is not None and each.fetching:
                each.thread.join()
