"""Takedown: a night leaves a picture out, and after a sweep no byte of it is in the store."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from artrec.cli import app
from artrec.errors import Superseded
from artrec.releases import Draft, Ledger, StageRuns, current_release, read_base
from artrec.releases.forgotten import forget
from artrec.schemas import PUBLISHED
from artrec.stages import publish
from artrec.stages.forgetting import training_without
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from tests.nights import PAINTINGS, SAME, SECOND, Night, draft_rows, night, put, tree
from tests.pictures import picture, write_zip
from tests.recount import recount

LISTED = (PAINTINGS[0][0], *SAME, "more:1890/paul_copy.jpg")
"""Names of one content that the archives go on listing."""
GONE = PAINTINGS[3][0]
"""The second night's archive has it no more."""
AGAIN = "wikiart/Cubism/sent-again.jpg"
CONTENTS = {name: hashlib.sha256(data).digest() for name, data in PAINTINGS}


def artrec(*arguments: str) -> str:
    called = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert called.exit_code == 0, called.output
    return called.output


@pytest.fixture(scope="module")
def taken_down(
    spark: SparkSession,
    release: Night,
    next_release: Night,
    sources: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Night:
    """The second night after two pictures were forgotten, one of which is sent again; and swept."""
    place = tmp_path_factory.mktemp("taken")
    shutil.copytree(release.root, place / "root")
    again = write_zip(place / "again.zip", [*SECOND, (AGAIN, picture(3))])
    for name in (LISTED[0], GONE):
        artrec("forget", name, "--reason", "a letter", "--root", str(place / "root"))
    assignments = [each for each in next_release.assignments[:-1] if "sources.main.url" not in each]
    assignments += [f"sources.main.url={again}", "gates.shrinkage=0.5"]
    assignments.append("index.rebuild_share=1")  # masks would do, else
    made = night(place / "root", "second", *assignments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTREC_STORE__SWEEP_SECONDS", "0")
        artrec("sweep", "--keep", "1", "--yes", "--root", str(place / "root"))
    return made


@pytest.mark.long
def test_members_with_that_content_are_rejects_under_every_name(taken_down: Night) -> None:
    found = {row["image_id"]: row for row in taken_down.rows("rejects")}
    mine = {name for name, row in found.items() if row["reason"] == "forgotten"}
    assert mine == {*LISTED, AGAIN}
    for name in mine:
        assert (found[name]["stage"], found[name]["content_sha256"]) == (
            "ingest",
            CONTENTS[GONE if name == AGAIN else LISTED[0]],
        )
    assert mine.isdisjoint(row["image_id"] for row in taken_down.rows("catalog"))


@pytest.mark.long
def test_the_release_is_otherwise_the_one_that_it_would_have_been(
    next_release: Night, taken_down: Night, sources: Path
) -> None:
    before = {row["image_id"]: row for row in next_release.rows("catalog")}
    after = {row["image_id"]: row for row in taken_down.rows("catalog")}
    assert before.keys() - after.keys() == set(LISTED)
    assert after.keys() <= before.keys()
    again = taken_down.root.parent / "again.zip"
    found = recount(taken_down.root, {"main": again, "more": sources / "more"})
    assert found.differences == []


def scanned(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file's bytes; and, as Parquet is compressed, the values of its columns."""
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        yield path, path.read_bytes()
        if path.suffix == ".parquet":
            for column in pq.ParquetFile(path).read().combine_chunks().columns:
                yield path, b"".join(_values(column.combine_chunks()))


def _values(column: pa.Array) -> Iterator[bytes]:
    while isinstance(column, pa.ListArray | pa.MapArray | pa.StructArray):
        if isinstance(column, pa.StructArray | pa.MapArray):
            for child in (
                column.flatten()
                if isinstance(column, pa.StructArray)
                else (
                    column.keys,
                    column.items,
                )
            ):
                yield from _values(child)
            return
        column = column.values
    for buffer in column.buffers():
        if buffer is not None:
            yield buffer.to_pybytes()


def holders(root: Path, secret: bytes) -> set[str]:
    """Names of the tables (else of the files) that hold these bytes."""
    return {
        path.parent.name if path.suffix == ".parquet" else path.name
        for path, data in scanned(root)
        if secret in data
    }


def secrets(release: Night) -> dict[str, bytes]:
    """Bytes and vectors of what was forgotten, as the release before had them."""
    vectors = {row["content_sha256"]: row["embedding"] for row in release.rows("vectors")}
    data = dict(PAINTINGS)
    found = {}
    for name in (LISTED[0], GONE):
        found[f"bytes of {name}"] = data[name]
        found[f"vector of {name}"] = np.array(vectors[CONTENTS[name]], "<f4").tobytes()
    return found


def test_the_scan_finds_what_is_there(release: Night) -> None:
    found = {name: holders(release.root, secret) for name, secret in secrets(release).items()}
    for name, tables in found.items():
        assert "pictures" in tables if name.startswith("bytes") else {
            "vectors", "live_vectors", "embeddings",
        } <= tables  # fmt: skip
        assert name.startswith("bytes") or any(table.endswith(".annoy") for table in tables)
    assert {"members", "ingested", "catalog", "neighbors"} <= holders(release.root, GONE.encode())


@pytest.mark.long
def test_after_a_sweep_no_byte_of_it_is_in_the_store(release: Night, taken_down: Night) -> None:
    assert [path.stem for path in (taken_down.root / "releases").glob("*.json")] == ["second"]
    for name, secret in secrets(release).items():
        assert holders(taken_down.root, secret) == set(), name
    thumbs = {path.stem for path in taken_down.root.rglob("thumbs/*.jpg")}
    assert thumbs
    assert {CONTENTS[LISTED[0]].hex()[:16], CONTENTS[GONE].hex()[:16]}.isdisjoint(thumbs)


@pytest.mark.long
def test_a_name_stays_only_where_the_archive_still_has_it(taken_down: Night) -> None:
    """The listing, what is known of its members, their labels and the rejects name them."""
    assert holders(taken_down.root, GONE.encode()) <= DELETIONS
    allowed = {"members", "ingested", "rejects", "labels"}
    assert holders(taken_down.root, LISTED[0].encode()) <= allowed | DELETIONS


DELETIONS = {"catalog_changes", "neighbor_changes"}
"""That an image was there is told in the release that it left, for those who copied the tables."""


@pytest.mark.long
def test_status_says_that_it_is_gone(taken_down: Night) -> None:
    said = artrec("forget", "--status", "--root", str(taken_down.root))
    assert said.count("no run of this store holds it") == 2


@pytest.mark.long
def test_the_night_after_it_does_not_come_back_and_is_not_read(
    spark: SparkSession, taken_down: Night, tmp_path: Path
) -> None:
    """Nothing is written without a change; a further member alone is read where there is one."""
    root = tmp_path / "root"
    shutil.copytree(taken_down.root, root)
    before = tree(root)
    assignments = (*taken_down.assignments[:-1], f"store.root={root}")
    options = Options(assignments=assignments, release="third", verbosity="quiet")
    assert execute("nightly", options) == 0
    changed = {n for n, facts in tree(root).items() if before.get(n) != facts}
    assert changed == {"drafts/third", "drafts/third/outcome.json"}

    more = write_zip(
        tmp_path / "more.zip", [*SECOND, (AGAIN, picture(3)), ("new/a.jpg", picture(99))]
    )
    draft = [each for each in assignments if "sources.main.url" not in each]
    draft.append(f"sources.main.url={more}")
    for name in ("inventory", "ingest", "embed", "catalog"):
        options = Options(assignments=tuple(draft), release="fourth", verbosity="quiet")
        assert execute(name, options) == 0
    assert len(draft_rows(root, "fourth", "ingest", "ingested")) == 1 + len(
        taken_down.rows("ingested")
    )
    rejects = draft_rows(root, "fourth", "catalog", "rejects")
    assert {r["image_id"] for r in rejects if r["reason"] == "forgotten"} == {*LISTED, AGAIN}


# -- drafts that were open, and trainings ---------------------------------------------------------


def test_a_draft_that_was_open_is_not_gone_on_with(
    spark: SparkSession, release: Night, sources: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    assignments = [each for each in release.assignments[:-1] if "sources.main.url" not in each]
    assignments += [f"sources.main.url={sources / 'second.zip'}", f"store.root={root}"]
    options = Options(assignments=tuple(assignments), release="open", verbosity="quiet")
    assert execute("inventory", options) == 0
    forget(open_store(str(root)), CONTENTS[GONE].hex(), "a letter")
    assert execute("ingest", options) == 8
    assert "or before a picture was forgotten" in capsys.readouterr().err


def test_a_night_under_way_is_not_published_when_a_picture_is_forgotten_meanwhile(
    release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    store = open_store(str(root))
    draft = Draft.begin(store, "late")
    draft.hold("other inputs")
    before = current_release(store).stages
    for runs in before.values():
        draft.record(runs)
    draft.record(before["report"].model_copy(update={"inputs": "another"}))
    forget(store, CONTENTS[GONE].hex(), "a letter")
    with pytest.raises(Superseded, match="artrec forget was called since draft late was begun"):
        publish.run(None, release.settings(), draft)  # type: ignore[arg-type]
    assert read_base(store).release_id == "first"


def test_what_a_training_kept_of_it_is_written_anew_and_the_rest_stays(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    store = open_store(str(root))
    keys = sorted(CONTENTS.values())
    examples: list[dict[str, Any]] = [
        {"content_sha256": key, "split": "train", "picture": key * 2, "style": None, "artist": None}
        for key in keys
    ]
    shown = [
        {"content_sha256": key, "error": 0.5, "original": key * 2, "reconstruction": b"r"}
        for key in keys[:2]
    ]
    curves = [{"epoch": 1, "measure": "loss", "value": 0.25}]
    draft = Draft.begin(store, "trained")
    draft.hold("trained")
    tables = {"examples": examples, "reconstructions": shown, "curves": curves}
    put(draft, "train", tables, encoder_id="handmade")
    record = draft.need("train")
    assert training_without(spark, draft, record) == record

    forget(store, keys[0].hex(), "a letter")
    draft = Draft.begin(store, "trained")
    draft.hold("trained")
    without = training_without(spark, draft, record)
    assert without.notes == record.notes
    draft.record(StageRuns(stage="train", inputs="x", tables=without.tables))
    found = {name: draft_rows(root, "trained", "train", name) for name in tables}
    assert [row["content_sha256"] for row in found["examples"]] == keys[1:]
    assert [row["content_sha256"] for row in found["reconstructions"]] == keys[1:2]
    assert found["curves"] == curves
    assert training_without(spark, draft, without) == without


def test_the_ledger_tells_numbers_of_vectors() -> None:
    ledger = Ledger(frozenset({CONTENTS[GONE]}))
    assert ledger.vector_numbers() == {int.from_bytes(CONTENTS[GONE][:8], "big") >> 1}
    assert Ledger(frozenset()).name == ""
    assert Ledger(frozenset()).inputs == {}


def test_every_published_table_is_scanned(release: Night) -> None:
    names = {path.parent.name for path, _ in scanned(release.root)}
    there = {name for name in PUBLISHED if release.files(name)}
    assert there <= names
