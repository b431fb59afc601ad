"""Where an encoder runs: a processor or a GPU; and batches that fit into a GPU's memory.

Spark gives a task the address of its GPU; a process keeps one model for each address that it was
given. Only encoders that can move do: networks, and hand-made features, whose twins in torch run
there; the others stay where they are. Nothing here imports torch before an encoder is to be moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from artrec import log
from artrec.encoders import Encoder, Metric, Preprocess
from artrec.errors import ConfigError

__all__ = [
    "DeviceMemory",
    "Fitting",
    "Movable",
    "Precision",
    "choose_device",
    "cuda_count",
    "place",
    "precision_of",
]

Precision = Literal["float32", "bfloat16"]

PROBE = 8  # pictures whose memory is measured first
SHARE = 0.4  # of the free memory: other processes may be at the same address


@runtime_checkable
class Movable(Protocol):
    """What an encoder adds that can run elsewhere than where it was loaded."""

    def move(self, device: str, precision: Precision) -> None:
        """Run there from now on, in that precision; vectors still come as float32."""
        ...


class DeviceMemory(Protocol):
    """The memory of one GPU, as much as has to be known of it."""

    def free(self) -> int:
        """Bytes that a forward pass could take now."""
        ...

    def peak(self, work: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], int]:
        """What ``work`` gives, and the bytes that it took at its height."""
        ...

    def is_exhausted(self, error: BaseException) -> bool:
        """Whether the error says that there was too little of it."""
        ...

    def release(self) -> None:
        """Give back what is only kept for later."""
        ...


def choose_device(
    wanted: str, addresses: Sequence[str], task: int, visible: Callable[[], int]
) -> str:
    """``cpu`` or ``cuda:N`` for a task that Spark has given these addresses.

    ``auto`` is the task's GPU, where it has one. ``cuda`` insists: without an address (a local
    master gives none) tasks take turns over the GPUs that are ``visible``.
    """
    if wanted == "cpu" or (wanted == "auto" and not addresses):
        return "cpu"
    count = visible()
    if not addresses:
        if not count:
            raise ConfigError(
                "embed.device=cuda, but torch finds no GPU here; let Spark give the tasks one "
                "(jobs/README.md, On GPUs), or set embed.device=cpu"
            )
        return f"cuda:{task % count}"
    address = addresses[0]
    if not address.isdecimal() or int(address) >= count:
        raise ConfigError(
            f"Spark gave this task the GPU {address!r}, torch sees {count} here, from 0 on; the "
            "discovery script has to list the numbers that the executor's own processes see "
            "(jobs/README.md, On GPUs), or set embed.device=cpu"
        )
    return f"cuda:{int(address)}"


def cuda_count() -> int:
    """How many GPUs torch sees in this process."""
    import torch

    return int(torch.cuda.device_count())


def precision_of(encoder: Encoder, wanted: Precision) -> Precision:
    """That of an encoder's sums where this one is wanted: those without a network know but one."""
    if not isinstance(encoder, Movable):
        return "float32"
    known: tuple[Precision, ...] = getattr(encoder, "precisions", (wanted,))
    return wanted if wanted in known else "float32"


def place(encoder: Encoder, device: str, precision: Precision, most: int = 256) -> Encoder:
    """The encoder on a device; on a GPU, ``most`` pictures at once or what fits there."""
    if not isinstance(encoder, Movable) or (device, precision) == ("cpu", "float32"):
        return encoder
    encoder.move(device, precision)
    if device == "cpu":
        return encoder
    from artrec.encoders.forward import CudaMemory

    return Fitting(encoder, CudaMemory(device), most, device)


class Fitting:
    """An encoder on a device whose memory is bounded: as many pictures at once as fit there.

    The first few are measured, and the rest goes by what they took. Where the memory runs out all
    the same (others share it), batches are halved, and stay so.
    """

    def __init__(self, encoder: Encoder, memory: DeviceMemory, most: int, device: str) -> None:
        self._encoder, self._memory, self._device = encoder, memory, device
        self.most = most
        self.batch: int | None = None  # once the first pictures were measured

    @property
    def id(self) -> str:
        return self._encoder.id

    @property
    def dim(self) -> int:
        return self._encoder.dim

    @property
    def metric(self) -> Metric:
        return self._encoder.metric

    @property
    def preprocess(self) -> Preprocess:
        return self._encoder.preprocess

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = np.empty((len(pictures), self.dim), np.float32)
        start = 0
        while start < len(pictures):
            part = pictures[start : start + (self.batch or min(PROBE, self.most))]
            said = None
            try:
                vectors = self._measured(part) if self.batch is None else self._encoder.encode(part)
            except Exception as error:
                if not self._memory.is_exhausted(error):
                    raise
                said = str(error)
            if said is not None:  # only now is what the failed pass held free again
                self._halve(len(part), said)
                continue
            found[start : start + len(part)] = vectors
            start += len(part)
        return found

    def _measured(self, part: NDArray[np.uint8]) -> NDArray[np.float32]:
        free = self._memory.free()
        vectors, took = self._memory.peak(lambda: self._encoder.encode(part))
        fit = int(SHARE * free * len(part) / max(took, 1))
        self.batch = max(1, min(self.most, fit))
        self._log("batch sized", free_bytes=free, picture_bytes=took // len(part))
        return vectors

    def _halve(self, count: int, said: str) -> None:
        self._memory.release()
        if count == 1:
            raise ConfigError(
                f"the memory of {self._device} does not hold one picture of encoder {self.id} "
                f"({said}); let fewer tasks share it (spark.task.resource.gpu.amount), or set "
                "embed.device=cpu"
            )
        self.batch = count // 2
        self._log("batch halved: out of memory")

    def _log(self, event: str, **more: Any) -> None:
        facts = {"encoder": self.id, "device": self._device, "batch": self.batch, **more}
        log.get(stage="embed").info(event, **facts)
