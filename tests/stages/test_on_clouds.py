"""A whole night with sources and store on emulators of other clouds is that on a disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artrec.schemas import PUBLISHED
from artrec.storage import Store, open_store
from tests.nights import MANY, MORE, PREFIX, SHARDS, SLACK, K, Night
from tests.recount import recount
from tests.services.clouds import KEY, Emulator

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def artrec(*arguments: str) -> str:
    """What the command says, in a process of its own: Spark's workers have its environment."""
    code = "from artrec.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def copied(store: Store, folder: Path) -> Path:
    """All objects of a store as files."""
    for entry in store.list():
        file = folder / entry.path
        file.parent.mkdir(parents=True, exist_ok=True)
        store.download(entry.path, file)
    return folder


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_a_night_there_is_that_on_a_disk(
    scheme: str,
    emulators: Callable[[str], Emulator],
    release: Night,
    sources: Path,
    tmp_path: Path,
) -> None:
    bucket = f"{scheme}://{emulators(scheme).bucket()}"
    there = open_store(f"{bucket}/in")
    there.upload(sources / "first.zip", "main.zip")
    for name, data in MORE.items():
        there.write(f"more/{name}", data)
    root = f"{bucket}/out"
    assignments = (
        *(f"sources.main.url={bucket}/in/main.zip", f"sources.more.url={bucket}/in/more"),
        *(f"sources.more.id_prefix={PREFIX}", "encoder.id=handmade", f"neighbors.k={K}"),
        *(f"neighbors.slack={SLACK}", f"index.shards={SHARDS}", f"gates.reject_rate={MANY}"),
        "index.search_k=4000",
        f"store.root={root}",
    )
    ask = [word for text in assignments for word in ("--set", text)]
    told = artrec("nightly", "--release", "first", "--json", "--quiet", *ask)
    night = Night(copied(open_store(root), tmp_path / "out"), "first", assignments, {})
    assert json.loads(told.splitlines()[-1])
    for table in (*PUBLISHED, "vectors", "neighbor_pool"):
        a, b = night.rows(table), release.rows(table)
        assert a, table
        if table in ("vectors", "neighbor_pool"):
            a, b = (sorted(rows, key=lambda row: row["vector_no"]) for rows in (a, b))
        assert a == b, table
    archives = {"main": sources / "first.zip", "more": sources / "more"}
    count = recount(night.root, archives)
    assert (count.differences, count.lost, count.double) == ([], 0, 0)
    documents = [p for p in night.root.rglob("*") if p.suffix in (".json", ".sql", ".html")]
    assert [path for path in documents if KEY in path.read_text()] == []
    assert "release first: whole" in artrec("releases", "verify", "--root", root)
    image = night.rows("catalog", ["image_id"])[3]["image_id"]
    found = json.loads(artrec("lookup", image, "-k", "3", "--json", "--root", root))
    assert len(found["neighbors"]) == 3
    before = {entry.path for entry in open_store(root).list("runs")}
    artrec("nightly", "--json", "--quiet", *ask)
    assert {entry.path for entry in open_store(root).list("runs")} == before
