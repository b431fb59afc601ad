"""The collection that large nights are measured on: of WikiArt's shape, whatever its size."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.bench import collection

SMALL = 60


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("collection") / "small.zip"
    written = collection.write(str(path), SMALL, workers=1)
    assert (written["members"], written["broken"], written["styles"]) == (SMALL, 2, 27)
    return path


def test_the_whole_collection_has_wikiarts_members_styles_and_artists() -> None:
    members = collection.plan(81_446, seed=0)
    styles = Counter(member.name.split("/")[1] for member in members)
    assert (len(members), len({member.name for member in members}), len(styles)) == (
        81_446,
        81_446,
        27,
    )
    assert (styles["Impressionism"], styles["Action_painting"]) == (13_060, 98)
    assert len({member.name.split("/")[2].split("_")[0] for member in members}) == 1119
    assert len({member.number for member in members}) == 81_446


def test_a_small_one_keeps_every_style_and_its_share() -> None:
    styles = Counter(member.name.split("/")[1] for member in collection.plan(16_000, seed=0))
    assert len(styles) == 27
    assert styles["Impressionism"] == pytest.approx(16_000 * 13_060 / 81_446, rel=0.01)


def test_no_two_pictures_have_the_same_pixels(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        pixels = set()
        for name in _sound(opened):
            pixels.add(Image.open(io.BytesIO(opened.read(name))).tobytes())
    assert len(pixels) == SMALL - 2


def test_one_member_has_a_wrong_crc_and_one_ends_early(archive: Path) -> None:
    faults = Counter()
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            try:
                Image.open(io.BytesIO(opened.read(name))).load()
            except zipfile.BadZipFile:
                faults["crc"] += 1
            except OSError:
                faults["cut"] += 1
    assert faults == {"crc": 1, "cut": 1}


def _sound(opened: zipfile.ZipFile) -> list[str]:
    broken = {m.name for m in collection.plan(SMALL, seed=0) if m.broken}
    return [name for name in opened.namelist() if name not in broken]
