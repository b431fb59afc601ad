"""An ONNX file as an encoder: one picture input, one output that is the vector.

The file travels as the card's weights, whole; onnxruntime runs it, on the processor.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from artrec.encoders import Metric, Preprocess
from artrec.encoders.brought import finished, package
from artrec.encoders.card import Card, Tensors
from artrec.errors import ConfigError

__all__ = ["FILE", "Onnx", "Parameters", "dimension", "facts_of"]

FILE = "file"
_CHUNK = 16


class Parameters(BaseModel):
    """The card's parameters; ``bytes`` is the size of the file, ``layout`` that of its input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: PositiveInt
    input: str = Field(min_length=1)
    output: str = Field(min_length=1)
    layout: Literal["nchw", "nhwc"] = "nchw"
    normalise: bool = True


class Onnx:
    """The encoder of a card."""

    raw = (FILE,)

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        self._parameters = _parameters(card)
        self._session = _session(np.asarray(tensors[FILE]).tobytes())
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        if self._parameters.input not in inputs:
            raise ConfigError(
                f"encoder {card.name}: its file has no input {self._parameters.input}, but "
                f"{', '.join(inputs)}"
            )
        first = inputs[self._parameters.input][0]
        self._batch = first if isinstance(first, int) else 0

    @staticmethod
    def shapes(card: Card) -> dict[str, tuple[int, ...]]:
        return {FILE: (_parameters(card).bytes,)}

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]``."""
        self.preprocess.check(pictures)
        found = np.empty((len(pictures), self.dim), dtype=np.float32)
        size = self._batch or _CHUNK
        for start in range(0, len(pictures), size):
            part = pictures[start : start + size]
            found[start : start + len(part)] = self._vectors(part)
        return finished(found, self._parameters.normalise)

    def _vectors(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = _scaled(pictures, self.preprocess)
        if self._parameters.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        if self._batch > len(values):  # a file of a fixed batch wants all of it
            values = np.concatenate(
                [
                    values,
                    np.zeros_like(values, shape=(self._batch - len(values), *values.shape[1:])),
                ]
            )
        given = {self._parameters.input: np.ascontiguousarray(values)}
        (answer,) = self._session.run([self._parameters.output], given)
        vectors = np.asarray(answer, np.float32).reshape(len(values), -1)
        if vectors.shape[1] != self.dim:
            raise ConfigError(
                f"encoder {self.id}: its file gives {vectors.shape[1]} numbers, the card says "
                f"{self.dim}"
            )
        return vectors[: len(pictures)]


def facts_of(file: bytes) -> dict[str, Any]:
    """Input, output, layout and size [h, w] (None where the file leaves it open) of an ONNX file.

    ``ConfigError`` for a file that is none, or that has several inputs.
    """
    session = _session(file)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{each.name} {each.shape}" for each in inputs)
        raise ConfigError(f"the ONNX file has the inputs {shapes}; expected one of pictures, 4-d")
    shape = inputs[0].shape
    layout = "nhwc" if shape[3] == 3 and shape[1] != 3 else "nchw"
    sides = shape[1:3] if layout == "nhwc" else shape[2:]
    size = tuple(sides) if all(isinstance(each, int) for each in sides) else None
    return {
        "input": inputs[0].name,
        "outputs": [each.name for each in outputs],
        "layout": layout,
        "size": size,
    }


def dimension(file: bytes, parameters: Parameters, preprocess: Preprocess) -> int:
    """How many numbers the file gives for a picture: it is asked."""
    sides = (*preprocess.size, 3) if parameters.layout == "nhwc" else (3, *preprocess.size)
    session = _session(file)
    first = session.get_inputs()[0].shape[0]
    count = first if isinstance(first, int) else 1
    try:
        (found,) = session.run(
            [parameters.output], {parameters.input: np.zeros((count, *sides), np.float32)}
        )
    except Exception as error:
        raise ConfigError(f"the ONNX file refuses a picture of {sides}: {error}") from error
    return int(np.asarray(found).size // count)


def _scaled(pictures: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    values = pictures.astype(np.float32) * np.float32(preprocess.scale)
    mean, std = (np.array(each, np.float32) for each in (preprocess.mean, preprocess.std))
    return np.asarray((values - mean) / std, np.float32)


def _session(file: bytes) -> Any:
    runtime = package("onnxruntime", "onnx", "an ONNX encoder")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0") or 0)
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class of their own
        raise ConfigError(f"onnxruntime cannot load the file: {error}") from error


def _parameters(card: Card) -> Parameters:
    try:
        return Parameters.model_validate(card.parameters)
    except ValidationError as error:
        raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
