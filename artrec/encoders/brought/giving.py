"""Bringing encoders into a store: from files of weights, ONNX, or vectors."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from artrec.digests import Digest, add, digest_rows, name_of
from artrec.encoders import Metric, Preprocess
from artrec.encoders.brought.given import RECEIPTS_FILE, Key, Parameters
from artrec.encoders.card import CARD_FILE, Card, encoder_id, pack, parse_card
from artrec.errors import ConditionFailed, ConfigError, InputError, NotFound
from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter

__all__ = ["give_vectors", "read_receipts", "weights_of"]

_RECEIPTS = TypeAdapter(list[Receipt])
Batches = Callable[[], Iterable[pa.RecordBatch]]


def give_vectors(
    store: Store, name: str, key: Key, metric: Metric, batches: Batches, stem: str, notes: str = ""
) -> str:
    """Keep vectors as an encoder of the store, and return its id.

    ``batches`` is called twice, each time for all rows in the same order, batches of a string or
    binary column ``name`` and a list column ``embedding``. Raises InputError for a null, a vector
    of another length than the first, and where there is none.
    """
    table = TABLES["given_vectors"]
    digest: Digest = {}
    dim = 0
    for batch in _cast(batches(), key):
        dim = dim or len(batch.column("embedding")[0])
        _check_lengths(batch, dim)
        digest = add([digest, digest_rows(batch, table)])
    if not dim:
        raise InputError("there is no vector at all")
    parameters = Parameters(key=key, rows=digest["rows"], digest=name_of(digest, 32))
    card = Card(
        name=name,
        architecture="given",
        dim=dim,
        metric=metric,
        preprocess=Preprocess(size=(1, 1)),
        parameters=parameters.model_dump(mode="json"),
        notes=notes,
    )
    card_bytes, _ = pack(card, {})
    found = encoder_id(card_bytes)
    folder = f"encoders/{found}"
    with suppress(NotFound):
        store.stat(f"{folder}/{CARD_FILE}")
        return found
    metadata = {"encoder": found, "metric": metric, "dim": str(dim)}
    with TableWriter(store, folder, table, stem, metadata) as writer:
        for batch in _cast(batches(), key):
            writer.write(batch)
    if name_of(add(receipt.digest for receipt in writer.receipts), 32) != parameters.digest:
        raise InputError("the vectors changed while they were read; leave them alone and try again")
    with suppress(ConditionFailed):  # somebody gave the same ones at the same time
        store.write(f"{folder}/{RECEIPTS_FILE}", _RECEIPTS.dump_json(writer.receipts, indent=1))
    with suppress(ConditionFailed):
        store.write(f"{folder}/{CARD_FILE}", card_bytes)
    return found


def read_receipts(store: Store, encoder: str) -> list[Receipt]:
    """The files of an encoder of given vectors; ``ConfigError`` unless they are its card's."""
    folder = f"encoders/{encoder}"
    try:
        parameters = Parameters.model_validate(
            parse_card(store.read(f"{folder}/{CARD_FILE}")).parameters
        )
        receipts = _RECEIPTS.validate_json(store.read(f"{folder}/{RECEIPTS_FILE}"))
    except (NotFound, ValueError) as error:
        raise ConfigError(f"encoder {encoder} is not whole in {store.url}: {error}") from error
    found = name_of(add(receipt.digest for receipt in receipts), 32)
    if found != parameters.digest:
        raise ConfigError(
            f"the vectors of encoder {encoder} are not its card's: digest {found}, the card says "
            f"{parameters.digest}"
        )
    return receipts


def weights_of(path: Path) -> dict[str, Any]:
    """Tensors of a .safetensors file, or of a PyTorch file of tensors alone (nothing is executed).

    A file with its tensors one step down, under ``state_dict`` or ``model``, is taken so.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling and the zip reader raise what they like
        raise ConfigError(
            f"{path}: no tensors could be read ({str(error).splitlines()[0]}); expected "
            ".safetensors, or a PyTorch file with nothing but tensors"
        ) from error
    for inner in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(inner), dict):
            found = found[inner]
    tensors = {
        str(name): each for name, each in dict(found).items() if isinstance(each, torch.Tensor)
    }
    if not tensors:
        raise ConfigError(f"{path}: holds no tensors by name")
    return tensors


def _cast(batches: Iterable[pa.RecordBatch], key: Key) -> Iterator[pa.RecordBatch]:
    """Batches of the table's own columns, of at least one row; names in one spelling (NFC)."""
    schema = TABLES["given_vectors"].columns
    for batch in batches:
        if not batch.num_rows:
            continue
        for column in ("name", "embedding"):
            if batch.column(column).null_count:
                raise InputError(f"a row has null as its {column}; leave such rows out")
        names, values = batch.column("name"), batch.column("embedding")
        if not _is_numbers(values.type):
            raise InputError(f"the column embedding is {values.type}, expected lists of numbers")
        if key == "content_sha256":
            names = pa.array([_hex(each) for each in names.to_pylist()], pa.string())
        lengths = np.asarray(pc.list_value_length(values), np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        flat = pc.cast(values.flatten(), pa.float32(), safe=False)
        if flat.null_count:
            raise InputError("a vector has null among its numbers; leave such rows out")
        lists = pa.ListArray.from_arrays(pa.array(offsets), flat).cast(schema.field(1).type)
        texts = names.cast(pa.string()).to_pylist()  # pyarrow 14 takes apart what it should compose
        spelt = pa.array([unicodedata.normalize("NFC", text) for text in texts], pa.string())
        yield pa.RecordBatch.from_arrays([spelt, lists], schema=schema)


def _is_numbers(kind: pa.DataType) -> bool:
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


def _hex(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value).lower()
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise InputError(f"{value!r} is no sha256: expected 32 bytes, or 64 hex digits")
    return text


def _check_lengths(batch: pa.RecordBatch, dim: int) -> None:
    lengths = np.asarray(pc.list_value_length(batch.column("embedding")), np.int64)
    wrong = np.flatnonzero(lengths != dim)
    if len(wrong):
        raise InputError(
            f"the vector of {batch.column('name')[int(wrong[0])]} has {lengths[wrong[0]]} numbers, "
            f"the first one {dim}"
        )
