"""The small pictures of a report, made by tasks from the row groups that hold their originals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from artrec import report
from artrec.config import Settings
from artrec.errors import ConditionFailed, NotFound
from artrec.releases import Artifact, Draft, artifacts_of, receipts_of, write_artifact
from artrec.stages.atonce import few, firsts, whole_located
from artrec.stages.decoding import shrinker
from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.places import first_places, row_groups
from artrec.stages.rejects import Rejected
from artrec.stages.rules import picture_recipe
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["keep", "kept_thumbnails", "make_thumbnails", "thumb_name"]

COPIES = 16  # of small pictures under way at once: each waits for the store, not for us

Group = tuple[str, int, frozenset[bytes]]
"""A row group of the pictures: file, number, and the contents wanted of it."""


def thumb_name(content_sha256: bytes) -> str:
    """The name of a content's small picture, without its ending."""
    return content_sha256.hex()[:16]


def kept_thumbnails(
    settings: Settings, draft: Draft, folder: str, needed: set[bytes], welcome: set[bytes]
) -> dict[bytes, Artifact]:
    """Copies of the small pictures that the last release's report has of the ``needed`` contents,
    and of the ``welcome`` ones as long as there is room.

    A small picture takes few bytes, the row group that it would be made of anew many.
    """
    base, now = draft.base.release, settings.model_dump(mode="json")
    before = base.settings if base else {}
    if base is None or before.get("ingest") != now["ingest"]:
        return {}
    if before.get("report", {}).get("side") != settings.report.side:
        return {}
    there = artifacts_of(draft.store, base.refs("report"), "report")
    known = {artifact.path.rpartition("/")[2]: artifact.path for artifact in there}
    room = max(0, settings.report.thumbnails - len(needed))
    must, may = (
        [each for each in sorted(contents) if f"{thumb_name(each)}.jpg" in known]
        for contents in (needed, welcome - needed)
    )
    wanted = must + may[:room]

    def copied(content: bytes) -> Artifact | None:
        name = f"{thumb_name(content)}.jpg"
        try:
            return keep(draft.store, draft.store.read(known[name]), f"{folder}/thumbs/{name}")
        except NotFound:  # it is made anew then
            return None

    with ThreadPoolExecutor(COPIES) as pool:
        found = zip(wanted, pool.map(copied, wanted), strict=True)
        return {content: artifact for content, artifact in found if artifact is not None}


def make_thumbnails(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    folder: str,
    needed: set[bytes],
    welcome: set[bytes],
    room: int,
) -> list[TaskReport]:
    """Small pictures of all ``needed`` contents, in ``folder``.

    Of the ``welcome`` ones those are made that lie in the row groups which have to be read anyway,
    as many as there is ``room`` for.
    """
    pictures = receipts_of(draft.store, draft.need("ingest").tables["pictures"], "pictures")
    groups = _groups(spark, settings, draft, needed)
    if not groups:
        return []
    more = max(0, room) // len(groups)
    tasks = min(len(groups), 2 * parallelism(spark))
    cuts = [len(groups) * n // tasks for n in range(tasks + 1)]
    chunks = [groups[low:high] for low, high in pairwise(cuts)]
    files = {receipt.path: receipt for receipt in pictures}
    receipts = {file: files[file] for file, _, _ in groups}
    describe(spark, f"report: {len(needed)} thumbnails")
    work = partial(_make, draft.store, receipts, chunks, frozenset(welcome), more, settings, folder)
    return run_tasks(spark, tasks, work)


def _groups(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    needed: set[bytes],
) -> list[Group]:
    """Where the contents lie, in the order of the files; each at the first of its places."""
    wanted: dict[tuple[str, int], set[bytes]] = {}
    for file, group, content in _places(spark, settings, draft, needed):
        wanted.setdefault((file, group), set()).add(content)
    return [(*place, frozenset(wanted[place])) for place in sorted(wanted)]


def _places(
    spark: SparkSession, settings: Settings, draft: Draft, needed: set[bytes]
) -> Iterator[tuple[str, int, bytes]]:
    """File, row group and hash of each content."""
    store, recipe = draft.store, picture_recipe(settings.ingest)
    pictures = receipts_of(store, draft.need("ingest").tables["pictures"], "pictures")
    if few(pictures):
        (report,) = run_tasks(spark, 1, partial(_found, store, pictures, recipe, needed))
        for file, group, content in report.notes["places"]:
            yield file, group, bytes.fromhex(content)
        return
    names = [content.hex().upper() for content in sorted(needed)]
    found = first_places(spark, draft, recipe).filter(F.hex("content_sha256").isin(names))
    for row in found.collect():
        yield row.file, row.row_group, bytes(row.content_sha256)


def _found(
    store: Store, pictures: Sequence[Receipt], recipe: str, needed: set[bytes], _: Attempt
) -> TaskReport:
    """One task: the first place of each content."""
    files = sorted(pictures, key=lambda receipt: receipt.path)
    rows = whole_located(store, files, "pictures", ["content_sha256", "recipe"])
    asked = pa.array(sorted(needed), pa.binary())
    mine = pc.is_in(rows.column("content_sha256"), value_set=asked)
    rows = rows.filter(pc.and_(mine, pc.equal(rows.column("recipe"), recipe)))
    rows = rows.take(pa.array(firsts(rows.column("content_sha256"))))
    places = [
        (files[row["file"]].path, row["row_group"], row["content_sha256"].hex())
        for row in rows.to_pylist()
    ]
    return TaskReport(notes={"places": places})


def _make(
    store: Store,
    receipts: Mapping[str, Receipt],
    chunks: Sequence[Sequence[Group]],
    welcome: frozenset[bytes],
    more: int,
    settings: Settings,
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the small pictures of some row groups."""
    artifacts: list[Artifact] = []
    counters = {"thumbnails": 0, "undecodable": 0}
    with shrinker(settings.report.side, settings.ingest, attempt.number > 0) as shrink:
        chunk = chunks[attempt.index]
        tables = row_groups(store, receipts, [(file, group) for file, group, _ in chunk])
        for (_, _, needed), rows in zip(chunk, tables, strict=True):
            for content, data in _contents(rows, needed, welcome, more):
                small = shrink(data)
                if isinstance(small, Rejected):
                    counters["undecodable"] += 1
                    continue
                counters["thumbnails"] += 1
                path = f"{folder}/thumbs/{thumb_name(content)}.jpg"
                artifacts.append(keep(store, report.jpeg(small), path))
    return TaskReport(artifacts=artifacts, counters=counters)


def _contents(
    rows: pa.Table, needed: frozenset[bytes], welcome: frozenset[bytes], more: int
) -> Iterator[tuple[bytes, bytes]]:
    """(hash, bytes) of the needed pictures of a row group, and of some others."""
    contents = rows.column("content_sha256").to_pylist()
    others = sorted(set(contents) & welcome - needed)[:more]
    left = {*needed, *others}
    for content, value in zip(contents, rows.column("data"), strict=True):
        if content in left:
            left.discard(content)
            yield content, value.as_py()


def keep(store: Store, data: bytes, path: str) -> Artifact:
    """Write an artifact; one that another try at this task has written before is as good."""
    try:
        return write_artifact(store, data, path)
    except ConditionFailed:
        there = store.read(path)
        return Artifact(path=path, bytes=len(there), sha256=hashlib.sha256(there).hexdigest())
