"""Labels of the members of one source: what their paths say, and label lists laid over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from artrec.config import Source
from artrec.errors import InputError
from artrec.labels import (
    LabelLists,
    Labels,
    Matches,
    MemberPaths,
    RowPaths,
    Spellings,
    Verdict,
    find_lists,
    match,
)
from artrec.schemas import TABLES
from artrec.storage import S3Options, Store, open_store, split_url
from artrec.tables import TableWriter, read_table

__all__ = ["COUNTERS", "Overlay", "label_rows", "lists_of"]

COUNTERS = {
    Verdict.used: "list_used",
    Verdict.no_member: "list_misses",
    Verdict.ambiguous: "list_ambiguous",
    Verdict.repeated: "list_repeated",
    Verdict.other_class: "class_conflicts",
    Verdict.other_split: "split_conflicts",
}
"""The counter of each verdict on a row; they add up to ``list_rows``."""

_EXAMPLES = 3
_ROWS = 10_000

Miss = tuple[str, int, str, str]
"""(list, line, path, reason)."""


def lists_of(name: str, source: Source, s3: S3Options | None = None) -> LabelLists:
    """The label lists of a source, found and with their classes read."""
    root, folder = split_url(source.labels)
    try:
        return find_lists(open_store(root, s3), folder)
    except InputError as error:
        raise InputError(f"sources.{name}.labels: {error}") from None


def label_rows(
    source: str, entries: Sequence[int], paths: Sequence[str], found: Sequence[Labels | None]
) -> pa.RecordBatch:
    """Rows of the table path_labels; without its column ``path`` they are rows of labels."""
    labels = [each or Labels() for each in found]
    schema = TABLES["path_labels"].columns
    text = ("style", "artist", "title", "genre", "split", "license")
    columns = {
        "source": [source] * len(labels),
        "entry": entries,
        "path": paths,
        "year": [each.year for each in labels],
        "extra": [list(each.extra.items()) or None for each in labels],
        **{key: [getattr(each, key) for each in labels] for key in text},
    }
    arrays = [pa.array(columns[column.name], column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class Overlay:
    """The label lists of one source. Within its block members are added; then it is laid.

    Held in memory are 26 bytes a row of the lists and, for the usual paths of one folder and a
    name, 24 a member: what the paths say waits in scratch, and the lists are read a second time
    for the text of the rows that miss.
    """

    def __init__(
        self, name: str, source: Source, scratch: Store, s3: S3Options | None = None
    ) -> None:
        self._name, self._url, self._scratch = name, source.url, scratch
        self._lists = lists_of(name, source, s3)
        self._rows = RowPaths()
        for number, row in self._lists.rows():
            self._rows.add(number, row)
        self._members = MemberPaths(self._rows.depths())
        self._waiting = TableWriter(scratch, "waiting", TABLES["path_labels"], name)
        self._member = ""
        self.examples: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        self._waiting.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting.__exit__(kind, error, trace)

    def add(self, rows: pa.RecordBatch) -> None:
        """Keep rows of ``label_rows`` until all members are known."""
        for path in rows.column("path").to_pylist():
            self._members.add(path)
            self._member = self._member or path
        self._waiting.write(rows)

    def lay(self, labels: TableWriter, misses: TableWriter) -> Counter[str]:
        """Write labels, and label_misses; returns the counters.

        Raises InputError where not one row is about a member: such lists are of another catalog.
        """
        matches = match(self._lists.lists, self._rows, self._members)
        self._check_any(matches)
        spelled = self._spelled(matches)
        for start, batch in self._batches():
            labels.write(self._overlaid(matches, spelled, batch, start))
        counters = Counter(dict.fromkeys(("list_rows", *COUNTERS.values(), "unlisted"), 0))
        counters["list_rows"] = len(self._rows.exact)
        for verdict, count in zip(*np.unique(matches.verdicts, return_counts=True), strict=True):
            counters[COUNTERS[Verdict(verdict)]] = int(count)
        group: list[Miss] = []
        for miss in self._misses(matches):
            counters["unlisted"] += miss[3] == "unlisted"
            self._keep_example(miss)
            group.append(miss)
            if len(group) == _ROWS:
                misses.write(self._miss_rows(group))
                group = []
        misses.write(self._miss_rows(group))
        return counters

    def _batches(self, columns: list[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The waiting rows, behind the number of the first."""
        start = 0
        for batch in read_table(self._scratch, self._waiting.receipts, columns):
            yield start, batch
            start += batch.num_rows

    def _check_any(self, matches: Matches) -> None:
        if np.isin(matches.verdicts, (Verdict.no_member, Verdict.ambiguous)).all():
            row = next((row.path for _, row in self._lists.rows()), None)
            said = "they hold no rows" if row is None else f"the first row says {row!r}"
            raise InputError(
                f"sources.{self._name}.labels: no row of the label lists in {self._lists.url} "
                f"names one member of {self._url}: {said}, the first member is {self._member!r}. "
                "A row has to be the end of a member's path; give the lists of this catalog"
            )

    def _spelled(self, matches: Matches) -> dict[str, dict[int, str]]:
        """How each class is written in its column."""
        index, found = self._rows.index, {}
        for kind, rows in matches.rows.items():
            spellings = Spellings(self._lists.classes[kind])
            for start, batch in self._batches([kind]):
                chosen = rows[start : start + batch.num_rows].tolist()
                for value, row in zip(batch.column(0).to_pylist(), chosen, strict=True):
                    spellings.learn(value, index[row] if row >= 0 else None)
            found[kind] = {each: spellings.of(each) for each in self._lists.classes[kind]}
        return found

    def _overlaid(
        self,
        matches: Matches,
        spelled: dict[str, dict[int, str]],
        batch: pa.RecordBatch,
        start: int,
    ) -> pa.RecordBatch:
        columns = {name: batch.column(name) for name in TABLES["labels"].columns.names}
        extras = [dict(each or ()) for each in columns["extra"].to_pylist()]
        splits = columns["split"].to_pylist()
        for kind, rows in sorted(matches.rows.items()):
            values, classes = columns[kind].to_pylist(), self._lists.classes[kind]
            chosen = rows[start : start + batch.num_rows]
            for place in np.flatnonzero(chosen >= 0).tolist():
                row = int(chosen[place])
                values[place] = spelled[kind][self._rows.index[row]]
                extras[place][f"{kind}_class"] = classes[self._rows.index[row]]
                if others := matches.also[kind].get(start + place):
                    extras[place][f"{kind}_also"] = "; ".join(classes[each] for each in others)
                if kind == "style":
                    splits[place] = self._lists.lists[self._rows.list_no[row]].split
            columns[kind] = pa.array(values, pa.string())
        columns["split"] = pa.array(splits, pa.string())
        columns["extra"] = pa.array(
            [list(e.items()) or None for e in extras], batch.column("extra").type
        )
        return pa.RecordBatch.from_pydict(columns)

    def _misses(self, matches: Matches) -> Iterator[Miss]:
        """Members that no list names, then the rows that were not used as they stand."""
        listed = matches.listed()
        for start, batch in self._batches(["entry", "path"]):
            alone = np.flatnonzero(~listed[start : start + batch.num_rows])
            for row in batch.take(pa.array(alone)).to_pylist() if len(alone) else ():
                yield "", row["entry"], row["path"], "unlisted"
        for place, (number, row) in enumerate(self._lists.rows()):
            verdict = Verdict(matches.verdicts[place])
            if verdict != Verdict.used:
                yield self._lists.lists[number].name, row.line, row.path, verdict.name

    def _keep_example(self, miss: Miss) -> None:
        kept = self.examples.setdefault(miss[3], [])
        if len(kept) < _EXAMPLES:
            kept.append(f"{miss[0]}:{miss[1]} {miss[2]}" if miss[0] else miss[2])

    def _miss_rows(self, group: list[Miss]) -> pa.RecordBatch:
        names = ("list", "line", "path", "reason")
        rows = [{"source": self._name, **dict(zip(names, miss, strict=True))} for miss in group]
        return pa.RecordBatch.from_pylist(rows, schema=TABLES["label_misses"].columns)
