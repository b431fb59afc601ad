"""Small pictures: of pixels alone, upright, and no larger than they should be."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms

from artrec.picture import Limits, shrunk
from artrec.report import difference, jpeg
from tests.pictures import picture

SECRET = b"48.8606N-2.3376E"


def laden(size: tuple[int, int] = (640, 400), orientation: int = 1) -> bytes:
    """A JPEG that carries EXIF, XMP, a colour profile, a comment, and bytes behind its end."""
    image = Image.new("RGB", size, (200, 30, 30))
    image.paste((20, 20, 200), (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    stream = io.BytesIO()
    image.save(
        stream,
        "JPEG",
        exif=exif.tobytes(),
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        xmp=b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>",
        comment=SECRET,
    )
    return stream.getvalue() + SECRET


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, contents) of a JPEG up to its scan."""
    at = 2
    while data[at + 1] != 0xDA:
        (size,) = struct.unpack(">H", data[at + 2 : at + 4])
        yield data[at + 1], data[at + 4 : at + 2 + size]
        at += 2 + size


def thumbnail(data: bytes, side: int = 160) -> bytes:
    return jpeg(shrunk(data, Limits(), side))


def test_the_maker_of_the_test_picture_hides_something_in_every_place() -> None:
    markers = [marker for marker, _ in segments(laden())]
    assert {0xE1, 0xE2, 0xFE} <= set(markers)
    assert laden().count(SECRET) == 4


def test_a_thumbnail_carries_nothing_but_pixels() -> None:
    made = thumbnail(laden())
    found = dict(segments(made))
    assert found.keys() <= {0xE0, 0xDB, 0xC0, 0xC4}
    assert found[0xE0].startswith(b"JFIF\0")
    assert SECRET not in made
    assert made.endswith(b"\xff\xd9")


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 400), (160, 100)), ((400, 640), (100, 160)), ((160, 10), (160, 10)), ((9, 7), (9, 7))],
)
def test_its_longer_side_is_bounded_and_nothing_is_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert Image.open(io.BytesIO(thumbnail(laden(size)))).size == expected


def test_it_stands_upright() -> None:
    image = Image.open(io.BytesIO(thumbnail(laden(orientation=6))))
    assert image.size == (100, 160)
    red, _, blue = image.getpixel((50, 20))  # type: ignore[misc]
    assert blue > red


@pytest.mark.parametrize("form", ["PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_accepted_format_becomes_a_jpeg(form: str) -> None:
    image = Image.open(io.BytesIO(thumbnail(picture(3, form), 32)))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 24))


def test_a_difference_is_black_where_pictures_are_equal() -> None:
    one = np.zeros((2, 2, 3), np.uint8)
    other = one.copy()
    other[0, 0] = (3, 10, 0)
    other[1, 1] = (200, 0, 0)
    assert difference(one, other)[:, :, 0].tolist() == [[20, 0], [0, 255]]
    assert difference(other, one).tolist() == difference(one, other).tolist()
