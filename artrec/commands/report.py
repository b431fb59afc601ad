"""artrec report: the report of a release or a draft, written into a folder; no JVM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from artrec.commands.stores import store_of
from artrec.errors import NotFound, UsageError
from artrec.releases import (
    GateReport,
    GateResult,
    StageRuns,
    artifacts_of,
    list_releases,
    read_document,
    read_release,
    were_current,
)
from artrec.stages import ORDER
from artrec.storage import Store

if TYPE_CHECKING:
    from artrec.report import Facts, Stage, Status

__all__ = ["show", "write_report"]


def write_report(store: Store, name: str | None, to: Path) -> Path:
    """Render the report of a release (the current one, if unnamed) or a draft; its page's path.

    Raises UsageError where ``to`` is neither absent nor an empty folder, or there is no report.
    """
    from artrec.report import PAGE, read_facts, render  # templates, which no other verb needs

    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is there already: name a folder that is absent or empty")
    record = _recorded(store, name)
    found = artifacts_of(store, record.report.tables["report"], "report")
    top = next(each.path for each in found if each.path.endswith("/data.json"))
    folder = top.removesuffix("data.json")
    facts = read_facts(store.read(top), f"{store.url}/{top}")
    pages = render(_as_things_stand(facts, record))
    to.mkdir(parents=True, exist_ok=True)
    for artifact in found:
        inner = artifact.path.removeprefix(folder)
        if inner not in pages:
            (to / inner).parent.mkdir(exist_ok=True)
            store.download(artifact.path, to / inner)
    for inner in sorted(pages, key=lambda inner: inner == PAGE):  # what one opens comes last
        (to / inner).write_bytes(pages[inner])
    return to / PAGE


@dataclass(frozen=True)
class _Record:
    """The record of a report, whether its release was published and when, what its gates found."""

    report: StageRuns
    status: Status
    gates: list[GateResult]
    published: datetime | None = None


def _as_things_stand(facts: Facts, record: _Record) -> Facts:
    """The report is made before the last gates are asked and the release is published."""
    from artrec.report import Gate

    asked = {gate.gate: gate for gate in facts.gates}
    asked |= {gate.gate: Gate.model_validate(gate.model_dump()) for gate in record.gates}
    update = {
        "status": record.status,
        "gates": tuple(asked.values()),
        "stages": _all(facts, record),
    }
    return facts.model_copy(update=update)


def _all(facts: Facts, record: _Record) -> tuple[Stage, ...]:
    """The stages with those that come after the page was made; what publish took nobody keeps."""
    from artrec.report import Stage

    made = record.report
    stages = {stage.name: stage for stage in facts.stages}
    stages["report"] = Stage(name="report", seconds=made.seconds, counters=made.counters)
    if record.published is not None:
        at = {"published": f"{record.published:%Y-%m-%d %H:%M} UTC"}
        stages["publish"] = Stage(name="publish", seconds=0.0, notes=at)
    return tuple(sorted(stages.values(), key=_place))


def _place(stage: Stage) -> int:
    """Among the stages, in the order in which they run; one of a later artrec comes last."""
    return ORDER.index(stage.name) if stage.name in ORDER else len(ORDER)


def _recorded(store: Store, name: str | None) -> _Record:
    if name is None or name in _published(store):
        release = read_release(store, name)
        if "report" not in release.stages:
            raise UsageError(f"{store.url}: release {release.release_id} was made without a report")
        return _Record(release.stages["report"], "published", release.gates, release.created)
    try:
        runs = read_document(store, f"drafts/{name}/report.json", StageRuns)
    except NotFound:
        known = ", ".join([*_published(store), *_drafts(store)]) or "none"
        raise UsageError(
            f"{store.url}: no release or draft {name} with a report; there are: {known}"
        ) from None
    try:
        gates = read_document(store, f"drafts/{name}/gates.json", GateReport).gates
    except NotFound:
        return _Record(runs, "draft", [])
    refused = any(gate.refuses for gate in gates)
    return _Record(runs, "refused" if refused else "draft", gates)


def _published(store: Store) -> list[str]:
    """Releases that were current; of the others there is what their drafts have."""
    published = were_current(store)
    return [name for name in list_releases(store) if name in published]


def _drafts(store: Store) -> list[str]:
    paths = (entry.path for entry in store.list("drafts"))
    return [path.split("/")[1] for path in paths if path.endswith("/report.json")]


def show(root: str | None, name: str | None, to: Path | None) -> None:
    """Write the report and say where."""
    if to is None:
        raise UsageError(
            "artrec report writes a report into a folder: name it with --to. To make the report "
            "of a draft, as a stage, run artrec build-report"
        )
    print(write_report(store_of(root), name, to))
