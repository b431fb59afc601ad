"""A network's forward pass over pictures, on a processor or a GPU; for encoders of torch.

On a GPU pictures travel as bytes and are scaled there; float32 means so (no TF32), so that vectors
agree with a processor's but for the last bits, and kernels are those that give the same twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artrec.encoders import Preprocess
from artrec.encoders.device import Precision

__all__ = ["CHUNK", "CudaMemory", "Forward", "repeatable", "scaled"]

CHUNK = 16  # pictures in one forward pass on a processor: more are no faster, and take more memory


class Forward:
    """``uint8 [n, h, w, 3]`` to what ``codes`` makes of ``[n, 3, h, w]`` with the network."""

    def __init__(
        self, network: nn.Module, preprocess: Preprocess, codes: Callable[[Tensor], Tensor]
    ) -> None:
        self._network, self._preprocess, self._codes = network, preprocess, codes
        self._device, self._precision = torch.device("cpu"), "float32"

    def move(self, device: str, precision: Precision) -> None:
        self._device, self._precision = torch.device(device), precision
        self._network.to(self._device)

    def __call__(self, pictures: NDArray[np.uint8], dim: int) -> NDArray[np.float32]:
        """All in one pass on a GPU, whose memory the caller knows; in small ones on a processor."""
        chunk = CHUNK if self._device.type == "cpu" else max(1, len(pictures))
        found = np.empty((len(pictures), dim), dtype=np.float32)
        with torch.inference_mode(), _arithmetic(self._device, self._precision):
            for start in range(0, len(pictures), chunk):
                part = slice(start, start + chunk)
                seen = scaled(pictures[part], self._preprocess, self._device)
                found[part] = self._codes(seen).float().cpu()
        return found


def scaled(
    pictures: NDArray[np.uint8], preprocess: Preprocess, device: torch.device | None = None
) -> Tensor:
    """``uint8 [n, h, w, 3]`` to ``float32 [n, 3, h, w]``, by step 3 of the card's preprocess."""
    writable = np.require(pictures, requirements=["C", "W"])
    values = torch.from_numpy(writable).to(device).to(torch.float32) * preprocess.scale
    mean = torch.tensor(preprocess.mean, device=device)
    std = torch.tensor(preprocess.std, device=device)
    return ((values - mean) / std).permute(0, 3, 1, 2)


@contextmanager
def _arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    with ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                )
            )
        if precision == "bfloat16":
            stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
        yield


@contextmanager
def repeatable() -> Iterator[None]:
    """Kernels that sum in one order in a training on a GPU too, wherever torch has them."""
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


class CudaMemory:
    """The memory of a GPU by torch's own accounts; what it keeps for itself counts as free."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def free(self) -> int:
        kept = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return int(torch.cuda.mem_get_info(self._device)[0]) + kept

    def peak(self, work: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], int]:
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        found = work()
        return found, int(torch.cuda.max_memory_allocated(self._device)) - before

    def is_exhausted(self, error: BaseException) -> bool:
        said = str(error).lower()
        return isinstance(error, torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and ("out of memory" in said or "alloc_failed" in said)
        )

    def release(self) -> None:
        torch.cuda.empty_cache()
