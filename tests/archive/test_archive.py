"""What every archive does, over each kind of archive and of Store."""

from __future__ import annotations

import io
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

import artrec.archive
from artrec.archive import Archive, Content, Limits, Member, open_archive
from artrec.errors import InputError, StoreUnavailable, UsageError
from artrec.storage import Store
from artrec.storage.local import LocalStore
from tests.archive.packs import FILES, parquet_bytes, tar_bytes
from tests.archive.zip_maker import MemoryStore

PICTURES = {
    "wikiart/Baroque/a.jpg": b"picture one" * 9,
    "wikiart/Baroque/b.jpg": b"",
    "wikiart/Cubism/a.jpg": b"picture two" * 300,
    "wikiart/Cubism/joaqu\u00edn.jpg": b"picture three",
    "wikiart/Rococo/z.jpg": random.Random(3).randbytes(5000),
}


Factory = Callable[[Store, dict[str, bytes]], str]


def zipped(store: Store, pictures: dict[str, bytes], method: int) -> str:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    store.write("in/pictures.zip", stream.getvalue())
    return "in/pictures.zip"


def zip_stored(store: Store, pictures: dict[str, bytes]) -> str:
    return zipped(store, pictures, zipfile.ZIP_STORED)


def zip_deflate(store: Store, pictures: dict[str, bytes]) -> str:
    return zipped(store, pictures, zipfile.ZIP_DEFLATED)


def folder(store: Store, pictures: dict[str, bytes]) -> str:
    for name, data in pictures.items():
        store.write(f"in/pictures/{name}", data)
    store.write("in/other.jpg", b"no member")
    store.write("in/pictures2/other.jpg", b"no member")
    return "in/pictures"


def one_file(kind: str) -> Factory:
    def written(store: Store, pictures: dict[str, bytes]) -> str:
        store.write(f"in/pictures.{kind}", FILES[kind](list(pictures.items())))
        return f"in/pictures.{kind}"

    return written


def tar_of_another_name(store: Store, pictures: dict[str, bytes]) -> str:
    store.write("in/pictures.data", tar_bytes(pictures.items(), tarfile.GNU_FORMAT))
    return "in/pictures.data"


def parquet_folder(store: Store, pictures: dict[str, bytes]) -> str:
    members = list(pictures.items())
    store.write("in/sets/data/0.parquet", parquet_bytes(members[:3], group=2))
    store.write("in/sets/data/1.parquet", parquet_bytes([]))
    store.write("in/sets/data/2.parquet", parquet_bytes(members[3:]))
    return "in/sets"


FACTORIES: dict[str, Factory] = {
    "zip-stored": zip_stored,
    "zip-deflate": zip_deflate,
    "folder": folder,
    "tar": one_file("tar"),
    "tar-gnu": tar_of_another_name,
    "tar.gz": one_file("tar.gz"),
    "tar.zst": one_file("tar.zst"),
    "parquet": one_file("parquet"),
    "parquet-folder": parquet_folder,
}


@pytest.fixture(params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Factory:
    return FACTORIES[request.param]


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else LocalStore(str(tmp_path))


def data_of(contents: list[Content]) -> dict[str, bytes | None]:
    return {content.member.name: content.data for content in contents}


def test_every_member_is_listed_once_with_its_name_and_bytes(
    factory: Factory, store: Store
) -> None:
    archive = open_archive(store, factory(store, PICTURES))
    members = list(archive.members())
    assert isinstance(archive, Archive)
    assert [member.entry for member in members] == [0, 1, 2, 3, 4]
    assert {member.name: member.bytes for member in members} == {
        "wikiart/Baroque/a.jpg": 99,
        "wikiart/Baroque/b.jpg": 0,
        "wikiart/Cubism/a.jpg": 3300,
        "wikiart/Cubism/joaqu\u00edn.jpg": 13,
        "wikiart/Rococo/z.jpg": 5000,
    }
    assert [member.raw_name for member in members] == [name.encode() for name in PICTURES]
    assert {member.occurrence for member in members} == {0}


def test_what_was_put_in_is_read_back(factory: Factory, store: Store) -> None:
    archive = open_archive(store, factory(store, PICTURES))
    contents = list(archive.read(list(archive.members())))
    assert data_of(contents) == PICTURES
    assert {content.reason for content in contents} == {None}


def test_members_asked_for_in_any_order_come_by_offset(factory: Factory, store: Store) -> None:
    archive = open_archive(store, factory(store, PICTURES))
    members = list(archive.members())
    shuffled = [members[n] for n in (3, 0, 4, 2)]
    found = [content.member for content in archive.read(shuffled)]
    assert found == [members[n] for n in (0, 2, 3, 4)]


@pytest.mark.parametrize("slice_bytes", [1, 100, 3000, 1 << 30])
def test_slices_hold_every_member_once(factory: Factory, store: Store, slice_bytes: int) -> None:
    archive = open_archive(store, factory(store, PICTURES))
    members = list(archive.members())
    ordered = sorted(members, key=lambda m: m.offset)
    parts = [list(part) for _, part in groupby(ordered, lambda m: m.offset // slice_bytes)]
    read = [content for part in parts for content in archive.read(part)]
    assert len(read) == len(members)
    assert data_of(read) == PICTURES


def test_a_task_reads_with_the_pin_alone(factory: Factory, store: Store) -> None:
    opened = open_archive(store, factory(store, PICTURES))
    pin, members = opened.pin(), list(opened.members())
    sent = pickle.loads(pickle.dumps((pin, members)))
    archive = open_archive(store, pin.path, pin=sent[0])
    assert data_of(list(archive.read(sent[1]))) == PICTURES
    assert list(archive.members()) == members


def test_an_archive_can_be_sent_to_a_task(factory: Factory, store: Store) -> None:
    archive = open_archive(store, factory(store, PICTURES))
    members = list(archive.members())
    sent = pickle.loads(pickle.dumps(archive))
    assert data_of(list(sent.read(members))) == PICTURES


def test_a_listing_can_be_repeated(factory: Factory, store: Store) -> None:
    archive = open_archive(store, factory(store, PICTURES))
    assert list(archive.members()) == list(archive.members())


def test_a_slice_without_members_reads_nothing(factory: Factory, store: Store) -> None:
    archive = open_archive(store, factory(store, PICTURES))
    assert list(archive.read([])) == []


def test_a_member_above_the_limit_is_rejected_alone(factory: Factory, store: Store) -> None:
    archive = open_archive(store, factory(store, PICTURES), limits=Limits(member_bytes=4999))
    contents = list(archive.read(list(archive.members())))
    reasons = {c.member.name: c.reason for c in contents if c.reason}
    assert reasons == {"wikiart/Rococo/z.jpg": "too_large"}
    details = [c.detail for c in contents if c.reason]
    assert details in (
        ["5,000 bytes, above the limit of 4,999"],
        ["5,005 bytes, above the limit of 4,999"],  # deflate made it longer
    )


def test_more_members_than_the_limit_are_an_input_error(factory: Factory, store: Store) -> None:
    archive = open_archive(store, factory(store, PICTURES), limits=Limits(members=4))
    with pytest.raises(InputError, match="more than 4 "):
        list(archive.members())


def one_of(path: str) -> str:
    """The file of an archive, or one of its files."""
    inner = {"in/pictures": "/wikiart/Cubism/a.jpg", "in/sets": "/data/0.parquet"}
    return path + inner.get(path, "")


def test_reading_after_a_change_never_gives_the_new_bytes(factory: Factory, store: Store) -> None:
    path = factory(store, PICTURES)
    archive = open_archive(store, path)
    members = list(archive.members())
    changed = one_of(path)
    size = store.stat(changed).bytes
    store.delete(changed)
    store.write(changed, b"x" * size)
    if path != "in/pictures":
        with pytest.raises(InputError, match="archive changed during the run"):
            list(archive.read(members))
        with pytest.raises(InputError, match="archive changed during the run"):
            list(archive.members())
    else:
        contents = {c.member.name: c for c in archive.read(members)}
        assert contents["wikiart/Cubism/a.jpg"].reason == "changed"
        assert sum(c.reason is None for c in contents.values()) == 4


def test_reading_what_is_gone_says_so(factory: Factory, store: Store) -> None:
    path = factory(store, PICTURES)
    archive = open_archive(store, path)
    members = list(archive.members())
    if path != "in/pictures":
        store.delete(one_of(path))
        with pytest.raises(InputError, match="archive vanished during the run"):
            list(archive.read(members))
    else:
        store.delete(f"{path}/wikiart/Rococo/z.jpg")
        contents = list(archive.read(members))
        assert [c.reason for c in contents] == [None, None, None, None, "vanished"]


def test_a_short_answer_is_the_stores_fault_and_no_reject(factory: Factory) -> None:
    memory = MemoryStore()
    archive = open_archive(memory, factory(memory, PICTURES))
    members = list(archive.members())
    memory.short = 1
    with pytest.raises(StoreUnavailable, match="bytes came of"):
        list(archive.read([members[-1]]))


def test_nothing_under_a_path_is_an_input_error(store: Store) -> None:
    with pytest.raises(InputError, match="no file and no folder with files"):
        open_archive(store, "in/missing.zip")


def test_a_pin_of_another_archive_is_refused(factory: Factory, store: Store) -> None:
    pin = open_archive(store, factory(store, PICTURES)).pin()
    with pytest.raises(UsageError, match=r"not of in/other\.zip"):
        open_archive(store, "in/other.zip", pin=pin)


def test_a_content_has_either_data_or_a_reason() -> None:
    member = Member(0, b"a", "a", 0, 1, 1, "crc32=00000000", 0, "stored")
    with pytest.raises(ValueError, match="either data or a reason"):
        Content(member)
    with pytest.raises(ValueError, match="either data or a reason"):
        Content(member, b"x", "bad_crc", "both")


def test_the_public_names_are_these() -> None:
    assert artrec.archive.__all__ == sorted(artrec.archive.__all__)
    assert all(hasattr(artrec.archive, name) for name in artrec.archive.__all__)
