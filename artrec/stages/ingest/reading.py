"""A task of ingest: the members of one slice, examined as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from artrec.archive import Archive, Member
from artrec.config import IngestSettings
from artrec.picture import Picture
from artrec.schemas import TABLES
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.judging import Judge, Rows
from artrec.stages.listing import as_member
from artrec.stages.places import PICTURE_GROUP
from artrec.stages.rejects import Rejected
from artrec.stages.slices import SliceSpec
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_range

__all__ = ["read_slice"]


def read_slice(
    store: Store,
    pending: Sequence[Receipt],
    archives: dict[str, Archive],
    settings: IngestSettings,
    forgotten: frozenset[bytes],
    spec: SliceSpec,
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the members of a slice, read by few ranges, examined, and written."""
    source = str(spec.low[0])
    members = [
        as_member(row)
        for batch in read_range(store, pending, spec.low, spec.high)
        for row in batch.to_pylist()
    ]
    counters = {"read": 0, "stored": 0, "rejected": 0, "picture_bytes": 0}
    seen: set[bytes] = set()
    with (
        TableWriter(
            store, folder, TABLES["pictures"], attempt.stem, group_bytes=PICTURE_GROUP
        ) as pictures,
        TableWriter(store, folder, TABLES["ingested"], attempt.stem) as ingested,
        Judge(settings, in_child=attempt.number > 0) as judge,
    ):
        kept, judged = Rows("pictures", pictures), Rows("ingested", ingested)
        for content in archives[source].read(members):
            found = judge.examine(content)
            judged.add(_ingested_row(source, content.member, judge, found))
            counters["read"] += 1
            if isinstance(found, Rejected) or found.sha256 in forgotten:
                counters["rejected"] += 1
                continue
            counters["stored"] += 1
            if found.sha256 not in seen:
                seen.add(found.sha256)
                counters["picture_bytes"] += len(found.data)
                kept.add(_picture_row(found, judge.recipe), len(found.data))
        kept.flush()
        judged.flush()
    return TaskReport(receipts=[*pictures.receipts, *ingested.receipts], counters=counters)


def _picture_row(found: Picture, recipe: str) -> dict[str, Any]:
    return {
        "content_sha256": found.sha256,
        "recipe": recipe,
        "data": found.data,
        "width": found.width,
        "height": found.height,
        "format": found.format,
        "mode": found.mode,
        "phash": found.phash,
    }


def _ingested_row(
    source: str, member: Member, judge: Judge, found: Picture | Rejected
) -> dict[str, Any]:
    reject = found if isinstance(found, Rejected) else None
    return {
        "source": source,
        "raw_name": member.raw_name,
        "occurrence": member.occurrence,
        "bytes": member.bytes,
        "fingerprint": member.fingerprint,
        "recipe": judge.recipe,
        "decoder": judge.decoder,
        "content_sha256": found.sha256 if isinstance(found, Picture) else None,
        "reason": reject and reject.reason,
        "detail": reject and reject.detail,
    }
