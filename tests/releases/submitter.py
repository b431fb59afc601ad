"""A night without Spark, as a process: ``python submitter.py ROOT NAME IMAGES``.

It takes the lease, writes real files, says ``held`` and waits for the end of its stdin before it
publishes. Exit codes are those of a job.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from artrec import log
from artrec.errors import ArtrecError
from artrec.releases import Draft, Outcome, holding, publish
from artrec.storage import open_store
from tests.commands.small_store import PAINTINGS, record_paintings, release_of

__all__ = ["main"]

PERIOD = 1.5  # seconds, short of what a busy machine may stall a process for


def main(root: str, name: str, images: int) -> int:
    log.setup()
    store = open_store(root)
    try:
        with holding(store, f"night {name}", PERIOD) as lease:
            draft = Draft.begin(store, name).guard(lease)
            counts = record_paintings(draft, PAINTINGS[:images])
            print("held", flush=True)
            sys.stdin.read()
            release = release_of(draft, 10, counts)
            publish(store, release, draft.base, draft.confirm)
            draft.finish(
                Outcome(
                    status="published",
                    exit_code=0,
                    message="published",
                    release_id=name,
                    current=name,
                    ended=datetime.now(UTC),
                )
            )
    except ArtrecError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
