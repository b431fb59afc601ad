"""An encoder in the formats of others: ``torch.export`` and ONNX.

The file takes ``uint8 [n, h, w, 3]`` and gives the vectors themselves: scaling, center and length
are in it. Such files are programs: open only those of a source that you trust.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import nn

from artrec.encoders import Encoder
from artrec.errors import ConfigError

__all__ = ["FORMATS", "Format", "export"]

Format = Literal["onnx", "torch"]
FORMATS: dict[str, str] = {"onnx": "encoder.onnx", "torch": "encoder.pt2"}
"""Format -> the file that it is."""


@runtime_checkable
class Exportable(Protocol):
    """An encoder that is one module of torch."""

    def whole(self) -> nn.Module:
        """``uint8 [n, h, w, 3]`` to the vectors."""
        ...


def export(encoder: Encoder, folder: Path, format: Format) -> Path:
    """Write the encoder into a folder; ConfigError where it is no module of torch, or a package is
    missing.

    The file is made anew where it stands already.
    """
    if not isinstance(encoder, Exportable):
        raise ConfigError(
            f"encoder {encoder.id} is no module of torch, which is what can be exported: encoders "
            "that artrec trains, and built-in ones"
        )
    whole = encoder.whole().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    sample = torch.zeros(2, *encoder.preprocess.size, 3, dtype=torch.uint8)
    batch = {"pictures": {0: torch.export.Dim("n", min=1, max=4096)}}
    program = torch.export.export(whole, (sample,), dynamic_shapes=batch)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FORMATS[format]
    if format == "torch":
        torch.export.save(program, path)
    else:
        _write_onnx(program, path)
    return path


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error}: ONNX needs artrec[onnx]") from error
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            program, input_names=["pictures"], output_names=["vectors"], dynamo=True, verbose=False
        )
    assert made is not None
    made.save(str(path), external_data=False)
