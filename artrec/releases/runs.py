"""Runs: what one stage wrote once, named by a digest of all that could change it."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artrec import __version__
from artrec.digests import Digest, add, name_of, taken
from artrec.errors import ConditionFailed, NotFound, StoreFormatError
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = [
    "Artifact",
    "Document",
    "FORMAT",
    "Run",
    "RunRef",
    "artifacts_of",
    "attempt_name",
    "begin_run",
    "create",
    "digest_of",
    "find_run",
    "parse_document",
    "read_document",
    "read_runs",
    "receipts_of",
    "record_run",
    "run_id",
    "upload_artifact",
    "versions",
    "write_artifact",
]

FORMAT = 1
"""Of every JSON document in a store; a newer one is refused."""

D = TypeVar("D", bound="Document")


class Document(BaseModel):
    """A JSON object of the store; fields that a later artrec adds within a format are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        return (self.model_dump_json(indent=1) + "\n").encode()


class Artifact(BaseModel):
    """One file of a run that is no table, such as an index or a page of a report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    bytes: int
    sha256: str


class Run(Document):
    """What one stage wrote once; recorded last, so a run that can be read is whole.

    ``tables`` maps a table's name to its files in order, ``artifacts`` does so for files of other
    kinds; ``notes`` holds what later runs of the same stage need to know (such as where segments
    were cut).
    """

    stage: str
    run_id: str
    tables: dict[str, list[Receipt]]
    artifacts: dict[str, list[Artifact]] = Field(default_factory=dict)
    inputs: dict[str, Any]
    settings: dict[str, Any]
    versions: dict[str, str]
    counters: dict[str, int]
    seconds: float
    notes: dict[str, Any] = Field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"runs/{self.stage}/{self.run_id}/run.json"

    def folder(self, attempt: str) -> str:
        """Where an attempt at this run writes its files."""
        return f"runs/{self.stage}/{self.run_id}/{attempt}"

    def done(
        self,
        tables: Mapping[str, list[Receipt]],
        begun: float,
        counters: Mapping[str, int] | None = None,
        notes: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, list[Artifact]] | None = None,
    ) -> Run:
        """The run with its files; ``begun`` is the monotonic time at its start."""
        found = {
            "tables": dict(tables),
            "artifacts": dict(artifacts or {}),
            "seconds": time.monotonic() - begun,
        }
        return self.model_copy(
            update=found | {"counters": dict(counters or {}), "notes": dict(notes or {})}
        )

    def receipts(self, table: str) -> list[Receipt]:
        return self.tables.get(table, [])

    def digest(self, table: str, columns: Sequence[str] | None = None) -> Digest:
        """Order-free digest of a table's rows, of all columns or only the key and ``columns``."""
        total = add(receipt.digest for receipt in self.receipts(table))
        if columns is None:
            return total
        return taken(total, columns)


class RunRef(Document):
    """A run as a release names it."""

    stage: str
    run_id: str
    rows: dict[str, int]

    @property
    def path(self) -> str:
        return f"runs/{self.stage}/{self.run_id}/run.json"

    @classmethod
    def of(cls, run: Run) -> RunRef:
        rows = {name: sum(r.rows for r in files) for name, files in run.tables.items()}
        return cls(stage=run.stage, run_id=run.run_id, rows=rows)


def run_id(stage: str, version: int, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The name of a run: equal for equal stage, result version, inputs and settings."""
    return name_of({"stage": stage, "version": version, "inputs": inputs, "settings": settings})


def begin_run(
    stage: str, version: int, inputs: Mapping[str, Any], settings: Mapping[str, Any]
) -> Run:
    """A run under its name, without files yet; ``settings`` are those that change its results."""
    return Run(
        stage=stage,
        run_id=run_id(stage, version, inputs, settings),
        tables={},
        inputs=dict(inputs),
        settings=dict(settings),
        versions=versions(),
        counters={},
        seconds=0.0,
    )


def attempt_name() -> str:
    """A name that no other process uses, for files which only their receipts make known."""
    host = name_of(
        {"host": socket.gethostname(), "pid": os.getpid(), "boot": os.urandom(4).hex()}, 8
    )
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{host}"


def find_run(store: Store, stage: str, name: str) -> Run | None:
    """The run of that name, or None if it was never finished."""
    try:
        return read_document(store, f"runs/{stage}/{name}/run.json", Run)
    except NotFound:
        return None


def read_runs(store: Store, refs: Iterable[RunRef]) -> list[Run]:
    """The runs that a release or a draft names."""
    return [read_document(store, ref.path, Run) for ref in refs]


def receipts_of(store: Store, refs: Iterable[RunRef], table: str) -> list[Receipt]:
    """The files of a table over several runs, in order."""
    return [receipt for run in read_runs(store, refs) for receipt in run.receipts(table)]


def artifacts_of(store: Store, refs: Iterable[RunRef], name: str) -> list[Artifact]:
    """The files of that name, which are no table, over several runs, in order."""
    return [each for run in read_runs(store, refs) for each in run.artifacts.get(name, [])]


def upload_artifact(store: Store, local: Path, path: str) -> Artifact:
    """Create ``path`` in the Store from a local file."""
    with open(local, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Artifact(path=path, bytes=store.upload(local, path).bytes, sha256=sha256)


def write_artifact(store: Store, data: bytes, path: str) -> Artifact:
    """Create ``path`` in the Store with these bytes."""
    store.write(path, data)
    return Artifact(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def digest_of(store: Store, refs: Iterable[RunRef], table: str, columns: Sequence[str]) -> Digest:
    """The order-free digest of the key and ``columns`` of a table over several runs."""
    return add(run.digest(table, columns) for run in read_runs(store, refs))


def record_run(store: Store, run: Run) -> Run:
    """Make a run known; where another attempt was first, its run is the one that counts."""
    try:
        store.write(run.path, run.to_bytes())
    except ConditionFailed:
        return read_document(store, run.path, Run)
    return run


def create(store: Store, path: str, document: Document) -> bool:
    """Create a document; False where one with other bytes stands there.

    A refusal after a retried create may be our own earlier success: equal bytes count as ours.
    """
    data = document.to_bytes()
    try:
        store.write(path, data)
    except ConditionFailed:
        return store.read(path) == data
    return True


def read_document(store: Store, path: str, kind: type[D]) -> D:
    """A JSON document of the store; StoreFormatError if a newer artrec wrote it, or it is none."""
    return parse_document(store.read(path), f"{store.url}/{path}", kind)


def parse_document(data: bytes, where: str, kind: type[D]) -> D:
    """The document in ``data``; the format is looked at before anything else is."""
    try:
        found = _Format.model_validate_json(data).format
        if found > FORMAT:
            raise StoreFormatError(
                f"{where}: written in format {found}, this artrec reads up to {FORMAT}: "
                "use a newer artrec"
            )
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        fault = f"{place}: {first['msg']}" if place else first["msg"]
        raise StoreFormatError(f"{where}: not a {kind.__name__} of artrec: {fault}") from None


class _Format(BaseModel):
    format: int


def versions() -> dict[str, str]:
    """Versions of what can change results, for the record."""
    names = ("pyspark", "pyarrow", "numpy", "pillow", "torch", "annoy")
    # artrec's own is not asked of its installation: a zip given as --py-files has none
    found = {"python": platform.python_version(), "artrec": __version__}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
