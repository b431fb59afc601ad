"""Several processes that train one network: they share the rows, and agree on every sum.

The calling process is the first; the others are started beside it on the same machine, and end with
it. They find each other by a file and talk over the loopback interface (gloo). What each is to do
is a function of a module, given by name, so that nothing of the caller's program is run again.
"""

from __future__ import annotations

import base64
import importlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from artrec.errors import ArtrecError, TrainingError

__all__ = ["ALONE", "Group", "together"]

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_READY = b"ready\n"
_PATIENCE = 60.0  # seconds for another process to end, once the work is done
_ANSWER = 600.0  # seconds for another to meet, or to bring its part of a sum: it may be dead


@dataclass(frozen=True)
class Group:
    """This process's place among those that train together."""

    rank: int = 0
    size: int = 1

    def summed(self, values: Tensor) -> Tensor:
        """The sum of everybody's values, the same for all."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def shared(self, network: nn.Module) -> nn.Module:
        """The network, its gradients made everybody's mean, whose weights stay the same for all."""
        return DistributedDataParallel(network) if self.size > 1 else network

    def agree(self, network: nn.Module) -> None:
        """Running means and variances, counted by each one's own rows, become everybody's mean."""
        if self.size > 1:
            for each in network.buffers():
                if each.is_floating_point():
                    distributed.all_reduce(each)
                    each /= self.size

    def part(self, whole: int) -> int:
        """This process's part of a number; the first ones take what is left over."""
        return whole // self.size + (self.rank < whole % self.size)

    @property
    def device(self) -> torch.device:
        """A GPU for each process where there are any, else the processor."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.rank % torch.cuda.device_count())


ALONE = Group()


@contextmanager
def together(size: int, place: str, arguments: Sequence[Any]) -> Iterator[Group]:
    """The group of this process and ``size - 1`` others, which run ``place(group, *arguments)``.

    ``place`` is ``module:function``; its arguments are pickled. TrainingError where another process
    fails; threads of the processor are shared out meanwhile.
    """
    if size == 1:
        yield ALONE
        return
    threads = torch.get_num_threads()
    each = max(1, threads // size)
    with tempfile.TemporaryDirectory(prefix="artrec-train-") as folder:
        meeting = f"file://{Path(folder).resolve()}/meeting"
        others: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(1, size):
                task = (rank, size, meeting, each, place, tuple(arguments))
                others.append(_started(task))
            for other in others:
                _await(other)
            torch.set_num_threads(each)
            with _member(0, size, meeting) as group:
                yield group
            for other in others:
                if other.wait(_PATIENCE):
                    raise TrainingError(_ended(other))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            dead = [_ended(other) for other in others if _is_dead(other)]
            raise TrainingError(
                f"training in {size} processes broke off: {'; '.join(dead) or error}; the same "
                "command goes on from the last epoch, train.processes=1 does without others"
            ) from error
        finally:
            torch.set_num_threads(threads)
            for other in others:
                other.kill()
                other.wait()
                other.stdout.close()  # type: ignore[union-attr]


def _started(task: tuple[Any, ...]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(base64.b64encode(pickle.dumps((sys.path, task))))
    process.stdin.close()
    return process


def _await(other: subprocess.Popen[bytes]) -> None:
    assert other.stdout is not None
    if other.stdout.readline() != _READY:
        other.wait()
        raise TrainingError(f"training in several processes did not begin: {_ended(other)}")


def _is_dead(other: subprocess.Popen[bytes]) -> bool:
    """Whether it failed; its connection breaks a moment before it is gone."""
    with suppress(subprocess.TimeoutExpired):
        return bool(other.wait(10.0))
    return False


def _ended(other: subprocess.Popen[bytes]) -> str:
    return f"process {other.pid} of the training ended with {other.returncode}; see its messages"


@contextmanager
def _member(rank: int, size: int, meeting: str) -> Iterator[Group]:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK)
    distributed.init_process_group(
        "gloo",
        init_method=meeting,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=_ANSWER),
    )
    try:
        yield Group(rank, size)
    finally:
        distributed.destroy_process_group()


def _main() -> None:
    """Another process: its task comes by stdin."""
    sys.path[:], task = pickle.loads(base64.b64decode(sys.stdin.buffer.read()))
    rank, size, meeting, threads, place, arguments = task
    torch.set_num_threads(threads)
    module, _, name = place.partition(":")
    function = getattr(importlib.import_module(module), name)
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    try:
        with _member(rank, size, meeting) as group:
            function(group, *arguments)
    except ArtrecError as error:  # the first process says the same, and how the job ends
        sys.exit(f"process {rank} of the training: {error}")


if __name__ == "__main__":
    _main()
