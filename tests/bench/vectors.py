"""Two sets of vectors to measure neighbor joins on: an easy one and a hard one.

    python -m tests.bench.vectors --data hard --dim 128 --archive paintings.zip --to hard.npy

*easy* is a clustered mixture; what a vector has of its own has 12 directions. *hard* is what random
convolutions answer to crops of real pictures: no clusters to speak of, and an intrinsic dimension
of about 28 at dim=128 and 44 at dim=512. Encoders lie between. Prints the dimension, as estimated
from 20 neighbors (8 for the easy ones).
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artrec.vectors import Block, join

Floats = NDArray[np.float32]

_SIDE = 32
_BATCH = 256
_LAYERS = ((5, 48), (3, 96), (3, 128))  # side and number of the filters of each layer


def easy(n: int, dim: int, seed: int = 0) -> Floats:
    """Vectors [n, dim] about n / 200 centers, with a spread of 12 directions and a little noise."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((12, dim)) / np.sqrt(12)
    own = rng.integers(0, max(1, n // 200), n)
    apart = rng.standard_normal((24, dim)) / np.sqrt(24)
    centers = rng.standard_normal((own.max(initial=0) + 1, 24)) @ apart
    inner = rng.standard_normal((n, 12)) @ directions
    noise = rng.standard_normal((n, dim))
    return np.asarray(centers[own] + 0.6 * inner + 0.05 * noise, dtype=np.float32)


def hard(n: int, dim: int, archive: Path, seed: int = 0) -> Floats:
    """What random convolutions answer to ``n`` crops of the pictures of a zip, in ``dim`` numbers.

    Pictures take turns; crops differ in place, size and side.
    """
    rng = np.random.default_rng(seed)
    layers, channels = [], 3
    for side, filters in _LAYERS:
        width = side * side * channels
        layers.append((rng.standard_normal((width, filters)) * np.sqrt(2 / width), side))
        channels = filters
    pictures = _pictures(archive)
    features: list[Floats] = []
    for start in range(0, n, _BATCH):
        which = np.arange(start, min(start + _BATCH, n)) % len(pictures)
        crops = np.stack([_crop(pictures[i], rng) for i in which])
        features.append(_answers(crops, layers))
    made = np.concatenate(features)
    made -= made.mean(axis=0)
    made /= made.std(axis=0) + 1e-6
    spreads, axes = np.linalg.eigh((made.T @ made / n).astype(np.float64))
    flat = made @ axes * np.maximum(spreads, 1e-6 * spreads[-1]) ** -_flattening(dim)
    projection = rng.standard_normal((made.shape[1], dim)) / np.sqrt(made.shape[1])
    return np.asarray(flat @ projection, dtype=np.float32)


def _flattening(dim: int) -> float:
    """How far the large directions are shrunk: by trial, for the dimension that is told above."""
    return 0.31 if dim < 256 else 0.46


def _pictures(archive: Path) -> list[NDArray[np.uint8]]:
    found = []
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(opened.namelist()):
            if name.lower().endswith((".jpg", ".jpeg", ".png")):
                with Image.open(io.BytesIO(opened.read(name))) as image:
                    image.thumbnail((256, 256))
                    found.append(np.asarray(image.convert("RGB")))
    return found


def _crop(picture: NDArray[np.uint8], rng: np.random.Generator) -> Floats:
    height, width = picture.shape[:2]
    side = int(rng.integers(_SIDE, min(height, width, 3 * _SIDE) + 1))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    cut = Image.fromarray(picture[top : top + side, left : left + side])
    small = np.asarray(cut.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32)
    small = (small - small.mean()) / (small.std() + 8)
    return np.ascontiguousarray(small[:, ::-1] if rng.integers(2) else small)


def _answers(images: Floats, layers: list[tuple[NDArray[np.float64], int]]) -> Floats:
    for filters, side in layers:
        windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
        n, height, width = windows.shape[:3]
        flat = windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * height * width, -1)
        answered = np.maximum(flat @ filters.astype(np.float32), 0)
        answered = answered.reshape(n, height, width, -1)[:, : height // 2 * 2, : width // 2 * 2]
        halved = answered.reshape(n, height // 2, 2, width // 2, 2, -1)
        images = halved.mean(axis=(2, 4))
    return images.reshape(len(images), -1)


def dimension(vectors: Floats, seed: int = 0, rows: int = 1000, k: int = 20) -> float:
    """The intrinsic dimension by maximum likelihood (Levina and Bickel, NIPS 2004), of a sample.

    Inverses are averaged, as MacKay and Ghahramani advise.
    """
    numbers = np.arange(len(vectors), dtype=np.int64)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:rows])
    block = Block(numbers, vectors)
    found = join(Block(numbers[chosen], vectors[chosen]), [block], k=k, metric="euclidean")
    logs = np.log(found.distances.astype(np.float64) + 1e-30)
    return float(1 / np.mean((logs[:, -1:] - logs[:, :-1]).sum(axis=1) / (k - 2)))


def made(data: str, n: int, dim: int, archive: Path | None, cache: Path | None) -> Floats:
    """The set, from ``cache`` where it is there; else it is made, and kept there."""
    if cache is not None and cache.exists():
        loaded: Floats = np.load(cache)
        if loaded.shape == (n, dim):
            return loaded
    if data == "hard" and archive is None:
        raise SystemExit("hard vectors need --archive: a zip of pictures")
    vectors = easy(n, dim) if archive is None or data == "easy" else hard(n, dim, archive)
    if cache is not None:
        np.save(cache, vectors)
    return vectors


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, default=81446)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--data", choices=("easy", "hard"), default="easy")
    parser.add_argument("--archive", type=Path, help="a zip of pictures, for hard vectors")
    parser.add_argument("--to", type=Path, help="an .npy file that keeps the vectors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser)
    options = parser.parse_args()
    vectors = made(options.data, options.n, options.dim, options.archive, options.to)
    shape = {"n": options.n, "dim": options.dim, "data": options.data}
    print(json.dumps({**shape, "intrinsic_dimension": round(dimension(vectors), 1)}))


if __name__ == "__main__":
    main()
