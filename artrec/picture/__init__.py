"""Pictures: limits, decoding, conversion, fingerprints.

``examine`` decides once, at ingest, whether some bytes are a picture; ``decode`` gives an encoder
its pixels later, and ``shrunk`` a small copy of the whole for people. What both promise:

- Only the formats of ``Limits.formats`` are opened; sizes are checked before pixels are allocated.
- First frame; EXIF orientation applied; alpha laid over ``Limits.background``; more than 8 bits
  scaled, not clipped; every colour mode converted to RGB. Colour profiles are not applied.
- A broken picture is a ``Reject`` (or a ``PictureError``) with a reason of ``REASONS``.

A ``Child`` does both where a crash or a hang costs a child process only, ``examine_in_child`` for
one picture, and ``watchdog`` ends a process that hangs.
"""

from __future__ import annotations

from artrec.picture.child import Child, examine_in_child
from artrec.picture.decoding import decode, examine, shrunk
from artrec.picture.fingerprint import perceptual_hash
from artrec.picture.records import (
    DECODER_VERSION,
    REASONS,
    Filter,
    Fit,
    Limits,
    Picture,
    PictureError,
    Reject,
    recipe,
)
from artrec.picture.watchdog import watchdog

__all__ = [
    "Child",
    "DECODER_VERSION",
    "Filter",
    "Fit",
    "Limits",
    "Picture",
    "PictureError",
    "REASONS",
    "Reject",
    "decode",
    "examine",
    "examine_in_child",
    "perceptual_hash",
    "recipe",
    "shrunk",
    "watchdog",
]
