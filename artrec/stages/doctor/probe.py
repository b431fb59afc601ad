"""What one process tells of itself: versions, a tiny Annoy build, and what it can do in the store.

These functions travel to the workers by value, since artrec itself may be absent or older there.
"""

from __future__ import annotations

import importlib
import os
import pickle
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from typing import Any

__all__ = ["COMPARED", "facts", "try_store", "visits"]

COMPARED = {
    "artrec": "artrec",
    "pyspark": "pyspark",
    "torch": "torch",
    "pyarrow": "pyarrow",
    "numpy": "numpy",
    "pandas": "pandas",
    "pillow": "PIL",
    "annoy": "annoy",
    "pydantic": "pydantic",
    "boto3": "boto3",
}
"""Distribution -> module, of what computes, stores or decides."""

TINY_BUILD = """
import random
from annoy import AnnoyIndex
numbers, index = random.Random(7), AnnoyIndex(6, "angular")
index.set_seed(7)
for item in range(60):
    index.add_item(item, [numbers.gauss(0, 1) for _ in range(6)])
index.build(4, 1)
print(*index.get_nns_by_item(0, 5))
"""
"""Run in a child: code for another processor would end the process that runs it."""


def facts() -> dict[str, str]:
    """Name -> version in this process, or what is wrong with it."""
    return {
        "python": platform.python_version(),
        **{dist: _version(dist, module) for dist, module in COMPARED.items()},
        "tiny index": _build(),
    }


def _version(distribution: str, module: str) -> str:
    """Of what is really imported, not of what a directory of packages says."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        return "absent" if error.name == module else f"broken: {error}"
    except Exception as error:
        return f"broken: {type(error).__name__}: {str(error).splitlines()[0]}"
    version = getattr(found, "__version__", None)
    return str(version) if version else metadata.version(distribution)


def _build() -> str:
    """The five items that a tiny index finds, or how building it ended."""
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", TINY_BUILD], capture_output=True, text=True, env=surroundings
    )
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"  # 4: compiled for another processor
    return (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]


def try_store(store: Any, scratch: str, name: str, token: bytes) -> None:
    """Read what the driver wrote; write, swap and read an object of this process's own.

    Raises the Store's own errors, and ConfigError where the store does not do as it must.
    """
    from artrec.errors import ConditionFailed, ConfigError

    path, own = f"{scratch}/{name}", token + name.encode()
    first = store.write(path, b"first")
    if name != "driver":
        _see_the_driver(store, scratch, name, token)
    store.write(path, own, first.etag)
    try:
        store.write(path, b"stale", first.etag)
    except ConditionFailed:
        pass
    else:
        raise ConfigError(f"{store.url}: a swap against an old state went through from {name}")
    if store.read(path) != own:
        raise ConfigError(f"{store.url}: what was written is not what is read from {name}")


def _see_the_driver(store: Any, scratch: str, name: str, token: bytes) -> None:
    from artrec.errors import ConfigError, NotFound

    with suppress(NotFound):
        if store.read(f"{scratch}/driver") == token + b"driver":
            return
    raise ConfigError(
        f"{store.url}: what the driver wrote there is not to be seen from {name}; store.root must "
        "be one place for all machines, such as s3://bucket/prefix or a shared mount"
    )


def visits(
    store: bytes, scratch: str, token: bytes, hold: float
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """The body of a ``mapInArrow`` that asks its worker and holds its slot for ``hold`` seconds.

    Each task so takes a slot of its own, and with as many tasks as slots every executor has some.
    It yields a JSON object for each: ``host``, ``parent`` (the process that the workers of one
    executor come from), ``facts``, and ``store``: null, or [class, message] of what was met there.
    """

    def body(batches: Iterable[Any]) -> Iterator[Any]:
        import json

        import pyarrow as pa
        from pyspark import TaskContext

        begun = time.monotonic()
        context = TaskContext.get()
        assert context is not None
        host, parent = socket.gethostname(), os.getppid()
        for batch in batches:
            for _ in range(batch.num_rows):
                name = f"{host}-{os.getpid()}-{context.taskAttemptId()}"
                met = _met(store, scratch, name, token)
                report = {"host": host, "parent": parent, "facts": facts(), "store": met}
                time.sleep(max(0.0, begun + hold - time.monotonic()))
                column = pa.array([json.dumps(report)])
                yield pa.RecordBatch.from_arrays([column], names=["report"])

    return body


def _met(store: bytes, scratch: str, name: str, token: bytes) -> tuple[str, str] | None:
    try:
        try_store(pickle.loads(store), scratch, name, token)
    except Exception as error:
        return type(error).__name__, str(error)
    return None
