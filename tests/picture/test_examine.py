"""``examine``: what is accepted, what is rejected and why, and what is stored."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import struct
import threading
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from artrec.errors import ConfigError
from artrec.picture import (
    REASONS,
    Child,
    Limits,
    Picture,
    PictureError,
    Reject,
    decode,
    examine,
    recipe,
)

LIMITS = Limits()
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel whose data is a single empty stream."""
    chunks = b""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        crc = zlib.crc32(kind + body)
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    return b"\x89PNG\r\n\x1a\n" + chunks


def lossless_jpeg(width: int, height: int) -> bytes:
    """An even gray by predictor 1: every difference is 0, which is coded as one 0 bit."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    return (
        b"\xff\xd8"
        + segment(0xC3, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0]))
        + segment(0xC4, bytes([0, 1] + [0] * 15 + [0]))
        + segment(0xDA, bytes([1, 1, 0, 1, 0, 0]))
        + bytes((width * height + 7) // 8)
        + b"\xff\xd9"
    )


def picture(data: bytes, limits: Limits = LIMITS, max_side: int | None = None) -> Picture:
    found = examine(data, limits, max_side)
    assert isinstance(found, Picture), found
    return found


def reject(data: bytes, limits: Limits = LIMITS) -> Reject:
    found = examine(data, limits)
    assert isinstance(found, Reject), found
    return found


def test_a_picture_keeps_its_bytes_and_tells_what_it_is() -> None:
    data = saved(noise(50, 30), "JPEG")
    found = picture(data)
    assert found.data is data
    assert found.sha256 == hashlib.sha256(data).digest()
    assert (found.width, found.height, found.format, found.mode) == (50, 30, "JPEG", "RGB")
    assert -(2**63) <= found.phash < 2**63


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "MPO"),
        ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"),
        ("I;16", "PNG"), ("RGB", "WEBP"), ("RGBA", "WEBP"), ("P", "GIF"), ("L", "GIF"),
        ("1", "BMP"), ("L", "BMP"), ("P", "BMP"), ("RGB", "BMP"),
        ("1", "TIFF"), ("L", "TIFF"), ("LA", "TIFF"), ("P", "TIFF"), ("RGB", "TIFF"),
        ("RGBA", "TIFF"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("LAB", "TIFF"), ("I;16", "TIFF"),
        ("I", "TIFF"), ("F", "TIFF"),
    ],
)  # fmt: skip
def test_every_mode_of_every_format_is_a_picture(mode: str, format: str) -> None:
    image = Image.new(mode, (21, 13)) if mode == "LAB" else noise(21, 13).convert(mode)
    data = saved(image, format, **({"save_all": True} if format == "MPO" else {}))
    found = picture(data)
    # A MPO of one frame is written as a plain JPEG.
    assert found.format == ("JPEG" if format == "MPO" else format)
    assert (found.width, found.height) == (21, 13)
    assert decode(data, LIMITS).shape == (13, 21, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not_a_picture"),
        (b"not a picture at all", "not_a_picture"),
        (b"\x00", "not_a_picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "format_not_allowed"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "format_not_allowed"),
        (b"8BPS\x00\x01", "format_not_allowed"),
        (b"BM\x36\x10\x00\x00", "truncated"),
        (b"\xff\xd8\xff\xe0", "truncated"),
        (b"II*\x00\x08\x00\x00\x00", "corrupt"),
    ],
)
def test_what_is_no_picture_is_a_reject_with_its_reason(data: bytes, reason: str) -> None:
    assert reject(data).reason == reason


def test_a_detail_holds_nothing_that_changes_from_run_to_run() -> None:
    assert reject(b"nothing") == Reject("not_a_picture", "begins with b'nothing'")
    assert reject(b"\xff\xd8\xff\xe0") == Reject("truncated", "unreadable JPEG header")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_cut_at_any_of_ten_points_is_truncated(options: dict[str, Any]) -> None:
    data = saved(noise(200, 150), "JPEG", **options)
    for cut in [len(data) * tenth // 10 for tenth in range(1, 10)] + [len(data) - 1]:
        assert reject(data[:cut]).reason == "truncated", cut


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_cut_in_the_middle_are_rejected(format: str) -> None:
    data = saved(noise(64, 64), format)
    for tenth in range(1, 10):
        found = reject(data[: len(data) * tenth // 10])
        assert found.reason in ("truncated", "corrupt"), (tenth, found)


def test_a_cut_jpeg_is_rejected_even_if_another_library_accepts_cut_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(noise(64, 64), "JPEG")
    assert reject(data[: len(data) // 2]).reason == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_flipped_bits_give_a_picture_or_a_reason_but_never_an_error(format: str) -> None:
    original = saved(noise(40, 40), format)
    random = np.random.default_rng(7)
    for _ in range(200):
        data = bytearray(original)
        place = int(random.integers(len(data)))
        data[place] ^= 1 << int(random.integers(8))
        found = examine(bytes(data), LIMITS)
        assert isinstance(found, Picture) or found.reason in REASONS


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0"]),
    st.binary(max_size=300),
)
def test_any_bytes_give_a_picture_or_a_reason(start: bytes, rest: bytes) -> None:
    found = examine(start + rest, Limits(pixels=10_000))
    assert isinstance(found, Picture) or found.reason in REASONS


def test_a_pixel_bomb_is_rejected_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: object) -> None:
        raise AssertionError("pixels were loaded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    assert reject(png_header(60_000, 60_000)).reason == "too_many_pixels"
    assert reject(png_header(15_000, 15_000)).reason == "too_many_pixels"
    assert reject(png_header(70_000, 1)).reason == "side_too_long"


def test_limits_hold_to_the_byte_the_pixel_and_the_side() -> None:
    data = saved(noise(10, 9), "PNG")
    picture(data, Limits(bytes=len(data), pixels=90, side=10))
    assert reject(data, Limits(bytes=len(data) - 1)).reason == "too_many_bytes"
    assert reject(data, Limits(pixels=89)).reason == "too_many_pixels"
    assert reject(data, Limits(pixels=44)).reason == "too_many_pixels"
    assert reject(data, Limits(side=9)).reason == "side_too_long"


def test_a_large_picture_within_the_limits_brings_no_warning_and_leaves_pillow_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture(saved(noise(10, 9), "PNG"), Limits(pixels=100))
    assert Image.MAX_IMAGE_PIXELS == 50


def test_threads_share_pillow_and_leave_its_settings_as_they_were() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters[:])
    data = [saved(noise(60, 40, seed), "JPEG") for seed in range(20)]
    found: list[Picture | Reject] = []
    threads = [
        threading.Thread(target=lambda: found.extend(examine(one, LIMITS) for one in data))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(isinstance(one, Picture) for one in found)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters) == before


def test_only_allowed_formats_are_opened() -> None:
    two_frames = saved(noise(8, 8), "MPO", save_all=True, append_images=[noise(8, 8, 1)])
    assert picture(two_frames).format == "MPO"
    assert reject(two_frames, Limits(formats=("JPEG",))).reason == "format_not_allowed"
    plain = saved(noise(8, 8), "JPEG")
    assert reject(plain, Limits(formats=("MPO",))).reason == "format_not_allowed"
    assert reject(plain, Limits(formats=("PNG",))) == Reject(
        "format_not_allowed", "JPEG; allowed: PNG"
    )


def test_a_format_without_signature_can_be_allowed() -> None:
    data = saved(noise(8, 8), "PPM")
    assert reject(data).reason == "not_a_picture"
    assert picture(data, Limits(formats=("JPEG", "PPM"))).format == "PPM"


def test_a_format_that_pillow_does_not_know_is_a_setting_to_correct() -> None:
    limits = Limits(formats=("jpeg", "jpegxxl"))
    assert limits.formats == ("JPEG", "JPEGXXL")
    with pytest.raises(ConfigError, match="cannot read JPEGXXL"):
        examine(saved(noise(8, 8), "JPEG"), limits)
    with pytest.raises(ConfigError, match="cannot read JPEGXXL"):
        Child(limits, None, 60, 2**28)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bytes": 0}, "limit bytes is 0"),
        ({"pixels": -1}, "limit pixels is -1"),
        ({"side": 0}, "limit side is 0"),
        ({"formats": ()}, "formats is empty"),
        ({"formats": ("JPEG", "EPS")}, "EPS cannot be allowed"),
        ({"background": (0, 0, 256)}, "background"),
    ],
)
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Limits(**options)


def test_a_damaged_exif_block_does_not_lose_the_picture() -> None:
    data = saved(noise(20, 10), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert (picture(data).width, picture(data).height) == (20, 10)


def test_a_lossless_jpeg_is_read_at_its_own_size() -> None:
    pixels = decode(lossless_jpeg(800, 600), LIMITS, (75, 100))
    assert (pixels == 128).all()
    assert (picture(lossless_jpeg(800, 600)).width) == 800


def test_what_libtiff_says_stays_off_standard_error_and_goes_into_the_detail(
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = bytearray(saved(noise(64, 64), "TIFF", compression="tiff_lzw"))
    start = Image.open(io.BytesIO(data)).tag_v2[273][0]  # type: ignore[attr-defined]
    data[start : start + 4000] = b"\xff" * 4000
    found = reject(bytes(data))
    assert found.reason in ("corrupt", "truncated")
    assert re.search("LZW|code", found.detail)
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


def test_without_a_bound_the_recipe_is_original() -> None:
    assert (recipe(), recipe(None), recipe(1024)) == ("original", "original", "max_side=1024")


def test_a_bounded_picture_is_smaller_and_remembers_the_original() -> None:
    data = saved(noise(300, 200), "PNG")
    found = picture(data, max_side=150)
    assert (found.width, found.height, found.format, found.mode) == (300, 200, "PNG", "RGB")
    assert found.sha256 == hashlib.sha256(data).digest()
    stored = Image.open(io.BytesIO(found.data))
    assert (stored.size, stored.format) == ((150, 100), "JPEG")


def test_a_picture_within_the_bound_keeps_its_bytes() -> None:
    data = saved(noise(150, 100), "PNG")
    assert picture(data, max_side=150).data is data


def test_a_bounded_picture_is_stored_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = picture(saved(noise(300, 200), "JPEG", exif=exif), max_side=150)
    assert (found.width, found.height) == (200, 300)
    stored = Image.open(io.BytesIO(found.data))
    assert (stored.size, dict(stored.getexif())) == ((100, 150), {})


def test_a_bounded_picture_keeps_its_transparency() -> None:
    image = noise(300, 200).convert("RGBA")
    image.putalpha(Image.new("L", image.size, 100))
    found = picture(saved(image, "PNG"), max_side=150)
    stored = Image.open(io.BytesIO(found.data))
    assert (stored.format, stored.mode, stored.size) == ("PNG", "RGBA", (150, 100))
    assert stored.getchannel("A").getextrema() == (100, 100)


def test_the_same_picture_bounded_hashes_nearly_alike() -> None:
    gradient = np.add.outer(np.arange(200), np.arange(300) * 2) // 4
    data = saved(Image.fromarray(gradient.astype(np.uint8)), "JPEG")
    differing = (picture(data).phash ^ picture(data, max_side=100).phash) & (2**64 - 1)
    assert differing.bit_count() <= 6


def test_what_is_stored_of_a_transparent_picture_does_not_hang_on_the_background() -> None:
    """Or a night with another one would store it again, and nobody could tell which row counts."""
    image = noise(64, 48).convert("RGBA")
    image.putalpha(Image.radial_gradient("L").resize((64, 48)))
    data = saved(image, "PNG")
    for background in ((0, 0, 0), (200, 0, 0)):
        assert picture(data, limits=Limits(background=background)) == picture(data)


def test_an_error_crosses_processes_with_reason_and_detail() -> None:
    error = pickle.loads(pickle.dumps(PictureError("corrupt", "OSError: broken")))
    assert (error.reason, error.detail) == ("corrupt", "OSError: broken")
    assert str(error) == "corrupt: OSError: broken"


def test_reasons_are_a_closed_list() -> None:
    with pytest.raises(ValueError, match="'bad_luck' is not a reason"):
        Reject("bad_luck", "")


def test_every_odd_picture_is_decoded_or_rejected_with_a_reason(
    capfd: pytest.CaptureFixture[str],
) -> None:
    if not (DATA / "odd-images.zip").exists():
        pytest.skip("shared/data is not here")
    verdicts: dict[str, Picture | Reject] = {}
    with zipfile.ZipFile(DATA / "odd-images.zip") as odd:
        for entry in odd.infolist():
            data = odd.read(entry)
            verdicts[entry.filename] = found = examine(data, LIMITS)
            if isinstance(found, Picture) and found.width * found.height < 300_000:
                assert decode(data, LIMITS).shape == (found.height, found.width, 3)
    counts: dict[str, int] = {}
    for found in verdicts.values():
        key = found.reason if isinstance(found, Reject) else "picture"
        counts[key] = counts.get(key, 0) + 1
    assert set(counts) <= {"picture", *REASONS}
    assert counts["picture"] > 650
    assert sum(counts.values()) == 1067
    expected = {
        "truncated_jpeg.jpg": "truncated",
        "truncated_image.png": "truncated",
        "decompression_bomb.gif": "too_many_pixels",
        "bmp/b/reallybig.bmp": "too_many_pixels",
        "libtiff_segfault.tif": "corrupt",
    }
    assert {name: getattr(verdicts[name], "reason", "picture") for name in expected} == expected
    assert capfd.readouterr().err == ""
