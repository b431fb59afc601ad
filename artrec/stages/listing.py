"""Listing the sources on the driver, to scratch first: an unchanged night writes nothing."""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from artrec.archive import Archive, Digested, Limits, Member, Pin, open_archive
from artrec.config import Settings, Source
from artrec.digests import Digest, add, name_of
from artrec.errors import ConfigError, EmptySource, InputError, NotFound
from artrec.labels import Labels, PathTemplate
from artrec.releases import Release
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.labelling import Overlay, label_rows, lists_of
from artrec.storage import Store, open_store, split_url
from artrec.tables import Receipt, TableWriter

__all__ = [
    "LISTED",
    "Listing",
    "as_member",
    "check_sources",
    "known_sources",
    "list_sources",
    "listed_from",
    "pinned_archives",
]

LISTED = ("members", "labels", "label_misses")
"""The tables that a listing is made of."""

_ROWS = 10_000
_NONE: Mapping[str, str] = MappingProxyType({})
_OF_OBJECTS = ("folder", "parquet", "")
"""Kinds of sources that are there no more once they have lost all members, unlike a file."""


@dataclass
class Listing:
    """Tables members, labels, label_misses in a scratch Store, and what was met on the way."""

    scratch: Store
    receipts: list[Receipt] = field(default_factory=list)
    pins: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)
    """The bytes of each source that no two tasks can share: a compressed tar."""
    sources: dict[str, int] = field(default_factory=dict)
    """The members of each source, also of one that has lost them all."""
    misses: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Source -> reason -> a few examples of rows and members that label lists do not fit."""

    def digest(self, table: str) -> Digest:
        return add(receipt.digest for receipt in self.receipts if receipt.table == table)

    def upload(self, store: Store, folder: str) -> dict[str, list[Receipt]]:
        """The files, moved into a Store; receipts by table."""
        tables: dict[str, list[Receipt]] = {table: [] for table in LISTED}
        for receipt in self.receipts:
            path = f"{folder}/{receipt.path.removeprefix('t/')}"
            store.upload(Path(self.scratch.path_url(receipt.path)), path)
            tables[receipt.table].append(receipt.model_copy(update={"path": path}))
        return tables

    def count(self, counters: Mapping[str, int]) -> None:
        for key, value in counters.items():
            self.counters[key] = self.counters.get(key, 0) + value


def check_sources(settings: Settings, known: Mapping[str, str] = _NONE) -> None:
    """Fail early, before Spark is started, on a source that is missing or is no archive.

    ``known`` sources, by their kinds, may be empty: they had members once, and a gate judges that.
    A file that is missing is no empty source.
    """
    if not any(source.url for source in settings.sources.values()):
        raise ConfigError("no source is set; name one with --set sources.main.url=PATH")
    for name, source in settings.sources.items():
        _known(name, settings, known)
        if source.labels:
            lists_of(name, source, settings.store.options)


def listed_from(
    settings: Settings, known: Mapping[str, str] = _NONE
) -> tuple[dict[str, str], dict[str, Pin]]:
    """Of each source a digest of what its listing and labels are made from, and its pin.

    Both are empty where that cannot be told without making them: zips alone can, without label
    lists, which lie elsewhere.
    """
    digests: dict[str, str] = {}
    pins: dict[str, Pin] = {}
    for name, source in settings.sources.items():
        archive = _known(name, settings, known)
        if source.labels or not isinstance(archive, Digested):
            return {}, {}
        facts = {"version": RESULT_VERSIONS["inventory"], "listing": archive.listing_digest()}
        own = source.model_dump(mode="json", exclude={"url"})
        digests[name], pins[name] = name_of({**facts, "source": own}), archive.pin()
    return digests, pins


def pinned_archives(settings: Settings, pins: dict[str, Any]) -> dict[str, Archive]:
    """The sources as inventory found them, to be read by tasks: opening them asks nothing."""
    return {name: _opened(name, settings, Pin(**pin)) for name, pin in pins.items()}


def as_member(row: Mapping[str, Any]) -> Member:
    """A row of the table members, or of the pending ones, as its archive takes it."""
    names = ("entry", "raw_name", "occurrence", "bytes", "stored_bytes", "fingerprint", "offset")
    decoded = row["raw_name"].decode("utf-8", "replace")
    return Member(name=decoded, method=row["method"], **{name: row[name] for name in names})


def known_sources(release: Release | None) -> dict[str, str]:
    """Sources that had members in a release, by their kinds: what they have now, a gate judges."""
    inventory = release.stages.get("inventory") if release else None
    notes = inventory.notes if inventory else {}
    kinds = {name: str(pin["kind"]) for name, pin in notes.get("pins", {}).items()}
    return dict.fromkeys(notes.get("sources", {}), "") | kinds


def _known(name: str, settings: Settings, known: Mapping[str, str]) -> Archive | None:
    """The archive of a source; None where nothing is there of one that had members."""
    try:
        return _opened(name, settings)
    except EmptySource:
        if known.get(name) not in _OF_OBJECTS:
            raise
        return None


def _opened(name: str, settings: Settings, pin: Pin | None = None) -> Archive:
    url = settings.sources[name].url if name in settings.sources else ""
    if not url:
        raise ConfigError(f"sources.{name}.url is empty")
    root, path = split_url(url)
    limits = Limits(member_bytes=settings.ingest.max_bytes)
    store, kind = open_store(root, settings.store.options), settings.sources[name].kind
    return open_archive(store, path, pin=pin, limits=limits, kind=kind)


@contextmanager
def list_sources(settings: Settings, known: Mapping[str, str] = _NONE) -> Iterator[Listing]:
    """List every source, in the order of their names.

    Raises InputError for a source that cannot be listed or holds no members at all, unless it is
    ``known`` to have had some, and for label lists that cannot be read or fit no member.
    """
    check_sources(settings, known)
    with tempfile.TemporaryDirectory(prefix="artrec-") as folder:
        listing = Listing(open_store(folder))
        with ExitStack() as stack:
            writers = {table: stack.enter_context(_writer(listing, table)) for table in LISTED}
            for name in sorted(settings.sources):
                archive = _known(name, settings, known)
                if archive is not None:
                    _list_source(name, archive, settings, listing, writers)
                listing.sources.setdefault(name, 0)
                if not listing.sources[name] and name not in known:
                    url = settings.sources[name].url
                    raise InputError(
                        f"source {name}: {url} holds no members: nothing to do with it"
                    )
        listing.count(dict.fromkeys(("listed", "listed_bytes", "folders_skipped"), 0))
        listing.receipts = [each for table in LISTED for each in writers[table].receipts]
        yield listing


def _writer(listing: Listing, table: str) -> TableWriter:
    return TableWriter(listing.scratch, "t", TABLES[table], "all", even_empty=True)


def _list_source(
    name: str,
    archive: Archive,
    settings: Settings,
    listing: Listing,
    writers: Mapping[str, TableWriter],
) -> None:
    source = settings.sources[name]
    template = PathTemplate.parse(source.template)
    s3 = settings.store.options
    overlay = Overlay(name, source, listing.scratch, s3) if source.labels else None
    try:
        count = size = 0
        with overlay or nullcontext():
            for group in _grouped(archive.members()):
                writers["members"].write(_member_rows(name, source, group))
                paths = [_identity(m.name) for m in group]
                found = [_with_own(template.match(m.name), m.labels) for m in group]
                rows = label_rows(name, [m.entry for m in group], paths, found)
                overlay.add(rows) if overlay else writers["labels"].write(_without_path(rows))
                count += len(group)
                size += sum(m.stored_bytes for m in group)
    except NotFound as error:
        raise InputError(f"source {name}: {source.url}: {error}") from None
    listing.sources[name] = count
    if not count:
        return
    pin = archive.pin()
    listing.pins[name] = asdict(pin)
    if not pin.sliced:
        listing.whole[name] = size
    skipped = archive.folders_skipped
    listing.count({"listed": count, "listed_bytes": size, "folders_skipped": skipped})
    if overlay is not None:
        listing.count(overlay.lay(writers["labels"], writers["label_misses"]))
        listing.misses |= {name: overlay.examples} if overlay.examples else {}


def _with_own(found: Labels | None, own: Mapping[str, str] | None) -> Labels | None:
    """What the path says, and over it what the archive itself does."""
    if not own:
        return found
    text: dict[str, Any] = dict(own)
    year = text.pop("year", "")
    if year.isdigit():
        text["year"] = int(year)
    return replace(found or Labels(), **text)


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


def _without_path(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.select(TABLES["labels"].columns.names)
