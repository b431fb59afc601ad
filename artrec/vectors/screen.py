"""What a float32 matrix product can say about exact distances.

A :class:`Screen` turns a metric into one product whose entries, *costs*, order the candidates of a
query as the distance does, up to rounding, and converts exact distances into costs and back with
bounds that always hold: so a pair may be dropped by its cost alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.vectors.distance import LARGEST, Floats, Ints, Wides, chunks

__all__ = ["Frame", "Screen", "reciprocal_power"]

_ROUNDOFF: float = 2.0**-24  # of float32


@dataclass(frozen=True, slots=True)
class Frame:
    """The coordinates in which a set of queries is screened: about their mean, not about 0.

    Distances do not change with the origin (of the unit vectors, for cosine), rounding errors do:
    they grow with the lengths. No query is further than ``reach`` from ``center`` [d].
    """

    metric: str
    center: Wides
    reach: float

    @classmethod
    def of(cls, metric: str, queries: Floats, squares: Wides) -> Frame:
        """The frame of ``queries`` [n, d] with their squared norms [n]."""
        at_zero = cls(metric, np.zeros(queries.shape[1]), 0.0)
        if metric == "dot" or not len(queries):
            return cls(metric, at_zero.center, at_zero.bound(squares))
        total = np.zeros(queries.shape[1])
        for part in chunks(*queries.shape):
            total += at_zero.placed(queries[part], squares[part]).sum(axis=0)
        center = total / len(queries)
        return cls(metric, center, cls(metric, center, 0.0).bound(squares))

    @classmethod
    def of_all(cls, metric: str, sample: Floats, squares: Wides, longest: float) -> Frame:
        """The frame of vectors no longer than ``longest``, about the mean of a sample of them."""
        frame = cls.of(metric, sample, squares)
        return cls(metric, frame.center, frame.bound(np.array([longest**2])))

    def placed(self, vectors: Floats, squares: Wides) -> Wides:
        """``vectors`` [n, d] in this frame, in float64; for ``dot`` as they are."""
        wide = vectors.astype(np.float64)
        if self.metric == "cosine":
            wide /= np.sqrt(squares)[:, None]
        wide -= self.center
        return wide

    def bound(self, squares: Wides) -> float:
        """A length that vectors of these squared norms do not exceed in this frame."""
        if self.metric == "cosine":
            return 2.0
        return float(np.sqrt(squares.max(initial=0.0)) + np.sqrt(self.center @ self.center))


class Screen:
    """Candidates [r, d], ready for the product ``left @ right.T`` [q, r] of float32 costs.

    With q', y' the stored float32 rows (in the frame, times one power of two so that none is longer
    than 1, or 2 for cosine), a = abs(q'), Y >= abs(y') and D' = abs(q' - y'), the cost of cosine
    and euclidean is D'^2 / 2 = abs(q')^2 / 2 + abs(y')^2 / 2 - q'.y'. The half squares ride along
    as two columns each, high and low part, against ones. For ``dot`` the cost is -q'.y'. So costs
    are the same from either side, and a product can be tested for its columns as for its rows.

    - A float32 product of m terms, in any order, with or without fused operations, errs by at most
      gamma_m * sum(abs(terms)) + m * 2^-126, gamma_m = m u / (1 - m u), u = 2^-24 (Higham, Accuracy
      and Stability of Numerical Algorithms, 2nd ed., 3.1 and 3.5; the last term is underflow, even
      if flushed to zero). By Cauchy-Schwarz that is E = gamma_m (a + Y)^2 / 2 + m * 2^-126, and for
      ``dot`` E = gamma_m a Y + m * 2^-126.
    - Rounding into the frame moves an end by at most u times its length, so D' is within
      delta = 2 u (a + Y) of the true, scaled distance; unit vectors add their float64 error.
    - A candidate within D' of the query is no longer than a + D': so Y need not be the longest of
      all candidates, and a few long vectors do not loosen the bound of the others.
    """

    def __init__(self, frame: Frame, vectors: Floats, squares: Wides) -> None:
        """``vectors`` float32 [r, d] with their squared norms [r]."""
        self._frame = frame
        self.metric = frame.metric
        self._dim: int = vectors.shape[1]
        self._scale = 1.0
        if frame.metric != "cosine":
            self._scale = reciprocal_power(max(frame.bound(squares), frame.reach))
        self._extra = 0 if frame.metric == "dot" else 4
        terms: int = self._dim + self._extra
        self._underflow: float = 2.0**-125 * (self._dim + 8)
        self._gamma: float = terms * _ROUNDOFF / (1 - terms * _ROUNDOFF)
        self.right, self.lengths = self._factor(vectors, squares, -self._scale, -2)
        self._reach: float = 1.001 * float(self.lengths.max(initial=0.0))
        self._queries_reach: float = 1.001 * frame.reach * self._scale

    def left(self, queries: Floats, squares: Wides) -> tuple[Floats, Wides]:
        """The left factor [q, m] and the lengths [q] that the other methods take."""
        return self._factor(queries, squares, self._scale, -4)

    def own_left(self) -> Floats:
        """The left factor [r, m] of the candidates themselves, who ask too."""
        own = np.negative(self.right)
        if self._extra:
            own[:, -4:-2] = self.right[:, -2:]
            own[:, -2:] = 1
        return own

    def _factor(
        self, vectors: Floats, squares: Wides, scale: float, halves_at: int
    ) -> tuple[Floats, Wides]:
        factor = np.ones((len(vectors), self._dim + self._extra), dtype=np.float32)
        halves = np.zeros(len(vectors))
        for part in chunks(*vectors.shape):
            rows = factor[part, : self._dim]
            rows[...] = self._frame.placed(vectors[part], squares[part]) * scale
            halves[part] = np.einsum("ij,ij->i", rows, rows, dtype=np.float64) / 2
        if self._extra:
            at = factor.shape[1] + halves_at
            factor[:, at] = halves
            factor[:, at + 1] = halves - factor[:, at]
        return factor, np.sqrt(2 * halves)

    def limits(self, lengths: Wides, distances: Floats) -> Floats:
        """Costs [q] that no candidate exceeds whose exact distance is at most ``distances`` [q]."""
        return self._limits(lengths, distances, self._reach)

    def column_limits(self, distances: Floats, columns: Ints | None = None) -> Floats:
        """The same for the candidates [r] as askers: of queries that the frame was made for.

        For some ``columns`` [m] ``distances`` are [m].
        """
        lengths = self.lengths if columns is None else self.lengths[columns]
        return self._limits(lengths, distances, self._queries_reach)

    def ceilings(self, lengths: Wides, costs: Floats) -> Floats:
        """Distances [q] that no candidate exceeds whose cost is at most ``costs`` [q]."""
        wide = costs.astype(np.float64)
        if self._frame.metric == "dot":
            wide = (wide + self._error(lengths, self._reach)) / self._scale**2
        else:
            # D'^2 <= 2 c + 2 E and E <= 1.01 gamma (4 a^2 + D'^2), as Y <= a + D'
            g = 2.02 * self._gamma
            square = (2 * wide + 4 * g * lengths**2 + 2.0**-100) / (1 - g)
            reach = 1.01 * (lengths + np.sqrt(np.maximum(square, 0.0)))
            reach = np.minimum(self._reach, reach)
            square = 2 * (wide + self._error(lengths, reach)) + 2.0**-38 * lengths**2
            wide = np.sqrt(np.maximum(square, 0.0)) + self._shift(lengths, reach)
            wide /= self._scale
            if self._frame.metric == "cosine":
                wide = wide**2 / 2 + (self._dim + 8) * 2.0**-51
        return _above(wide + np.abs(wide) * 2.0**-22 + 2.0**-149)

    def _limits(self, lengths: Wides, distances: Floats, reach: float) -> Floats:
        unbounded = distances >= LARGEST
        wide = np.where(unbounded, 0.0, distances.astype(np.float64))
        wide += np.abs(wide) * 2.0**-22 + 2.0**-149  # undo the rounding to float32
        if self._frame.metric == "dot":
            costs = wide * self._scale**2 + self._error(lengths, reach)
        else:
            if self._frame.metric == "cosine":
                wide = np.sqrt(2 * (wide + (self._dim + 8) * 2.0**-51))
            wide = wide * self._scale
            longest = np.minimum(reach, 1.001 * (lengths + wide) + 2.0**-100)
            wide += self._shift(lengths, longest)
            costs = wide**2 / 2 + self._error(lengths, longest)
            costs += 2.0**-38 * (lengths + wide) ** 2  # of these lines themselves
        return np.where(unbounded, np.float32(np.inf), _above(costs))

    def _error(self, lengths: Wides, reach: Wides | float) -> Wides:
        if self._frame.metric == "dot":
            return (1.001 * self._gamma * reach) * lengths + self._underflow
        return 0.5001 * self._gamma * (lengths + reach) ** 2 + self._underflow

    def _shift(self, lengths: Wides, reach: Wides) -> Wides:
        unit = (self._dim + 8) * 2.0**-52 if self._frame.metric == "cosine" else 0.0
        return 2 * _ROUNDOFF * (lengths + reach) + unit + 2.0**-140


def reciprocal_power(length: float) -> float:
    """A power of two that brings ``length`` below 1; 1.0 for 0.0."""
    return float(np.ldexp(1.0, -int(np.frexp(length)[1]))) if length > 0 else 1.0


def _above(values: Wides) -> Floats:
    """Float32 numbers that are not below ``values``; +inf beyond the largest."""
    narrow = np.clip(values, -LARGEST, LARGEST).astype(np.float32)
    with np.errstate(over="ignore"):
        return np.nextafter(narrow, np.float32(np.inf))
