"""Altered crops: each alteration against what it stands for."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from artrec.encoders.contrast.altering import Draw, altered, drawn, recompressed
from tests.pictures import picture

NOTHING = Draw(
    mirror=np.ones(1, np.float32),
    colours=np.full((1, 6), 0.5, np.float32),
    grey=np.ones(1, np.float32),
    rescaled=np.ones(1, np.float32),
    blurred=np.ones(1, np.float32),
    pressed=np.ones(1, np.float32),
    strength=np.zeros((1, 2), np.float32),
)


def crop() -> np.ndarray:
    with Image.open(io.BytesIO(picture(7, "PNG", (64, 64)))) as image:
        return np.asarray(image.convert("RGB"))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def seen(draw: Draw) -> np.ndarray:
    found = altered(tensor(crop()), draw)
    assert found.shape == (1, 3, 64, 64)
    assert found.min() >= 0
    assert found.max() <= 255
    return found[0].permute(1, 2, 0).numpy()


def test_where_nothing_is_drawn_nothing_is_altered() -> None:
    assert np.allclose(seen(NOTHING), crop(), atol=1e-3)


def test_a_mirrored_crop_has_left_and_right_exchanged() -> None:
    mirrored = seen(replace(NOTHING, mirror=np.zeros(1, np.float32)))
    assert np.allclose(mirrored, crop()[:, ::-1], atol=1e-3)


def test_a_grey_crop_has_the_luminance_in_every_channel() -> None:
    grey = seen(replace(NOTHING, grey=np.zeros(1, np.float32)))
    wanted = crop() @ np.array([0.299, 0.587, 0.114])
    assert np.allclose(grey, wanted[..., None], atol=0.01)


def test_brightness_and_gains_multiply_and_contrast_goes_about_the_mean() -> None:
    def colours(**changed: float) -> Draw:
        names = ("saturation", "brightness", "contrast", "red", "green", "blue")
        row = [changed.get(name, 0.5) for name in names]
        return replace(NOTHING, colours=np.array([row], np.float32))

    plain = crop().astype(np.float64)
    assert np.allclose(seen(colours(brightness=0.0)), plain * 0.5, atol=0.01)
    assert np.allclose(seen(colours(red=0.0)), plain * [0.85, 1, 1], atol=0.01)
    wanted = plain.mean() + 0.5 * (plain - plain.mean())
    assert np.allclose(seen(colours(contrast=0.0)), wanted, atol=0.01)


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_recompression_loses_what_a_jpeg_of_that_quality_loses(quality: int) -> None:
    """Pillow's JPEG is the judge: errors as large, and in the same places."""
    image = Image.fromarray(crop()).resize((64, 64))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, subsampling=2)
    with Image.open(stream) as again:
        wanted = np.asarray(again.convert("RGB"), np.float64)
    found = recompressed(tensor(np.asarray(image)), torch.tensor([float(quality)]))
    pixels = found[0].permute(1, 2, 0).numpy().astype(np.float64)
    lost = [np.sqrt(np.square(each - np.asarray(image)).mean()) for each in (wanted, pixels)]
    assert lost[1] == pytest.approx(lost[0], rel=0.15)
    assert np.sqrt(np.square(pixels - wanted).mean()) < 0.6 * lost[0]


def test_a_blur_and_a_smaller_copy_take_away_fine_detail_and_keep_the_mean() -> None:
    chequers = np.indices((64, 64)).sum(0) % 2 * 255.0
    crops = torch.from_numpy(np.repeat(chequers[None, None], 3, 1).astype(np.float32))
    for change in ("rescaled", "blurred"):
        draw = replace(NOTHING, **{change: np.zeros(1, np.float32)})
        found = altered(crops, replace(draw, strength=np.ones((1, 2), np.float32)))
        assert found.mean().item() == pytest.approx(127.5, abs=2)
        assert found[..., 8:-8, 8:-8].std().item() < 30, change


def test_what_is_drawn_follows_from_the_generator_alone() -> None:
    one, other = (drawn(np.random.default_rng(5), 40) for _ in range(2))
    crops = tensor(crop()).expand(40, -1, -1, -1)
    assert torch.equal(altered(crops, one), altered(crops, other))
    found = altered(crops, one)
    assert len({each.numpy().tobytes() for each in found}) == 40
