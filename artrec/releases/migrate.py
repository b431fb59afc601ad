"""migrate: a release whose tables an older artrec wrote, written again in today's form.

Nothing is overwritten: files of older versions become files of new runs, a new release names these
beside all that is as it should be, and CURRENT is swapped to it. The older release stays and can be
gone back to. A migration that was killed finds the runs that it had finished.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from artrec import log
from artrec.digests import name_of
from artrec.errors import NotFound, StoreFormatError
from artrec.failpoints import reached
from artrec.releases.lease import Lease
from artrec.releases.published import Base, Release, StageRuns, publish
from artrec.releases.runs import (
    Run,
    RunRef,
    attempt_name,
    find_run,
    read_document,
    read_runs,
    record_run,
    versions,
)
from artrec.schemas import TABLES
from artrec.schemas.older import steps_of
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file

__all__ = ["Migration", "OldTable", "migrate", "plan_migration"]


@dataclass
class OldTable:
    """Files of one table in one older version; ``needed``: they cannot be read as they are."""

    version: int
    needed: bool
    files: int = 0
    rows: int = 0
    bytes: int = 0


@dataclass
class Migration:
    """What of a release is older, and which tables are to be written again."""

    release: Release
    every: bool
    older: dict[tuple[str, int], OldTable] = field(default_factory=dict)

    def is_due(self, receipt: Receipt) -> bool:
        found = self.older.get((receipt.table, receipt.version))
        return found is not None and (found.needed or self.every)

    @property
    def due(self) -> dict[tuple[str, int], OldTable]:
        return {key: each for key, each in self.older.items() if each.needed or self.every}


def plan_migration(store: Store, release: Release, every: bool = False) -> Migration:
    """What a migration would write; ``every``: also tables that are read as they are.

    Raises StoreFormatError for a table of a newer version, or of one without a way from it.
    """
    plan = Migration(release, every)
    for run in _runs_of(store, release):
        for name, receipts in run.tables.items():
            for receipt in receipts:
                if name in TABLES and receipt.version != TABLES[name].version:
                    _count(plan, receipt)
    return plan


def _count(plan: Migration, receipt: Receipt) -> None:
    table, key = TABLES[receipt.table], (receipt.table, receipt.version)
    if receipt.version > table.version:
        raise StoreFormatError(
            f"{receipt.path}: holds table {table.name} version {receipt.version}; this artrec "
            f"reads up to version {table.version}: use a newer artrec"
        )
    if key not in plan.older:
        steps = steps_of(table, receipt.version, receipt.path)
        plan.older[key] = OldTable(receipt.version, not all(each.on_reading for each in steps))
    found = plan.older[key]
    found.files += 1
    found.rows += receipt.rows
    found.bytes += receipt.bytes


def _runs_of(store: Store, release: Release) -> Iterator[Run]:
    """Each run that the release names, once."""
    refs = {ref.path: ref for stage in release.stages.values() for ref in _refs(stage)}
    for ref in refs.values():
        yield from read_runs(store, [ref])


def _refs(stage: StageRuns) -> Iterator[RunRef]:
    return (ref for refs in stage.tables.values() for ref in refs)


def migrate(store: Store, plan: Migration, base: Base, lease: Lease) -> Release:
    """Write what is due, and make a release of it current; Superseded (8) as a night would."""
    attempt = attempt_name()
    moved: dict[str, RunRef] = {}
    for run in _runs_of(store, plan.release):
        if any(plan.is_due(each) for files in run.tables.values() for each in files):
            lease.confirm()
            moved[run.path] = RunRef.of(_written(store, plan, run, attempt))
            reached("migrate.run")
    stages = {name: _with(stage, moved) for name, stage in plan.release.stages.items()}
    came: dict[str, set[int]] = defaultdict(set)
    for name, version in plan.due:
        came[name].add(version)
    release = plan.release.model_copy(
        update={
            "previous": base.release_id,
            "created": datetime.now(UTC),
            "stages": stages,
            "migrated": {name: tuple(sorted(found)) for name, found in sorted(came.items())},
        }
    )
    named = release.model_copy(update={"release_id": _free_name(store, release)})
    return publish(store, named, base, lease.confirm)


def _with(stage: StageRuns, moved: Mapping[str, RunRef]) -> StageRuns:
    tables = {
        name: [moved.get(ref.path, ref) for ref in refs] for name, refs in stage.tables.items()
    }
    return stage.model_copy(update={"tables": tables})


def _free_name(store: Store, release: Release) -> str:
    """``<release>.migrated``, or with a number; that of a killed migration of the same runs too."""
    name = f"{release.release_id}.migrated"
    for each in (name if n == 1 else f"{name}.{n}" for n in itertools.count(1)):
        try:
            found = read_document(store, f"releases/{each}.json", Release)
        except NotFound:
            return each
        if found.stages == release.stages and found.previous == release.previous:
            return each
    raise AssertionError("names do not end")


def _written(store: Store, plan: Migration, old: Run, attempt: str) -> Run:
    """The run with its older files written again; the others stay where they are."""
    begun = time.monotonic()
    forms = {name: TABLES[name].version for name in old.tables if name in TABLES}
    name = name_of({"migrated": old.run_id, "versions": forms, "every": plan.every})
    found = find_run(store, old.stage, name)
    if found is not None:
        return found
    made = old.model_copy(update={"run_id": name, "versions": old.versions | _artrec()})
    folder = made.folder(attempt)
    tables = {
        table: [
            each for n, file in enumerate(files) for each in _file(store, plan, file, folder, n)
        ]
        for table, files in old.tables.items()
    }
    notes = old.notes | {"migrated_from": old.run_id}
    log.get(stage=old.stage).info("migrated", run=name, of=old.run_id)
    return record_run(store, made.done(tables, begun, old.counters, notes, old.artifacts))


def _artrec() -> dict[str, str]:
    return {"artrec": versions()["artrec"]}


def _file(
    store: Store, plan: Migration, receipt: Receipt, folder: str, number: int
) -> list[Receipt]:
    if not plan.is_due(receipt):
        return [receipt]
    file = open_file(store, receipt, migrating=True)
    said = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
    metadata = {
        key.removeprefix("artrec."): value
        for key, value in said.items()
        if key.startswith("artrec.") and key not in ("artrec.table", "artrec.version")
    }
    table = TABLES[receipt.table]
    with TableWriter(store, folder, table, f"{number:06d}", metadata, even_empty=True) as writer:
        for group in range(file.metadata.num_row_groups):
            for batch in file.read_row_group(group).to_batches():
                writer.write(batch)
    return writer.receipts
