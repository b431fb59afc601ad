"""Maps: vectors in two or three dimensions, for people to look at."""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError
from artrec.vectors.distance import Floats

__all__ = ["SEED", "check_tsne", "codes_or_axes", "principal", "tsne"]

SEED = 0
_FEW = 4  # points, below which there are no neighbors to keep together
_AXES = 50  # that t-SNE is given, at most
_PERPLEXITY = 30.0


def codes_or_axes(vectors: Floats) -> tuple[str, Floats]:
    """("codes", the vectors themselves) of two or three numbers, else ("pca", [n, 3])."""
    if vectors.shape[1] in (2, 3):
        return "codes", vectors
    return "pca", principal(vectors, 3)


def principal(vectors: Floats, count: int) -> Floats:
    """Places [n, count] of ``vectors`` [n, d] along their principal axes, in float64.

    An axis points to where its largest component (the first of equals) is positive, so the same
    vectors give the same map. Axes that there are not are 0.
    """
    wide = vectors.astype(np.float64)
    wide -= wide.mean(axis=0) if len(wide) else 0.0
    _, axes = np.linalg.eigh(wide.T @ wide)
    axes = axes[:, ::-1][:, :count]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    places = np.zeros((len(wide), count))
    places[:, : axes.shape[1]] = wide @ axes
    return places.astype(np.float32)


def check_tsne() -> None:
    """ConfigError unless there is a library that knows t-SNE."""
    try:
        importlib.import_module("sklearn.manifold")
    except ImportError as error:
        raise ConfigError(
            f"a map by t-SNE needs scikit-learn ({error}): install artrec[maps], here and on the "
            "executors, or leave evaluate.tsne out"
        ) from None


def tsne(vectors: Floats) -> Floats | None:
    """Places [n, 2] by t-SNE, begun with the principal axes; None of too few vectors.

    Of more than 50 numbers the first 50 principal axes are taken.
    """
    if len(vectors) < _FEW or not vectors.std(axis=0).any():
        return None
    check_tsne()
    manifold = importlib.import_module("sklearn.manifold")
    points = principal(vectors, _AXES) if vectors.shape[1] > _AXES else vectors
    axes = principal(vectors, 2)
    begun = axes * np.float32(1e-4 / (axes[:, 0].std() or 1.0))
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    made = manifold.TSNE(2, init=begun, perplexity=perplexity, random_state=SEED)
    places: NDArray[np.float32] = made.fit_transform(points)
    return np.asarray(places, np.float32)
