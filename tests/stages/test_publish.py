"""publish: what a release says, what readers open, and the gates that refuse one."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from artrec.commands.files import files_of
from artrec.config import Settings
from artrec.errors import GateRefused, UsageError
from artrec.releases import Draft, StageRuns, duckdb_views, read_release, run_id
from artrec.schemas import PUBLISHED, TABLES
from artrec.stages import RESULT_VERSIONS, atonce, publish
from artrec.stages.catalog import joining
from artrec.stages.evaluate import together
from artrec.stages.evaluate.counting import counts_of
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from tests.nights import K, Night, opened, put, settings_of, tree

Rows = list[dict[str, Any]]


def read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def runs_of(night: Night) -> list[Path]:
    refs = {
        (ref["stage"], ref["run_id"])
        for stage in night.document["stages"].values()
        for refs in stage["tables"].values()
        for ref in refs
    }
    return [night.root / "runs" / stage / name / "run.json" for stage, name in sorted(refs)]


def test_the_release_names_encoder_metric_and_what_it_stands_on(
    release: Night, next_release: Night
) -> None:
    first, second = release.document, next_release.document
    assert (first["release_id"], first["previous"]) == ("first", None)
    assert (second["release_id"], second["previous"]) == ("second", "first")
    assert (first["metric"], first["dim"], first["k"]) == ("cosine", 154, K)
    assert first["encoder"].startswith("handmade-")
    assert {"artrec", "python", "pyspark", "pyarrow", "numpy", "pillow"} <= first["versions"].keys()
    assert first["settings"]["neighbors"]["k"] == K
    assert first["inputs"] != second["inputs"]
    assert first["created"].endswith(("Z", "+00:00"))


def test_every_published_table_is_made_of_runs_that_stand_in_the_store(release: Night) -> None:
    stages = release.document["stages"]
    names = ["inventory", "ingest", "embed", "catalog", "index", "neighbors", "evaluate"]
    assert list(stages) == [*names, "report"]
    tables = {table: refs for stage in stages.values() for table, refs in stage["tables"].items()}
    assert set(PUBLISHED) <= tables.keys()
    for table, refs in tables.items():
        for ref in refs:
            run = read_json(release.root / "runs" / ref["stage"] / ref["run_id"] / "run.json")
            assert (run["stage"], run["run_id"]) == (ref["stage"], ref["run_id"])
            if table == "report":  # files, but no table
                assert run["artifacts"].keys() == {table}
                continue
            assert ref["rows"][table] == sum(each["rows"] for each in run["tables"][table])


def test_every_file_is_what_its_receipt_says(next_release: Night) -> None:
    listed = 0
    for path in runs_of(next_release):
        run = read_json(path)
        assert {"inputs", "settings", "versions", "counters"} <= run.keys()
        for table, receipts in run["tables"].items():
            for receipt in receipts:
                data = (next_release.root / receipt["path"]).read_bytes()
                assert receipt["bytes"] == len(data)
                assert receipt["sha256"] == hashlib.sha256(data).hexdigest()
                file = pq.ParquetFile(next_release.root / receipt["path"])
                assert (receipt["rows"], receipt["row_groups"]) == (
                    file.metadata.num_rows,
                    file.metadata.num_row_groups,
                )
                metadata = file.schema_arrow.metadata
                assert metadata[b"artrec.table"].decode() == receipt["table"] == table
                assert int(metadata[b"artrec.version"]) == TABLES[table].version
                listed += 1
    assert listed >= 15


def test_counts_are_those_of_the_tables(release: Night) -> None:
    counts = release.document["counts"]
    rejects = release.rows("rejects", ["reason"])
    reasons = {row["reason"] for row in rejects}
    assert counts == {
        "listed": len(release.rows("members", ["entry"])),
        "stored": len(release.rows("catalog", ["entry"])),
        "rejected": len(rejects),
        "lists": len(release.rows("neighbors_nested", ["query_id"])),
        "vectors": len(release.rows("live_vectors", ["vector_no"])),
        "indexed": len(release.rows("shard_items", ["item"])),
        "shard_files_missing": 0,
        **dict.fromkeys(("lost", "invented", "double", "double_ids"), 0),
        **dict.fromkeys(("vectors", "distinct_vectors"), len(release.rows("live_vectors"))),
        **dict.fromkeys(("non_finite", "zero", "flat"), 0),
        **{f"rejected_{each}": sum(r["reason"] == each for r in rejects) for each in reasons},
    }
    assert counts["listed"] == counts["stored"] + counts["rejected"]


def test_every_gate_says_what_it_found_and_expected(release: Night) -> None:
    gates = {gate["gate"]: gate for gate in release.document["gates"]}
    assert gates.keys() >= {"balance", "identity", "lists", "images"}
    for gate in gates.values():
        assert gate["passed"]
        assert gate["found"]
        assert gate["expected"]


def test_current_points_at_the_release_and_its_hash(release: Night, next_release: Night) -> None:
    for night, previous in ((release, None), (next_release, "first")):
        current = read_json(night.root / "CURRENT.json")
        data = (night.root / f"releases/{night.name}.json").read_bytes()
        assert current["release"] == night.name
        assert current["previous"] == previous
        assert current["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_published_release_is_never_written_again(release: Night, next_release: Night) -> None:
    before, after = tree(release.root / "releases"), tree(next_release.root / "releases")
    assert before.keys() <= after.keys()
    for name, (_, digest) in before.items():
        assert after[name][1] == digest


def viewed(sql: str, table: str) -> Rows:
    with duckdb.connect() as connection:
        connection.execute(sql)
        order = ", ".join(f'"{name}"' for name in TABLES[table].key)  # group is a word of SQL
        found = connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
        names = [each[0] for each in connection.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found]


def plain(rows: Rows) -> Rows:
    """Maps as DuckDB's client gives them."""
    return [
        {name: dict(v) if name == "extra" and v is not None else v for name, v in row.items()}
        for row in rows
    ]


@pytest.mark.parametrize("table", PUBLISHED)
def test_the_views_in_duckdb_are_the_files(next_release: Night, table: str) -> None:
    sql = (next_release.root / "releases/second.sql").read_text()
    expected = sorted(
        next_release.rows(table), key=lambda r: tuple(r[n] for n in TABLES[table].key)
    )
    assert viewed(sql, table) == plain(expected)
    assert len(expected) >= (4 if table.endswith(("duplicates", "centers")) else 10)


def test_a_view_tells_of_each_list_how_long_it_is_and_how_far_it_reaches(
    next_release: Night,
) -> None:
    with duckdb.connect() as connection:
        connection.execute((next_release.root / "releases/second.sql").read_text())
        found = connection.execute(
            "SELECT query_id, listed, is_full, nearest, kth FROM neighbor_distances ORDER BY 1"
        ).fetchall()
    assert found == [
        (row["query_id"], 5, True, row["distances"][0], row["distances"][4])
        for row in next_release.rows("neighbors_nested")
    ]


def test_views_of_a_store_under_an_odd_name_work_too(release: Night, tmp_path: Path) -> None:
    root = tmp_path / "it's a [store] 100%"
    shutil.copytree(release.root, root)
    store = open_store(str(root))
    sql = duckdb_views(store, read_release(store, "first"))
    assert len(viewed(sql, "catalog")) == release.document["counts"]["stored"]


# Gates.


def test_a_catalog_that_lost_a_row_is_refused_and_nothing_changes_for_readers(
    spark: SparkSession,
    release: Night,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    before = tree(root)
    images = joining._images

    def one_less(judged: DataFrame, tables: Any) -> DataFrame:
        return images(judged, tables).filter("image_id != 'cover.jpg'")

    monkeypatch.setattr(atonce, "AT_ONCE", -1)  # so that the catalog is joined by Spark
    monkeypatch.setattr(joining, "_images", one_less)
    again = (*release.assignments[:-1], f"store.root={root}", "neighbors.k=2")
    more = "sources.more.template={genre}/{artist}_{title}"
    options = Options(assignments=(*again, more), release="refused", verbosity="quiet")
    assert execute("nightly", options) == 5
    message = capsys.readouterr().err
    assert "gate balance: found 1 lost, 0 invented, 0 double, expected every member in" in message
    assert "refused is not published; its draft is kept" in message

    after = tree(root)
    assert before.items() <= after.items()  # CURRENT, releases and every file are as they were
    assert read_json(root / "CURRENT.json")["release"] == "first"
    assert not (root / "releases/refused.json").exists()
    assert (root / "drafts/refused/catalog.json").exists()
    outcome = read_json(root / "drafts/refused/outcome.json")
    assert (outcome["status"], outcome["exit_code"]) == ("failed", 5)
    assert outcome["current"] == "first"
    assert outcome["message"] in message


def image(entry: int, image_id: str) -> dict[str, Any]:
    given = {"source": "a", "entry": entry, "image_id": image_id, "content_sha256": bytes(32)}
    rest = {"vector_no": 1, "width": 1, "height": 1, "format": "PNG", "bytes": 1}
    history = {"first_release": "one", "changed_release": "one"}
    return {**dict.fromkeys(TABLES["catalog"].columns.names), **given, **rest, **history}


def member(entry: int) -> dict[str, Any]:
    numbers = dict.fromkeys(("occurrence", "bytes", "stored_bytes", "offset"), 0)
    texts = {"image_id": f"{entry}.jpg", "fingerprint": "crc32=0", "method": "stored"}
    return {"source": "a", "entry": entry, "raw_name": b"x", **numbers, **texts}


def reject(entry: int) -> dict[str, Any]:
    facts = {"source": "a", "entry": entry, "image_id": f"{entry}.jpg", "stage": "ingest"}
    rest = {"reason": "empty", "detail": "", "content_sha256": None, "bytes": 0}
    return {**facts, **rest, "first_release": "one", "attempts": 1}


def drafted(
    root: Path, members: Rows, images: Rows, rejects: Rows, lists: list[str], indexed: int = 1
) -> tuple[Settings, Draft]:
    """A draft of literal tables, as far as they are counted."""
    settings = settings_of(f"store.root={root}")
    draft = opened(settings, "one")
    draft.hold("literal")
    put(draft, "inventory", {"members": members, "labels": []})
    put(draft, "ingest", {"pictures": [], "ingested": []})
    put(draft, "embed", {"vectors": []}, encoder="mine-1", metric="cosine", dim=2)
    live: Rows = [{"vector_no": 1, "embedding": [1.0, 2.0]}]
    put(draft, "catalog", {"catalog": images, "rejects": rejects, "live_vectors": live})
    items: Rows = [{"shard": 0, "item": item, "vector_no": 1} for item in range(indexed)]
    put(draft, "index", {"shard_items": items}, shards=1, trees=2, search_k=0, seed=1)
    nested: Rows = [{"query_id": name, "ids": [], "distances": []} for name in lists]
    put(draft, "neighbors", {"neighbors_nested": nested, "neighbors": []}, k=3)
    put(draft, "report", {})
    return settings, draft


@pytest.mark.parametrize("alone", [0, together.ALONE], ids=["by Spark", "by one task"])
def test_members_are_balanced_by_key_and_not_by_counting(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: int
) -> None:
    """Counts alone would do: four members, three images and one reject.

    Members 1 and 3 are lost, 9 was never listed, and 2 is both image and reject.
    """
    members = [member(n) for n in range(4)]
    images = [image(0, "0.jpg"), image(2, "0.jpg"), image(9, "9.jpg")]
    lists = ["0.jpg", "9.jpg"]
    monkeypatch.setattr(together, "ALONE", alone)
    _, draft = drafted(tmp_path / "root", members, images, [reject(2)], lists)
    assert counts_of(spark, draft) == {
        **{"listed": 4, "stored": 3, "rejected": 1, "lists": 2, "rejected_empty": 1},
        **{"lost": 2, "invented": 1, "double": 1, "double_ids": 1},
        **{"indexed": 1, "shard_files_missing": 0},
    }


GOOD = {"gate": "balance", "passed": True, "found": "0 lost", "expected": "none"}
BAD = {"gate": "reject_rate", "passed": False, "found": "half", "expected": "few"}


def published(root: Path, *gates: dict[str, Any]) -> StageRuns:
    """publish, on what evaluate said of a literal draft; it needs no Spark."""
    settings, draft = drafted(root, [member(0)], [image(0, "0.jpg")], [], ["0.jpg"])
    counts = {"listed": 1, "stored": 1, "rejected": 0}
    put(draft, "evaluate", {"evaluation": []}, gates=list(gates), counts=counts)
    nothing: Any = None
    return publish.run(nothing, settings, draft)


def test_what_the_gates_let_pass_is_published(tmp_path: Path) -> None:
    assert published(tmp_path / "root", GOOD).counters["stored"] == 1
    assert read_json(tmp_path / "root/CURRENT.json")["release"] == "one"


def test_what_a_gate_refuses_is_not_and_its_report_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(GateRefused) as refused:
        published(root, GOOD, BAD)
    message = str(refused.value)
    assert message.startswith("gate reject_rate: found half, expected few. Release one is not pub")
    assert "--set gates.override.reject_rate=REASON" in message
    assert not (root / "CURRENT.json").exists()
    assert not (root / "releases").exists()
    assert "artrec report one --to DIR shows it" in message
    (catalog,) = files_of(open_store(str(root)), "catalog", "one")  # of a draft, to judge it by
    assert Path(catalog).is_file()
    report = read_json(root / "drafts/one/gates.json")
    assert [(each["gate"], each["passed"]) for each in report["gates"]] == [
        ("balance", True),
        ("reject_rate", False),
    ]
    assert report["counts"]["listed"] == 1


def test_a_release_that_is_not_whole_is_offered_no_override(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="Find the cause: balance cannot be overridden"):
        published(tmp_path / "root", {**GOOD, "passed": False}, BAD)


def test_an_overridden_gate_is_kept_in_the_release_with_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "root"
    published(root, GOOD, {**BAD, "overridden": "a test"})
    gates = read_json(root / "releases/one.json")["gates"]
    assert [(gate["gate"], gate["passed"], gate["overridden"]) for gate in gates] == [
        ("balance", True, None),
        ("reject_rate", False, "a test"),
    ]


def test_the_gates_of_a_published_release_are_kept_in_its_draft_too(release: Night) -> None:
    report = read_json(release.root / "drafts/first/gates.json")
    assert report["gates"] == release.document["gates"]
    assert report["counts"] == release.document["counts"]


def test_a_release_has_the_k_of_its_lists_whatever_the_settings_say_now(tmp_path: Path) -> None:
    published(tmp_path / "root", GOOD)
    document = read_json(tmp_path / "root/releases/one.json")
    assert (document["k"], document["settings"]["neighbors"]["k"]) == (3, 50)


@pytest.mark.parametrize(
    "missing", ["ingest", "embed", "catalog", "index", "neighbors", "evaluate", "report"]
)
def test_a_draft_without_all_its_stages_is_not_filled_up_from_the_current_release(
    release: Night, tmp_path: Path, missing: str
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    settings = settings_of(f"store.root={root}")
    draft = opened(settings, "other")
    draft.hold("other inputs")
    assert draft.base.release is not None
    for name, runs in draft.base.release.stages.items():
        if name != missing:
            draft.record(runs)
    nothing: Any = None
    with pytest.raises(
        UsageError,
        match=f"draft other: {missing} has not run yet; run artrec {missing} first",
    ):
        publish.run(nothing, settings, draft)
    assert read_json(root / "CURRENT.json")["release"] == "first"
    assert not (root / "releases/other.json").exists()


def test_every_run_is_named_by_what_it_records_of_its_inputs(next_release: Night) -> None:
    """Also those that hold a stage's cut, which no release names."""
    runs = [read_json(path) for path in next_release.root.glob("runs/*/*/run.json")]
    stages = {run["stage"] for run in runs}
    assert stages == {
        *("inventory", "ingest", "embed", "catalog", "index", "neighbors", "evaluate", "report")
    }
    # two cut in two, pools apart from their lists, two tables of the feed, clusters and maps
    assert len(runs) == 2 * (7 + 2 * 2 + 1 + 2 + 2)
    for run in runs:
        assert run["inputs"], run["stage"]
        assert run["versions"]["artrec"]
        version = RESULT_VERSIONS[run["stage"]]
        name = run_id(run["stage"], version, run["inputs"], run["settings"])
        assert name == run["run_id"], run["stage"]


@pytest.mark.parametrize("stage", ["ingest", "embed"])
def test_a_draft_names_the_run_that_holds_a_stages_cut(next_release: Night, stage: str) -> None:
    plan = read_json(next_release.root / f"drafts/second/{stage}.cut.json")
    run = read_json(next_release.root / "runs" / stage / plan["run_id"] / "run.json")
    assert (plan["stage"], run["run_id"]) == (stage, plan["run_id"])
    segments = run["notes"]["cut"]["segments"]
    pending = next_release.document["stages"][stage]["counters"]["pending"]
    assert sum(each["items"] for segment in segments for each in segment) == pending
