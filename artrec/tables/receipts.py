"""What is known of a file of a table without opening it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from artrec.digests import Digest

__all__ = ["Receipt"]


class Receipt(BaseModel):
    """One file of a table as its writer saw it; ``path`` is relative to the root of the Store.

    ``first`` and ``last`` are the sort columns of the first and last row, of a sorted table.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    table: str
    version: int = 1
    path: str
    bytes: int
    rows: int
    row_groups: int
    sha256: str
    digest: Digest
    first: tuple[str | int, ...] = ()
    last: tuple[str | int, ...] = ()
