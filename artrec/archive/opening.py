"""What kind of archive lies under a path: decided by bytes, not by names."""

from __future__ import annotations

from collections.abc import Callable

from artrec.archive import KINDS, Archive, Limits, Pin
from artrec.archive.folder import FolderArchive
from artrec.archive.parquet import ParquetArchive, is_parquet
from artrec.archive.ranges import Ranges
from artrec.archive.sniff import HEAD_BYTES, kind_of, seems
from artrec.archive.tar import TarArchive
from artrec.archive.tar_stream import StreamedTar
from artrec.archive.zip import ZipArchive
from artrec.errors import ArchiveError, ConfigError, EmptySource, NotFound, UsageError
from artrec.storage import Entry, Store

__all__ = ["found", "pinned"]

_Opener = Callable[[Store, Pin, Limits], Archive]

_OPENERS: dict[str, _Opener] = {
    "zip": ZipArchive,
    "tar": TarArchive,
    "tar.gz": StreamedTar,
    "tar.zst": StreamedTar,
    "folder": FolderArchive,
    "parquet": ParquetArchive,
}


def pinned(store: Store, path: str, pin: Pin, limits: Limits) -> Archive:
    """The archive that a pin names; ``UsageError`` for the pin of another path."""
    if pin.path != path:
        raise UsageError(f"the pin is of {pin.path}, not of {path}")
    return _OPENERS[pin.kind](store, pin, limits)


def found(store: Store, path: str, limits: Limits, kind: str) -> Archive:
    """See ``open_archive``."""
    if kind not in KINDS:
        raise ConfigError(f"{kind}: no kind of source; there are: {', '.join(KINDS)}")
    try:
        entry = store.stat(path) if path else None
    except NotFound:
        entry = None
    if entry is not None:
        return _file(store, entry, limits, kind)
    first = next(iter(store.list(path)), None)
    if first is None:
        url = store.path_url(path)
        raise EmptySource(f"{url}: no file and no folder with files; check the URL")
    if kind not in ("auto", "folder", "parquet"):
        raise ArchiveError(f"{store.path_url(path)}: a folder, not a {kind}; name the file in it")
    if kind == "parquet" or (kind == "auto" and is_parquet(first)):
        archive = ParquetArchive.found(store, path, limits, alone=kind == "auto")
        if archive is not None:
            return archive
    if kind == "parquet":
        raise ArchiveError(f"{store.path_url(path)}: a folder without .parquet files")
    return FolderArchive(store, Pin("folder", path, 0, ""), limits)


def _file(store: Store, entry: Entry, limits: Limits, kind: str) -> Archive:
    pin = Pin("zip", entry.path, entry.bytes, entry.etag)
    ranges = Ranges(store, pin)
    head = ranges.read(0, HEAD_BYTES)
    shown = kind_of(head)
    if kind not in ("auto", (shown or "").partition(".")[0]) and not (kind == "zip" and not shown):
        raise ArchiveError(f"{ranges.url}: no {kind}: it seems to be {seems(head)}")
    if shown == "parquet":
        return ParquetArchive.of(store, entry.path, [entry], limits)
    if shown is None or shown == "zip":  # what is put before a zip may be anything
        archive = ZipArchive(store, pin, limits)
        archive.directory(head)
        return archive
    pin = Pin(shown, entry.path, entry.bytes, entry.etag)
    if shown == "tar":
        return TarArchive(store, pin, limits)
    streamed = StreamedTar(store, pin, limits)
    streamed.check()
    return streamed
