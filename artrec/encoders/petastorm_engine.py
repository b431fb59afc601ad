"""The engine ``petastorm``: its reader and worker fetch the row groups, in our order, all of them.

All pools of petastorm 0.13.1 judge badly when an epoch is over. Threads and processes compare two
counters before they ask whether more is to come, and so lose rows now and then, silently; the
``dummy`` pool may wait for ever after the last row group, where its feeding thread has not yet
noted that it was the last. So the pool here is our own, of the size of ``dummy``: it asks the
worker for one row group after another and ends when it has asked for all. The feeding thread is
never started; reading ahead is done by whoever takes the batches (``feeding``).

Remote files are staged: petastorm finds no way to them with the one pyarrow that it runs on.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa

from artrec.encoders.reader import Place
from artrec.errors import ConfigError, StoreFormatError, StoreFull
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["PetastormEngine", "check_packages"]

PETASTORM = ("0.13.1",)
PYARROW = ("14.0.1", "14.0.2")
SPARE_BYTES = 256 << 20  # what staging leaves free


def check_packages() -> None:
    """``ConfigError`` that names both ways out, where petastorm cannot run."""
    found = {name: _version(name) for name in ("petastorm", "pyarrow")}
    if found["petastorm"] in PETASTORM and found["pyarrow"] in PYARROW:
        return
    here = ", ".join(f"{name} {number or 'not installed'}" for name, number in found.items())
    raise ConfigError(
        f"train.reader=petastorm needs petastorm {PETASTORM[0]} beside pyarrow {PYARROW[0]} or "
        f"{PYARROW[1]}, here is {here}. Either install artrec[petastorm] with "
        "docker/constraints-petastorm.txt in an environment of its own, or set train.reader=arrow, "
        "which gives the same rows in the same order"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class PetastormEngine:
    """A petastorm reader for each epoch; closed whatever happens."""

    def __init__(self, store: Store, receipts: Sequence[Receipt]) -> None:
        self._store, self._receipts = store, tuple(receipts)
        self._files: _Files | None = None

    def groups(
        self, files: Sequence[Any], order: Sequence[Place], columns: Sequence[str]
    ) -> Generator[tuple[Place, pa.Table]]:
        if not order:
            return
        if self._files is None:
            self._files = _local(self._store, self._receipts)
        paths = self._files.paths
        schema = pa.schema([files[0].schema_arrow.field(name) for name in columns])
        with _opened(paths, [(paths[file], group) for file, group in order], schema) as reader:
            for place, rows in zip(order, reader, strict=False):  # what is missing is counted
                arrays = [_array(getattr(rows, field.name), field) for field in schema]
                yield place, pa.Table.from_arrays(arrays, schema=schema)


class _Pool:
    """What petastorm calls a pool: row groups in one order, in the thread that takes them."""

    workers_count = 1

    def __init__(self, wanted: Sequence[tuple[str, int]]) -> None:
        self._wanted = deque(wanted)
        self._found: deque[pa.Table] = deque()
        self._numbers: dict[tuple[str, int], int] = {}
        self._worker: Any = None

    def start(self, worker_class: Any, worker_args: Any, ventilator: object = None) -> None:
        self._worker = worker_class(0, self._publish, worker_args)
        pieces = worker_args[4]
        self._numbers = {(piece.path, piece.row_group): n for n, piece in enumerate(pieces)}

    def _publish(self, rows: pa.Table) -> None:
        """As bytes: petastorm makes the word None of a missing string."""
        for number, field in enumerate(rows.schema):
            if pa.types.is_string(field.type):
                rows = rows.set_column(number, field.name, rows.column(number).cast(pa.binary()))
        self._found.append(rows)

    def ventilate(self, *arguments: object, **named: object) -> None:
        raise AssertionError("nobody feeds this pool")

    def get_results(self) -> pa.Table:
        from petastorm.workers_pool import EmptyResultError

        while not self._found:
            if not self._wanted:
                raise EmptyResultError
            self._worker.process(self._numbers[self._wanted.popleft()], None, (0, 1))
        return self._found.popleft()

    def stop(self) -> None:
        self._wanted.clear()

    def join(self) -> None:
        pass  # there is no thread


@contextmanager
def _opened(
    paths: Sequence[str], wanted: Sequence[tuple[str, int]], schema: pa.Schema
) -> Iterator[Any]:
    # pyarrow 14 warns at every one of its old ways, and petastorm knows no other
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\b")
    from petastorm.arrow_reader_worker import ArrowReaderWorker
    from petastorm.fs_utils import get_filesystem_and_path_or_paths
    from petastorm.reader import Reader

    filesystem, _ = get_filesystem_and_path_or_paths(["file:///"], hdfs_driver="libhdfs3")
    reader = Reader(
        filesystem,
        list(paths),
        schema_fields=[f"^{name}$" for name in schema.names],
        worker_class=ArrowReaderWorker,
        reader_pool=_Pool(wanted),
        shuffle_row_groups=False,
        num_epochs=1,
        is_batched_reader=True,
    )
    try:
        yield reader
    finally:
        reader.stop()
        reader.join()


def _array(values: Any, field: pa.Field) -> pa.Array:
    if pa.types.is_string(field.type):
        return pa.array(values, pa.binary()).cast(field.type)
    return pa.array(values, field.type)


class _Files:
    """Local paths of the receipts; what was staged for them is removed with the last user."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)


_STAGED: weakref.WeakValueDictionary[Any, _Files] = weakref.WeakValueDictionary()
_STAGING = threading.Lock()


def _local(store: Store, receipts: tuple[Receipt, ...]) -> _Files:
    urls = [store.path_url(receipt.path) for receipt in receipts]
    if not any("://" in url for url in urls):
        return _Files([str(Path(url).absolute()) for url in urls])
    with _STAGING:  # readers of the same files share them
        key = (store, tuple(receipt.path for receipt in receipts))
        found = _STAGED.get(key)
        if found is None:
            found = _STAGED[key] = _staged(store, receipts)
        return found


def _staged(store: Store, receipts: Sequence[Receipt]) -> _Files:
    """The files in a folder of their own, which goes when nobody uses it any more."""
    folder = Path(tempfile.mkdtemp(prefix="artrec-examples-"))
    remove: Callable[..., None] = shutil.rmtree
    try:
        size, free = sum(receipt.bytes for receipt in receipts), shutil.disk_usage(folder).free
        if size + SPARE_BYTES > free:
            raise StoreFull(
                f"{folder.parent}: {size:,} bytes of examples are to be staged for petastorm, "
                f"{free:,} are free; name a larger folder in TMPDIR, or set train.reader=arrow"
            )
        files = _Files([str(folder / f"{n:05d}.parquet") for n in range(len(receipts))])
        for receipt, path in zip(receipts, files.paths, strict=True):
            store.download(receipt.path, Path(path))
            _check_bytes(store, receipt, Path(path))
    except BaseException:
        remove(folder, ignore_errors=True)
        raise
    weakref.finalize(files, remove, folder, ignore_errors=True)
    return files


def _check_bytes(store: Store, receipt: Receipt, path: Path) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != receipt.sha256:
        raise StoreFormatError(
            f"{store.url}/{receipt.path} was altered: its sha256 is {found}, its receipt says "
            f"{receipt.sha256}; artrec releases verify says what else of a release is damaged"
        )
