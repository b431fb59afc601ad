"""Listing the sources on the driver, to scratch first: an unchanged night writes nothing."""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from artrec.archive import Archive, Limits, Member, Pin, open_archive
from artrec.config import Settings, Source
from artrec.digests import Digest, add
from artrec.errors import ConfigError, InputError, NotFound
from artrec.labels import Labels, PathTemplate
from artrec.schemas import TABLES
from artrec.storage import Store, open_store, split_url
from artrec.tables import Receipt, TableWriter

__all__ = ["Listing", "check_sources", "list_sources", "pinned_archives"]

_ROWS = 10_000


@dataclass
class Listing:
    """Tables members and labels in a scratch Store, and what was met on the way."""

    scratch: Store
    receipts: list[Receipt] = field(default_factory=list)
    pins: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def digest(self, table: str) -> Digest:
        return add(receipt.digest for receipt in self.receipts if receipt.table == table)

    def upload(self, store: Store, folder: str) -> dict[str, list[Receipt]]:
        """The files, moved into a Store; receipts by table."""
        tables: dict[str, list[Receipt]] = {"members": [], "labels": []}
        for receipt in self.receipts:
            path = f"{folder}/{receipt.path.removeprefix('t/')}"
            store.upload(Path(self.scratch.path_url(receipt.path)), path)
            tables[receipt.table].append(receipt.model_copy(update={"path": path}))
        return tables


def check_sources(settings: Settings) -> None:
    """Fail early, before Spark is started, on a source that is missing or is no archive."""
    if not any(source.url for source in settings.sources.values()):
        raise ConfigError("no source is set; name one with --set sources.main.url=PATH")
    for name in settings.sources:
        _opened(name, settings)


def pinned_archives(settings: Settings, pins: dict[str, Any]) -> dict[str, Archive]:
    """The sources as inventory found them, to be read by tasks: opening them asks nothing."""
    return {name: _opened(name, settings, Pin(**pin)) for name, pin in pins.items()}


def _opened(name: str, settings: Settings, pin: Pin | None = None) -> Archive:
    url = settings.sources[name].url if name in settings.sources else ""
    if not url:
        raise ConfigError(f"sources.{name}.url is empty")
    root, path = split_url(url)
    limits = Limits(member_bytes=settings.ingest.max_bytes)
    return open_archive(open_store(root), path, pin=pin, limits=limits)


@contextmanager
def list_sources(settings: Settings) -> Iterator[Listing]:
    """List every source, in the order of their names.

    Raises InputError for a source that cannot be listed or holds no members at all.
    """
    check_sources(settings)
    with tempfile.TemporaryDirectory(prefix="artrec-") as folder:
        listing = Listing(open_store(folder))
        with (
            TableWriter(listing.scratch, "t", TABLES["members"], "all", even_empty=True) as members,
            TableWriter(listing.scratch, "t", TABLES["labels"], "all", even_empty=True) as labels,
        ):
            for name in sorted(settings.sources):
                _list_source(name, settings, listing, members, labels)
        listing.receipts = [*members.receipts, *labels.receipts]
        yield listing


def _list_source(
    name: str, settings: Settings, listing: Listing, members: TableWriter, labels: TableWriter
) -> None:
    source = settings.sources[name]
    template = PathTemplate.parse(source.template)
    archive = _opened(name, settings)
    try:
        count = size = 0
        for group in _grouped(archive.members()):
            members.write(_member_rows(name, source, group))
            labels.write(_label_rows(name, [template.match(m.name) for m in group], group))
            count += len(group)
            size += sum(m.stored_bytes for m in group)
    except NotFound as error:
        raise InputError(f"source {name}: {source.url}: {error}") from None
    if not count:
        raise InputError(f"source {name}: {source.url} holds no members: nothing to do with it")
    listing.pins[name] = asdict(archive.pin())
    for key, value in {
        "listed": count,
        "listed_bytes": size,
        "folders_skipped": archive.folders_skipped,
    }.items():
        listing.counters[key] = listing.counters.get(key, 0) + value


def _grouped(members: Iterator[Member]) -> Iterator[list[Member]]:
    group: list[Member] = []
    for member in members:
        group.append(member)
        if len(group) == _ROWS:
            yield group
            group = []
    if group:
        yield group


def _member_rows(name: str, source: Source, group: list[Member]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "source": [name] * len(group),
            "entry": [m.entry for m in group],
            "raw_name": [m.raw_name for m in group],
            "occurrence": pa.array([m.occurrence for m in group], pa.int32()),
            "image_id": [source.id_prefix + _identity(m.name) for m in group],
            "bytes": [m.bytes for m in group],
            "stored_bytes": [m.stored_bytes for m in group],
            "fingerprint": [m.fingerprint for m in group],
            "offset": [m.offset for m in group],
            "method": [m.method for m in group],
        }
    )


def _identity(name: str) -> str:
    """One spelling for names that look the same (NFC); what cannot be UTF-8 is escaped."""
    return unicodedata.normalize("NFC", name).encode("utf-8", "backslashreplace").decode()


def _label_rows(name: str, found: list[Labels | None], group: list[Member]) -> pa.RecordBatch:
    labels = [each or Labels() for each in found]
    schema = TABLES["labels"].columns
    text = ("style", "artist", "title", "genre", "split", "license")
    columns = {
        "source": [name] * len(group),
        "entry": [m.entry for m in group],
        "year": [each.year for each in labels],
        "extra": [list(each.extra.items()) or None for each in labels],
        **{key: [getattr(each, key) for each in labels] for key in text},
    }
    arrays = [pa.array(columns[column.name], column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
