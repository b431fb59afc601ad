"""Archives on a real S3 server are listed and read as on a disk, and pinned there too."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artrec.archive import Archive, open_archive
from artrec.errors import InputError
from artrec.storage import Store
from artrec.storage.local import LocalStore
from tests.pictures import picture, zip_bytes
from tests.services.s3 import Server

FILES = {f"Baroque/anna_{n}.jpg": picture(n) for n in range(8)}


def tar_bytes(mode: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def parquet_bytes() -> bytes:
    made = io.BytesIO()
    rows = [{"image": {"bytes": data, "path": name}} for name, data in FILES.items()]
    pq.write_table(pa.Table.from_pylist(rows), made, row_group_size=3)
    return made.getvalue()


ARCHIVES: dict[str, Callable[[], dict[str, bytes]]] = {
    "zip": lambda: {"x": zip_bytes(FILES.items())},
    "tar": lambda: {"x": tar_bytes("w")},
    "tar.gz": lambda: {"x": tar_bytes("w:gz")},
    "parquet": lambda: {"x": parquet_bytes()},
    "folder": lambda: {f"x/{name}": data for name, data in FILES.items()},
}


def filled(store: Store, objects: dict[str, bytes]) -> Archive:
    for path, data in objects.items():
        store.write(path, data)
    return open_archive(store, "x")


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_on_s3_is_that_on_a_disk(s3_server: Server, tmp_path: Path, kind: str) -> None:
    objects = ARCHIVES[kind]()
    there = filled(s3_server.store("in"), objects)
    here = filled(LocalStore(str(tmp_path)), objects)
    listed = list(there.members())
    assert there.pin().kind == kind
    assert [replace(m, fingerprint="") for m in listed] == [
        replace(m, fingerprint="") for m in here.members()
    ]
    read = [content.data for content in there.read(listed)]
    assert sorted(data for data in read if data is not None) == sorted(FILES.values())


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "parquet"])
def test_an_archive_on_s3_that_was_replaced_is_read_no_more(s3_server: Server, kind: str) -> None:
    store = s3_server.store("in")
    objects = ARCHIVES[kind]()
    archive = filled(store, objects)
    listed = list(archive.members())
    store.write("x", objects["x"] + b"\0", if_etag=store.stat("x").etag)
    with pytest.raises(InputError, match="archive changed"):
        list(archive.read(listed))
