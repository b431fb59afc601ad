"""Which of two encoders finds better: compared on pictures that neither has seen.

Where enough examples share one of several labels (artists, else styles), each of those asks for
its nearest others by the encoder's metric: the share of first neighbors with its label, and the
mean share among the first five. Without such labels a mirrored and cropped copy of each picture
asks for its original among all.
Unless the trained one has more first neighbors right, and no fewer of the first five, the hand-made
encoder stays, which costs nothing and was fitted to nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artrec.encoders import Metric

__all__ = ["ENOUGH", "Score", "altered", "by_copies", "by_label", "has_enough", "verdict"]

ENOUGH = 20
"""Queries below which a comparison says nothing."""

AMONG = 5
_CROP = 1 / 8  # of each side


@dataclass(frozen=True)
class Score:
    """How one encoder did; ``at_5`` is None for copies, of which there is one each."""

    label: str
    queries: int
    at_1: float
    at_5: float | None

    def __str__(self) -> str:
        if self.at_5 is None:
            return f"recall@1 {self.at_1:.3f}"
        return f"precision@1 {self.at_1:.3f} and precision@5 {self.at_5:.3f}"


def has_enough(labels: Sequence[str | None]) -> bool:
    """Whether ENOUGH examples share their label with another one, and there are two labels.

    Of one label alone every encoder finds everything.
    """
    return len(_queries(labels)) >= ENOUGH and len({name for name in labels if name}) > 1


def by_label(
    label: str,
    vectors: NDArray[np.float32],
    labels: Sequence[str | None],
    metric: Metric = "cosine",
) -> Score:
    """Leave-one-out, micro: each example with a partner asks among all others.

    Of equally near ones the earlier example counts as the nearer one.
    """
    queries = _queries(labels)
    likeness = _likeness(vectors[queries], vectors, metric)
    likeness[np.arange(len(queries)), queries] = -np.inf
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : min(AMONG, len(labels) - 1)]
    names = np.array([name or "" for name in labels])
    hits = names[nearest] == names[queries][:, None]
    return Score(label, len(queries), float(hits[:, 0].mean()), float(hits.mean()))


def by_copies(
    vectors: NDArray[np.float32], copies: NDArray[np.float32], metric: Metric = "cosine"
) -> Score:
    """Each copy asks among all originals for its own, row for row."""
    nearest = np.argmax(_likeness(copies, vectors, metric), axis=1)
    return Score("copies", len(copies), float((nearest == np.arange(len(copies))).mean()), None)


def altered(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirrored, and an eighth cropped from each side: ``uint8 [n, h, w, 3]``, of the same size."""
    height, width = pictures.shape[1:3]
    box = (width * _CROP, height * _CROP, width * (1 - _CROP), height * (1 - _CROP))
    changed = (
        Image.fromarray(each[:, ::-1]).resize((width, height), Image.Resampling.BICUBIC, box)
        for each in np.ascontiguousarray(pictures)
    )
    return np.stack([np.asarray(each) for each in changed])


def verdict(trained: Score, handmade: Score) -> tuple[bool, str]:
    """Whether the trained encoder is to be used, and a sentence that names both scores."""
    what = {"copies": ", at finding mirrored and cropped copies"}.get(
        trained.label, f" that ask one another, by {trained.label}"
    )
    scores = (
        f"on {trained.queries} held-out examples{what}, the trained encoder reached {trained}, "
        f"the hand-made one {handmade}"
    )
    if trained.queries < ENOUGH:
        return False, f"hand-made: {scores}; fewer than {ENOUGH} say nothing"
    if trained.at_1 > handmade.at_1 and (trained.at_5 or 0.0) >= (handmade.at_5 or 0.0):
        return True, f"trained: {scores}"
    return False, f"hand-made: {scores}; the trained one would have to be better"


def _likeness(
    asking: NDArray[np.float32], asked: NDArray[np.float32], metric: Metric
) -> NDArray[np.float32]:
    """Greater is nearer, in each row; vectors for cosine have length 1."""
    products: NDArray[np.float32] = asking @ asked.T
    if metric == "euclidean":
        products = 2 * products - np.square(asked).sum(axis=1)
    return products


def _queries(labels: Sequence[str | None]) -> NDArray[np.int64]:
    """The examples whose label another one has too."""
    counts = Counter(name for name in labels if name)
    return np.flatnonzero([name is not None and counts[name] > 1 for name in labels])
