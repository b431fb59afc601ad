"""A collection of the size and shape of WikiArt, painted and streamed into an archive.

    python -m tests.bench.collection URL [--count 81446] [--seed 0]

27 styles with WikiArt's counts, 1,119 artists, sides and file sizes spread like those of scans
(pixels log-normal around 0.9 million, sides up to 3,100; some 310 kB a file at the mean), no two
pictures with the same pixels, and two damaged members, as the published archive has: one whose CRC
is wrong, one whose stream ends early. With ``--count`` the same in small.

URL is a path or s3://bucket/name.zip. Members go into the store as they are painted: neither memory
nor disk ever holds the archive. A picture takes about 45 ms of a core.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import time
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from multiprocessing import get_context
from typing import Any

import numpy as np
from PIL import Image

from artrec.sample.names import artist_slug, title_slug
from artrec.sample.styles import STYLES, paint
from artrec.storage import open_store, split_url

# Files for each style folder of the published archive; in all 81,446.
COUNTS = {
    "Abstract_Expressionism": 2782,
    "Action_painting": 98,
    "Analytical_Cubism": 110,
    "Art_Nouveau_Modern": 4334,
    "Baroque": 4241,
    "Color_Field_Painting": 1615,
    "Contemporary_Realism": 481,
    "Cubism": 2235,
    "Early_Renaissance": 1391,
    "Expressionism": 6736,
    "Fauvism": 934,
    "High_Renaissance": 1343,
    "Impressionism": 13060,
    "Mannerism_Late_Renaissance": 1279,
    "Minimalism": 1337,
    "Naive_Art_Primitivism": 2405,
    "New_Realism": 314,
    "Northern_Renaissance": 2552,
    "Pointillism": 513,
    "Pop_Art": 1483,
    "Post_Impressionism": 6451,
    "Realism": 10733,
    "Rococo": 2089,
    "Romanticism": 7019,
    "Symbolism": 4528,
    "Synthetic_Cubism": 216,
    "Ukiyo_e": 1167,
}
# Which of the painters at hand paints a style that has none of its own.
PAINTED_AS = {
    "Action_painting": "Abstract_Expressionism",
    "Analytical_Cubism": "Cubism",
    "Contemporary_Realism": "Romanticism",
    "Early_Renaissance": "Baroque",
    "High_Renaissance": "Baroque",
    "Mannerism_Late_Renaissance": "Baroque",
    "Naive_Art_Primitivism": "Fauvism",
    "New_Realism": "Minimalism",
    "Northern_Renaissance": "Baroque",
    "Pop_Art": "Color_Field_Painting",
    "Post_Impressionism": "Impressionism",
    "Realism": "Romanticism",
    "Rococo": "Baroque",
    "Symbolism": "Art_Nouveau_Modern",
    "Synthetic_Cubism": "Cubism",
}
ARTISTS = 1119
# Of 140 scans: log of the pixels (0.9 million at the median), the longest side, and how compressed.
PIXELS, SPREAD, LONGEST = 0.9e6, 0.55, 3100
QUALITIES, OFTEN = (97, 92, 88, 82, 74), (0.11, 0.23, 0.4, 0.18, 0.08)
GRAIN_SIDE = 1024
BATCH = 8


@dataclass(frozen=True, slots=True)
class Member:
    """A name, and what is painted under it; ``broken`` is ``crc``, ``cut`` or nothing."""

    name: str
    painter: int
    artist: int
    number: int
    motif: str
    broken: str = ""


def shares(total: int, weights: Sequence[float], least: int = 0) -> list[int]:
    """``total`` in proportion to ``weights`` by largest remainders, each at least ``least``.

    What is wanting to ``least`` is taken from the largest.
    """
    exact = np.asarray(weights, float) / sum(weights) * total
    parts = np.floor(exact).astype(int)
    parts[np.argsort(parts - exact, kind="stable")[: total - parts.sum()]] += 1
    for index in np.flatnonzero(parts < least):
        parts[np.argmax(parts)] -= least - parts[index]
        parts[index] = least
    return parts.tolist()


def plan(number: int, seed: int) -> list[Member]:
    """All members in the order of their names; the last two of the largest styles are broken."""
    members: list[Member] = []
    works = shares(number, list(COUNTS.values()), least=1)
    artists = shares(min(ARTISTS, number), works, least=1)
    taken: set[str] = set()
    for style, pictures, painters in zip(COUNTS, works, artists, strict=True):
        members += _of_style(style, pictures, min(painters, pictures), len(members), taken, seed)
    broken = dict.fromkeys(np.argsort([-n for n in works], kind="stable")[:2])
    ends = np.cumsum(works) - 1
    for index, kind in zip(broken, ("crc", "cut"), strict=True):
        last = members[ends[index]]
        members[ends[index]] = Member(
            last.name, last.painter, last.artist, last.number, last.motif, kind
        )
    return sorted(members, key=lambda member: member.name)


def _of_style(
    style: str, pictures: int, artists: int, first: int, taken: set[str], seed: int
) -> Iterator[Member]:
    rng = np.random.default_rng([seed, 11, *style.encode()])
    painter = [each.name for each in STYLES].index(PAINTED_AS.get(style, style))
    motifs = STYLES[painter].motifs
    names: set[str] = set()
    number = first
    works = shares(pictures, list(rng.lognormal(0, 1.1, artists)), least=1)
    for artist, size in enumerate(works):
        base = artist_slug(rng, artist, style == "Ukiyo_e")
        endings = chain([""], (f"-{generation}" for generation in count(2)))
        slug = next(base + ending for ending in endings if base + ending not in taken)
        taken.add(slug)
        for _ in range(size):
            motif = motifs[int(rng.integers(len(motifs)))]
            stem = f"wikiart/{style}/{slug}_{title_slug(rng, motif, int(rng.integers(1700, 1990)))}"
            again = chain([""], (f"({n})" for n in count(1)))
            name = next(n for a in again if (n := f"{stem}{a}.jpg") not in names)
            names.add(name)
            yield Member(name, painter, artist, number, motif)
            number += 1


@cache
def grain() -> np.ndarray[Any, Any]:
    """Noise of a canvas and of a camera, ``[side, side]`` with standard deviation 1."""
    rng = np.random.default_rng(3)
    fine = rng.normal(size=(GRAIN_SIDE, GRAIN_SIDE)).astype(np.float32)
    coarse = (fine + np.roll(fine, 1, 0) + np.roll(fine, 1, 1) + np.roll(fine, (1, 1), (0, 1))) / 2
    return np.tile(0.5 * fine + 0.8 * coarse, (4, 4))


def scan(member: Member, seed: int) -> bytes:
    """The picture as a JPEG: painted, enlarged to the size of a scan, with a grain of its own."""
    rng = np.random.default_rng([seed, 12, member.number])
    small = paint(seed, member.painter, member.artist, member.number, member.motif)
    pixels = PIXELS * float(np.exp(SPREAD * rng.standard_normal()))
    factor = (pixels / (small.width * small.height)) ** 0.5
    factor = min(factor, LONGEST / max(small.size))
    large = small.resize(
        (round(small.width * factor), round(small.height * factor)), Image.Resampling.BICUBIC
    )
    top, left = (int(each) for each in rng.integers(0, GRAIN_SIDE, 2))
    strength = np.float32(4.9 * np.exp(0.6 * rng.standard_normal()))
    noise = grain()[top : top + large.height, left : left + large.width] * strength
    array = np.asarray(large, np.float32) + noise[:, :, None]
    stream = io.BytesIO()
    quality = int(rng.choice(QUALITIES, p=OFTEN))
    picture = Image.fromarray(np.clip(array, 0, 255).astype(np.uint8))
    picture.save(stream, "JPEG", quality=quality)
    data = stream.getvalue()
    return data[: len(data) * 2 // 3] if member.broken == "cut" else data


def _scans(members: Sequence[Member], seed: int) -> list[bytes]:
    return [scan(member, seed) for member in members]


def painted(members: Sequence[Member], seed: int, workers: int) -> Iterator[tuple[Member, bytes]]:
    """Members with their bytes, in order; few batches are ahead of the one being taken."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        ahead: deque[tuple[Sequence[Member], Future[list[bytes]]]] = deque()
        for start in range(0, len(members), BATCH):
            batch = members[start : start + BATCH]
            ahead.append((batch, pool.submit(_scans, batch, seed)))
            if len(ahead) > 3 * workers:
                first, future = ahead.popleft()
                yield from zip(first, future.result(), strict=True)
        for batch, future in ahead:
            yield from zip(batch, future.result(), strict=True)


def write(url: str, number: int, seed: int = 0, workers: int | None = None) -> dict[str, Any]:
    """Stream a collection of ``number`` members to ``url``; what was written."""
    members = plan(number, seed)
    root, path = split_url(url)
    begun, size = time.perf_counter(), 0
    with (
        open_store(root).create(path) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive,
    ):
        for member, data in painted(members, seed, workers or os.cpu_count() or 1):
            info = zipfile.ZipInfo(member.name, (2017, 6, 1, 12, 0, 0))
            archive.writestr(info, data)
            if member.broken == "crc":
                info.CRC ^= 0x5A5A5A5A  # the directory is written last
            size += len(data)
    return {
        "members": len(members),
        "broken": sum(bool(member.broken) for member in members),
        "styles": len({member.name.split("/")[1] for member in members}),
        "artists": len({member.name.split("/")[2].split("_")[0] for member in members}),
        "bytes": size,
        "seconds": round(time.perf_counter() - begun, 1),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=sum(COUNTS.values()))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(write(given.url, given.count, given.seed), indent=1))


if __name__ == "__main__":
    main()
