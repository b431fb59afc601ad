"""How memory and cost grow with the number of pictures: whole nights on archives of small ones.

    python tests/bench/scale.py ARCHIVE [--counts 5000 20000 80000] [--side 64] [OPTION...]

Each archive holds random crops (64 px unless told) of the pictures of ARCHIVE, a zip; no two have
the same pixels. Memory is the largest resident size of each kind of process, as in stages.py.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bench.join import processor
from tests.bench.stages import night

SIDE = 64


def crops(archive: Path, out: Path, count: int, side: int = SIDE) -> None:
    """A zip of ``count`` pictures in the layout and with the labels of ``archive``."""
    random = np.random.default_rng(count)
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(out, "w") as target:
        names = [n for n in source.namelist() if n.lower().endswith((".jpg", ".jpeg"))]
        for first in range(0, len(names)):
            picture = Image.open(io.BytesIO(source.read(names[first]))).convert("RGB")
            stem = names[first].rpartition(".")[0]
            for number in range(first, count, len(names)):
                target.writestr(f"{stem}-{number}.jpg", crop(picture, random, side))


def crop(picture: Image.Image, random: np.random.Generator, side: int = SIDE) -> bytes:
    """Enlarged where the picture has no square of that side."""
    least = min(side, min(picture.size) // 2)
    cut = int(random.integers(least, min(picture.size) + 1))
    left, top = (int(random.integers(0, length - cut + 1)) for length in picture.size)
    part = picture.resize((side, side), box=(left, top, left + cut, top + cut))
    stream = io.BytesIO()
    part.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def measured(archive: Path, count: int, side: int, options: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.zip"
        crops(archive, small, count, side)
        account = night(small, Path(folder) / "store", options)
    stages = account["stages"]
    return {
        "pictures": count,
        "side": side,
        "wall_seconds": round(account["wall_seconds"], 1),
        "milliseconds_per_picture": round(1000 * account["wall_seconds"] / count, 2),
        "seconds": {name: stage["seconds"] for name, stage in stages.items()},
        "peak_megabytes": {kind: size >> 20 for kind, size in account["peak_bytes"].items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[5000, 20000, 80000])
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--json", type=Path)
    given, options = parser.parse_known_args()  # what is left is for the job
    result = {
        "bench": "scale",
        "machine": {"processor": processor(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "nights": [measured(given.archive, count, given.side, options) for count in given.counts],
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
