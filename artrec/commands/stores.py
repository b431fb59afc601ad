"""Which store a command reads."""

from __future__ import annotations

from artrec.config import load
from artrec.storage import Store, open_store

__all__ = ["store_of"]


def store_of(root: str | None) -> Store:
    """The store at ``root``, else at ``store.root`` of the settings."""
    settings = load()[0].store
    return open_store(root or settings.root, settings.options)
