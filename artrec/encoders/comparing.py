"""A trained encoder beside the hand-made one, on the examples that the training held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from artrec import picture
from artrec.encoders import Encoder, contest
from artrec.encoders.contest import Score
from artrec.storage import Store
from artrec.tables import Receipt, read_table

__all__ = ["Compared", "compared"]

AT_ONCE = 64
MOST = 2000
"""Held-out examples that the comparison looks at, by their hashes."""

Pixels = NDArray[np.uint8]
Row = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """Whether the trained encoder won, a sentence that says why, and both scores."""

    won: bool
    why: str
    trained: Score
    handmade: Score


def compared(
    store: Store, encoder: Encoder, examples: Sequence[Receipt], vectors: Sequence[Receipt]
) -> Compared:
    """Whether the encoder beats the hand-made one on held-out examples.

    It sees the examples, which are the very pixels that its preprocess makes of a picture; the
    hand-made one has seen the stored pictures themselves, by its own preprocess: ``vectors``.
    """
    rows = list(islice(_held_out(store, examples), MOST))
    ours = _seen(encoder, rows)
    keys = [row["content_sha256"] for row in rows]
    theirs, others = _handmade(store, vectors, keys)
    for label in ("artist", "style"):
        names = [row[label] for row in rows]
        if contest.has_enough(names):
            mine = contest.by_label(label, ours, names, encoder.metric)
            other = contest.by_label(label, theirs, names)
            break
    else:
        copies = _seen(encoder, rows, contest.altered)
        mine = contest.by_copies(ours, copies, encoder.metric)
        other = contest.by_copies(theirs, others)
    return Compared(*contest.verdict(mine, other), mine, other)


def _seen(
    encoder: Encoder, rows: Sequence[Row], changed: Callable[[Pixels], Pixels] = lambda same: same
) -> NDArray[np.float32]:
    """The vectors of these examples, or of what becomes of them; few pictures at a time."""
    wanted = (encoder.preprocess.size, encoder.preprocess.fit, encoder.preprocess.filter)
    parts = [np.empty((0, encoder.dim), np.float32)]
    for start in range(0, len(rows), AT_ONCE):
        data = (row["picture"] for row in rows[start : start + AT_ONCE])
        pixels = np.stack([picture.decode(each, picture.Limits(), *wanted) for each in data])
        parts.append(encoder.encode(changed(pixels)))
    return np.concatenate(parts)


def _handmade(
    store: Store, receipts: Sequence[Receipt], keys: Sequence[bytes]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The hand-made encoder's vectors of these examples, and of their copies: [n, dim] each.

    All held-out examples are read past; only those asked for become numbers of Python.
    """
    wanted, found = set(keys), {}
    for batch in read_table(store, receipts):
        names = batch.column("content_sha256").to_pylist()
        mine = [place for place, name in enumerate(names) if name in wanted]
        for row in batch.take(pa.array(mine, pa.int64())).to_pylist():
            found[row["content_sha256"]] = (row["embedding"], row["copy_embedding"])
    first, copies = (np.array([found[key][n] for key in keys], np.float32) for n in range(2))
    return first, copies


def _held_out(store: Store, examples: Sequence[Receipt]) -> Iterator[Row]:
    columns = ["content_sha256", "split", "picture", "style", "artist"]
    for batch in read_table(store, examples, columns):
        for row in batch.to_pylist():
            if row["split"] == "held_out":
                yield row
