"""Keep the embeddings of an archive's pictures, or of crops of them, for the neighbor benches.

    python -m tests.bench.embedded paintings.zip --crops 80000 --to paintings.npy
    python -m tests.bench.embedded sample.zip --root STORE --encoder ID --to sample.npy

Crops are those of ``scale.py``. The encoder is a built-in one, or one of the store ``--root``.
Equal vectors are kept once, as a join has them. Prints how many there are, and their intrinsic
dimension.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.peers_work import encoder_of, vectors_of
from tests.bench.scale import crops
from tests.bench.vectors import dimension

BATCH = 64


def batches(archive: Path) -> Iterator[list[bytes]]:
    with zipfile.ZipFile(archive) as opened:
        names = [n for n in opened.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png"))]
        for start in range(0, len(names), BATCH):
            yield [opened.read(name) for name in names[start : start + BATCH]]


def embedded(archive: Path, root: str, encoder_id: str) -> NDArray[np.float32]:
    work = partial(_encoded, root, encoder_id)
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        vectors = np.concatenate(list(pool.imap(work, batches(archive))))
    distinct = np.unique(vectors, axis=0)
    return distinct[np.random.default_rng(1).permutation(len(distinct))]


def _encoded(root: str, encoder_id: str, pictures: list[bytes]) -> NDArray[np.float32]:
    return vectors_of(encoder_of(root, encoder_id), pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--crops", type=int, default=0, help="0: the pictures as they are")
    parser.add_argument("--root", default="")
    parser.add_argument("--encoder", default="handmade")
    parser.add_argument("--to", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = given.archive
        if given.crops:
            archive = Path(folder, "crops.zip")
            crops(given.archive, archive, given.crops)
        vectors = embedded(archive, given.root, given.encoder)
    np.save(given.to, vectors)
    said: dict[str, Any] = {"archive": given.archive.name, "crops": given.crops}
    said |= {"encoder": given.encoder, "n": len(vectors), "dim": vectors.shape[1]}
    print(json.dumps({**said, "intrinsic_dimension": round(dimension(vectors), 1)}))


if __name__ == "__main__":
    main()
