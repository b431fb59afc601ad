"""artrec: picture archives in, embeddings and neighbor tables out.

The public names below are imported when they are first used, so that ``import artrec`` needs
neither Spark nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "ArtrecError",
    "Settings",
    "Store",
    "encode_udf",
    "files_of",
    "load_encoder",
    "lookup",
    "lookup_picture",
    "open_store",
    "read_release",
    "table_receipts",
]

__version__ = "0.1.0"

_HOMES = {
    "ArtrecError": "artrec.errors",
    "Settings": "artrec.config",
    "Store": "artrec.storage",
    "encode_udf": "artrec.stages.embed",
    "files_of": "artrec.commands.files",
    "load_encoder": "artrec.encoders",
    "lookup": "artrec.commands.lookup",
    "lookup_picture": "artrec.commands.outside",
    "open_store": "artrec.storage",
    "read_release": "artrec.releases",
    "table_receipts": "artrec.releases",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"artrec has no {name}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
