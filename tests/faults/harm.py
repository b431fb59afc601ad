"""Harm done inside Spark's Python workers, at chosen pictures; no code of artrec knows of it.

``arm`` makes a Python for the workers (``PYSPARK_PYTHON``) whose start-up module is this file. It
puts itself before the two functions that a worker decodes with, and before the one that the
decoder's child process uses, and does what the plan beside it says for a picture's SHA-256:

- ``kill``: SIGKILL to this process; ``kill_once``: only the first of all processes;
- ``kill_executor_once``: SIGKILL to the executor's JVM, by the first of all processes;
- ``hang``: the call never returns.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Harm", "arm", "done"]

PLAN = "plan.json"


@dataclass(frozen=True)
class Harm:
    """``how`` befalls the process that treats ``picture`` in one of the places of ``where``.

    Places: ``examine`` and ``decode`` in a worker, ``child`` in the decoder's child process.
    """

    picture: str
    where: tuple[str, ...]
    how: str

    @classmethod
    def to(cls, picture: bytes, how: str, *where: str) -> Harm:
        return cls(hashlib.sha256(picture).hexdigest(), where, how)


def arm(folder: Path, harms: Sequence[Harm]) -> str:
    """The path of a Python whose processes do ``harms`` and record in ``folder`` what they did."""
    folder.mkdir(parents=True)
    shutil.copy(__file__, folder / "sitecustomize.py")
    (folder / PLAN).write_text(json.dumps([asdict(harm) for harm in harms]))
    python = folder / "python"
    path = f"{folder}${{PYTHONPATH:+:$PYTHONPATH}}"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return str(python)


def done(folder: Path) -> dict[tuple[str, str], int]:
    """How often each (place, how) of the plan was met."""
    counts: dict[tuple[str, str], int] = {}
    for file in folder.glob("met-*"):
        _, where, how, _ = file.name.split("-")
        counts[where, how] = counts.get((where, how), 0) + 1
    return counts


def _lie_in_wait(folder: Path) -> None:
    """Called by Python itself when a worker, or the decoder's child, starts."""
    words = " ".join(sys.orig_argv)
    if "pyspark.daemon" in words or "pyspark/daemon" in words:
        places = {"examine": "artrec.picture", "decode": "artrec.picture"}
    elif "artrec.picture" in words:
        places = {"child": "artrec.picture.child"}
    else:
        return
    import artrec.picture  # noqa: F401

    plan = json.loads((folder / PLAN).read_text())
    for where, module in places.items():
        name = "decode" if where == "decode" else "examine"
        before = getattr(sys.modules[module], name)
        setattr(sys.modules[module], name, _before(folder, plan, where, before))


def _before(
    folder: Path, plan: list[dict[str, Any]], where: str, function: Callable[..., Any]
) -> Callable[..., Any]:
    harms = {harm["picture"]: harm["how"] for harm in plan if where in harm["where"]}

    def harmful(data: bytes, *arguments: Any, **named: Any) -> Any:
        how = harms.get(hashlib.sha256(data).hexdigest())
        if how is not None:
            _do(folder, where, how)
        return function(data, *arguments, **named)

    return harmful


def _do(folder: Path, where: str, how: str) -> None:
    once = how.endswith("_once")
    try:
        mark = f"met-{where}-{how}-{'once' if once else os.getpid()}"
        os.close(os.open(folder / mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        if once:
            return
    if how == "hang":
        while True:
            signal.pause()
    daemon = os.getppid()
    victim = _parent(daemon) if how.startswith("kill_executor") else os.getpid()
    os.kill(victim, signal.SIGKILL)


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


if __name__ == "sitecustomize":
    _lie_in_wait(Path(__file__).parent)
