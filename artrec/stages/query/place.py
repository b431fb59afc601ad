"""Where a query writes: a folder that is its own, and empty again where it fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from artrec.errors import ArtrecError, ConditionFailed, NotFound, UsageError
from artrec.releases.runs import attempt_name
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["ACCOUNT", "SCRATCH", "own_place", "put_account"]

SCRATCH = "scratch"
ACCOUNT = "query.json"
_CLAIM = f"{SCRATCH}/claim"
_SHOWN = ("index.html", "worst.png")
_TABLES = ("neighbors", "query_rejects", "reconstruction_errors", "evaluation")


@contextmanager
def own_place(out: Store, others: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Within the block ``out`` belongs to this job; what an error leaves there is removed.

    Raises UsageError where something lies there, another query writes there, or it is one of
    ``others``, (what, URL) each, or lies within one.
    """
    for what, url in others:
        if _within(out.url, url):
            raise UsageError(f"--out {out.url} is {what}, {url}, or within it: name another folder")
    found = next(out.list(), None)
    if found is not None:
        raise UsageError(f"--out {out.url} is not empty ({found.path} is there): name a new folder")
    try:
        out.write(_CLAIM, attempt_name().encode())
    except ConditionFailed:
        raise UsageError(f"--out {out.url}: another job writes there: name a new folder") from None
    try:
        yield
    except BaseException:
        with suppress(ArtrecError):
            for name in _SHOWN:
                with suppress(NotFound):
                    out.delete(name)
            for folder in (*_TABLES, SCRATCH):  # the claim goes last
                _remove(out, folder, ())
        raise
    _remove(out, SCRATCH, ())


def put_account(
    out: Store, account: dict[str, Any], tables: Iterable[list[Receipt]], name: str = ACCOUNT
) -> None:
    """Write the account, last: files that no receipt names, of tasks tried again, go before."""
    kept = []
    for receipts in tables:
        kept += [receipt.path for receipt in receipts]
    for folder in sorted({path.rpartition("/")[0] for path in kept}):
        _remove(out, folder, kept)
    out.write(name, json.dumps(account, indent=1, ensure_ascii=False).encode())


def _remove(out: Store, folder: str, kept: Iterable[str]) -> None:
    stay = set(kept)
    for entry in list(out.list(folder)):
        if entry.path not in stay:
            with suppress(NotFound):
                out.delete(entry.path)


def _within(url: str, other: str) -> bool:
    place, outer = _place(url), _place(other)
    return place == outer or place.startswith(f"{outer}/")


def _place(url: str) -> str:
    """The same text for the same folder, as far as links of a disk can tell."""
    return (url if "://" in url else os.path.realpath(url)).rstrip("/")
