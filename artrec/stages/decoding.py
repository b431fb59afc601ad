"""Decoding stored pictures in a task: here, or in a child process once a worker has died of one.

A first attempt decodes in the worker, under a watchdog; what kills the worker is met by a later
attempt, whose child it kills instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from artrec import picture
from artrec.config import IngestSettings
from artrec.encoders import Preprocess
from artrec.stages.rejects import Rejected
from artrec.stages.rules import picture_limits

__all__ = ["Decode", "Pixels", "decode_here", "decoder", "shrinker"]

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Decode = Callable[[bytes], Pixels | Rejected]
"""From a picture's bytes to pixels, uint8 [h, w, 3]."""


def decoder(
    wanted: Preprocess, settings: IngestSettings, in_child: bool
) -> AbstractContextManager[Decode]:
    """Gives what an encoder wants of a picture."""
    how = (wanted.size, wanted.fit, wanted.filter)
    return _guarded(
        settings,
        in_child,
        here=lambda data, limits: picture.decode(data, limits, *how),
        far=lambda data, child: child.decode(data, *how),
    )


def shrinker(side: int, settings: IngestSettings, in_child: bool) -> AbstractContextManager[Decode]:
    """Gives the picture with no side longer than ``side``."""
    return _guarded(
        settings,
        in_child,
        here=lambda data, limits: picture.shrunk(data, limits, side),
        far=lambda data, child: child.shrunk(data, side),
    )


def decode_here(wanted: Preprocess, limits: picture.Limits, data: bytes) -> Pixels | Rejected:
    """The same as a ``decoder``, in this process and without a watchdog."""
    try:
        return picture.decode(data, limits, wanted.size, wanted.fit, wanted.filter)
    except picture.PictureError as error:
        return Rejected(error.reason, error.detail)


@contextmanager
def _guarded(
    settings: IngestSettings,
    in_child: bool,
    here: Callable[[bytes, picture.Limits], Pixels],
    far: Callable[[bytes, picture.Child], Pixels | picture.Reject],
) -> Iterator[Decode]:
    limits, seconds = picture_limits(settings), float(settings.decode_seconds)

    def watched(data: bytes) -> Pixels | Rejected:
        try:
            with picture.watchdog(seconds, "a stored picture"):
                return here(data, limits)
        except picture.PictureError as error:
            return Rejected(error.reason, error.detail)

    if not in_child:
        yield watched
        return
    with picture.Child(limits, None, seconds, settings.decode_memory) as child:

        def asked(data: bytes) -> Pixels | Rejected:
            found = far(data, child)
            if isinstance(found, picture.Reject):
                return Rejected(found.reason, found.detail)
            return found

        yield asked
