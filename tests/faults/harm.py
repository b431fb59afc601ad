"""Harm done inside Spark's Python workers, at chosen places; no code of artrec knows of it.

``arm`` makes a Python for the workers (``PYSPARK_PYTHON``) whose start-up module is this file. It
puts itself before the two functions that a worker decodes with, before the one that the decoder's
child process uses, and behind the one that stores a file, and does what the plan beside it says
for a picture's SHA-256, or for a table of a stage:

- ``kill``: SIGKILL to this process; ``kill_once``: only the first of all processes;
- ``kill_executor_once``: SIGKILL to the executor's JVM, by the first of all processes;
- ``kill_node_once``: SIGKILL to the executor's parent, a worker of a standalone cluster;
- ``hang``: the call never returns;
- ``twin_once``: the first process waits here for another attempt at the same task;
- ``freeze_once``: SIGSTOP to the first process, its daemon, executor and node.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["Frozen", "Harm", "arm", "done", "frozen"]

PLAN = "plan.json"
PATIENCE = 120.0  # seconds that a process waits for another before it fails
FAMILY = ("worker", "daemon", "executor", "node")
EXECUTOR = "CoarseGrainedExecutorBackend"


@dataclass(frozen=True)
class Harm:
    """``how`` befalls the process that treats ``picture`` in one of the places of ``where``.

    Places: ``examine`` and ``decode`` in a worker, ``child`` in the decoder's child process; and
    ``<stage>/<table>``, where a task has stored a file of that table and has not yet said so.
    """

    picture: str
    where: tuple[str, ...]
    how: str

    @classmethod
    def to(cls, picture: bytes, how: str, *where: str) -> Harm:
        return cls(hashlib.sha256(picture).hexdigest(), where, how)

    @classmethod
    def at(cls, table: str, how: str) -> Harm:
        return cls("", (table,), how)


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
        place = where.replace(".", "/"), how
        counts[place] = counts.get(place, 0) + 1
    return counts


@dataclass(frozen=True)
class Frozen:
    """Processes that were stopped, by their place in FAMILY, and the files of their task."""

    files: str
    processes: dict[str, int]

    def thaw(self, *places: str) -> None:
        for place in places or FAMILY:
            with suppress(ProcessLookupError):
                os.kill(self.processes[place], signal.SIGCONT)


def frozen(folder: Path) -> Frozen | None:
    """What ``freeze_once`` did, when all of it is done."""
    for mark in folder.glob("met-*-freeze_once-once"):
        files, *words = mark.read_text().split()
        found = [int(word) for word in words]
        if all(_stat(process)[0] == "T" for process in found):
            return Frozen(files, dict(zip(FAMILY, found, strict=True)))
    return None


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
    if "examine" in places:
        _stand_behind_files(folder, plan)


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


def _stand_behind_files(folder: Path, plan: list[dict[str, Any]]) -> None:
    from artrec.storage.local import LocalStore

    harms = {where: harm["how"] for harm in plan for where in harm["where"] if "/" in where}
    create = LocalStore.create

    @contextmanager
    def harmful(store: LocalStore, path: str) -> Iterator[IO[bytes]]:
        with create(store, path) as stream:
            yield stream
        parts = path.split("/")  # runs/<stage>/<run>/<attempt>/<table>/<task>-<attempt>-<n>
        place = f"{parts[1]}/{parts[4]}" if parts[0] == "runs" and len(parts) == 6 else ""
        if place in harms:
            within, _, name = path.rpartition("/")
            _do(folder, place.replace("/", "."), harms[place], f"{within}/{name[:5]}")

    LocalStore.create = harmful  # type: ignore[method-assign]


def _do(folder: Path, where: str, how: str, task: str = "") -> None:
    once = how.endswith("_once")
    mark = folder / f"met-{where}-{how}-{'once' if once else os.getpid()}"
    twin = folder / f"met-{where}-{how}-twin"
    family = _family() if how == "freeze_once" else []
    text = " ".join([task, *map(str, family)])
    if not _made(mark, text) and once:
        if how == "twin_once" and mark.read_text() == text:
            _made(twin, task)
        return
    if how == "hang":
        while True:
            signal.pause()
    if how == "twin_once":
        _await(twin)
    elif how == "freeze_once":
        for process in reversed(family):
            os.kill(process, signal.SIGSTOP)
    else:
        os.kill(_victim(how), signal.SIGKILL)


def _made(mark: Path, text: str) -> bool:
    """Whether the mark is ours; it appears whole."""
    draft = mark.with_name(f"draft-{os.getpid()}")
    draft.write_text(text)
    try:
        os.link(draft, mark)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _await(file: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{file} did not come")
        time.sleep(0.05)


def _victim(how: str) -> int:
    place = how.removeprefix("kill").removesuffix("_once").strip("_")
    return _family()[FAMILY.index(place)] if place else os.getpid()


def _family() -> list[int]:
    """This process, its daemon, the executor's JVM, and the standalone worker's or the driver's."""
    found = [os.getpid()]
    while len(found) < len(FAMILY):
        found.append(_parent(found[-1]))
    assert EXECUTOR in Path(f"/proc/{found[2]}/cmdline").read_text()
    return found


def _parent(process: int) -> int:
    return int(_stat(process)[1])


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


if __name__ == "sitecustomize":
    _lie_in_wait(Path(__file__).parent)
