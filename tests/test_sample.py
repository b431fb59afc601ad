from __future__ import annotations

import hashlib
import io
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from artrec import sample
from artrec.errors import UsageError
from artrec.sample import BROKEN_KINDS, SampleReport, broken_members, write_sample
from artrec.sample.names import artist_slug, damaged
from artrec.sample.plan import Member, plan_members
from artrec.sample.styles import STYLES, paint

IMAGES, SEED, BROKEN = 140, 3, 11
STYLE_FOLDERS = {
    "Abstract_Expressionism",
    "Art_Nouveau_Modern",
    "Baroque",
    "Color_Field_Painting",
    "Cubism",
    "Expressionism",
    "Fauvism",
    "Impressionism",
    "Minimalism",
    "Pointillism",
    "Romanticism",
    "Ukiyo_e",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> SampleReport:
    path = tmp_path_factory.mktemp("sample") / "sample.zip"
    return write_sample(path, IMAGES, SEED, BROKEN)


@pytest.fixture
def archive(report: SampleReport) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(report.path) as opened:
        yield opened


def good_contents(archive: zipfile.ZipFile) -> dict[str, bytes]:
    broken = broken_members(IMAGES, SEED, BROKEN)
    return {name: archive.read(name) for name in archive.namelist() if name not in broken}


def test_the_report_counts_what_the_archive_holds(
    report: SampleReport, archive: zipfile.ZipFile
) -> None:
    contents = good_contents(archive)
    artists = {name.split("/")[2].split("_")[0] for name in contents}
    assert len(archive.namelist()) == report.members == 151
    assert len(contents) == 140
    assert len({hashlib.sha256(data).digest() for data in contents.values()}) == report.pictures
    # 140 images: round(140 * 0.017) = 2 stand in two folders, round(140 * 0.012) = 2 twice in one.
    assert report.pictures == 136
    assert {name.split("/")[1] for name in contents} == STYLE_FOLDERS
    assert (report.styles, report.broken) == (12, 11)
    assert report.artists == len(artists) == 24
    assert report.bytes == report.path.stat().st_size


def test_members_lie_under_style_folders_in_the_order_of_their_names(
    archive: zipfile.ZipFile,
) -> None:
    names = archive.namelist()
    assert names == sorted(set(names))
    for name in names:
        root, style, file = name.split("/")
        assert (root, file[-4:]) == ("wikiart", ".jpg")
        assert style in STYLE_FOLDERS
        assert "_" in file
        assert not set(file) & set('\\:*?"<>| ,')


def test_good_members_are_stored_pictures_of_varied_sides_that_decode_to_the_end(
    archive: zipfile.ZipFile,
) -> None:
    sides, aspects = [], []
    for name, data in good_contents(archive).items():
        info = archive.getinfo(name)
        assert info.compress_type == zipfile.ZIP_STORED
        assert info.date_time == (2017, 6, 1, 12, 0, 0)
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            picture.load()
            sides.append(max(picture.size))
            aspects.append(picture.width / picture.height)
    assert 200 <= min(sides) < 240
    assert 350 < max(sides) <= 420
    assert min(aspects) < 0.75
    assert max(aspects) > 1.4


def test_equal_arguments_give_equal_bytes_with_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = write_sample(tmp_path / "alone.zip", 20, 5, 3, workers=1)
    monkeypatch.setattr(sample, "_WORTH_PROCESSES", 1)
    monkeypatch.setattr(sample, "_BATCH", 2)
    shared = write_sample(tmp_path / "shared.zip", 20, 5, 3, workers=2)
    assert shared.path.read_bytes() == alone.path.read_bytes()
    assert (shared.members, shared.pictures) == (alone.members, alone.pictures) == (23, 18)


def test_another_seed_gives_other_names_and_other_pictures() -> None:
    kinds = tuple(BROKEN_KINDS)
    one, two = ({m.name for m in plan_members(50, seed, 0, kinds)} for seed in (0, 1))
    assert not one & two
    assert paint(0, 0, 0, 0, "river").tobytes() != paint(1, 0, 0, 0, "river").tobytes()


def test_a_picture_depends_on_its_own_number_alone() -> None:
    before = paint(9, 3, 1, 17, "wave").tobytes()
    paint(9, 3, 1, 18, "wave")
    assert paint(9, 3, 1, 17, "wave").tobytes() == before
    assert paint(9, 3, 1, 18, "wave").tobytes() != before


@pytest.mark.parametrize("style", range(12), ids=[style.name for style in STYLES])
def test_every_motif_of_a_style_can_be_painted_by_many_hands(style: int) -> None:
    for artist in range(2):
        for number, motif in enumerate(STYLES[style].motifs):
            picture = np.asarray(paint(1, style, artist, number, motif))
            assert picture.dtype == np.uint8
            assert picture.std() > 1


def test_one_image_makes_an_archive_too(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.zip"
    report = write_sample(path, 1)
    assert report == SampleReport(path, 1, 1, 1, 1, 0, path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 1


@settings(max_examples=30, deadline=None)
@given(images=st.integers(1, 300), seed=st.integers(0, 2**40), broken=st.integers(0, 25))
def test_any_plan_has_the_asked_numbers_and_one_name_for_each_member(
    images: int, seed: int, broken: int
) -> None:
    members = plan_members(images, seed, broken, tuple(BROKEN_KINDS))
    names = [member.name for member in members]
    kinds = Counter(member.kind for member in members)
    assert names == sorted({unicodedata.normalize("NFC", name) for name in names})
    assert kinds.pop(None) == images
    assert sum(kinds.values()) == broken
    assert max(kinds.values(), default=0) - min(kinds.values(), default=0) <= 1
    works = {member.work.number for member in members if member.kind is None}
    assert works.isdisjoint(m.work.number for m in members if m.kind is not None)
    artists = defaultdict(set)
    for member in members:
        artists[member.work.style].add(member.work.artist)
    assert images < 8 or min(len(found) for found in artists.values()) >= 2


def test_a_large_plan_has_wikiarts_oddities() -> None:
    members = plan_members(3000, 0, 0, tuple(BROKEN_KINDS))
    files = [member.name.split("/")[2] for member in members]
    titles = [file.split("_", 1)[1] for file in files]
    artists = Counter(file.split("_")[0] for file in files)
    assert 20 < sum("not_detected" in title for title in titles) < 60
    assert 60 < sum("(" in title for title in titles) < 250
    assert 40 < sum("_" in title for title in titles) < 120
    assert sum("'" in title for title in titles) > 10
    assert sum(title.startswith("untitled") for title in titles) > 40
    assert sum("." in artist for artist in artists) > 15
    assert sum("ã" in artist for artist in artists) > 15
    assert 200 <= len(artists) <= 260
    # Few have many works, many few: the first twentieth holds more than a fifth of all.
    sizes = sorted(artists.values(), reverse=True)
    assert sum(sizes[: len(sizes) // 20]) > 600
    assert sizes[-1] == 1


def test_some_files_stand_in_two_folders_and_some_pictures_under_two_titles() -> None:
    by_work: dict[int, list[Member]] = defaultdict(list)
    for member in plan_members(600, 0, 0, tuple(BROKEN_KINDS)):
        by_work[member.work.number].append(member)
    twice = [members for members in by_work.values() if len(members) == 2]
    files = [{member.name.split("/")[2] for member in members} for members in twice]
    folders = [{member.name.split("/")[1] for member in members} for members in twice]
    assert Counter(map(len, files)) == {1: 10, 2: 7}
    assert all(len(f) + len(d) == 3 for f, d in zip(files, folders, strict=True))


def test_pictures_that_stand_twice_have_the_same_bytes(archive: zipfile.ZipFile) -> None:
    contents = good_contents(archive)
    names: dict[bytes, list[str]] = defaultdict(list)
    for name, data in contents.items():
        names[data].append(name)
    twice = [found for found in names.values() if len(found) > 1]
    assert sorted(len(found) for found in twice) == [2, 2, 2, 2]


def test_accents_are_damaged_as_in_wikiart() -> None:
    assert damaged("joaquín-sorolla") == "joaquã\xadn-sorolla"
    assert damaged("rené") == "renã©"
    assert damaged("plain-name") == "plain-name"


@given(seed=st.integers(0, 10**6), number=st.sampled_from([4, 12, 19, 27]))
def test_a_damaged_artist_is_repaired_by_undoing_both_mistakes(seed: int, number: int) -> None:
    slug = artist_slug(np.random.default_rng(seed), number, eastern=False)
    repaired = slug.replace("ã", "Ã").encode("latin-1").decode("utf-8")
    assert repaired != slug
    assert all(letter.isalpha() and letter.islower() for letter in repaired.replace("-", ""))


def read_picture(archive: zipfile.ZipFile, name: str) -> None:
    with Image.open(io.BytesIO(archive.read(name))) as picture:
        picture.load()


# What Python's zip reader or Pillow has to say about each kind.
REFUSALS: dict[str, tuple[type[Exception], str]] = {
    "truncated_jpeg": (OSError, "truncated"),
    "html": (UnidentifiedImageError, "cannot identify"),
    "empty": (UnidentifiedImageError, "cannot identify"),
    "wrong_crc": (zipfile.BadZipFile, "Bad CRC-32"),
    "random_bytes": (UnidentifiedImageError, "cannot identify"),
    "damaged_deflate": (zlib.error, "invalid block type"),
    "text": (UnidentifiedImageError, "cannot identify"),
    "encrypted": (RuntimeError, "is encrypted"),
    "truncated_gif": (OSError, "truncated"),
    "oversized": (Image.DecompressionBombError, "3600000000 pixels"),
}


@pytest.mark.parametrize("kind", list(BROKEN_KINDS))
def test_a_broken_member_is_refused_for_what_its_kind_says(
    archive: zipfile.ZipFile, kind: str
) -> None:
    error, words = REFUSALS[kind]
    names = [name for name, found in broken_members(IMAGES, SEED, BROKEN).items() if found == kind]
    # 11 broken members take turns in 10 kinds: the first kind comes twice.
    assert len(names) == (2 if kind == "truncated_jpeg" else 1)
    for name in names:
        with pytest.raises(error, match=words):
            read_picture(archive, name)


def test_both_headers_of_every_member_agree(archive: zipfile.ZipFile, report: SampleReport) -> None:
    data = report.path.read_bytes()
    for info in archive.infolist():
        local = struct.unpack_from("<4sHHHHHIII", data, info.header_offset)
        assert local[0] == b"PK\x03\x04"
        assert (local[2], local[3]) == (info.flag_bits, info.compress_type)
        assert local[6:] == (info.CRC, info.compress_size, info.file_size)


def descriptor(data: bytes) -> np.ndarray:
    """Square roots of 64 colour shares, 8 edge directions and 6 edge strengths."""
    picture = Image.open(io.BytesIO(data)).convert("RGB").resize((96, 96))
    pixels = np.asarray(picture, dtype=float) / 256
    bins = (pixels * 4).astype(int) @ np.array([16, 4, 1])
    down, right = np.gradient(pixels.mean(axis=2))
    strength = np.hypot(down, right)
    turns = np.histogram(np.arctan2(down, right) % np.pi, 8, (0, np.pi), weights=strength)[0]
    steps = np.histogram(strength, [0, 0.01, 0.02, 0.05, 0.1, 0.2, 1])[0]
    parts = [np.bincount(bins.ravel(), minlength=64), turns, steps]
    return np.concatenate([np.sqrt(part / max(part.sum(), 1e-9)) for part in parts])


def test_colour_and_edges_find_style_and_artist_far_above_chance_but_not_always(
    archive: zipfile.ZipFile,
) -> None:
    unique = {data: name for name, data in good_contents(archive).items()}
    vectors = np.array([descriptor(data) for data in unique])
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1)
    first = near.argmax(axis=1)
    styles = np.array([name.split("/")[1] for name in unique.values()])
    artists = np.array([name.split("/")[2].split("_")[0] for name in unique.values()])
    # Chance: the share of the others that have the same label, about 0.09 and 0.06 here.
    chance = [
        (np.equal.outer(v, v).sum() - len(v)) / (len(v) * (len(v) - 1)) for v in (styles, artists)
    ]
    assert 5 * chance[0] < (styles[first] == styles).mean() < 0.97
    assert 5 * chance[1] < (artists[first] == artists).mean() < 0.9


@pytest.mark.parametrize(
    ("images", "seed", "broken", "words"),
    [
        (0, 0, 0, "images is 0"),
        (-3, 0, 0, "images is -3"),
        (5, -1, 0, "seed"),
        (5, 0, -1, "broken"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(
    tmp_path: Path, images: int, seed: int, broken: int, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        write_sample(tmp_path / "never.zip", images, seed, broken)
    with pytest.raises(UsageError, match=words):
        broken_members(images, seed, broken)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_and_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write_sample(tmp_path, 1)
    with pytest.raises(UsageError, match="workers is 0"):
        write_sample(tmp_path / "never.zip", 1, workers=0)


def test_a_failed_write_leaves_the_old_archive_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sample.zip"
    path.write_bytes(b"the old one")

    def fails(member: Member, seed: int) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(sample, "member_bytes", fails)
    with pytest.raises(OSError, match="disk full"):
        write_sample(path, 2)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [
        ("sample.zip", b"the old one")
    ]


def test_a_lost_process_is_told_with_what_to_do() -> None:
    lost: Future[list[bytes]] = Future()
    lost.set_exception(BrokenProcessPool())
    with pytest.raises(UsageError, match="workers=1"):
        list(sample._taken([], lost))
