"""Range reads of one pinned object, and the plan that makes few large ones of many small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from artrec.archive import Pin
from artrec.errors import ConditionFailed, InputError, NotFound, StoreUnavailable
from artrec.storage import Store

__all__ = ["Ranges", "Window", "plan_windows"]

_GAP = 1 << 20  # bytes between two spans that are cheaper to read than another request
_WINDOW = 64 << 20


@dataclass(frozen=True, slots=True)
class Ranges:
    """Reads of the object that ``pin`` names, as long as it is that one."""

    store: Store
    pin: Pin

    @property
    def url(self) -> str:
        return self.store.path_url(self.pin.path)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes, cut only at the end of the object."""
        length = min(length, self.pin.bytes - offset)
        if length <= 0:
            return b""
        try:
            data = self.store.read(self.pin.path, offset, length, self.pin.etag)
        except ConditionFailed as error:
            raise InputError(
                f"{self.url}: archive changed during the run ({error}); "
                "leave it alone and start the run again"
            ) from error
        except NotFound as error:
            raise InputError(
                f"{self.url}: archive vanished during the run; put it back and start the run again"
            ) from error
        if len(data) != length:
            raise StoreUnavailable(
                f"{self.url}: {len(data)} bytes came of {length} at {offset}; "
                "run the same command again"
            )
        return data


@dataclass(frozen=True, slots=True)
class Window:
    """One range read ``[start, end)`` that covers the spans ``[first, last)`` of a plan."""

    first: int
    last: int
    start: int
    end: int


def plan_windows(
    spans: Sequence[tuple[int, int]], gap: int = _GAP, window: int = _WINDOW
) -> Iterator[Window]:
    """Windows over ``spans`` ((start, end), sorted by start), each span inside one window.

    Spans less than ``gap`` bytes apart share a window of at most ``window`` bytes; a larger span
    has one to itself.
    """
    first = 0
    while first < len(spans):
        start, end = spans[first]
        last = first + 1
        while last < len(spans):
            reach = max(end, spans[last][1])
            if spans[last][0] - end > gap or reach - start > window:
                break
            end, last = reach, last + 1
        yield Window(first, last, start, end)
        first = last
