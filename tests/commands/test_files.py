"""artrec files: paths that other programs can open."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from annoy import AnnoyIndex

from artrec.commands.files import files_of
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import PAINTINGS, publish_paintings

ROWS = {"catalog": 14, "rejects": 2, "embeddings": 14, "neighbors": 140, "neighbors_nested": 14}


@pytest.mark.parametrize("table", ROWS)
def test_every_table_for_readers_has_files_that_exist(
    artrec: Call, finished: Path, table: str
) -> None:
    called = artrec("files", table, "--root", str(finished))
    assert (called.code, called.err) == (0, "")
    files = called.out.splitlines()
    assert all(Path(file).is_absolute() and Path(file).is_file() for file in files)
    assert sum(pq.read_metadata(file).num_rows for file in files) == ROWS[table]
    assert json.loads(artrec("files", table, "--root", str(finished), "--json").out) == files


def test_pandas_and_duckdb_open_the_files(finished: Path) -> None:
    files = files_of(open_store(str(finished)), "neighbors")
    assert len(pd.concat(pd.read_parquet(file) for file in files)) == 140
    found = duckdb.connect().sql(f"SELECT max(rank) FROM read_parquet({files})")
    assert found is not None
    assert found.fetchall() == [(10,)]


def test_a_shard_is_found_and_opened_with_annoy_alone(artrec: Call, finished: Path) -> None:
    """Painting n lies at PLACES[n]: the nearest to each end of the line."""
    files = artrec("files", "shards", "--root", str(finished)).out.splitlines()
    sidecar = json.loads(Path(files[1]).read_text())
    index = AnnoyIndex(sidecar["dim"], sidecar["annoy_metric"])
    index.load(str(finished / sidecar["file"]["path"]))
    numbers = pq.read_table(finished / sidecar["item_files"][0]["path"])["vector_no"].to_pylist()
    by_number = {painting.vector_no: painting.place for painting in PAINTINGS}
    found = index.get_nns_by_vector([-1.0], 4, search_k=1000)
    assert [by_number[numbers[item]] for item in found] == [0, 1, 4, 11]
    assert Path(files[0]) == finished / sidecar["file"]["path"]


def test_paths_are_absolute_though_the_root_is_not(
    artrec: Call, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store_root.parent)
    called = artrec("files", "catalog", "--root", f"./{store_root.name}")
    assert Path(called.out.strip()).is_relative_to(store_root)


def test_another_release_than_the_current_one_has_its_own_files(
    artrec: Call, store_root: Path
) -> None:
    publish_paintings(store_root, "next", PAINTINGS[:12])
    rows = {
        name: pq.read_metadata(artrec(
            "files", "catalog", "--root", str(store_root), *release).out.strip()).num_rows
        for name, release in {"current": [], "old": ["--release", "2026-01-02"]}.items()
    }  # fmt: skip
    assert rows == {"current": 12, "old": 14}


@pytest.mark.parametrize(
    ("name", "like"),
    [("neighbours", "neighbors"), ("shard", "shards"), ("Catalog", "catalog"), ("zzz", None)],
)
def test_an_unknown_table_is_refused_with_those_there_are_and_the_likeliest(
    artrec: Call, finished: Path, name: str, like: str | None
) -> None:
    called = artrec("files", name, "--root", str(finished))
    assert (called.code, called.out) == (2, "")
    hint = f" (did you mean {like}?)" if like else ""
    assert called.err == (
        f"artrec: release 2026-01-02 has no table {name}{hint}; it has: catalog, embeddings, "
        "members, neighbors, neighbors_nested, rejects, shard_items, and files that are no table: "
        "shards\n"
    )


def test_an_unknown_release_is_refused(artrec: Call, finished: Path) -> None:
    called = artrec("files", "catalog", "--root", str(finished), "--release", "2001")
    assert called.code == 2
    assert "no release 2001; there are: 2026-01-02" in called.err


def test_the_views_of_a_release_open_in_duckdb(finished: Path) -> None:
    connection = duckdb.connect()
    connection.execute((finished / "releases" / "2026-01-02.sql").read_text())
    for table, rows in ROWS.items():
        found = connection.sql(f"SELECT count(*) FROM {table}")
        assert found is not None
        assert found.fetchall() == [(rows,)]
