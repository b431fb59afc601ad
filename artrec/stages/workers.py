"""Spark's Python workers between two tasks: what they repeat for each task, made cheap.

Before each task a worker forgets all it knows of folders that modules come from, and after it the
worker collects garbage. In Python 3.11 the first reads the directories of Spark's zip and jar files
again, once for each of their packages; the second visits every object of every imported module.
Together that is a tenth of a second, as much as decoding some pictures.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from zipimport import zipimporter

import pyarrow as pa

__all__ = ["Body", "light"]

Body = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""What ``mapInArrow`` calls in a worker."""


def light(body: Body) -> Body:
    """``body``, leaving its worker ready for a next task that costs little to begin."""

    @wraps(body)
    def lighter(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from body(batches)
        _settle()

    return lighter


def _settle() -> None:
    """Drop the finders of zip files, made again where needed; freeze what is imported, once."""
    for place, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[place]
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
