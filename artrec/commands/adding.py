"""artrec add-encoder: an encoder that was made elsewhere enters a store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from pydantic import JsonValue, TypeAdapter, ValidationError

from artrec.commands.options import Root
from artrec.commands.stores import store_of
from artrec.encoders import Metric, Preprocess
from artrec.encoders.brought.given import Key
from artrec.encoders.card import NAME, Card, Tensors, save_encoder
from artrec.errors import ConfigError, InputError, UsageError
from artrec.releases.runs import attempt_name
from artrec.storage import Store
from artrec.storage.parquet import opened

__all__ = ["add_encoder"]

KINDS = ("timm", "torchvision", "onnx", "vectors")
ROWS = 4096
_OBJECT = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True)
class Wanted:
    """What the command line says; empty means what the library, or the file, says."""

    kind: str
    file: Path
    name: str
    model: str
    metric: Metric
    preprocess: str
    parameters: str
    output: str
    dim: int
    key: Key
    normalise: bool
    notes: str


def add_encoder(
    kind: Annotated[
        str, typer.Argument(help=f"{', '.join(KINDS)}, or what an installed package adds.")
    ],
    file: Annotated[
        Path, typer.Argument(help="Weights (.safetensors, .pth), .onnx, or Parquet of vectors.")
    ],
    name: Annotated[str, typer.Option(help="What to call it.")],
    root: Root = None,
    model: Annotated[str, typer.Option(help="The network's name in timm or torchvision.")] = "",
    metric: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    preprocess: Annotated[
        str, typer.Option(metavar="JSON", help='Such as {"size": [224, 224], "fit": "crop"}.')
    ] = "",
    parameters: Annotated[
        str, typer.Option(metavar="JSON", help="For the network's constructor, or the package.")
    ] = "",
    output: Annotated[str, typer.Option(help="Of an ONNX file with several: which one.")] = "",
    dim: Annotated[int, typer.Option(help="Numbers in a vector, where nothing says so.")] = 0,
    key: Annotated[
        str, typer.Option(help="Of vectors: the column of names, image_id or content_sha256.")
    ] = "image_id",
    raw: Annotated[bool, typer.Option("--raw", help="Leave vectors as long as they are.")] = False,
    notes: Annotated[str, typer.Option(help="Where it is from, its licence.")] = "",
) -> None:
    """Bring an encoder, or vectors, that were made elsewhere into a store; downloads nothing."""
    store = store_of(root)
    _check_words(kind, file, name)
    by = _one_of("--metric", metric, ("cosine", "euclidean"))
    named = _one_of("--key", key, ("image_id", "content_sha256"))
    wanted = Wanted(
        kind, file, name, model, by, preprocess, parameters, output, dim, named, not raw, notes
    )
    encoder = _given(store, wanted) if kind == "vectors" else _saved(store, wanted)
    print(
        f"{encoder} is in {store.url}; a night takes it by --set encoder.id={encoder}, and makes "
        "all vectors, lists and shards anew; releases keep the encoder that they were made with"
    )


def _check_words(kind: str, file: Path, name: str) -> None:
    if not file.exists():
        raise InputError(f"{file}: there is no such file")
    if kind != "vectors" and not file.is_file():
        raise InputError(f"{file} is a folder: expected a file")
    if not re.fullmatch(NAME, name):
        raise UsageError(f"--name {name!r}: small letters, digits and . _ - alone, no mark first")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise UsageError(f"{option} {value}: it is {' or '.join(allowed)}")
    return value


def _saved(store: Store, wanted: Wanted) -> str:
    if wanted.kind in ("timm", "torchvision"):
        made, tensors = _backbone(wanted)
    elif wanted.kind == "onnx":
        made, tensors = _onnx(wanted)
    else:
        made, tensors = _plugged(wanted)
    card = Card(
        name=wanted.name,
        architecture=wanted.kind,
        metric=wanted.metric,
        notes=wanted.notes,
        **made,
    )
    return save_encoder(store, card, tensors, _readme(card, wanted))


def _backbone(wanted: Wanted) -> tuple[dict[str, Any], Tensors]:
    from artrec.encoders.brought import backbone
    from artrec.encoders.brought.giving import weights_of

    library: Any = wanted.kind
    if not wanted.model:
        raise UsageError(f"--model: which network of {library}? Such as resnet50")
    parameters = backbone.Parameters(
        model=wanted.model, options=_object(wanted.parameters), normalise=wanted.normalise
    )
    preprocess, dim = backbone.usual(library, parameters)
    tensors = backbone.tensors_of(library, parameters, weights_of(wanted.file))
    facts = {"dim": dim, "preprocess": _preprocess(wanted, preprocess.model_dump(mode="json"))}
    return facts | {"parameters": parameters.model_dump(mode="json")}, tensors


def _onnx(wanted: Wanted) -> tuple[dict[str, Any], Tensors]:
    import numpy as np

    from artrec.encoders.brought import onnx

    data = wanted.file.read_bytes()
    facts = onnx.facts_of(data)
    size, outputs = facts.pop("size"), facts.pop("outputs")
    if wanted.output not in ("", *outputs) or (len(outputs) > 1 and not wanted.output):
        raise UsageError(f"--output: which of {', '.join(outputs)} is the vector?")
    parameters = onnx.Parameters(
        bytes=len(data), output=wanted.output or outputs[0], normalise=wanted.normalise, **facts
    )
    usual: dict[str, Any] = {"size": size, "fit": "crop", "filter": "bicubic", "scale": 1 / 255}
    preprocess = _preprocess(wanted, usual if size else {**usual, "size": (224, 224)})
    file = {onnx.FILE: np.frombuffer(data, np.uint8)}
    dim = onnx.dimension(data, parameters, preprocess)
    if wanted.dim not in (0, dim):
        raise UsageError(f"--dim {wanted.dim}: the file gives {dim} numbers for a picture")
    made = {"preprocess": preprocess, "parameters": parameters.model_dump(mode="json")}
    return made | {"dim": dim}, file


def _plugged(wanted: Wanted) -> tuple[dict[str, Any], Tensors]:
    """Of an architecture that an installed package adds."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not wanted.dim or not wanted.preprocess:
        raise UsageError(f"--dim and --preprocess: what are they, of architecture {wanted.kind}?")
    made = {
        "dim": wanted.dim,
        "preprocess": _preprocess(wanted, {}),
        "parameters": _object(wanted.parameters),
    }
    try:
        return made, load_file(wanted.file)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{wanted.file}: no .safetensors file for numpy ({error})") from error


def _preprocess(wanted: Wanted, usual: dict[str, Any]) -> Preprocess:
    try:
        return Preprocess.model_validate({**usual, **_object(wanted.preprocess)})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"--preprocess: {wrong}") from error


def _object(text: str) -> dict[str, JsonValue]:
    try:
        return _OBJECT.validate_json(text or "{}")
    except ValidationError as error:
        raise UsageError(f'{text!r} is no JSON object, such as {{"size": [224, 224]}}') from error


def _readme(card: Card, wanted: Wanted) -> str:
    height, width = card.preprocess.size
    return (
        f"# {card.name}\n\n"
        f"An encoder made elsewhere: {card.dim} numbers, to be compared by {card.metric}.\n\n"
        f"- Runs in {wanted.kind}{' as ' + wanted.model if wanted.model else ''}, with the weights "
        f"of {wanted.file.name}.\n"
        f"- Sees {width}x{height} pixels ({card.preprocess.fit}, {card.preprocess.filter}).\n"
        + (f"- {wanted.notes}\n" if wanted.notes else "")
        + "\nIts quality and its licence are those of the weights; artrec has judged neither.\n"
    )


def _given(store: Store, wanted: Wanted) -> str:
    from artrec.encoders.brought.giving import give_vectors

    key = wanted.key
    files = sorted(wanted.file.rglob("*.parquet")) if wanted.file.is_dir() else [wanted.file]
    if not files:
        raise InputError(f"{wanted.file}: no .parquet file is in it")

    def batches() -> Iterable[pa.RecordBatch]:
        return (batch for file in files for batch in _read(file, key))

    return give_vectors(
        store, wanted.name, key, wanted.metric, batches, attempt_name(), wanted.notes
    )


def _read(path: Path, key: str) -> Iterator[pa.RecordBatch]:
    try:
        file = opened(path)
        missing = [name for name in (key, "embedding") if name not in file.schema_arrow.names]
        if missing:
            raise InputError(
                f"{path}: no column {' and '.join(missing)}; it has: "
                f"{', '.join(file.schema_arrow.names)}"
            )
        for batch in file.iter_batches(ROWS, columns=[key, "embedding"]):
            arrays = [batch.column(batch.schema.names.index(n)) for n in (key, "embedding")]
            yield pa.RecordBatch.from_arrays(arrays, names=["name", "embedding"])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: no whole Parquet file ({error})") from error
