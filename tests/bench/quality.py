"""How well an encoder finds: by label, on painters that it never saw, and copies of a picture.

    python -m tests.bench.quality ARCHIVE [--builtin NAME | --encoder ROOT ID | --recipe NAME]
        [--unseen] [--robust N] [--seed N]

Every picture asks all others, by the encoder's own metric. Of its list: the share of first
neighbors with its label (``p1``), the mean share among the first ten (``p10``), and the mean
precision at the ranks of hits within ten (``map10``), each with a 95 % interval (Wilson). A member
``wikiart/<style>/<artist>_<title>`` has two labels, one in another folder that folder's name.
Beside it stand the floors, both centred: a 64-bin colour histogram and the 16 x 16 pixels.

``--recipe`` (with ``--set train.KEY=VALUE``) fits on nine tenths of the archive's pictures, without
their labels unless it asks for them, and measures on all. ``--unseen`` fits on the pictures of
every other label (artists, else folders) and measures on those of the others among themselves,
then the other way round; the floors and other encoders are measured on the same halves.

``--robust N`` makes of every N-th picture a JPEG of quality 75 and 50, one of half the size, one
with a tenth of its height and width cut off: the share whose nearest original, of all, is their
own. Then the whole archive recompressed with 75 and 50, measured like the archive.

``ms`` is of the processor, a picture at a time: decoding a 256 px JPEG, encoding it. Start it with
``OMP_NUM_THREADS=1``: threads that wait for each other count too.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from artrec.config import load
from artrec.encoders import Encoder, Preprocess, load_builtin, load_encoder
from artrec.encoders.card import Card, pack, read_encoder
from artrec.encoders.recipes import RECIPES, preprocess_of, train
from artrec.encoders.rules import Rules
from artrec.evaluation import floors
from artrec.evaluation.retrieval import Answers, interval, values
from artrec.picture import Limits, decode
from artrec.schemas import TABLES
from artrec.storage import open_store
from artrec.tables import TableWriter

__all__ = ["KINDS", "Measured", "Set", "altered", "encoded", "measured", "opened", "unseen_halves"]

Floats = NDArray[np.float32]
Fitter = Callable[["Set"], Encoder]
"""Pictures to an encoder fitted on them."""

LIMITS = Limits()
KINDS = ("quality 75", "quality 50", "half size", "10 % cut")
_DEPTH = 10
_CHUNK = 32
_TIMED = 64


@dataclass(frozen=True)
class Set:
    """Pictures as bytes, and label by label what they are; the first label decides the halves."""

    data: list[bytes]
    labels: dict[str, NDArray[np.str_]]

    def __len__(self) -> int:
        return len(self.data)

    def part(self, wanted: NDArray[np.bool_]) -> Set:
        places = np.flatnonzero(wanted)
        labels = {name: each[places] for name, each in self.labels.items()}
        return Set([self.data[place] for place in places], labels)

    def changed(self, change: Callable[[bytes], bytes]) -> Set:
        return Set([change(data) for data in self.data], self.labels)


def opened(archive: Path) -> Set:
    """The JPEGs of a zip, by name."""
    with zipfile.ZipFile(archive) as pictures:
        names = sorted(n for n in pictures.namelist() if n.lower().endswith((".jpg", ".jpeg")))
        data = [pictures.read(name) for name in names]
    parts = [name.split("/") for name in names]
    folders = np.array([part[-2] for part in parts])
    if parts[0][0] != "wikiart":
        return Set(data, {"folder": folders})
    artists = np.array([part[-1].split("_")[0] for part in parts])
    return Set(data, {"artist": artists, "style": folders})


def pixels(data: Sequence[bytes], preprocess: Preprocess) -> NDArray[np.uint8]:
    wanted = (preprocess.size, preprocess.fit, preprocess.filter)
    return np.stack([decode(each, LIMITS, *wanted) for each in data])


def encoded(encoder: Encoder, data: Sequence[bytes]) -> Floats:
    """``float32 [n, dim]``; cosine and dot need no more, since encoders give unit vectors."""
    return np.concatenate([
        encoder.encode(pixels(data[start : start + _CHUNK], encoder.preprocess))
        for start in range(0, len(data), _CHUNK)
    ])  # fmt: skip


Measured = dict[str, dict[str, Any]]


def lists(vectors: Floats, metric: str) -> NDArray[np.int64]:
    """The ten nearest others of each, ``[n, 10]``; of equally near ones the earlier."""
    wide = vectors.astype(np.float64)
    if metric == "cosine":
        wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    near = wide @ wide.T
    if metric == "euclidean":
        near -= np.square(wide).sum(axis=1) / 2
    np.fill_diagonal(near, -np.inf)
    return np.argsort(-near, axis=1, kind="stable")[:, :_DEPTH]


def hits_of(vectors: Floats, labels: NDArray[np.str_], metric: str = "cosine") -> Answers:
    """What the lists of those hold that share their label with another one."""
    found = labels[lists(vectors, metric)] == labels[:, None]
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    asks = counts[own] > 1
    others = np.full(int(asks.sum()), len(labels) - 1, dtype=np.int64)
    return Answers(labels[asks].tolist(), found[asks], others, counts[own][asks] - 1)


def figures(parts: Sequence[Answers]) -> dict[str, Any]:
    """Means over the queries of all parts, with intervals."""
    found: dict[str, Any] = {"queries": sum(len(part.groups) for part in parts)}
    for name, key in (("p1", ("precision", 1)), ("p10", ("precision", 10)), ("map10", ("map", 10))):
        mean = float(np.concatenate([values(part)[key] for part in parts]).mean())
        low, high = interval(mean, found["queries"])
        found[name] = [round(each, 3) for each in (mean, low, high)]
    return found


def measured(vectors: Floats, of: Set, metric: str = "cosine") -> Measured:
    """Label by label: queries, p1, p10, map10, each with its interval."""
    return {name: figures([hits_of(vectors, labels, metric)]) for name, labels in of.labels.items()}


def unseen_halves(of: Set) -> list[NDArray[np.bool_]]:
    """Two halves of the labels, every other one by name: the pictures to fit on, each time."""
    label = next(iter(of.labels.values()))
    first = np.isin(label, np.unique(label)[0::2])
    return [first, ~first]


def by_recipe(of: Set, rules: Rules) -> Encoder:
    """The encoder that a recipe makes of the pictures, of which it sees nine tenths."""
    wanted = preprocess_of(rules)
    with TemporaryDirectory() as root:
        store = open_store(root)
        with TableWriter(store, "made", TABLES["examples"], "all", group_bytes=1 << 20) as writer:
            for batch in _examples(of, wanted):
                writer.write(batch)
        made = train(store, writer.receipts, rules, "kept")
    card = Card(
        name=rules.recipe, architecture=made.architecture, dim=made.dim, metric=made.metric,
        preprocess=made.preprocess, parameters=made.parameters, notes=made.notes,
    )  # fmt: skip
    return read_encoder(*pack(card, made.tensors))


def _examples(of: Set, wanted: Preprocess) -> Iterator[pa.RecordBatch]:
    """As the stage stores them: by hash, PNG of the recipe's size; every tenth is held out."""
    keys = [hashlib.sha256(data).digest() for data in of.data]
    order = sorted({key: place for place, key in enumerate(keys)}.values(), key=keys.__getitem__)
    for start in range(0, len(order), _CHUNK):
        rows = []
        for number, place in enumerate(order[start : start + _CHUNK], start):
            Image.fromarray(pixels([of.data[place]], wanted)[0]).save(png := io.BytesIO(), "PNG")
            row: dict[str, Any] = {"content_sha256": keys[place], "picture": png.getvalue()}
            for name, labels in of.labels.items():
                row["style" if name == "folder" else name] = str(labels[place])
            rows.append(row | {"split": "train" if number % 10 else "held_out"})
        yield pa.RecordBatch.from_pylist(rows, schema=TABLES["examples"].columns)


def measured_unseen(fitter: Fitter, of: Set) -> Measured:
    """Fitted on one half, measured on the other among themselves, and the other way round."""
    parts: dict[str, list[Answers]] = {name: [] for name in of.labels}
    for seen in unseen_halves(of):
        encoder, rest = fitter(of.part(seen)), of.part(~seen)
        vectors = encoded(encoder, rest.data)
        for name, labels in rest.labels.items():
            parts[name].append(hits_of(vectors, labels, encoder.metric))
    return {name: figures(each) for name, each in parts.items()}


def _floor(name: str, of: Set) -> Floats:
    make = {"histogram": floors.histogram, "pixels": floors.thumbnail}[name]
    small = Preprocess(size=(floors.SIDE, floors.SIDE), filter="box")
    return floors.centered(np.stack([make(pixels([each], small)[0]) for each in of.data]))


def measured_floors(of: Set, unseen: bool) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for name in floors.FLOORS:
        found[name] = measured(_floor(name, of), of)
        if unseen:
            rests = [of.part(~seen) for seen in unseen_halves(of)]
            found[f"{name}, halves"] = {
                label: figures([hits_of(_floor(name, rest), rest.labels[label]) for rest in rests])
                for label in of.labels
            }
    return found


def jpeg(image: Image.Image, quality: int) -> bytes:
    image.save(stream := io.BytesIO(), "JPEG", quality=quality)
    return stream.getvalue()


def recompressed(quality: int) -> Callable[[bytes], bytes]:
    return lambda data: jpeg(Image.open(io.BytesIO(data)).convert("RGB"), quality)


def altered(data: bytes) -> Iterator[bytes]:
    """The copies of a picture, in the order of KINDS."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    yield jpeg(image, 75)
    yield jpeg(image, 50)
    yield jpeg(image.resize((width // 2, height // 2), Image.Resampling.LANCZOS), 90)
    down, right = round(height * 0.05), round(width * 0.05)
    yield jpeg(image.crop((right, down, width - right, height - down)), 90)


def robust(encoder: Encoder, of: Set, vectors: Floats, every: int) -> dict[str, float]:
    """Kind by kind, the share of the copies whose nearest original, of all, is their own."""
    found = {}
    own = np.arange(0, len(of), every)
    copied = [list(altered(of.data[place])) for place in own]
    for place, kind in enumerate(KINDS):
        copies = encoded(encoder, [each[place] for each in copied])
        near = copies @ vectors.T
        if encoder.metric == "euclidean":
            near -= np.square(vectors).sum(axis=1) / 2
        found[kind] = round(float((near.argmax(axis=1) == own).mean()), 3)
    return found


def milliseconds(encoder: Encoder, of: Set) -> dict[str, float]:
    """Of the processor, for one picture of 256 px at a time; medians."""
    small = [
        jpeg(Image.open(io.BytesIO(data)).convert("RGB").resize((256, 256)), 90)
        for data in of.data[:_TIMED]
    ]
    encoder.encode(pixels(small[:1], encoder.preprocess))
    times = []
    for data in small:
        begun = time.process_time()
        one = pixels([data], encoder.preprocess)
        decoded = time.process_time()
        encoder.encode(one)
        times.append((decoded - begun, time.process_time() - decoded))
    decoding, encoding = np.median(times, axis=0) * 1000
    return {"decode": round(float(decoding), 2), "encode": round(float(encoding), 2)}


def report(fitter: Fitter, of: Set, unseen: bool, robustness: int) -> Iterator[dict[str, Any]]:
    """Everything about one encoder on one set, one thing after the other."""
    begun = time.process_time()
    encoder = fitter(of)
    seconds = round(time.process_time() - begun, 1)
    yield {"encoder": encoder.id, "dim": encoder.dim, "fit_seconds": seconds}
    yield {"ms": milliseconds(encoder, of)}
    vectors = encoded(encoder, of.data)
    yield {"seen": measured(vectors, of, encoder.metric)}
    if robustness:
        yield {"copies found": robust(encoder, of, vectors, robustness)}
        for quality in (75, 50):
            worse = of.changed(recompressed(quality))
            found = measured(encoded(encoder, worse.data), worse, encoder.metric)
            yield {f"all of quality {quality}": found}
    if unseen:
        yield {"unseen": measured_unseen(fitter, of)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--builtin", default="handmade")
    what.add_argument("--encoder", nargs=2, metavar=("ROOT", "ID"))
    what.add_argument("--recipe", choices=sorted(RECIPES))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--robust", type=int, default=0, metavar="N")
    given = parser.parse_args()
    of = opened(given.archive)
    print(
        json.dumps({"pictures": len(of), "floors": measured_floors(of, given.unseen)}), flush=True
    )
    for part in report(_fitter(given), of, given.unseen, given.robust):
        print(json.dumps(part), flush=True)


def _fitter(given: argparse.Namespace) -> Fitter:
    if given.recipe:
        own = [f"train.recipe={given.recipe}", f"train.seed={given.seed}"]
        settings, _ = load(None, [*own, *given.set])
        return lambda of: by_recipe(of, Rules.of(settings.train))
    if given.encoder:
        encoder = load_encoder(open_store(given.encoder[0]), given.encoder[1])
    else:
        encoder = load_builtin(given.builtin)
    return lambda _: encoder


if __name__ == "__main__":
    main()
