"""Lists of numbers become lists of images: the same rows, however many are named together."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from artrec.schemas import TABLES
from artrec.stages.neighbors import naming
from artrec.stages.neighbors.naming import Names, write_lists
from artrec.storage import open_store
from artrec.tables import TableWriter, read_table


def copied(contents: int, copies: int) -> tuple[Names, list[str]]:
    """Contents 0, 1, and so on, each under so many names."""
    ids = [f"{n % contents:04d}-{n // contents:03d}" for n in range(contents * copies)]
    numbers = np.arange(contents * copies) % contents
    return Names.of(pa.array(ids), numbers), ids


def asking(images: list[str], width: int, contents: int) -> pa.RecordBatch:
    """Each image with a list of other contents than its own, the next ones."""
    own = np.array([int(image[:4]) for image in images])
    others = (own[:, None] + 1 + np.arange(width)) % contents
    offsets = np.arange(len(images) + 1, dtype=np.int32) * width
    far = np.tile(np.arange(1, width + 1, dtype=np.float32), len(images))
    lists = (pa.ListArray.from_arrays(offsets, pa.array(v)) for v in (others.reshape(-1), far))
    columns = [pa.array(images), pa.array(own), pa.array(np.zeros(len(images), np.float32)), *lists]
    names = ["image_id", "vector_no", "own", "others", "distances"]
    return pa.RecordBatch.from_arrays(columns, names=names)


def written(folder: Any, names: Names, batch: pa.RecordBatch, k: int) -> dict[str, list[Any]]:
    store = open_store(str(folder))
    tables = TABLES["neighbors_nested"], TABLES["neighbors"]
    with (
        TableWriter(store, "n", tables[0], "n") as nested,
        TableWriter(store, "f", tables[1], "f") as flat,
    ):
        write_lists(names, iter([batch, batch.slice(0, 0)]), k, nested, flat)
    return {
        name: [row for part in read_table(store, writer.receipts) for row in part.to_pylist()]
        for name, writer in (("nested", nested), ("flat", flat))
    }


@pytest.mark.parametrize("k", [1, 4, 5, 11, 30])
def test_rows_named_a_few_at_a_time_have_the_lists_of_all_together(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    names, images = copied(7, 4)
    batch = asking(images, 6, 7)
    together = written(tmp_path / "together", names, batch, k)
    monkeypatch.setattr(naming, "ENTRIES", 3)
    assert written(tmp_path / "apart", names, batch, k) == together
    # its own content's other names, then the next content's, and so on
    every = [*(f"0005-{n:03d}" for n in (0, 1, 3)), *(f"0006-{n:03d}" for n in range(4))]
    every += [f"{content:04d}-{n:03d}" for content in range(5) for n in range(4)]
    (found,) = (row for row in together["nested"] if row["query_id"] == "0005-002")
    assert found["ids"] == every[:k]
    assert found["distances"] == [0.0, 0.0, 0.0, *(1.0 + n // 4 for n in range(24))][:k]
    ranks = [row["rank"] for row in together["flat"] if row["query_id"] == "0005-002"]
    assert ranks == [*range(1, min(k, 27) + 1)]


def test_copies_that_no_list_has_room_for_take_no_memory(tmp_path: Any) -> None:
    names, images = copied(80, 40)
    batch = asking(images[:2000], 64, 80)
    tracemalloc.start()
    naming._entries(names, batch, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 2,000 lists of 51 to 91 candidates; with all copies they would be 2,600
    assert peak < 2000 * 100 * 70 + 64 * 2000 * 60
