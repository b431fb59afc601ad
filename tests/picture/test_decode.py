"""``decode``: the colours and sizes that an encoder gets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from artrec.picture import Fit, Limits, Picture, PictureError, decode, examine

LIMITS = Limits()
DATA = Path(__file__).parents[2].parent / "shared" / "data"
RED, GREEN, BLUE, GRAY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def quarters(width: int = 64, height: int = 32) -> NDArray[np.uint8]:
    """Red and green above, blue and gray below."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = GRAY
    return pixels


# What each EXIF orientation says of the stored rows and columns, in numpy's words.
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_shown_upright(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {}
    if format in ("JPEG", "WEBP"):
        options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {"lossless": True}
    data = saved(Image.fromarray(quarters()), format, exif=exif, **options)
    expected = UPRIGHT[orientation](quarters())
    found = decode(data, LIMITS)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (3 if format == "JPEG" else 0)
    seen = examine(data, LIMITS)
    assert isinstance(seen, Picture)
    assert (seen.height, seen.width) == expected.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_shrunk_while_it_is_read_is_upright_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(quarters(640, 320)), "JPEG", exif=exif, quality=95)
    expected = UPRIGHT[orientation](quarters(40, 20))
    found = decode(data, LIMITS, expected.shape[:2], filter="box")
    # Sizes divide, so all but the borders of the quarters is plain.
    assert (np.abs(found.astype(int) - expected).max(axis=2) <= 3).mean() > 0.8
    assert np.abs(found[0, 0].astype(int) - expected[0, 0]).max() <= 3
    assert np.abs(found[-1, -1].astype(int) - expected[-1, -1]).max() <= 3


def test_a_turned_jpeg_keeps_the_detail_that_its_upright_size_needs() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(5).integers(0, 256, (320, 640, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG", exif=exif)
    # Upright 320 wide, wanted 300 wide: no shrinking while reading, though 80 of 640 are wanted.
    stored = np.asarray(Image.open(io.BytesIO(data)))
    upright = Image.fromarray(np.ascontiguousarray(np.rot90(stored, -1)))
    expected = np.asarray(upright.resize((300, 80), Image.Resampling.LANCZOS))
    assert np.array_equal(decode(data, LIMITS, (80, 300)), expected)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.array([[0, 257, 40_000, 65_535]], dtype=np.uint16)  # 40000 / 257 = 155.6
    for format in ("PNG", "TIFF"):
        found = decode(saved(Image.fromarray(values), format), LIMITS)
        assert found[0, :, 0].tolist() == [0, 1, 156, 255]


def test_floats_from_zero_to_one_are_shares_of_white() -> None:
    values = np.array([[0.0, 0.25, 0.5, 0.75]], dtype=np.float32)
    found = decode(saved(Image.fromarray(values), "TIFF"), LIMITS)
    assert found[0, :, 0].tolist() == [0, 64, 128, 191]


def test_numbers_of_no_declared_range_are_stretched_and_not_finite_ones_are_black() -> None:
    floats = np.array([[-100.0, 0.0, 300.0, np.nan, np.inf]], dtype=np.float32)
    found = decode(saved(Image.fromarray(floats), "TIFF"), LIMITS)
    assert found[0, :, 0].tolist() == [0, 64, 255, 0, 0]
    integers = np.array([[-10, 0, 90]], dtype=np.int32)
    assert decode(saved(Image.fromarray(integers), "TIFF"), LIMITS)[0, :, 0].tolist() == [
        0, 26, 255,
    ]  # fmt: skip


def test_transparent_pixels_show_the_background_and_not_their_hidden_colour() -> None:
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [255, 0, 0, 128]]], dtype=np.uint8)
    for format in ("PNG", "TIFF"):
        data = saved(Image.fromarray(pixels), format)
        found = decode(data, Limits(background=(0, 0, 200)))
        # half: 255 * 128/255 + 0 * 127/255 = 128; 200 * 127/255 = 99.6
        assert found[0].tolist() == [[255, 0, 0], [0, 0, 200], [128, 0, 100]]


def test_a_transparent_palette_entry_shows_the_background() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    for format in ("PNG", "GIF"):
        found = decode(saved(image, format, transparency=0), LIMITS)
        assert found[0].tolist() == [[255, 255, 255], [0, 255, 0]]


def test_transparent_gray_shows_the_background() -> None:
    pixels = np.array([[[90, 0], [90, 255]]], dtype=np.uint8)
    found = decode(saved(Image.fromarray(pixels), "PNG"), LIMITS)
    assert found[0].tolist() == [[255] * 3, [90] * 3]


def test_inks_become_colours() -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for format in ("TIFF", "JPEG"):
        found = decode(saved(inks, format), LIMITS).astype(int)
        assert np.abs(found - RED).max() <= 3, format


def test_the_first_frame_is_the_picture() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]
    for format in ("GIF", "PNG", "WEBP", "TIFF", "MPO"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:])
        found = decode(data, LIMITS).astype(int)
        assert np.abs(found - RED).max() <= 3, format


def test_black_and_white_and_gray_become_three_equal_colours() -> None:
    assert decode(saved(Image.new("1", (2, 2), 1), "PNG"), LIMITS).tolist() == [[[255] * 3] * 2] * 2
    assert decode(saved(Image.new("L", (1, 1), 77), "PNG"), LIMITS).tolist() == [[[77] * 3]]


def test_stretched_is_the_whole_picture_in_the_wanted_size() -> None:
    data = saved(Image.fromarray(quarters(8, 4)), "PNG")
    found = decode(data, LIMITS, (2, 2), "stretch", "box")
    assert found.tolist() == [[list(RED), list(GREEN)], [list(BLUE), list(GRAY)]]


def test_cropped_is_the_middle() -> None:
    pixels = np.zeros((2, 6, 3), dtype=np.uint8)
    pixels[:, 2:4] = RED
    found = decode(saved(Image.fromarray(pixels), "PNG"), LIMITS, (4, 4), "crop", "nearest")
    assert (found == RED).all()
    found = decode(saved(Image.fromarray(pixels), "PNG"), LIMITS, (1, 1), "crop", "box")
    assert (found == RED).all()


def test_padded_is_the_whole_picture_between_bars_of_background() -> None:
    limits = Limits(background=(1, 2, 3))
    data = saved(Image.new("RGB", (40, 20), RED), "PNG")
    found = decode(data, limits, (8, 8), "pad")
    assert (found[2:6] == RED).all()
    assert (found[:2] == (1, 2, 3)).all()
    assert (found[6:] == (1, 2, 3)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["stretch", "crop", "pad"]),
    st.sampled_from(["JPEG", "PNG"]),
)
def test_any_picture_comes_in_exactly_the_wanted_size(
    width: int, height: int, size: tuple[int, int], fit: Fit, format: str
) -> None:
    data = saved(Image.new("RGB", (width, height), GREEN), format)
    found = decode(data, LIMITS, size, fit)
    assert found.shape == (*size, 3)
    assert found.dtype == np.uint8
    if fit != "pad":
        assert np.abs(found.astype(int) - GREEN).max() <= 3


def test_reading_a_jpeg_smaller_gives_nearly_the_pixels_of_reading_it_whole() -> None:
    if not (DATA / "paintings-full-size.zip").exists():
        pytest.skip("shared/data is not here")
    with zipfile.ZipFile(DATA / "paintings-full-size.zip") as paintings:
        names = [name for name in paintings.namelist() if name.endswith(".jpg")][::28]
        for name in names:
            data = paintings.read(name)
            whole = Image.open(io.BytesIO(data)).convert("RGB")
            expected = np.asarray(whole.resize((128, 128), Image.Resampling.LANCZOS))
            found = decode(data, LIMITS, (128, 128))
            assert (
                np.abs(found.astype(int) - expected).mean() < 10
            )  # of 255; another picture is at 50


def test_bytes_that_are_no_picture_raise_the_reason() -> None:
    with pytest.raises(PictureError) as raised:
        decode(b"", LIMITS, (8, 8))
    assert raised.value.reason == "empty"
