"""Runs: named by what can change them, recorded once, refused when they are not understood."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import artrec
from artrec.digests import digest_rows
from artrec.errors import NotFound, StoreFormatError
from artrec.releases import (
    Run,
    RunRef,
    StageRuns,
    artifacts_of,
    digest_of,
    find_run,
    iter_runs,
    read_base,
    read_document,
    receipts_of,
    record_run,
    run_id,
    upload_artifact,
    versions,
    write_artifact,
)
from artrec.releases.runs import attempt_name, create, parse_document
from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import TableWriter
from tests.releases.protocol import release

EMBEDDINGS = TABLES["embeddings"]


def run_of(store: Store, name: str, rows: list[dict[str, Any]], attempt: str = "a") -> Run:
    with TableWriter(store, f"runs/catalog/{name}/{attempt}", EMBEDDINGS, "x") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=EMBEDDINGS.columns))
    return Run(
        stage="catalog",
        run_id=name,
        tables={"embeddings": writer.receipts},
        inputs={},
        settings={},
        versions={},
        counters={"rows": len(rows)},
        seconds=0.5,
        notes={"attempt": attempt},
    )


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"image_id": name, "embedding": [float(len(name))]} for name in names]


# -- names ----------------------------------------------------------------------------------


def test_a_run_s_name_is_what_it_was_when_stores_were_first_written() -> None:
    found = run_id("embed", 1, {"pictures": {"rows": 2, "": 2**64 - 1}}, {"encoder": "handmade"})
    assert found == "e7ccddca86b17ff6"


@pytest.mark.parametrize(
    "other",
    [
        ("ingest", 1, {"a": 1}, {"k": 2}),
        ("embed", 2, {"a": 1}, {"k": 2}),
        ("embed", 1, {"a": 2}, {"k": 2}),
        ("embed", 1, {"a": 1}, {"k": 3}),
        ("embed", 1, {"a": 1, "b": None}, {"k": 2}),
        ("embed", 1, {"k": 2}, {"a": 1}),
    ],
)
def test_whatever_can_change_a_run_changes_its_name(other: tuple[Any, ...]) -> None:
    assert run_id(*other) != run_id("embed", 1, {"a": 1}, {"k": 2})


def test_attempts_have_names_of_their_own() -> None:
    assert len({attempt_name() for _ in range(200)}) == 200


# -- recording ------------------------------------------------------------------------------


def test_a_run_is_found_once_it_is_recorded(store: Store) -> None:
    run = run_of(store, "r", rows("a"))
    assert find_run(store, "catalog", "r") is None
    assert record_run(store, run) == run == find_run(store, "catalog", "r")
    assert find_run(store, "embed", "r") is None


def test_where_another_attempt_was_first_its_run_counts(store: Store) -> None:
    first = run_of(store, "r", rows("a", "b"), "first")
    second = run_of(store, "r", rows("a", "b"), "second")
    record_run(store, first)
    assert record_run(store, second) == first
    assert find_run(store, "catalog", "r") == first


def test_files_and_digests_add_up_over_runs(store: Store) -> None:
    runs = [run_of(store, "one", rows("a", "bb")), run_of(store, "two", rows("ccc"))]
    refs = [RunRef.of(record_run(store, run)) for run in runs]
    assert [ref.rows for ref in refs] == [{"embeddings": 2}, {"embeddings": 1}]
    paths = [receipt.path for receipt in receipts_of(store, refs, "embeddings")]
    assert paths == [f"runs/catalog/{name}/a/embeddings/x-000.parquet" for name in ("one", "two")]
    whole = pa.RecordBatch.from_pylist(rows("ccc", "a", "bb"), schema=EMBEDDINGS.columns)
    assert digest_of(store, refs, "embeddings", ["embedding"]) == digest_rows(whole, EMBEDDINGS)
    assert set(digest_of(store, refs, "embeddings", [])) == {"rows", ""}
    assert digest_of(store, [], "embeddings", ["embedding"]) == {"rows": 0, "": 0}
    assert receipts_of(store, refs, "catalog") == []
    assert runs[0].digest("embeddings")["rows"] == 2
    record = StageRuns(stage="catalog", inputs="i", tables={"embeddings": refs})
    assert (record.rows("embeddings"), record.rows("catalog")) == (3, 0)


def test_a_run_that_several_tables_share_is_read_once(store: Store) -> None:
    ref = RunRef.of(record_run(store, run_of(store, "r", rows("a"))))
    made = release("mine", read_base(store))
    stages = {
        "catalog": StageRuns(
            stage="catalog", inputs="i", tables={"catalog": [ref], "embeddings": [ref]}
        )
    }
    found = list(iter_runs(store, made.model_copy(update={"stages": stages})))
    assert [run.run_id for run in found] == ["r"]


def test_a_run_s_files_of_other_kinds_come_back_with_their_hashes(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_bytes(b"<p>page</p>")
    artifacts = [
        upload_artifact(store, tmp_path / "page.html", "runs/report/one/a/page.html"),
        write_artifact(store, b"abc", "runs/report/one/a/abc.js"),
    ]
    run = run_of(store, "one", rows("x")).model_copy(update={"artifacts": {"report": artifacts}})
    record_run(store, run)
    found = artifacts_of(store, [RunRef.of(run)], "report")
    assert found == artifacts
    assert [(each.path, each.bytes) for each in found] == [
        ("runs/report/one/a/page.html", 11),
        ("runs/report/one/a/abc.js", 3),
    ]
    # sha256("abc"), FIPS 180-4
    assert found[1].sha256[:16] == "ba7816bf8f01cfea"
    assert store.read(found[0].path) == b"<p>page</p>"
    assert artifacts_of(store, [RunRef.of(run)], "shards") == []


def test_a_missing_run_is_not_passed_over(store: Store) -> None:
    with pytest.raises(NotFound, match=r"runs/catalog/gone/run\.json"):
        receipts_of(store, [RunRef(stage="catalog", run_id="gone", rows={})], "embeddings")


# -- documents ------------------------------------------------------------------------------


def test_equal_bytes_under_a_name_count_as_our_own(store: Store) -> None:
    one = RunRef(stage="a", run_id="1", rows={})
    other = RunRef(stage="a", run_id="2", rows={})
    assert create(store, "x.json", one)
    assert create(store, "x.json", one)
    assert not create(store, "x.json", other)
    assert read_document(store, "x.json", RunRef) == one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2}', "here: written in format 2, this artrec reads up to 1: use a newer"),
        ('{"format": 2, "quite": "another"}', "written in format 2"),
        ("", "here: not a RunRef of artrec"),
        ("[1]", "not a RunRef"),
        ("{}", "not a RunRef"),
        ('{"format": 1, "stage": "a", "run_id": "b"}', "not a RunRef of artrec.*(?s:.*)rows"),
        ('{"format": 1, "stage": "a", "run_id": 3, "rows": {}}', "not a RunRef"),
    ],
)
def test_a_document_that_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(StoreFormatError, match=message) as caught:
        parse_document(text.encode(), "here", RunRef)
    assert caught.value.exit_code == 3


def test_documents_survive_json(store: Store) -> None:
    run = run_of(store, "r", rows("é☃"))
    assert parse_document(run.to_bytes(), "here", Run) == run
    assert json.loads(run.to_bytes())["format"] == 1


def test_versions_name_what_can_change_results() -> None:
    found = versions()
    assert {"python", "artrec", "pyarrow", "numpy", "pillow"} <= set(found)
    assert found["pyarrow"] == pa.__version__


def test_versions_name_an_artrec_that_is_files_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a zip given as --py-files: nothing is installed that could be asked."""

    def uninstalled(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", uninstalled)
    assert versions() == {"python": platform.python_version(), "artrec": artrec.__version__}


def test_a_field_that_a_later_artrec_adds_within_the_format_is_ignored() -> None:
    text = b'{"format": 1, "stage": "a", "run_id": "b", "rows": {"t": 2}, "more": [1]}'
    assert parse_document(text, "here", RunRef) == RunRef(stage="a", run_id="b", rows={"t": 2})
