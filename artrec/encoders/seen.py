"""What a network makes of a few held-out examples after some of its epochs, kept while it learns.

One small file for each such epoch, beside the checkpoints: a training that goes on after a kill
finds those of the epochs before.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import suppress

from artrec.encoders.recipes import Reconstruction
from artrec.errors import ConditionFailed, NotFound
from artrec.storage import Store

__all__ = ["EXAMPLES", "clear", "is_seen", "keep", "kept"]

EXAMPLES = 6
_EPOCHS = frozenset((1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233))


def is_seen(epoch: int) -> bool:
    """Whether pictures are kept of that epoch: of the first ones, then of fewer and fewer."""
    return epoch in _EPOCHS


def keep(store: Store, folder: str, epoch: int, rows: Sequence[Reconstruction]) -> None:
    """Keep what came of an epoch of the training whose checkpoints lie in ``folder``."""
    found = [
        {
            "content_sha256": row.content_sha256.hex(),
            "error": row.error,
            "reconstruction": base64.b64encode(row.reconstruction).decode(),
        }
        for row in rows
    ]
    with suppress(ConditionFailed):  # another process trains the same run, to the same end
        store.write(f"{_place(folder)}/{epoch:06d}.json", json.dumps(found).encode())


def kept(store: Store, folder: str) -> list[tuple[int, Reconstruction]]:
    """All that was kept, by epochs; the originals are not kept with it."""
    found = []
    for path in sorted(entry.path for entry in store.list(_place(folder))):
        epoch = int(path.rpartition("/")[2].removesuffix(".json"))
        for row in json.loads(store.read(path)):
            made = base64.b64decode(row["reconstruction"])
            content = bytes.fromhex(row["content_sha256"])
            found.append((epoch, Reconstruction(content, row["error"], b"", made)))
    return found


def clear(store: Store, folder: str) -> None:
    """Delete what was kept, once the training has its result."""
    for entry in list(store.list(_place(folder))):
        with suppress(NotFound):
            store.delete(entry.path)


def _place(folder: str) -> str:
    return f"{folder.rpartition('/')[0]}/seen".lstrip("/")
