"""A process that opens a new shard and asks it first: a bad Annoy file kills who queries it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from artrec.errors import GateRefused
from artrec.index.building import Probes, Recipe
from artrec.index.sidecar import new_index
from artrec.vectors import exact

__all__ = ["answer", "prove_shard"]

_SECONDS = 120.0
_ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR")
_TOLERANCE = 1e-5  # Annoy orders by float32 sums; two vectors nearer than this may change places


def prove_shard(
    path: Path, name: str, items: int, recipe: Recipe, probes: Probes, seconds: float = _SECONDS
) -> None:
    """Have a process of its own open ``path`` and find each of ``probes`` at its own distance.

    Raises GateRefused, beginning with ``name``, for a crash, a wrong answer, or none in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "probes.npz")
        np.savez(given, items=probes.items, vectors=probes.vectors)
        task = [str(path), str(given), items, recipe.metric, recipe.dim, recipe.trees]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "artrec.index", json.dumps(task)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                env=_environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GateRefused(f"{name}: no answer to its first queries in {seconds:g} s") from None
    if done.returncode < 0:
        ended = signal.Signals(-done.returncode).name
        raise GateRefused(f"{name}: the process that opened it first ended with {ended}")
    found = done.stdout.strip() or (done.stderr.strip().splitlines() or ["no answer"])[-1]
    if done.returncode or found != "well":
        raise GateRefused(f"{name}: {found}")


def _environment() -> dict[str, str]:
    kept = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return kept | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}


def answer(task: str) -> str:
    """The canary's life: "well", or what is wrong with the shard."""
    path, given, items, metric, dim, trees = json.loads(task)
    index = new_index(dim, metric)
    index.load(path)
    found = index.get_n_items(), index.get_n_trees()
    if found[0] != items or found[1] < trees:  # of a few items Annoy sees more trees than there are
        return f"holds {found[0]} items and {found[1]} trees, not {items} and {trees}"
    with np.load(given) as probes:
        for item, vector in zip(probes["items"], probes["vectors"], strict=True):
            wrong = _asked(index, int(item), vector, metric, trees)
            if wrong:
                return wrong
    return "well"


def _asked(index: Any, item: int, vector: Any, metric: str, trees: int) -> str:
    if not np.array_equal(np.array(index.get_item_vector(item), np.float32), vector):
        return f"item {item} has another vector than went in"
    near = index.get_nns_by_vector(vector, 10, 100 * trees)
    if not near:
        return f"nothing is found near item {item}"
    others = np.array([index.get_item_vector(each) for each in near], np.float32)
    nearest = exact(metric, np.broadcast_to(vector, others.shape), others).min()
    own = exact(metric, vector[None], vector[None])[0]
    if nearest > own + _TOLERANCE * (1 + abs(own)):
        return f"the nearest to item {item} is at {nearest}, itself at {own}"
    return ""
