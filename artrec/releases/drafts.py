"""Drafts: which runs a release will use, gathered stage by stage, and how the job ended."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from artrec.errors import ConditionFailed, NotFound, ReleaseConflict, Superseded, UsageError
from artrec.failpoints import reached
from artrec.releases import naming
from artrec.releases.forgotten import Ledger
from artrec.releases.heads import DraftHead, Outcome, open_heads, read_head, read_outcome
from artrec.releases.lease import Lease
from artrec.releases.published import Base, Planned, Release, StageRuns, read_base
from artrec.releases.runs import Document, RunRef, attempt_name, create, read_document
from artrec.storage import Store

__all__ = ["Draft", "DraftHead", "Outcome"]


class Draft:
    """A release in the making. Nothing is written before a stage has something new to record.

    ``name`` is what the user asked for, or None; ``release_id`` is known once ``hold`` was called.
    """

    def __init__(self, store: Store, base: Base, name: str | None) -> None:
        self.store, self.base, self.name = store, base, name
        self.attempt = attempt_name()
        self.lease: Lease | None = None
        self.head: DraftHead | None = None
        self._written = False
        self._stages: dict[str, StageRuns] = {}
        self._planned: Planned | None = None
        self._ledger: Ledger | None = None

    @classmethod
    def begin(cls, store: Store, name: str | None) -> Draft:
        """A draft on what is current now; its name is settled when its inputs are known."""
        if name is not None and not naming.is_component(name):
            raise UsageError(f"--release {name!r}: a release's name is a single path component")
        return cls(store, read_base(store), name)

    @classmethod
    def reopen(cls, store: Store, name: str | None) -> Draft | None:
        """The draft of that name, or the open one; None if nothing is open.

        Under a name whose inventory found nothing new, nothing is open either.
        """
        draft = cls.begin(store, name)
        heads = [read_head(store, name)] if name else open_heads(store, draft.base)
        found = [head for head in heads if head is not None]
        if name and not found:
            left = read_outcome(store, name)
            if left and (left.status, left.current) == ("unchanged", draft.base.release_id):
                return None
            raise UsageError(
                f"{store.url}: no draft {name} is open; begin it with artrec inventory"
            )
        if len(found) > 1:
            names = ", ".join(head.release_id for head in found)
            raise UsageError(f"{store.url}: several drafts are open ({names}): choose by --release")
        if not found:
            return None
        draft._names.check_base(found[0])
        draft.head, draft._written = found[0], True
        return draft

    def guard(self, lease: Lease) -> Draft:
        """From here on this draft is written only while the lease is held, under its name."""
        self.lease, self.attempt = lease, lease.holder
        return self

    def confirm(self) -> None:
        """Go on only as the one writer of the store: Superseded (8) where the lease is lost."""
        if self.lease is not None:
            self.lease.confirm()

    @property
    def release_id(self) -> str:
        if self.head is None:
            return self.name or naming.today()
        return self.head.release_id

    @property
    def _names(self) -> naming.Names:
        return naming.Names(self.store, self.base)

    @property
    def ledger(self) -> Ledger:
        """What was forgotten when this attempt began; publish asks again."""
        if self._ledger is None:
            self._ledger = Ledger.read(self.store)
        return self._ledger

    @property
    def unchanged(self) -> bool:
        """Whether no stage has recorded anything that the current release does not have."""
        if self.base.release is None:
            return False
        before = self.base.release.stages
        tonight = {name: self.stage(name) for name in {*before, *self._stages}}
        return all(
            found is not None and name in before and _essence(found) == _essence(before[name])
            for name, found in tonight.items()
        )

    def hold(self, inputs: str) -> None:
        """Settle the name: ``--release``, else the open draft of these inputs, else the date.

        Raises ReleaseConflict (8) if the name asked for is held by other inputs.
        """
        if self.head is not None:
            if self.head.inputs != inputs:
                raise self._names.held_by_others(self.head.release_id)
            return
        name = self._names.settled(self.name, inputs)
        found = read_head(self.store, name)
        self._written = found is not None and self._names.is_mine(found, inputs)
        self.head = (
            found
            if found is not None and self._written
            else DraftHead(
                release_id=name,
                inputs=inputs,
                base_release=self.base.release_id,
                base_etag=self.base.etag,
                begun=datetime.now(UTC),
            )
        )

    def stage(self, name: str) -> StageRuns | None:
        """What a stage recorded: in this attempt, or in an earlier one of the same draft.

        While nothing new is known, a stage has what it has in the current release.
        """
        if name in self._stages:
            return self._stages[name]
        if not self._written:
            return self._of_base(name)
        try:
            found = read_document(self.store, self._path(f"{name}.json"), StageRuns)
        except NotFound:
            return None
        self._stages[name] = found
        return found

    def need(self, name: str) -> StageRuns:
        """The record of an earlier stage; UsageError names the stage that has to run first."""
        found = self.stage(name)
        if found is None:
            raise UsageError(
                f"draft {self.release_id}: {name} has not run yet; run artrec {name} first"
            )
        return found

    def known(self, name: str, inputs: str) -> StageRuns | None:
        """A stage's record, in this draft or the current release, if it had these inputs."""
        found = self.stage(name)
        if found is not None and found.inputs == inputs:
            return found
        base = self._of_base(name)
        return base if base is not None and base.inputs == inputs else None

    def record(self, runs: StageRuns) -> StageRuns:
        """Take a stage's runs into the draft.

        Of a night with the base's inputs nothing is written, unless a stage has other runs all the
        same. Notes alone (such as where an archive lies now) begin no draft.
        """
        base = self._of_base(runs.stage)
        if self._is_new() or base is None or _essence(base) != _essence(runs):
            self.begin_work()
        before = self.stage(runs.stage) if self._written else None
        self._stages[runs.stage] = runs
        if self._written and before != runs:
            self.confirm()
            self._replace(f"{runs.stage}.json", runs)
        return runs

    def plan(self, stage: str, pending: RunRef) -> None:
        """Name the run that holds a stage's cut, while its segments are under way."""
        self._replace(f"{stage}.cut.json", pending)

    @property
    def is_begun(self) -> bool:
        """Whether something was written for it, so that it is there to be gone on with."""
        return self._written

    def planned(self) -> Planned | None:
        """What its stages were expected to cost and what they did; None where nobody planned."""
        if self._planned is None and self._written:
            with suppress(NotFound):
                self._planned = read_document(self.store, self._path("plan.json"), Planned)
        return self._planned

    def keep_planned(self, planned: Planned) -> None:
        """Keep what was planned and measured so far."""
        self._replace("plan.json", planned)
        self._planned = planned

    def keep_gates(self, report: Document) -> None:
        """Keep what the gates found, also of a release that is refused."""
        self._replace("gates.json", report)

    def finish(self, outcome: Outcome) -> None:
        """Leave word of how the job ended; the latest attempt's word counts.

        An attempt that never held its name, or has lost its lease, leaves other attempts' word
        alone.
        """
        name = outcome.release_id
        if self._is_superseded() or self._is_others(name):
            self.store.write(f"drafts/{self.attempt}/outcome.json", outcome.to_bytes())
        else:
            self._replace("outcome.json", outcome)

    def _is_others(self, name: str) -> bool:
        """An unchanged night bears the date alone, which may be an open draft's of other inputs."""
        found = read_head(self.store, name)
        if self.head is None:
            return found is not None or self._names.release_inputs(name) is not None
        return found is not None and found.inputs != self.head.inputs

    def _is_superseded(self) -> bool:
        try:
            self.confirm()
        except Superseded:
            return True
        return False

    def _is_new(self) -> bool:
        """Whether this draft has other inputs than the current release."""
        base = self.base.release
        return self.head is not None and (base is None or base.inputs != self.head.inputs)

    def _of_base(self, name: str) -> StageRuns | None:
        release: Release | None = self.base.release
        return release.stages.get(name) if release else None

    def begin_work(self) -> None:
        """Make the draft known before something new is written for it; its name is final then."""
        if self._written:
            return
        assert self.head is not None, "hold() comes before any work"
        self.confirm()
        if self._names.is_taken(self.head.release_id, self.head.inputs):
            if self.name is not None:
                raise self._names.held_by_others(self.name)
            free = self._names.free(self.head.inputs)
            self.head = self.head.model_copy(update={"release_id": free})
        path = f"drafts/{self.head.release_id}/draft.json"
        if not create(self.store, path, self.head):
            raise ReleaseConflict(
                f"draft {self.head.release_id} was begun by another process at the same time; "
                "run the same command again to join it"
            )
        self._written = True
        for stage, runs in self._stages.items():  # recorded while they were as in the base
            self._replace(f"{stage}.json", runs)
        reached("draft.held")

    def _replace(self, name: str, document: Document) -> None:
        path = self._path(name)
        for _ in range(8):
            try:
                etag = self.store.stat(path).etag
            except NotFound:
                etag = None
            try:
                self.store.write(path, document.to_bytes(), if_etag=etag)
                return
            except (ConditionFailed, NotFound):
                continue
        raise ReleaseConflict(f"{self.store.url}/{path}: other processes keep changing it")

    def _path(self, name: str) -> str:
        return f"drafts/{self.release_id}/{name}"


def _essence(runs: StageRuns) -> tuple[str, dict[str, list[str]]]:
    tables = {name: [ref.run_id for ref in refs] for name, refs in runs.tables.items()}
    return runs.inputs, tables
