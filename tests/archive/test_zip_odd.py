"""The odd zip files of other people, against the standard library's reader."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from artrec.errors import ArchiveError
from tests.archive.zip_maker import outcome

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ODD = DATA / "odd-zips.zip"
NAMES = zipfile.ZipFile(ODD).namelist() if ODD.exists() else []

# The standard library lists these; their numbers contradict each other.
CONTRADICTIONS = {
    "incons-cdoffset.zip",
    "incons-central-file-comment-longer.zip",
    "incons-eocd64.zip",
    "incons-file-count-high.zip",
    "incons-file-count-low.zip",
    "incons-file-count-overflow.zip",
    "incons-zip64-checkcons-overflow.zip",
    "multidisk.zip",
}
# It reads the zip in the comment of these; here the one that has the comment is read.
OUTER = {
    "zip-in-archive-comment.zip": [(b"test", b"test\n")],
    "zip64-in-archive-comment.zip": [(b"testfile.txt", b"")],
}
# It reads members of these whose size is not the listed one, or by methods unknown here.
STRICTER = {
    "incons-central-size-larger.zip": "bad_size",
    "lzma-no-eos.zip": "unsupported_method",
    "testbzip2.zip": "unsupported_method",
    "testfile-lzma.zip": "unsupported_method",
}

Listing = list[tuple[bytes, bytes | None]]


def with_standard_library(blob: bytes) -> Listing | None:
    """(raw name, bytes or None where reading fails) of all members; None if nothing opens."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(blob))
    except (zipfile.BadZipFile, UnicodeDecodeError):
        return None
    found: Listing = []
    for info in archive.infolist():
        name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
        if name.endswith(b"/") and not info.file_size:
            continue
        try:
            found.append((name, archive.read(info)))
        except Exception:  # its reader raises whatever the damage leads to
            found.append((name, None))
    return found


@pytest.mark.skipif(not NAMES, reason="shared/data is not here")
@pytest.mark.parametrize("name", NAMES)
def test_an_odd_zip_reads_as_the_standard_library_reads_it_or_is_refused(name: str) -> None:
    with zipfile.ZipFile(ODD) as odd:
        blob = odd.read(name)
    expected = with_standard_library(blob)
    tracemalloc.start()
    try:
        found, _ = outcome(blob)
    except ArchiveError:
        assert expected is None or name in CONTRADICTIONS
        return
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    size = sum(len(data) for _, data in expected or [] if data) + len(blob)
    assert peak < 4 * size + (1 << 20)
    assert name not in CONTRADICTIONS
    if name in OUTER:
        assert found == OUTER[name]
    elif name in STRICTER:
        assert {data for _, data in found} == {STRICTER[name]}
    elif expected is not None:
        readable = [(raw, data if isinstance(data, bytes) else None) for raw, data in found]
        assert readable == expected


@pytest.mark.skipif(not NAMES, reason="shared/data is not here")
@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("manyfiles-65536.zip", 65_536),
        ("manyfiles-zip64.zip", 70_000),
        ("manyfiles-fewer.zip", None),
        ("manyfiles-zip64-modulo.zip", None),
    ],
)
def test_counts_that_wrap_are_understood_or_refused(name: str, listed: int | None) -> None:
    with zipfile.ZipFile(ODD) as odd:
        inner = zipfile.ZipFile(io.BytesIO(odd.read("manyfiles-zip.zip"))).read(name)
    if listed is None:
        with pytest.raises(ArchiveError, match="entries in the directory, but its end record says"):
            outcome(inner)
    else:
        assert len(outcome(inner)[0]) == listed


@pytest.mark.skipif(not NAMES, reason="shared/data is not here")
@pytest.mark.parametrize("name", ["paintings.zip", "clothing.zip"])
def test_real_pictures_are_read_as_the_standard_library_reads_them(name: str) -> None:
    blob = (DATA / name).read_bytes()
    assert outcome(blob)[0] == with_standard_library(blob)
