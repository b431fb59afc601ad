"""A Store of as many keys as one likes, none of which is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from artrec.errors import NotFound
from artrec.storage import Entry
from tests.archive.zip_maker import MemoryStore

__all__ = ["KeyStore"]

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class KeyStore(MemoryStore):
    """``count`` pictures below ``in/``, in 50,000 to a folder; ``drawn`` is how many were asked
    for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.drawn = count, 0

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for n in range(self.count):
            self.drawn += 1
            name = f"in/Style-{n // 50_000:03d}/painter-{n % 997}_work-{n:08d}-1889.jpg"
            yield Entry(name, 300_000, f"{n:032x}", WHEN)

    def stat(self, path: str) -> Entry:
        raise NotFound(path)


def main(count: int) -> None:
    """Lists a source of so many keys into members and labels; prints what it was and the memory."""
    import json
    import resource

    from artrec.config import load
    from artrec.stages import listing

    store, real = KeyStore(count), listing.open_store
    listing.open_store = lambda url, *how: store if url == "keys" else real(url, *how)  # type: ignore[assignment]
    settings = load(None, ("sources.a.url=keys/in",), {})[0]
    with listing.list_sources(settings) as found:
        rows = {receipt.table: receipt.rows for receipt in found.receipts}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows": rows, "peak": peak}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
