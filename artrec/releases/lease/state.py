"""LEASE.json: who writes to a store, as it stands there."""

from __future__ import annotations

from datetime import datetime

from artrec.errors import ConditionFailed, NotFound
from artrec.releases.runs import Document, parse_document
from artrec.storage import Store

__all__ = ["LEASE", "LeaseState", "read_state"]

LEASE = "LEASE.json"


class LeaseState(Document):
    """Who writes to a store, and since when.

    ``place`` and ``started`` tell the process from any other that has had its ``pid``: the boot of
    the machine with the namespace of process ids, and when it started.
    """

    holder: str
    work: str
    host: str
    pid: int
    place: str
    started: int
    period: float
    renewals: int
    begun: datetime
    released: bool = False

    def __str__(self) -> str:
        return (
            f"{self.work} (process {self.pid} on {self.host}) has held the store since "
            f"{self.begun:%Y-%m-%d %H:%M:%S} UTC"
        )


def read_state(store: Store) -> tuple[LeaseState, str] | None:
    """The lease as it stands, with its etag."""
    while True:
        try:
            etag = store.stat(LEASE).etag
            data = store.read(LEASE, etag=etag)
        except NotFound:
            return None
        except ConditionFailed:  # renewed between the two calls
            continue
        return parse_document(data, f"{store.url}/{LEASE}", LeaseState), etag
