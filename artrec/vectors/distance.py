"""Exact distances between float32 vectors.

Smaller is nearer, for every metric: ``cosine`` is 1 - cos, ``euclidean`` the length of the
difference, ``dot`` the negated inner product.

A distance is a function of the two vectors alone: its sum runs in float64 by one fixed tree of
additions (:func:`fixed_sums`) and is rounded once, to float32. The tree is made of element-wise
additions of whole columns; each is one IEEE 754 operation on the operands of its own row, so
neither the number of rows, nor their blocks, nor the instruction set or numpy's loop order can
change a bit. Most pairs do not walk that tree: a sum in any order, by BLAS, comes with a bound on
its distance from the fixed one, and where both ends of the bound round to the same float32, that is
the answer (Ziv's rounding test, ACM TOMS 17, 1991); the few others take the tree.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError

__all__ = [
    "Floats",
    "Ints",
    "LARGEST",
    "METRICS",
    "Wides",
    "check_dimensions",
    "check_metric",
    "check_vectors",
    "chunks",
    "distances_of_lists",
    "distances_of_pairs",
    "exact",
    "fixed_sums",
    "squared_norms",
]

Floats = NDArray[np.float32]
Wides = NDArray[np.float64]
Ints = NDArray[np.int64]

METRICS = ("cosine", "dot", "euclidean")
LARGEST = float(np.finfo(np.float32).max)  # the distance of all that would be beyond

_CHUNK = 1 << 16  # numbers of a float64 scratch array: they stay in a core's cache
_LISTS = 1 << 11  # lists measured at once
_ROUNDOFF = 2.0**-53  # of float64


def check_metric(metric: str) -> None:
    """Raise ConfigError for a metric that is not one of METRICS."""
    if metric not in METRICS:
        raise ConfigError(f"metric {metric!r} is unknown: choose one of {', '.join(METRICS)}")


def check_vectors(vectors: Floats, ids: Ints, metric: str | None = None) -> None:
    """Raise InputError unless ``vectors`` is a finite float32 [n, d] with one of ``ids`` [n] each.

    Under ``cosine`` a zero vector, which has no direction, is refused too. The message names up to
    five ids of bad rows.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0 or vectors.dtype != np.float32:
        raise InputError(
            f"vectors must be a float32 [n, d] array with d > 0, got {vectors.dtype} "
            f"{list(vectors.shape)}"
        )
    if len(ids) != len(vectors):
        raise InputError(f"{len(vectors)} vectors came with {len(ids)} ids")
    _refuse(np.flatnonzero(~np.isfinite(vectors).all(axis=1)), ids, "hold NaN or infinity")
    if metric == "cosine":
        _refuse(np.flatnonzero(~vectors.any(axis=1)), ids, "are zero, which has no cosine distance")


def check_dimensions(what: str, vectors: Floats, whose: str, others: Floats) -> None:
    """Raise InputError, naming both, where there are ``vectors`` [n, d] and ``others`` [m, d] of
    unequal d.
    """
    if len(vectors) and len(others) and vectors.shape[1] != others.shape[1]:
        raise InputError(
            f"{what} have {vectors.shape[1]} dimensions, {whose} {others.shape[1]}: they must come "
            "from one encoder"
        )


def _refuse(bad: NDArray[np.intp], ids: Ints, what: str) -> None:
    if len(bad):
        named = ", ".join(str(i) for i in ids[bad[:5]])
        raise InputError(f"{len(bad)} of {len(ids)} vectors {what}: ids {named}; reject them first")


def exact(metric: str, a: Floats, b: Floats) -> Floats:
    """The distances [n] of the rows of ``a`` [n, d] from the same rows of ``b`` [n, d].

    Symmetric in ``a`` and ``b``; 0.0 for equal vectors under cosine and euclidean. Values beyond
    the float32 range are given as the largest float32. Raises InputError for unequal shapes and
    for vectors that :func:`check_vectors` refuses (named by their row).
    """
    check_metric(metric)
    if a.shape != b.shape:
        raise InputError(f"the two sides differ: {list(a.shape)} against {list(b.shape)}")
    rows = np.arange(len(a), dtype=np.int64)
    for side in (a, b):
        check_vectors(side, rows, metric)
    return distances_of_pairs(metric, a, squared_norms(a), rows, b, squared_norms(b), rows)


def distances_of_pairs(
    metric: str, a: Floats, a_squares: Wides, rows: Ints, b: Floats, b_squares: Wides, columns: Ints
) -> Floats:
    """Exact distances [m] of ``a[rows]`` from ``b[columns]``, given their squared norms.

    The inner loop of :func:`exact`: the same values for the same vectors. Nothing is checked.
    """
    sums = np.empty(len(rows), dtype=np.float64)
    for part in chunks(len(rows), a.shape[1]):
        sums[part] = _some_dots(a, rows[part], b.take(columns[part], axis=0))
    return _from_dots(metric, sums, a, a_squares, rows, b, b_squares, columns)


def distances_of_lists(
    metric: str, vectors: Floats, squares: Wides, rows: Ints, others: Ints
) -> Floats:
    """Exact distances [q, k] of ``vectors[rows]`` from ``vectors[others]``, others being [q, k].

    The same values as :func:`distances_of_pairs`, in less time for many equally long lists.
    """
    q, k = others.shape
    found = np.empty((q, k), dtype=np.float32)
    for block in range(0, q, _LISTS):
        own, listed = rows[block : block + _LISTS], others[block : block + _LISTS]
        dots = np.empty(listed.shape, dtype=np.float64)
        for part in chunks(len(own), max(1, k) * vectors.shape[1]):
            y = vectors.take(listed[part], axis=0).astype(np.float64)
            x = vectors.take(own[part], axis=0).astype(np.float64)
            np.matmul(y, x[:, :, None], out=dots[part, :, None])
        sides = (vectors, squares, np.repeat(own, k)), (vectors, squares, listed.reshape(-1))
        flat = _from_dots(metric, dots.reshape(-1), *sides[0], *sides[1])
        found[block : block + _LISTS] = flat.reshape(listed.shape)
    return found


def _from_dots(
    metric: str,
    sums: Wides,
    a: Floats,
    a_squares: Wides,
    rows: Ints,
    b: Floats,
    b_squares: Wides,
    columns: Ints,
) -> Floats:
    """Exact distances [m] of ``a[rows]`` from ``b[columns]``, whose dots are about ``sums``."""
    a_squares, b_squares = a_squares[rows], b_squares[columns]
    size = np.sqrt(a_squares * b_squares)  # |a| |b|, and exactly a.a where a == b
    # With g = gamma_d of float64: two orders of a.b differ by at most 2 g |a||b|; |a|^2 + |b|^2 -
    # 2 a.b and the sum of squared differences by at most 4 g (|a|^2 + |b|^2) and their roundings.
    slack = (8 * (a.shape[1] + 4) * _ROUNDOFF) * size
    if metric == "euclidean":
        lengths = a_squares + b_squares
        sums = lengths - 2 * sums
        slack = (8 * (a.shape[1] + 4) * _ROUNDOFF) * lengths
    found = _rounded(metric, sums - slack, size)
    undecided = np.flatnonzero(found != _rounded(metric, sums + slack, size))
    for part in chunks(len(undecided), a.shape[1]):
        at = undecided[part]
        terms = _terms(metric, a[rows[at]], b[columns[at]])
        found[at] = _rounded(metric, fixed_sums(terms), size[at])
    return found


def _some_dots(a: Floats, rows: Ints, y: Floats) -> Wides:
    """The inner products [m] of ``a[rows]`` and ``y`` [m, d], summed in whatever order is fast."""
    starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
    if 4 * len(starts) > len(rows):
        return np.asarray(np.einsum("ij,ij->i", a.take(rows, axis=0), y, dtype=np.float64))
    wide = y.astype(np.float64)
    dots = np.empty(len(rows), dtype=np.float64)
    runs = pairwise((*starts.tolist(), len(rows)))
    for (start, stop), x in zip(runs, a[rows[starts]].astype(np.float64), strict=True):
        np.dot(wide[start:stop], x, out=dots[start:stop])
    return dots


def _terms(metric: str, x: Floats, y: Floats) -> Wides:
    if metric == "euclidean":
        difference = np.subtract(x, y, dtype=np.float64)
        return np.multiply(difference, difference)
    return np.multiply(x, y, dtype=np.float64)  # exact: 24 + 24 bits fit into 53


def _rounded(metric: str, sums: Wides, size: Wides) -> Floats:
    """Float32 distances of float64 sums: monotone in ``sums``, as the rounding test needs."""
    if metric == "cosine":
        wide = np.maximum(1.0 - sums / size, 0.0)
    elif metric == "euclidean":
        wide = np.sqrt(np.maximum(sums, 0.0))
    else:
        wide = -sums
    return np.clip(wide, -LARGEST, LARGEST).astype(np.float32) + np.float32(0.0)  # no -0.0


def fixed_sums(terms: Wides) -> Wides:
    """Sums [n] of the rows of ``terms`` [n, d], which is overwritten, by one tree of additions.

    The right half of the columns is added to the left half until one is left; of an odd number the
    middle one waits.
    """
    width = terms.shape[1]
    while width > 1:
        half = (width + 1) // 2
        np.add(terms[:, : width - half], terms[:, half:width], out=terms[:, : width - half])
        width = half
    return terms[:, 0].copy()


def squared_norms(vectors: Floats) -> Wides:
    """Squared lengths [n] of ``vectors`` [n, d] in float64, by :func:`fixed_sums`."""
    squares = np.empty(len(vectors), dtype=np.float64)
    for part in chunks(len(vectors), vectors.shape[1]):
        squares[part] = fixed_sums(_terms("dot", vectors[part], vectors[part]))
    return squares


def chunks(rows: int, dim: int) -> list[slice]:
    """Slices of ``range(rows)``, of so many rows of ``dim`` numbers as a cache holds."""
    step = max(1, _CHUNK // dim)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
