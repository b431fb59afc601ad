"""report: the page that shows what a release is and whether it is good.

It is made before the release is published, and stays with the draft of one that is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

from pyspark.sql import SparkSession

from artrec import log, report
from artrec.config import Settings, flat
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.labels import readable
from artrec.releases import (
    Artifact,
    Draft,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    find_run,
    record_run,
    versions,
)
from artrec.stages import RESULT_VERSIONS
from artrec.stages.frames import add_counters
from artrec.stages.report.findings import Findings, Row, find, stages_of
from artrec.stages.report.looks import clusters_of, map_views, reconstructions
from artrec.stages.report.morning import morning, neighbors_of
from artrec.stages.report.thumbnails import keep, kept_thumbnails, make_thumbnails, thumb_name

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["report"]

_USER = re.compile(r"://[^/@\s]*@")
_SIGNED = re.compile(r"(://[^?\s]*\?)\S*")


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Gather what the other stages recorded and write the page."""
    begun = time.monotonic()
    stages = stages_of(draft)
    inputs = {
        "version": RESULT_VERSION,
        "stages": {name: runs.inputs for name, runs in stages.items()},
        "gates": _gates(stages),
        "churn": _churn(stages),
        "settings": settings.report.model_dump(mode="json"),
    }
    digest = name_of(inputs)
    known = draft.known("report", digest)
    if known is not None:
        return draft.record(known)
    draft.begin_work()
    run = begin_run("report", RESULT_VERSION, inputs, {"release": draft.release_id})
    found = find_run(draft.store, run.stage, run.run_id)
    if found is None:
        found = _write(spark, settings, draft, run, begun)
    reached("report.run")
    log.get(stage="report").info("done", run=found.run_id, **found.counters)
    return draft.record(
        StageRuns(
            stage="report",
            inputs=digest,
            tables={"report": [RunRef.of(found)]},
            counters=found.counters,
            seconds=time.monotonic() - begun,
        )
    )


def _write(spark: SparkSession, settings: Settings, draft: Draft, run: Run, begun: float) -> Run:
    store, folder = draft.store, run.folder(draft.attempt)
    found = find(spark, settings.report, draft, run.run_id)
    left = found.changes.left
    known = kept_thumbnails(settings, draft, folder, found.shown - left, found.mapped - left)
    thumbs = {each.path: each for each in known.values()}
    new, welcome = found.shown - {*known}, found.mapped - {*known}
    room = settings.report.thumbnails - len(new) - len(known)
    reports = make_thumbnails(spark, settings, draft, folder, new, welcome, room)
    thumbs |= {each.path: each for done in reports for each in done.artifacts}
    reached("report.thumbnails")
    training, more = _training(settings, draft, found, folder)
    thumbs |= {each.path: each for each in more}
    names = {path.rpartition("/")[2].removesuffix(".jpg") for path in thumbs}
    facts = _facts(settings, draft, found, training, names)
    pages = [keep(store, data, f"{folder}/{name}") for name, data in report.render(facts).items()]
    counters = add_counters(each.counters for each in reports) | {"kept": len(known)}
    counters["bytes"] = sum(each.bytes for each in [*pages, *thumbs.values()])
    artifacts = {"report": [*pages, *(thumbs[path] for path in sorted(thumbs))]}
    return record_run(store, run.done({}, begun, counters, artifacts=artifacts))


def _facts(
    settings: Settings,
    draft: Draft,
    found: Findings,
    training: report.Training | None,
    thumbs: set[str],
) -> report.Facts:
    embed, stages = draft.need("embed").notes, stages_of(draft)
    churn = _churn(stages)
    assert draft.head is not None

    def image(row: Row | None, image_id: str = "") -> report.Image:
        return _image(row or {"image_id": image_id}, thumbs)

    return report.Facts(
        release=draft.release_id,
        created=draft.head.begun,
        previous=draft.base.release_id,
        encoder=embed["encoder"],
        metric=embed["metric"],
        dim=embed["dim"],
        k=draft.need("neighbors").notes["k"],
        listed=stages["inventory"].rows("members"),
        stored=stages["catalog"].rows("catalog"),
        rejected=stages["catalog"].rows("rejects"),
        reasons=_reasons(found.rejects),
        stages=tuple(_stage(draft, runs) for runs in stages.values()),
        gates=tuple(report.Gate.model_validate(gate) for gate in _gates(stages)),
        training=training,
        approximate=_approximate(draft.need("neighbors").notes),
        maintained=draft.need("neighbors").notes.get("maintained"),
        measures=_measures(found.measures),
        classes=_measures(found.classes),
        queries=tuple(
            report.Query(image=image(row), neighbors=neighbors_of(found, row["image_id"], image))
            for row in found.queries
        ),
        ruled=_ruled(stages["neighbors"]),
        hubs=tuple(report.Hub(image=image(row), lists=row["lists"]) for row in found.hubs),
        duplicates=tuple(
            report.Duplicate(thumb=_thumb(content, thumbs), names=tuple(names), count=count)
            for content, names, count in found.twins
        ),
        duplicate_names=found.twin_names,
        near=_near(found, image),
        churn=report.Churn.model_validate(churn) if churn else None,
        morning=morning(settings, draft, found, image),
        points=tuple(report.Point(x=r["x"], y=r["y"], image=image(r)) for r in found.points),
        maps=map_views(found),
        clusters=clusters_of(found, stages, image),
        settings=_settings(settings),
        versions=versions(),
    )


def _near(found: Findings, image: Callable[..., report.Image]) -> tuple[report.NearGroup, ...]:
    return tuple(
        report.NearGroup(
            copies=tuple(
                report.Copy(image=image(row), bits=row["bits"], distance=row["distance"])
                for row in rows
            ),
            count=count,
        )
        for rows, count in found.near
    )


def _ruled(neighbors: StageRuns) -> tuple[report.Ruled, ...]:
    """The tables under rules, and why their short lists are short."""
    return tuple(
        report.Ruled(
            name=name,
            reasons={
                key.removeprefix("short_"): count
                for key, count in sorted(notes.items())
                if key.startswith("short_")
            },
            **{key: notes.get(key, 0) for key in ("rule", "k", "lists", "rows")},
        )
        for name, notes in sorted(neighbors.notes.get("tables", {}).items())
    )


def _image(row: Mapping[str, Any], thumbs: set[str]) -> report.Image:
    words = {name: row.get(name) for name in ("style", "artist", "title")}
    return report.Image(
        image_id=row["image_id"],
        thumb=_thumb(row.get("content_sha256"), thumbs),
        **{name: readable(text) if text else None for name, text in words.items()},
    )


def _thumb(content: bytes | None, thumbs: set[str]) -> str | None:
    name = thumb_name(content) if content else ""
    return name if name in thumbs else None


def _gates(stages: Mapping[str, StageRuns]) -> list[dict[str, Any]]:
    """What evaluate's gates found, in the order of their asking."""
    evaluate = stages.get("evaluate")
    return list(evaluate.notes.get("gates", [])) if evaluate else []


def _churn(stages: Mapping[str, StageRuns]) -> dict[str, Any] | None:
    """What evaluate found of the lists beside the last release's."""
    evaluate = stages.get("evaluate")
    found: dict[str, Any] | None = evaluate.notes.get("churn") if evaluate else None
    return found


def _reasons(rejects: Iterable[Row]) -> tuple[report.Reason, ...]:
    groups = groupby(rejects, key=lambda row: (row["stage"], row["reason"], row["count"]))
    return tuple(
        report.Reason(
            stage=stage,
            reason=reason,
            count=count,
            # pages travel: they do not name what was taken down
            samples=()
            if reason == "forgotten"
            else tuple(report.Sample.model_validate(row) for row in rows),
        )
        for (stage, reason, count), rows in groups
    )


def _measures(rows: Iterable[Row]) -> tuple[report.Measured, ...]:
    named = (row | {"group": readable(row["group"])} for row in rows)
    return tuple(report.Measured.model_validate(row) for row in named)


def _stage(draft: Draft, runs: StageRuns) -> report.Stage:
    base = draft.base.release
    before = base.stages.get(runs.stage) if base else None
    kept = before is not None and (before.inputs, before.tables) == (runs.inputs, runs.tables)
    planned = None if kept else draft.planned()
    expected = planned.expected.get(runs.stage) if planned else None
    return report.Stage(
        name=runs.stage,
        seconds=0.0 if kept else runs.seconds,
        counters=runs.counters,
        notes=_plain(runs.notes),
        kept_from=base.release_id if kept and base else None,
        expected_seconds=expected.seconds if expected else None,
        expected_worker_bytes=(expected.worker_bytes or None) if expected else None,
    )


def _plain(notes: Mapping[str, Any]) -> dict[str, str]:
    """Notes that are one word or number each."""
    return {k: _shown(v) for k, v in notes.items() if isinstance(v, str | int | float)}


def _approximate(notes: Mapping[str, Any]) -> report.Approximate | None:
    """How the lists were made, where they are not exact."""
    return None if notes.get("exact", True) else report.Approximate.model_validate(notes)


def _settings(settings: Settings) -> dict[str, str]:
    return {key: _shown(value) for key, value in flat(settings.model_dump(mode="json")).items()}


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return _SIGNED.sub(r"\1***", _USER.sub("://***@", str(value)))  # no secrets of a URL


def _training(
    settings: Settings, draft: Draft, found: Findings, folder: str
) -> tuple[report.Training | None, list[Artifact]]:
    """What is known of the training, and the pictures that it shows."""
    record = stages_of(draft).get("train")
    if record is None:
        return None, []
    shown, pictures = reconstructions(settings, draft, found, folder)
    notes = record.notes
    curves = groupby(
        sorted(found.curves, key=lambda row: (row["measure"], row["epoch"])),
        key=lambda row: row["measure"],
    )
    training = report.Training(
        notes=_plain(notes),
        curves=tuple(
            report.Curve(measure=name, points=tuple((r["epoch"], r["value"]) for r in rows))
            for name, rows in curves
        ),
        reconstructions=shown,
    )
    return training, pictures
