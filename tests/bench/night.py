"""What a night costs that changes little: beside a full build, night after night, then a rebuild.

    python -m tests.bench.night paintings.zip --count 80000 --nights 10 --json night.json

The pictures are random crops (``scale.py``). Each night 1 % of the images are added, .5 % are
gone and .5 % have another picture under the same name. The encoder is the hand-made one, or one
that another store has. All ratios are to the first night, a full build, in the same run; the
rebuild makes the last images from nothing in a store of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.releases import read_base, read_runs
from artrec.storage import open_store
from artrec.tables import read_table
from tests.bench.join import processor
from tests.bench.scale import crops
from tests.bench.stages import night

ADDED, GONE, CHANGED = 0.01, 0.005, 0.005
APPENDED = ("pictures", "ingested", "vectors")
COMPARED = ("neighbors", "neighbors_nested", "embeddings")
Images = dict[str, str]
"""Name in the archive -> name of the crop that it holds."""


def changed(images: Images, spare: Iterator[str], random: np.random.Generator) -> Images:
    """The images of the next night."""
    names, n = sorted(images), len(images)
    chosen = random.permutation(n)[: round((GONE + CHANGED) * n)].tolist()
    gone = {names[place] for place in chosen[: round(GONE * n)]}
    others = {names[place]: next(spare) for place in chosen[round(GONE * n) :]}
    kept = {name: crop for name, crop in images.items() if name not in gone} | others
    return kept | {name: name for name in (next(spare) for _ in range(round(ADDED * n)))}


def packed(crops_at: Path, images: Images, out: Path) -> None:
    with zipfile.ZipFile(crops_at) as source, zipfile.ZipFile(out, "w") as target:
        for name, crop in sorted(images.items()):
            target.writestr(zipfile.ZipInfo(name), source.read(crop))


def files(root: Path) -> dict[str, int]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.stat().st_size for path in found}


def kind(path: str) -> str:
    """The table that a file is of; else its stage, or the first folder."""
    parts = path.split("/")
    if parts[0] != "runs":
        return parts[0]
    return parts[4] if len(parts) > 5 else parts[1]


def tonight(archive: Path, root: Path, name: str, options: list[str]) -> dict[str, Any]:
    """One night: seconds, what was read and made, what was written."""
    before = files(root)
    account = night(archive, root, ["--release", name, *options])
    after = files(root)
    written: Counter[str] = Counter()
    for path, size in after.items():
        if path not in before:
            written[kind(path)] += size
    seconds = account["wall_seconds"] - account["spark_start_seconds"]
    return {
        "status": account["status"],
        "seconds": round(seconds, 2),
        "spark_start_seconds": account["spark_start_seconds"],
        "processor_seconds": account["processor_seconds"],
        "stages": account.get("stages", {}),
        "written": dict(written.most_common()),
        "written_appended": sum(written[table] for table in APPENDED),
        "new_files": len(after.keys() - before.keys()),
        "new_files_of": dict(Counter(map(kind, after.keys() - before.keys())).most_common()),
        "files": len(after),
        "bytes": sum(after.values()),
        "new_paths": sorted(after.keys() - before.keys())[:5],
    }


def digests(root: Path) -> dict[str, Any]:
    """Order-free digests of what the current release lists."""
    store = open_store(str(root))
    release = read_base(store).release
    assert release is not None
    found = {}
    for table in COMPARED:
        runs = read_runs(store, release.refs(table))
        found[table] = [run.digest(table) for run in runs]
    return found


def differing(one: Path, other: Path, table: str) -> int:
    """Rows of a sorted table that are not the same in two stores."""
    left, right = (_rows(root, table) for root in (one, other))
    if left.equals(right):
        return 0
    if len(left) != len(right):
        return abs(len(left) - len(right)) or -1
    same = np.ones(len(left), bool)
    for name in left.column_names:
        same &= np.array(left.column(name).to_pylist(), object) == np.array(
            right.column(name).to_pylist(), object
        )
    return int((~same).sum())


def _rows(root: Path, table: str) -> pa.Table:
    store = open_store(str(root))
    release = read_base(store).release
    assert release is not None
    receipts = [
        file for run in read_runs(store, release.refs(table)) for file in run.receipts(table)
    ]
    return pa.Table.from_batches(list(read_table(store, receipts)))


def recall(root: Path) -> dict[str, Any]:
    release = read_base(open_store(str(root))).release
    assert release is not None
    return {gate.gate: gate.found for gate in release.gates if "recall" in gate.gate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=80_000)
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-rebuild", action="store_true", help="leave the comparison out")
    parser.add_argument("--encoder", nargs=2, metavar=("ROOT", "ID"), help="of another store")
    given, options = parser.parse_known_args()  # what is left is for the job
    name = given.encoder[1] if given.encoder else "handmade"
    options = ["--set", f"encoder.id={name}", *options]
    with tempfile.TemporaryDirectory() as folder:
        place, rebuild = Path(folder), not given.no_rebuild
        for root in ("store", "anew") if given.encoder else ():
            source = Path(given.encoder[0]) / "encoders" / name
            shutil.copytree(source, place / root / "encoders" / name)
        result = measured(place, given.archive, given.count, given.nights, options, rebuild)
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


def measured(
    place: Path, archive: Path, count: int, nights: int, options: list[str], rebuild: bool
) -> dict[str, Any]:
    root, pack, every = place / "store", place / "tonight.zip", place / "crops.zip"
    spares = nights * (round((ADDED + CHANGED) * count * (1 + ADDED) ** nights) + 2)
    crops(archive, every, count + spares)
    with zipfile.ZipFile(every) as opened:
        names = opened.namelist()
    random = np.random.default_rng(1)
    names = [names[place] for place in random.permutation(len(names))]
    images, spare = {name: name for name in names[:count]}, iter(names[count:])
    packed(every, images, pack)
    result: dict[str, Any] = {
        "bench": "night",
        "machine": {"processor": processor(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "count": count,
        "full": tonight(pack, root, "n00", options),
        "unchanged": tonight(pack, root, "n00b", options),
    }
    result["nights"] = []
    for number in range(1, nights + 1):
        images = changed(images, spare, random)
        packed(every, images, pack)
        result["nights"].append(tonight(pack, root, f"n{number:02d}", options))
    if not rebuild:
        return result | {"ratios": ratios(result)}
    anew = place / "anew"
    result["rebuild"] = tonight(pack, anew, "anew", options)
    result["rows_that_differ"] = {table: differing(root, anew, table) for table in COMPARED}
    result["recalls"] = {"nights": recall(root), "rebuild": recall(anew)}
    return result | {"ratios": ratios(result)}


def ratios(result: dict[str, Any]) -> dict[str, Any]:
    """To the full build: seconds beyond Spark's start, products, bytes of appended tables."""
    full = result["full"]
    products = full["stages"]["neighbors"].get("products")
    found = []
    for each in result["nights"]:
        stages = each["stages"]
        found.append(
            {
                "seconds": round(each["seconds"] / full["seconds"], 4),
                "appended": round(each["written_appended"] / full["written_appended"], 4),
                "products": products and round(stages["neighbors"]["products"] / products, 4),
                "read": stages["ingest"].get("read"),
                "encoded": stages["embed"].get("encoded"),
            }
        )
    return {
        "unchanged_seconds": round(result["unchanged"]["seconds"] / full["seconds"], 4),
        "nights": found,
    }


if __name__ == "__main__":
    main()
