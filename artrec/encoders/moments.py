"""The moments of an optimizer of Adam's kind as arrays, for checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["array_of", "moments_of", "restore_moments", "shapes_of_moments"]

_PREFIX = "adam."


def array_of(tensor: Tensor) -> NDArray[Any]:
    """A copy of a tensor's values, wherever it lies."""
    found: NDArray[Any] = tensor.detach().cpu().contiguous().numpy().copy()
    return found


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """By ``adam.<weight>.<moment>``; none before the first step."""
    return {
        f"{_PREFIX}{index}.{name}": array_of(tensor)
        for index, moments in optimizer.state_dict()["state"].items()
        for name, tensor in moments.items()
    }


def shapes_of_moments(weights: Iterable[Tensor]) -> dict[str, tuple[int, ...]]:
    """What ``moments_of`` has after a step on these weights."""
    found: dict[str, tuple[int, ...]] = {}
    for index, weight in enumerate(weights):
        for moment in ("exp_avg", "exp_avg_sq"):
            found[f"{_PREFIX}{index}.{moment}"] = tuple(weight.shape)
        found[f"{_PREFIX}{index}.step"] = ()
    return found


def restore_moments(optimizer: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Take the moments among ``arrays``; its weights have to lie where they will."""
    state = optimizer.state_dict()
    state["state"] = {}
    for name, array in arrays.items():
        if name.startswith(_PREFIX):
            index, _, moment = name.removeprefix(_PREFIX).partition(".")
            tensor = torch.tensor(array)
            if tensor.ndim == 4:  # lies as its weights do, so that sums come out the same
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            state["state"].setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict(state)
