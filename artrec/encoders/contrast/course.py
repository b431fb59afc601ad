"""How long the network is trained: known without torch, for plans."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["BATCH", "Course", "ENOUGH", "course_of"]

BATCH = 64
"""Pictures in a step."""

ENOUGH = 400
"""Training pictures below which the recipe ``auto`` trains no network."""

_STEPS, _PASSES = 3360, 40
_RATE, _WARM = 2e-3, 100


@dataclass(frozen=True)
class Course:
    """``steps`` in all, ``each`` of them an epoch."""

    steps: int
    each: int

    @property
    def epochs(self) -> int:
        return math.ceil(self.steps / self.each)

    def rate(self, step: int) -> float:
        """The learning rate of a step, the first being 0: a rise, then a cosine down to 0."""
        warm = min(_WARM, max(1, self.steps // 10))
        return _RATE * min((step + 1) / warm, (1 + math.cos(math.pi * step / self.steps)) / 2)


def course_of(pictures: int, steps: int = 0) -> Course:
    """40 passes over the pictures, at most 3,360 steps, or as many ``steps`` as are given."""
    each = math.ceil(pictures / BATCH)
    return Course(steps or min(_STEPS, _PASSES * each), each)
