"""Which limits tell copies of a picture from other pictures: precision and recall, on real ones.

    python -m tests.bench.nearcopies ARCHIVE… [--odd ARCHIVE] [--encoder ROOT ID] [--keep FILE]

Of every fourth picture of the zips copies are made: a JPEG of quality 40, one of half the size,
some with an edge cut off all around (5, 10, 20 % of height and width in all), and a grey one. The
pictures of ``--odd`` (flat, drawn, tiny ones) are there as they are. For limits in bits of the
perceptual hash and in distance, in parts of that of two random pictures, ``recall`` is for each
kind the share of the copies that are near their original, by the limits or by the hash alone.
``others`` is the number of near pairs among the originals of the zips, and ``odd`` among all
originals, for hashes that tell something and for all; whether they are mistakes, eyes have to say.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artrec.encoders import Encoder, load_builtin, load_encoder
from artrec.evaluation.copies import TELLING, TWIN_BITS, bits_apart
from artrec.picture import Limits, Picture, PictureError, decode, examine
from artrec.storage import open_store

LIMITS = Limits()
KINDS = ("original", "quality 40", "half size", "5 % cut", "10 % cut", "20 % cut", "grey")
Row = tuple[str, str, int, np.ndarray[Any, Any]]
Job = tuple[str, bytes, bool]


@cache
def encoder_of(root: str, name: str) -> Encoder:
    return load_encoder(open_store(root), name) if root else load_builtin("handmade")


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    image.save(stream := io.BytesIO(), "JPEG", quality=quality)
    return stream.getvalue()


def versions(data: bytes) -> Iterator[bytes]:
    """A picture and its copies, in the order of KINDS."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    w, h = image.size
    yield data
    yield jpeg(image, 40)
    yield jpeg(image.resize((max(1, w // 2), max(1, h // 2)), Image.Resampling.LANCZOS))
    for share in (0.05, 0.1, 0.2):
        a, b = round(w * share / 2), round(h * share / 2)
        yield jpeg(image.crop((a, b, w - a, h - b)))
    yield jpeg(image.convert("L"))


def rows_of(job: tuple[Job, str, str]) -> list[Row]:
    (name, data, copied), root, encoder_id = job
    encoder, found = encoder_of(root, encoder_id), []
    seen = encoder.preprocess
    for kind, each in zip(KINDS, versions(data) if copied else [data], strict=False):
        picture = examine(each, LIMITS)
        if not isinstance(picture, Picture):
            continue
        try:
            pixels = decode(each, LIMITS, seen.size, seen.fit, seen.filter)
        except PictureError:
            continue
        vector = encoder.encode(pixels[None])[0]
        found.append((name, kind, picture.phash, vector))
    return found


def jobs(archives: list[Path], odd: Path | None, every: int) -> Iterator[Job]:
    for place in [*archives, *([odd] if odd else [])]:
        with zipfile.ZipFile(place) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            for n, name in enumerate(names):
                copied = place is not odd and n % every == 0
                yield f"{place.stem}:{name}", archive.read(name), copied


Arrays = dict[str, np.ndarray[Any, Any]]
LIMITS_TRIED = ((4, 0.3), (8, 0.1), (8, 0.2), (8, 0.3), (8, 0.5), (12, 0.3), (16, 0.1), (16, 0.3))


def relative(found: Arrays, odd: str) -> np.ndarray[Any, Any]:
    """Vectors so long that half a squared difference is a distance, that of random ones being 1."""
    wide = found["vector"].astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    plain = (found["kind"] == "original") & ~np.char.startswith(found["name"], f"{odd}:")
    mean = wide[plain].mean(axis=0)
    return wide / np.sqrt(1 - mean @ mean)


def near_pairs(found: Arrays, vectors: Any, mine: Any) -> list[tuple[int, int, int, float]]:
    """(place, place, bits, distance) of pairs within the widest limits or alike by hash."""
    vectors, widest = vectors[mine], [max(each) for each in zip(*LIMITS_TRIED, strict=True)]
    phashes, pairs = found["phash"][mine], []
    for n in range(len(mine) - 1):
        far = np.square(vectors[n + 1 :] - vectors[n]).sum(axis=1) / 2
        bits = bits_apart(phashes[n + 1 :], np.full(len(mine) - n - 1, phashes[n]))
        close = (bits <= TWIN_BITS) | ((bits <= widest[0]) & (far <= widest[1]))
        pairs += [
            (int(mine[n]), int(mine[n + 1 + at]), int(bits[at]), round(float(far[at]), 3))
            for at in np.flatnonzero(close)
        ]
    return pairs


def judged(found: Arrays, odd: str) -> Iterator[dict[str, Any]]:
    originals = np.flatnonzero(found["kind"] == "original")
    plain = np.char.startswith(found["name"][originals], f"{odd}:")
    ones = bits_apart(found["phash"], np.zeros(len(found["phash"]), np.int64))
    tells = (ones >= TELLING[0]) & (ones <= TELLING[1])
    vectors = relative(found, odd)
    sets = {"others": near_pairs(found, vectors, originals[~plain])}
    sets["odd"] = near_pairs(found, vectors, originals)
    home = {found["name"][at]: at for at in originals}
    for most, furthest in LIMITS_TRIED:
        recall = {}
        for kind in KINDS[1:]:
            mine = np.flatnonzero(found["kind"] == kind)
            own = np.array([home[found["name"][at]] for at in mine])
            bits = bits_apart(found["phash"][mine], found["phash"][own])
            far = np.square(vectors[mine] - vectors[own]).sum(axis=1) / 2
            close = (bits <= TWIN_BITS) | ((bits <= most) & (far <= furthest))
            recall[kind] = round(float(close.mean()), 3)
        near = {
            name: [p for p in pairs if p[2] <= TWIN_BITS or (p[2] <= most and p[3] <= furthest)]
            for name, pairs in sets.items()
        }
        counts = {name: sum(bool(tells[a] and tells[b]) for a, b, _, _ in each)
                  for name, each in near.items()}  # fmt: skip
        everyone = {f"{name}_of_any_hash": len(each) for name, each in near.items()}
        yield {"bits": most, "distance": furthest, "recall": recall} | counts | everyone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archives", type=Path, nargs="+")
    parser.add_argument("--odd", type=Path)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--encoder", nargs=2, default=("", ""))
    parser.add_argument("--keep", type=Path, help="the arrays; used again where they are there")
    given = parser.parse_args()
    if given.keep and given.keep.exists():
        arrays = dict(np.load(given.keep))
    else:
        work = ((job, *given.encoder) for job in jobs(given.archives, given.odd, given.every))
        with ProcessPoolExecutor() as pool:
            rows = [row for found in pool.map(rows_of, work, chunksize=8) for row in found]
        names, columns = ("name", "kind", "phash", "vector"), zip(*rows, strict=True)
        arrays = {name: np.array(each) for name, each in zip(names, columns, strict=True)}
    if given.keep and not given.keep.exists():
        np.savez(given.keep, **arrays)
    odd = given.odd.stem if given.odd else "none"
    print(json.dumps({"pictures": len(arrays["name"]), "limits": [*judged(arrays, odd)]}, indent=1))


if __name__ == "__main__":
    main()
