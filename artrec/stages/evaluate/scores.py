"""The rows of the table evaluation, from what the tasks found; bounded by the number of queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.evaluation import RECALL_CUTS, Answers, averages, chance, interval, values
from artrec.evaluation.retrieval import CUTS, Value
from artrec.evaluation.space import quantiles
from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.approximate.recall import interval as mean_interval

__all__ = [
    "Row",
    "cloud_rows",
    "distance_rows",
    "list_recall_rows",
    "near_rows",
    "recall_rows",
    "retrieval_rows",
    "row",
    "scan_rows",
    "table_row",
    "write_rows",
]

Row = dict[str, Any]
Key = tuple[str, str, str, str]
"""(encoder, pool, label, variant)."""

STYLES = 200
"""Of which the recall of an approximate table is told, at most."""

_TEXTS = ("pool", "label", "variant", "average", "group")
_EMPTY: Row = {**dict.fromkeys(_TEXTS, ""), "k": 0, "low": None, "high": None}


def row(encoder: str, measure: str, value: float, queries: int, **more: Any) -> Row:
    """One measured number; what does not apply is empty."""
    facts = {"encoder": encoder, "measure": measure, "value": value, "queries": queries}
    return {**_EMPTY, **facts, **more}


def retrieval_rows(
    store: Store, receipts: Sequence[Receipt], encoder: str, sampled: Mapping[str, float]
) -> Iterator[Row]:
    """Precision and mean average precision of the encoder, the floors and chance.

    ``sampled`` is, for each pool, the share of its images that were queries. Single classes are
    given for the encoder in the whole catalog alone.
    """
    for (name, pool, label, variant), answers in sorted(_answers(store, receipts).items()):
        place = {"pool": pool, "label": label, "variant": variant}
        own = name == encoder
        for (measure, k), numbers in values(answers).items():
            found = averages(answers.groups, numbers, sampled[pool], own and pool == "catalog")
            yield from (_averaged(name, measure, v, k=k, **place) for v in found)
        if own:  # the floors answer the same queries
            found = averages(answers.groups, chance(answers), sampled[pool], classes=False)
            yield from (_averaged("chance", "precision", v, **place) for v in found)


def _averaged(encoder: str, measure: str, value: Value, **more: Any) -> Row:
    facts = {"average": value.average, "group": value.group, "low": value.low, "high": value.high}
    return row(encoder, measure, value.value, value.queries, **facts, **more)


def _answers(store: Store, receipts: Sequence[Receipt]) -> dict[Key, Answers]:
    """What became of the queries, by encoder, pool, label and variant."""
    parts: dict[Key, list[Answers]] = {}
    names = ("encoder", "pool", "label", "variant")
    for batch in read_table(store, receipts):
        keys = list(zip(*(batch.column(name).to_pylist() for name in names), strict=True))
        for key in dict.fromkeys(keys):
            mine = pa.array([i for i, each in enumerate(keys) if each == key])
            parts.setdefault(key, []).append(_part(batch.take(mine)))
    return {
        key: Answers(
            groups=[group for each in found for group in each.groups],
            hits=np.concatenate([each.hits for each in found]),
            candidates=np.concatenate([each.candidates for each in found]),
            relevant=np.concatenate([each.relevant for each in found]),
        )
        for key, found in parts.items()
    }


def _part(batch: pa.RecordBatch) -> Answers:
    column = batch.column("hits")
    lengths = np.asarray(column.value_lengths(), np.int64)
    hits = np.zeros((batch.num_rows, max(CUTS)), np.bool_)
    hits[np.repeat(np.arange(batch.num_rows), lengths), np.asarray(column.flatten()) - 1] = True
    return Answers(
        groups=batch.column("group").to_pylist(),
        hits=hits,
        candidates=np.asarray(batch.column("candidates"), np.int64),
        relevant=np.asarray(batch.column("relevant"), np.int64),
    )


def distance_rows(
    store: Store, exact: Sequence[Receipt], encoder: str, k: int, random: Sequence[float]
) -> Iterator[Row]:
    """Quantiles of the distances at each rank of the lists, and of random pairs."""
    found: dict[int, list[np.ndarray[Any, np.dtype[np.float32]]]] = {n: [] for n in _ranks(k)}
    for batch in read_table(store, exact, ["distances"]):
        column = batch.column(0)
        starts, lengths = np.asarray(column.offsets)[:-1], np.asarray(column.value_lengths())
        flat = np.asarray(column.values, np.float32)
        for rank, parts in found.items():
            parts.append(flat[starts[lengths >= rank] + rank - 1])
    numbers = {("rank", rank): np.concatenate(parts) for rank, parts in found.items() if parts}
    numbers["random", 0] = np.asarray(random, np.float32)
    for (name, rank), each in numbers.items():
        for share, value in quantiles(each).items():
            more: Row = {"variant": name, "group": f"{share:g}", "k": rank}
            yield row(encoder, "distance", value, len(each), pool="catalog", **more)


def _ranks(k: int) -> list[int]:
    """All of them to 100, then each tenth, and the last."""
    return sorted({*range(1, min(k, 100) + 1), *range(110, k + 1, 10), k})


def cloud_rows(notes: Mapping[str, Any], encoder: str) -> Iterator[Row]:
    """How far the vectors point one way, and along how many axes they spread."""
    count = notes["cloud"]["count"]
    yield row(encoder, "mean_norm", notes["mean_norm"], count, pool="catalog")
    for measure in ("mean_cosine", "effective_dimension"):
        if notes[measure] is not None:
            yield row(encoder, measure, notes[measure], count, pool="catalog")


def recall_rows(
    notes: Sequence[Mapping[str, list[float]]], encoder: str, sampled: float
) -> Iterator[Row]:
    """Recall of the index at each cut."""
    together: dict[int, list[float]] = {}
    for each in notes:
        for cut, shares in each.items():
            together.setdefault(int(cut), []).extend(shares)
    for k, shares in sorted(together.items()):
        for found in averages([""] * len(shares), np.asarray(shares), sampled, classes=False):
            if found.average == "micro":
                yield _averaged(encoder, "index_recall", found, pool="catalog", k=k)


def scan_rows(notes: Sequence[Mapping[str, Any]], encoder: str) -> Iterator[Row]:
    """Recall of an index whose look-ups scan all vectors: of each shard in its own range.

    What is exact is no matter of chance: only where something is missed there is an interval.
    """
    queries = sum(each["queries"] for each in notes)
    for k in RECALL_CUTS:
        value = sum(each[str(k)] for each in notes) / queries
        low, high = interval(value, queries) if value < 1 else (1.0, 1.0)
        found = Value("micro", "", queries, value, low, high)
        yield _averaged(encoder, "index_recall", found, pool="catalog", k=k)


def table_row(encoder: str, k: int, queries: int, value: float, sampled: float) -> Row:
    """The published lists against those found here."""
    low, high = interval(value, queries, sampled)
    found = Value("micro", "", queries, value, low, high)
    return _averaged(encoder, "table_recall", found, pool="catalog", k=k)


def near_rows(counts: Mapping[str, int], images: int, encoder: str) -> Iterator[Row]:
    """Groups of near duplicates, the images of the largest one, and the share that is in any.

    ``near_bits`` is less than what was asked for where there were too many pairs: -1 where even
    those of 0 bits were.
    """
    found = {
        "near_groups": counts["groups"],
        "near_largest": counts["largest"],
        "near_images": counts["images"] / images if images else 0.0,
        "near_bits": counts["bits"],
    }
    for measure, value in found.items():
        yield row(encoder, measure, value, images, pool="catalog")


def list_recall_rows(
    styles: Sequence[str], shares: Sequence[float], encoder: str, k: int, sampled: float
) -> Iterator[Row]:
    """Recall of an approximate table: of all queries, and of those of each style.

    Of at most STYLES styles, those with the most queries.
    """
    numbers, names = np.array(shares), np.array(styles)
    found, counts = np.unique(names[names != ""], return_counts=True)
    most = found[np.argsort(-counts, kind="stable")][:STYLES]
    for name in ("", *sorted(most.tolist())):
        own = numbers[names == name] if name else numbers
        low, high = _interval_of(own, sampled)
        average, label = ("class", "style") if name else ("micro", "")
        value = Value(average, name, len(own), float(own.mean()), low, high)
        yield _averaged(encoder, "table_recall", value, pool="catalog", k=k, label=label)


def _interval_of(
    shares: np.ndarray[Any, np.dtype[np.float64]], sampled: float
) -> tuple[float, float]:
    """The 95 % interval of a mean, narrower where a good part of all was asked."""
    mean, (low, high) = float(shares.mean()), mean_interval(shares)
    left = max(0.0, 1 - sampled) ** 0.5
    return mean - (mean - low) * left, mean + (high - mean) * left


def write_rows(store: Store, folder: str, stem: str, rows: Sequence[Row]) -> list[Receipt]:
    """The table evaluation, in its order."""
    table = TABLES["evaluation"]
    ordered = sorted(rows, key=lambda each: tuple(each[name] for name in table.sort))
    with TableWriter(store, folder, table, stem, even_empty=True) as writer:
        writer.write(pa.RecordBatch.from_pylist(ordered, schema=table.columns))
    return writer.receipts
