"""Time embed beside what people would otherwise use: a plain Spark program, Ray Data, Daft.

    python -m tests.bench.peers ARCHIVE [--count 5040] [--rounds 3] [--peer-python PYTHON]

ARCHIVE is a zip of JPEGs, enlarged as ``floor.py`` does and ingested once; every contender reads
the Parquet files that ingest wrote, decodes and encodes by the same functions with one thread for
each worker, has a worker for each core, and writes Parquet. README.md says how the environment of
``--peer-python`` is made; without it Ray Data and Daft are left out.

Seconds are of a warm engine: Spark has run before; Ray and Daft are started anew for each round,
have a run on a few pictures first, and the time until their first worker has its encoder does not
count (``with_start`` has it). The variants of a contender are tried once each; the fastest takes
part in the rounds. ``ratio`` is a contender's seconds / artrec's, the median of the rounds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from artrec.config import load
from artrec.releases import Draft
from artrec.storage import open_store
from tests.bench.floor import enlarge, session
from tests.bench.join import processor
from tests.bench.peers_work import convolutional

REPOSITORY = Path(__file__).parents[2]
BATCHES = (32, 64, 128)
TOLERANCE = 1e-5

Variant = dict[str, Any]
Found = dict[str, float]

PLAIN = [
    {"program": "two udfs", "pixels": pixels, "batch": batch}
    for pixels, batch in product(("float", "byte"), BATCHES)
]
VARIANTS: dict[str, list[Variant]] = {
    "artrec": [{}],
    "plain": PLAIN,
    "one udf": [{"program": "one udf", "batch": batch} for batch in BATCHES],
    "ray": [{"workers": w, "batch": b} for w, b in product(("actors", "tasks"), BATCHES[:2])],
    "daft": [{"workers": w, "batch": b} for w, b in product(("processes", "threads"), BATCHES[:2])],
}


class Bench:
    """Two sets of pictures, small and whole, and the ways to embed them."""

    def __init__(self, scratch: Path, archive: Path, given: argparse.Namespace) -> None:
        self.spark = session(given.cores)
        self.scratch, self.cores, self.python = scratch, given.cores, given.peer_python
        self.quick = given.quick
        self._numbers = count()
        self.roots = {"small": scratch / "small", "whole": scratch / "whole"}
        for name, number in (("small", 64 * given.cores), ("whole", given.count)):
            enlarged = scratch / f"{name}.zip"
            enlarge(archive, enlarged, number)
            self._ingest(enlarged, self.roots[name])
            enlarged.unlink()
        self.versions = {name: importlib.metadata.version(name) for name in ("pyspark", "torch")}

    def _ingest(self, archive: Path, root: Path) -> None:
        from artrec.stages import ingest, inventory

        store = open_store(str(root))
        self.encoders = {"handmade": "handmade", "convolutional": convolutional(store)}
        self._sources = [f"sources.main.url={archive}"]
        settings, _ = load(None, [*self._sources, f"store.root={root}"], {})
        draft = Draft.begin(store, "bench")
        inventory.run(self.spark, settings, draft)
        ingest.run(self.spark, settings, draft)

    def fresh(self, name: str) -> Path:
        return self.scratch / f"{name}-{next(self._numbers)}"

    def artrec(self, size: str, encoder: str) -> tuple[Found, Path]:
        """The stage as a whole, on a copy of the store by hard links: it has not yet embedded."""
        from artrec.stages import embed

        root = self.fresh("store")
        shutil.copytree(self.roots[size], root, copy_function=os.link)
        sets = [*self._sources, f"store.root={root}", f"encoder.id={encoder}"]
        settings, _ = load(None, sets, {})
        draft = Draft.reopen(open_store(str(root)), "bench")
        assert draft is not None
        begun = time.perf_counter()
        embed.run(self.spark, settings, draft)
        return {"seconds": time.perf_counter() - begun}, root / "runs" / "embed"

    def plain(self, size: str, encoder: str, variant: Variant) -> tuple[Found, Path]:
        from tests.bench import peers_spark

        spec = self._spec(size, encoder, variant)
        begun = time.perf_counter()
        peers_spark.run(self.spark, spec)
        return {"seconds": time.perf_counter() - begun}, Path(spec["out"])

    def peer(self, engine: str, encoder: str, variants: list[Variant]) -> list[tuple[Found, Path]]:
        """One process of another engine: a few pictures first, then all by each variant."""
        runs = []
        for variant in variants:
            runs += [self._spec(size, encoder, variant) for size in ("small", "whole")]
        told = self.fresh("spec")
        told.write_text(json.dumps(runs))
        folder = tempfile.mkdtemp(prefix="ray", dir=self.scratch)
        command = [self.python, "-m", f"tests.bench.peers_{engine}", told, str(self.cores), folder]
        answer = json.loads(_output(command, self.fresh("log")))
        self.versions[engine] = answer["version"]
        shutil.rmtree(folder, ignore_errors=True)
        return [
            (_steady(found), Path(spec["out"]))
            for found, spec in zip(answer["runs"], runs, strict=True)
            if spec["size"] == "whole"
        ]

    def _spec(self, size: str, encoder: str, variant: Variant) -> dict[str, Any]:
        root = self.roots[size]
        files = sorted(str(path) for path in root.glob("runs/ingest/*/*/pictures/*.parquet"))
        return {
            "size": size,
            "files": files,
            "root": str(root),
            "encoder": encoder,
            "variant": variant,
            "out": str(self.fresh("out")),
            "marks": str(self.fresh("marks")),
            "cores": self.cores,
        }

    def times(
        self, name: str, encoder: str, variants: list[Variant]
    ) -> Iterator[tuple[Found, Path]]:
        """Each variant on all pictures, warm."""
        if name in ("ray", "daft"):
            yield from self.peer(name, encoder, variants)
            return
        for variant in variants:
            work: Callable[[str], tuple[Found, Path]] = (
                (lambda size: self.artrec(size, encoder))
                if name == "artrec"
                else (lambda size, variant=variant: self.plain(size, encoder, variant))
            )
            work("small")
            yield work("whole")


def _output(command: list[Any], log: Path) -> bytes:
    """What a command prints; whatever else it started ends with it."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        ) as process,
    ):
        try:
            out, _ = process.communicate()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise SystemExit(f"{command[2]} failed:\n{log.read_text()[-4000:]}")
    return out


def _steady(found: dict[str, Any]) -> Found:
    start = min(found["ready"], default=0.0)
    return {"seconds": found["seconds"] - start, "with_start": found["seconds"]}


def vectors(folder: Path) -> dict[bytes, Any]:
    """All vectors that a contender wrote, by content."""
    found: dict[bytes, Any] = {}
    for path in sorted(folder.rglob("*.parquet")):
        if path.parent.name == "pending_pictures":
            continue
        rows = pq.ParquetFile(path).read(["content_sha256", "embedding"])
        keys, embeddings = rows.column(0).to_pylist(), rows.column(1).to_pylist()
        assert not found.keys() & set(keys), f"{path}: a picture twice"
        found |= dict(zip(keys, embeddings, strict=True))
    return found


def difference(wanted: dict[bytes, Any], folder: Path) -> float:
    """The largest difference of a number from artrec's; every picture must be there once."""
    found = vectors(folder)
    assert found.keys() == wanted.keys(), f"{len(found)} pictures, expected {len(wanted)}"
    apart = max(
        float(np.abs(np.subtract(found[key], vector)).max()) for key, vector in wanted.items()
    )
    assert apart <= TOLERANCE, f"vectors are {apart} apart"
    return apart


def compared(bench: Bench, encoder: str, names: list[str], rounds: int) -> dict[str, Any]:
    """All contenders with one encoder: their variants first, then rounds of the best ones."""
    tried: dict[str, list[Any]] = {}
    best: dict[str, Variant] = {}
    apart: dict[str, float] = {}
    wanted: dict[bytes, Any] = {}
    for name in names:
        tried[name] = []
        variants = VARIANTS[name][: 1 if bench.quick else None]
        timed = bench.times(name, encoder, variants)
        for variant, (found, out) in zip(variants, timed, strict=True):
            _tell(encoder, name, variant, found)
            wanted = wanted or vectors(out)
            apart[name] = max(apart.get(name, 0.0), difference(wanted, out))
            shutil.rmtree(out)
            tried[name].append(variant | found)
        fastest = min(range(len(tried[name])), key=lambda n: tried[name][n]["seconds"])
        best[name] = VARIANTS[name][fastest]
    timings = [
        {name: _once(bench, name, encoder, best[name]) for name in names} for _ in range(rounds)
    ]
    return {
        "pictures": len(wanted),
        "best": {name: _summary(name, timings) | best[name] for name in names},
        "apart": apart,
        "tried": tried,
        "rounds": timings,
    }


def _once(bench: Bench, name: str, encoder: str, variant: Variant) -> Found:
    [(found, out)] = bench.times(name, encoder, [variant])
    shutil.rmtree(out)
    _tell(encoder, name, variant, found)
    return found


def _tell(*what: Any) -> None:
    print(*what, file=sys.stderr, flush=True)


def _summary(name: str, timings: list[dict[str, Found]]) -> dict[str, Any]:
    ratio = median(each[name]["seconds"] / each["artrec"]["seconds"] for each in timings)
    seconds = {
        key: round(median(each[name][key] for each in timings), 2) for key in timings[0][name]
    }
    return {**seconds, "ratio": round(ratio, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=5040)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--peer-python", help="Python with Ray and Daft")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="contenders beside artrec")
    parser.add_argument("--encoder", choices=("handmade", "convolutional"))
    parser.add_argument("--quick", action="store_true", help="try no variants: to see it work")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # for the workers of all engines
    if given.peer_python:  # a relative path would be looked up in the folder that it is run in
        given.peer_python = Path(given.peer_python).absolute()
    names = [name for name in VARIANTS if given.peer_python or name not in ("ray", "daft")]
    names = [name for name in names if name == "artrec" or name in (given.only or names)]
    with tempfile.TemporaryDirectory(prefix="peers") as folder:
        bench = Bench(Path(folder), given.archive, given)
        found = {
            name: compared(bench, encoder, names, given.rounds)
            for name, encoder in bench.encoders.items()
            if given.encoder in (None, name)
        }
        bench.spark.stop()
    result = {
        "bench": "peers",
        "archive": given.archive.name,
        "members": given.count,
        "machine": {"processor": processor(), "cores": given.cores, "load": os.getloadavg()},
        "versions": bench.versions,
        "encoders": found,
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
