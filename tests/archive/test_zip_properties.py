"""Laws of reading zip files: against the standard library's reader, and against damage."""

from __future__ import annotations

import io
import warnings
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.archive import open_archive
from artrec.errors import ArchiveError
from tests.archive.zip_maker import Item, MemoryStore, build, outcome

ITEMS = [
    Item(b"one.jpg", b"stored picture"),
    Item(b"d/"),
    Item("d/zw\u00f6lf.jpg".encode(), b"deflated picture " * 5, method=8, flags=0x800),
    Item(b"d/e.jpg", b"", comment=b"empty"),
    Item(b"last.jpg", b"streamed picture " * 3, method=8, flags=8, descriptor=True),
]
TRUTH = {item.name: item.data for item in ITEMS if item.name != b"d/"}
SAMPLES = {
    "plain": build(ITEMS, comment=b"comment"),
    "zip64": build([Item(i.name, i.data, i.method, zip64=True) for i in ITEMS], zip64=True),
    "junk before": build(ITEMS, before=b"MZ junk"),
    "zip in zip": build([*ITEMS, Item(b"inner.zip", build(ITEMS[:1])), ITEMS[0]]),
}


def verdict(blob: bytes, truth: dict[bytes, bytes], entries: int) -> str:
    """How a damaged archive ends: ``refused``, ``same`` or ``rejects``; anything else fails."""
    try:
        found, folders = outcome(blob)
    except ArchiveError:
        return "refused"
    assert len(found) + folders == entries, "an entry is lost"
    read = {name: data for name, data in found if isinstance(data, bytes)}
    assert read.items() <= truth.items(), "wrong bytes under a name"
    return "same" if len(read) == len(truth) else "rejects"


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30
)
MEMBER = st.tuples(
    NAMES.filter(lambda name: not name.endswith("/")),
    st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=3).map(lambda b: b * 5000)),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)


@settings(deadline=None)
@given(st.lists(MEMBER, max_size=12), st.binary(max_size=50))
def test_a_zip_of_the_standard_library_is_read_back(
    members: list[tuple[str, bytes, int]], comment: bytes
) -> None:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # about duplicate names
        for name, data, method in members:
            archive.writestr(name, data, method)
        archive.comment = comment
    expected = [(name.encode(), data) for name, data, _ in members]
    assert outcome(stream.getvalue()) == (expected, 0)


@pytest.mark.parametrize("sample", ["plain", "zip64", "junk before"])
def test_no_flipped_byte_passes_unseen(sample: str) -> None:
    blob = SAMPLES[sample]
    verdicts = set()
    for at in range(len(blob)):
        for flip in (0x01, 0x02, 0x08, 0x40, 0x80, 0xFF):
            damaged = bytearray(blob)
            damaged[at] ^= flip
            verdicts.add(verdict(bytes(damaged), TRUTH, entries=len(ITEMS)))
    assert verdicts == {"same", "rejects", "refused"}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(SAMPLES)),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), max_size=6),
)
def test_no_damage_raises_anything_but_an_archive_error(
    sample: str, patches: list[tuple[int, bytes]]
) -> None:
    blob = bytearray(SAMPLES[sample])
    for at, patch in patches:
        at %= len(blob)
        blob[at : at + len(patch)] = patch
    try:
        found, _ = outcome(bytes(blob))
    except ArchiveError:
        return
    assert isinstance(found, list)


@settings(deadline=None)
@given(st.binary(max_size=17))
def test_an_end_record_that_is_cut_is_none(tail: bytes) -> None:
    with pytest.raises(ArchiveError):
        outcome(b"PK\5\6" + tail)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_cut_zip_is_never_a_shorter_listing(sample: str) -> None:
    blob = SAMPLES[sample]
    whole = outcome(blob)
    comment = len(b"comment") if sample == "plain" else 0
    for cut in range(len(blob)):
        if cut >= len(blob) - comment:
            assert outcome(blob[:cut]) == whole
        else:
            with pytest.raises(ArchiveError):
                outcome(blob[:cut])


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_zip_without_its_beginning_is_never_a_shorter_listing(sample: str) -> None:
    blob = SAMPLES[sample]
    for cut in range(1, len(blob)):
        if sample == "junk before" and cut <= 7:
            assert outcome(blob[cut:]) == outcome(blob)
        else:
            with pytest.raises(ArchiveError):
                outcome(blob[cut:])


def test_a_slice_of_many_small_members_takes_one_read() -> None:
    store = MemoryStore()
    items = [Item(b"%05d.jpg" % n, b"%d" % n * 100) for n in range(3000)]
    store.write("a.zip", build(items))
    archive = open_archive(store, "a.zip")
    members = list(archive.members())
    # The end, the first bytes, the directory.
    assert len(store.reads) == 3
    store.reads.clear()
    contents = list(archive.read(members))
    assert [content.data for content in contents] == [item.data for item in items]
    assert len(store.reads) == 1


def test_far_members_are_read_without_what_lies_between() -> None:
    store = MemoryStore()
    gap = Item(b"gap", bytes(3 << 20))
    store.write("a.zip", build([Item(b"a", b"1" * 50), gap, Item(b"b", b"2" * 50)]))
    archive = open_archive(store, "a.zip")
    first, _, last = archive.members()
    store.reads.clear()
    assert [content.data for content in archive.read([first, last])] == [b"1" * 50, b"2" * 50]
    assert len(store.reads) == 2
    assert sum(length for _, _, length in store.reads) < 2000


def test_a_large_slice_is_read_window_by_window() -> None:
    store = MemoryStore()
    size = 5 << 20
    store.write("a.zip", build([Item(b"%d" % n, bytes([n]) * size) for n in range(20)]))
    archive = open_archive(store, "a.zip")
    members = list(archive.members())
    store.reads.clear()
    seen = 0
    for content in archive.read(members):
        assert content.data is not None
        assert content.data[0] == content.data[-1] == seen
        seen += 1
        assert seen <= len(store.reads) <= seen + 3  # 3 x 5 MiB are ahead, in 16 MiB
    assert len(store.reads) == seen == 20
    assert max(length for _, _, length in store.reads) <= 8 << 20


def test_a_refused_member_is_not_read() -> None:
    store = MemoryStore()
    store.write("a.zip", build([Item(b"secret", bytes(2 << 20), flags=1), Item(b"b", b"2")]))
    archive = open_archive(store, "a.zip")
    members = list(archive.members())
    store.reads.clear()
    assert [content.reason for content in archive.read(members)] == ["encrypted", None]
    assert sum(length for _, _, length in store.reads) < 1000
