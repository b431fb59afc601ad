"""The hand-made descriptor: 154 numbers for colour, texture and edges; nothing to train.

Three histograms: 32 bins for each of red, green and blue; 26 rotation-invariant uniform local
binary patterns (Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation
invariant texture classification with local binary patterns", 2002; 24 points, radius 3); 32 bins
of the Sobel gradient's magnitude. Each, raised to ``power``, has length 1 times its weight.

Measured on 1,144 paintings by 15 painters, leave-one-out, cosine, share of first neighbors by the
same painter: plain (power 1, linear edges) .40, root .49, power .35 .52; at 128 px .03 less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from artrec.encoders import Metric, Preprocess
from artrec.encoders.card import Card, Tensors, encoder_id, pack
from artrec.encoders.device import Precision
from artrec.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "BINS",
    "CARD",
    "HANDMADE",
    "Handmade",
    "NUMBERS",
    "PLAIN",
    "POINTS",
    "Parameters",
    "RADIUS",
    "RING",
    "STEEPEST",
    "UNIT",
    "edge_bins",
    "numbers",
]

BINS = 32
POINTS = 24
RADIUS = 3
NUMBERS = 3 * BINS + (POINTS + 2) + BINS  # 154
_SMALLEST = 2 * RADIUS + 1
STEEPEST = 1020.0  # Sobel magnitude of a straight edge from 0 to 255
_CHUNK = 2**16  # pixels in work at once: what fits into a core's cache is fastest
UNIT = 16  # parts of a pixel; 255 * 16 * 16 still fits into 16 bits

# Where the 24 neighbors lie, in sixteenths of a pixel: (down, right).
_ANGLES = 2 * np.pi * np.arange(POINTS) / POINTS
_OFFSETS = np.rint(UNIT * RADIUS * np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=1))
RING: list[tuple[int, int]] = [(int(down), int(right)) for down, right in _OFFSETS]


class Parameters(BaseModel):
    """The card's parameters.

    Power 1 with linear edges is the plain descriptor. ``center`` and ``projection`` say that the
    weights hold these tensors, ``[154]`` and ``[154, dim]``, fitted on pictures; what is left
    after them has length 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    power: float = Field(default=0.35, gt=0, le=1)
    weights: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = (1.0, 1.0, 1.0)
    edges: Literal["linear", "root"] = "root"
    center: bool = False
    projection: bool = False


CARD = Card(
    name="handmade",
    architecture="handmade",
    dim=NUMBERS,
    metric="cosine",
    preprocess=Preprocess(size=(256, 256), fit="stretch", filter="lanczos"),
    parameters=Parameters().model_dump(mode="json"),
    notes="colour histogram 96, local binary patterns 26, Sobel magnitude 32",
)

PLAIN = tuple(
    CARD.model_copy(
        update={
            "name": name,
            "parameters": Parameters(power=1, weights=weights, edges="linear").model_dump(
                mode="json"
            ),
            "notes": f"{CARD.notes}, as they are, weighted {':'.join(f'{w:g}' for w in weights)}",
        }
    )
    for name, weights in (
        ("handmade-plain", (1.0, 1.0, 1.0)),
        ("handmade-plain-211", (2.0, 1.0, 1.0)),
        ("handmade-plain-212", (2.0, 1.0, 2.0)),
    )
)
"""The descriptor without root or power, in three weightings of colour, texture and edges."""

HANDMADE = encoder_id(pack(CARD, {})[0])
"""The id of the built-in encoder."""


class Handmade:
    """The encoder; about 3 ms for a picture of 256x256 on one core.

    Without a projection a picture's vector is the same, to the bit, in every batch.
    """

    precisions: ClassVar[tuple[Precision, ...]] = ("float32",)

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        self._parameters = _parameters(card)
        self._tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        self._moved: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None

    @staticmethod
    def shapes(card: Card) -> dict[str, tuple[int, ...]]:
        parameters = _parameters(card)
        tensors: dict[str, tuple[int, ...]] = {}
        if parameters.center:
            tensors["center"] = (NUMBERS,)
        if parameters.projection:
            tensors["projection"] = (NUMBERS, card.dim)
        elif card.dim != NUMBERS:
            raise ConfigError(f"handmade gives {NUMBERS} numbers, the card says {card.dim}")
        return tensors

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]`` of length 1."""
        self.preprocess.check(pictures)
        if self._moved is not None:
            return self._moved(pictures)
        height, width = self.preprocess.size
        vectors = np.empty((len(pictures), self.dim), dtype=np.float32)
        step = max(1, _CHUNK // (height * width))
        for start in range(0, len(pictures), step):
            part = slice(start, start + step)
            vectors[part] = self._finished(self._blocks(pictures[part]))
        return vectors

    def move(self, device: str, precision: Precision) -> None:
        """Run there from now on: elsewhere than on the processor its twin does, in float32."""
        self._moved = None
        if device != "cpu":
            from artrec.encoders.twins.moving import Moved

            self._moved = Moved(self.whole(), self.dim, device)

    def whole(self) -> nn.Module:
        """``uint8 [n, h, w, 3]`` to the vectors, in one module of torch."""
        from artrec.encoders.twins.handmade import Handmade as Twin

        return Twin(self._parameters, self._tensors)

    def _blocks(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
        return _counts(pictures, root=self._parameters.edges == "root")

    def _finished(self, blocks: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        powered = (_unit(block**self._parameters.power) for block in blocks)
        weighted = [part * weight for part, weight in zip(powered, self._weights(), strict=True)]
        vectors = np.concatenate(weighted, axis=1)
        if "center" in self._tensors:
            vectors = vectors - self._tensors["center"]
        if "projection" in self._tensors:
            vectors = vectors @ self._tensors["projection"]
        return _unit(vectors)

    def _weights(self) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = _unit(np.asarray([self._parameters.weights]))[0]
        return weights


def numbers(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The 154 counts themselves, before powers and weights: ``[n, h, w, 3]`` to ``[n, 154]``."""
    return np.concatenate(_counts(pictures, root=True), axis=1).astype(np.float32)


def _counts(pictures: NDArray[np.uint8], root: bool) -> list[NDArray[np.int64]]:
    gray = _gray(pictures)
    colours = [_histogram(pictures[..., channel] >> 3, BINS) for channel in range(3)]
    texture = _histogram(_patterns(gray), POINTS + 2)
    edges = _histogram(_edges(gray, root=root), BINS)
    return [np.concatenate(colours, axis=1), texture, edges]


def _parameters(card: Card) -> Parameters:
    try:
        parameters = Parameters.model_validate(card.parameters)
    except ValidationError as error:
        raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
    if not any(parameters.weights):
        raise ConfigError(f"encoder {card.name}: one of the weights must be above 0")
    if min(card.preprocess.size) < _SMALLEST:
        raise ConfigError(f"encoder {card.name}: size {card.preprocess.size} is under {_SMALLEST}")
    scaling = card.preprocess
    if scaling.scale != 1 or any(scaling.mean) or set(scaling.std) != {1.0}:
        raise ConfigError(f"encoder {card.name} counts plain bytes: no scale, mean or std")
    return parameters


def _unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays, for the caller to see."""
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)


def _histogram(bins: NDArray[np.integer[Any]], count: int) -> NDArray[np.int64]:
    """How often each bin occurs in each picture: ``[n, ...]`` to ``[n, count]``."""
    rows = len(bins)
    flat = bins.reshape(rows, -1) + count * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * count).reshape(rows, count)


def _gray(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness by ITU-R BT.601 in 8-bit fixed point: ``[n, h, w, 3]`` to ``[n, h, w]``."""
    wide = pictures.astype(np.uint16)
    gray = wide[..., 0] * np.uint16(77)
    gray += wide[..., 1] * np.uint16(150)
    gray += wide[..., 2] * np.uint16(29)
    gray += np.uint16(128)
    return (gray >> 8).astype(np.uint8)


def _patterns(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pattern of every pixel that has a whole ring: ``[n, h, w]`` to ``[n, h-6, w-6]``.

    The number of points as bright as the middle (0 to 24) if along the ring they form one arc,
    else 25. All is in whole numbers: rounding would turn flat areas into noise.
    """
    wide = gray.astype(np.uint16)
    height, width = gray.shape[1] - 2 * RADIUS, gray.shape[2] - 2 * RADIUS
    middle = wide[:, RADIUS : RADIUS + height, RADIUS : RADIUS + width] * np.uint16(UNIT**2)
    bright = np.zeros(middle.shape, dtype=np.uint8)
    changes = np.zeros(middle.shape, dtype=np.uint8)
    last = (_at(wide, *RING[-1], height, width) >= middle).view(np.uint8)
    for down, right in RING:
        bit = (_at(wide, down, right, height, width) >= middle).view(np.uint8)
        bright += bit
        changes += bit ^ last
        last = bit
    return np.where(changes <= 2, bright, np.uint8(POINTS + 1))


def _at(
    wide: NDArray[np.uint16], down: int, right: int, height: int, width: int
) -> NDArray[np.uint16]:
    """The brightness at an offset from every middle, interpolated, times 256."""
    (top, below), (left, beside) = divmod(down, UNIT), divmod(right, UNIT)
    rows = slice(RADIUS + top, RADIUS + top + height)
    upper = _between(wide[:, rows], left, beside, width)
    upper *= np.uint16(UNIT - below)
    if below:
        rows = slice(rows.start + 1, rows.stop + 1)
        lower = _between(wide[:, rows], left, beside, width)
        lower *= np.uint16(below)
        upper += lower
    return upper


def _between(rows: NDArray[np.uint16], left: int, beside: int, width: int) -> NDArray[np.uint16]:
    start = RADIUS + left
    mixed = rows[:, :, start : start + width] * np.uint16(UNIT - beside)
    if beside:
        mixed += rows[:, :, start + 1 : start + 1 + width] * np.uint16(beside)
    return mixed


def _edges(gray: NDArray[np.uint8], root: bool) -> NDArray[np.uint8]:
    """The bin of the Sobel magnitude: ``[n, h, w]`` to ``[n, h-2, w-2]``.

    Bins are of equal width up to the steepest straight edge, or with ``root`` of equal width in
    the square root of the magnitude, since most edges are faint.
    """
    deep = gray.astype(np.int16)
    columns = deep[:, :-2] + 2 * deep[:, 1:-1] + deep[:, 2:]
    rows = deep[:, :, :-2] + 2 * deep[:, :, 1:-1] + deep[:, :, 2:]
    across = (columns[:, :, 2:] - columns[:, :, :-2]).astype(np.float32)
    along = (rows[:, 2:] - rows[:, :-2]).astype(np.float32)
    across *= across
    along *= along
    across += along
    return edge_bins(across, root)


def edge_bins(squares: NDArray[np.float32], root: bool) -> NDArray[np.uint8]:
    """The bins of squared magnitudes, which are written over."""
    share = np.sqrt(squares, out=squares)
    share /= np.float32(STEEPEST)
    if root:
        np.sqrt(share, out=share)
    share *= np.float32(BINS)
    return np.minimum(share, np.float32(BINS - 1)).astype(np.uint8)
