"""nightly: a whole night, in one application or stage by stage, once and again."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from artrec.releases import Draft
from artrec.releases.feed import KINDS
from artrec.releases.verify import verify
from artrec.schemas import PUBLISHED, Table
from artrec.stages import (
    NAMES,
    atonce,
    embed,
    frames,
    ingest,
    inventory,
    nightly,
    slices,
)
from artrec.stages.evaluate import together
from artrec.stages.feed import kinds
from artrec.stages.neighbors import atonce as pools_atonce
from artrec.stages.neighbors import lists
from artrec.stages.session import Options, execute, running, start_spark
from artrec.storage import Store, open_store
from tests.nights import (
    ADDED,
    CHANGED,
    PAINTINGS,
    REMOVED,
    RENAMED,
    TRUNCATED,
    Night,
    night,
    opened,
    settings_of,
    tree,
)
from tests.pictures import write_zip


def options(*assignments: str, **more: Any) -> Options:
    return Options(assignments=assignments, verbosity="quiet", **more)


def copied(night: Night, root: Path) -> tuple[str, ...]:
    """A copy of the night's store, and the assignments that go on with it."""
    shutil.copytree(night.root, root)
    return (*night.assignments[:-1], f"store.root={root}")


def changes(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_a_second_night_without_change_writes_its_outcome_and_nothing_else(
    release: Night,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it start Spark."""
    monkeypatch.setattr(running, "start_spark", lambda *_: pytest.fail("Spark was started"))
    root = tmp_path / "root"
    assignments = copied(release, root)
    before = tree(root)
    assert execute("nightly", options(*assignments, release="again", as_json=True)) == 0
    assert changes(before, tree(root)) == {"drafts/again", "drafts/again/outcome.json"}
    outcome = json.loads((root / "drafts/again/outcome.json").read_bytes())
    assert (outcome["status"], outcome["exit_code"]) == ("unchanged", 0)
    assert (outcome["message"], outcome["current"]) == ("unchanged", "first")
    account = json.loads(capsys.readouterr().out)
    assert (account["status"], account["release"]) == ("unchanged", "first")
    kept = {name: facts.get("kept_from") for name, facts in account["stages"].items()}
    assert kept == {name: "first" for name in NAMES if name not in ("inventory", "publish")} | {
        "inventory": None,
        "publish": None,
    }


def test_an_unchanged_night_tells_people_so_under_tonights_date(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assignments = copied(release, root)
    before = tree(root)
    assert execute("nightly", options(*assignments)) == 0
    out = capsys.readouterr().out
    assert "Nothing has changed since release first: nothing was published" in out
    names = sorted(changes(before, tree(root)))
    assert len(names) == 2
    assert names[1] == f"{names[0]}/outcome.json"


def essence(document: dict[str, Any]) -> dict[str, Any]:
    """What a release is made of; run ids are digests of all that can change the rows."""
    stages = {
        name: (runs["inputs"], runs["tables"], runs["notes"])
        for name, runs in document["stages"].items()
    }
    names = ("inputs", "encoder", "metric", "dim", "k", "gates", "counts", "settings")
    facts = {name: document[name] for name in names}
    facts["settings"]["store"] = None
    return {"stages": stages, **facts}


def test_stages_one_by_one_make_the_release_that_nightly_makes(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assignments = (*release.assignments[:-1], f"store.root={root}")
    assert execute(NAMES[0], options(*assignments, release="first", as_json=True)) == 0
    account = json.loads(capsys.readouterr().out)
    assert (account["status"], account["release"]) == ("done", "first")
    assert account["stages"]["inventory"]["listed"] == release.document["counts"]["listed"]
    for name in NAMES[1:-1]:
        assert execute(name, options(*assignments)) == 0
        assert f"{name} is done in draft first." in capsys.readouterr().out
        assert json.loads((root / "drafts/first/outcome.json").read_bytes())["exit_code"] == 0
    assert not (root / "CURRENT.json").exists()
    assert execute(NAMES[-1], options(*assignments)) == 0
    assert f"release first is current in {root}" in capsys.readouterr().out

    made = Night(root, "first", assignments, {})
    assert essence(made.document) == essence(release.document)
    for table in (*PUBLISHED, "members", "labels", "live_vectors", "shard_items", "neighbor_pool"):
        assert made.rows(table) == release.rows(table), table

    assert execute("ingest", options(*assignments)) == 0
    assert "no draft is open and nothing was done; first is current" in capsys.readouterr().out


def test_stages_of_a_night_without_change_do_nothing_under_its_name_and_may_be_tried_again(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assignments = copied(release, root)
    before = tree(root)
    for _ in range(2):
        assert execute("inventory", options(*assignments, release="tonight", as_json=True)) == 0
        account = json.loads(capsys.readouterr().out)
        assert (account["status"], account["release"]) == ("unchanged", "first")
        for name in NAMES[1:]:
            assert execute(name, options(*assignments, release="tonight")) == 0
            assert f"{name}: no draft is open and nothing was done" in capsys.readouterr().out
    outcome = json.loads((root / "drafts/tonight/outcome.json").read_bytes())
    assert (outcome["status"], outcome["release_id"], outcome["current"]) == (
        "unchanged",
        "tonight",
        "first",
    )
    assert changes(before, tree(root)) == {"drafts/tonight", "drafts/tonight/outcome.json"}

    # what was so of the release then is not taken for granted of another one
    found = outcome | {"current": "another"}
    (root / "drafts/tonight/outcome.json").write_text(json.dumps(found))
    assert execute("ingest", options(*assignments, release="tonight")) == 2
    assert "no draft tonight is open" in capsys.readouterr().err


def test_a_stage_before_its_time_says_what_has_to_run_first(
    spark: SparkSession, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = (
        f"sources.main.url={sources / 'first.zip'}",
        f"store.root={tmp_path / 'root'}",
    )
    assert execute("ingest", options(*assignments)) == 2
    assert "no release has been published here" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()
    assert execute("inventory", options(*assignments)) == 0
    assert execute("neighbors", options(*assignments)) == 2
    assert "run artrec catalog first" in capsys.readouterr().err
    assert execute("embed", options(*assignments, release="other")) == 2
    assert "no draft other is open; begin it with artrec inventory" in capsys.readouterr().err


def test_the_second_night_is_what_changed(release: Night, next_release: Night) -> None:
    """Stages record new runs beside the old ones, and its lists know the images of that night."""
    ids = {row["image_id"] for row in next_release.rows("catalog", ["image_id"])}
    assert {RENAMED[1], CHANGED, TRUNCATED, *(name for name, _ in ADDED)} <= ids
    assert not ids & {RENAMED[0], *REMOVED}
    lists = next_release.rows("neighbors_nested", ["query_id", "ids"])
    assert {row["query_id"] for row in lists} == ids
    assert {each for row in lists for each in row["ids"]} <= ids
    before = {row["image_id"]: row["embedding"] for row in release.rows("embeddings")}
    after = {row["image_id"]: row["embedding"] for row in next_release.rows("embeddings")}
    assert after[RENAMED[1]] == before[RENAMED[0]]
    assert after[CHANGED] != before[CHANGED]
    assert all(after[name] == before[name] for name in (ids & before.keys()) - {CHANGED})


def test_the_account_of_a_night_is_what_the_release_holds(next_release: Night) -> None:
    account, document = next_release.account, next_release.document
    assert (account["status"], account["release"]) == ("published", "second")
    assert list(account["stages"]) == list(NAMES)
    for name, runs in document["stages"].items():
        assert {key: account["stages"][name][key] for key in runs["counters"]} == runs["counters"]
    for name, count in document["counts"].items():
        assert account["stages"]["publish"][name] == count
    outcome = json.loads((next_release.root / "drafts/second/outcome.json").read_bytes())
    assert (outcome["exit_code"], outcome["message"]) == (0, "published")


def test_changed_rules_redo_what_depends_on_them_and_nothing_else(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    rules = ("neighbors.k=2", "catalog.embeddings=false")
    made = night(root, "fewer", *release.assignments[:-1], *rules)
    before, after = release.document["stages"], made.document["stages"]
    assert {name for name in after if after[name]["inputs"] != before[name]["inputs"]} == {
        "catalog",
        "neighbors",
        "evaluate",
        "report",
    }
    assert made.account["stages"]["index"] == {"seconds": 0.0, "kept_from": "first"}
    assert made.account["stages"]["ingest"] == {"seconds": 0.0, "kept_from": "first"}
    assert made.account["stages"]["embed"] == {"seconds": 0.0, "kept_from": "first"}
    assert made.document["k"] == 2
    first = [row for row in release.rows("neighbors") if row["rank"] <= 2]
    assert made.rows("neighbors") == first
    assert made.rows("catalog") == release.rows("catalog")
    assert "embeddings" not in after["catalog"]["tables"]
    assert "VIEW embeddings" not in (root / "releases/fewer.sql").read_text()


def test_an_unchanged_night_that_retries_rejects_reads_them_alone_and_once(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    retry = "ingest.retry_rejects=true"
    made = night(root, "again", *release.assignments[:-1], retry)
    stages = made.account["stages"]
    assert (stages["ingest"]["pending"], stages["ingest"]["read"]) == (9, 9)
    assert stages["embed"]["pending"] == 0
    assert stages["neighbors"] == {"seconds": 0.0, "kept_from": "first"}
    assert made.rows("catalog") == release.rows("catalog")
    attempts = {row["reason"]: row["attempts"] for row in made.rows("rejects")}
    assert attempts.pop("duplicate_name") == 1
    assert set(attempts.values()) == {2}
    assert made.document["stages"]["evaluate"]["notes"]["changes"]["catalog_changes"] == {
        **{"from": "first", "insert": 0, "delete": 0, "update": 0, "unchanged": 31},
        **dict.fromkeys(KINDS, 0),
    }


def test_an_archive_without_a_single_picture_is_refused(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zip(tmp_path / "a.zip", [("a.jpg", b"text"), ("b.jpg", b"")])
    root = tmp_path / "root"
    asked = options(f"sources.a.url={source}", f"store.root={root}", release="none")
    assert execute("nightly", asked) == 5
    assert "gate images: found 0 images, expected at least one" in capsys.readouterr().err
    assert not (root / "CURRENT.json").exists()
    assert json.loads((root / "drafts/none/outcome.json").read_bytes())["exit_code"] == 5


# A night that goes on from another one's draft.


class Killed(BaseException):
    """What a process that is killed does not catch."""


@dataclass(frozen=True)
class GoneOn:
    """A night stopped in embed, the next one with another template, and what Spark planned."""

    made: Night
    cuts: dict[str, str]
    read: tuple[list[Path], list[Path]]
    plans: dict[str, str]


def stopped_in_embed(
    spark: SparkSession, assignments: tuple[str, ...], patch: pytest.MonkeyPatch
) -> Draft:
    """The draft ``stopped``, when its first segment of vectors is written but not recorded."""

    def reached(point: str) -> None:
        if point == "embed.tasks":
            raise Killed

    settings = settings_of(*assignments)
    draft = opened(settings, "stopped")
    patch.setattr(slices, "reached", reached)
    with pytest.raises(Killed):
        nightly.run(spark, settings, draft)
    return draft


@pytest.fixture(scope="module")
def gone_on(
    spark: SparkSession,
    release: Night,
    sources: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> GoneOn:
    """All by Spark's joins, without adaptive execution: so plans are as they were guessed."""
    plans: dict[str, str] = {}
    write, name = frames.write_frame, lists._named_in_tasks

    def written(frame: DataFrame, store: Store, folder: str, table: Table, *more: Any) -> Any:
        jvm: Any = frame
        plans[table.name] = jvm._jdf.queryExecution().executedPlan().toString()
        return write(frame, store, folder, table, *more)

    def named(rows: DataFrame, *more: Any) -> Any:
        jvm: Any = rows
        plans["neighbors_nested"] = jvm._jdf.queryExecution().executedPlan().toString()
        return name(rows, *more)

    root = tmp_path_factory.mktemp("gone-on") / "root"
    shutil.copytree(release.root, root)
    given = (*release.assignments[:-1], f"sources.main.url={sources / 'second.zip'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atonce, "AT_ONCE", -1)
        patch.setattr(pools_atonce, "BYTES", 0)
        for room in (together, kinds):
            patch.setattr(room, "ALONE", -1)
        patch.setattr(frames, "write_frame", written)
        patch.setattr(lists, "_named_in_tasks", named)
        spark.conf.set("spark.sql.adaptive.enabled", "false")
        try:
            with pytest.MonkeyPatch.context() as killing:
                stopped_in_embed(spark, (*given, f"store.root={root}"), killing)
            cuts = {path.name: path.read_text() for path in (root / "drafts/stopped").iterdir()}
            before = sorted((root / "runs/ingest").rglob("*.parquet"))
            more = "sources.main.template={genre}/{artist}_{title}"
            made = night(root, "other", *given, more)
        finally:
            spark.conf.unset("spark.sql.adaptive.enabled")
    after = sorted((root / "runs/ingest").rglob("*.parquet"))
    return GoneOn(made, cuts, (before, after), plans)


def test_a_night_with_another_template_goes_on_from_a_stopped_ones_pictures(
    gone_on: GoneOn, next_release: Night
) -> None:
    made = gone_on.made
    assert made.account["status"] == "published"
    labels = {"style", "genre", "artist", "title", "year", "changed_release", "first_release"}
    found, expected = (
        [{k: v for k, v in row.items() if k not in labels} for row in each.rows("catalog")]
        for each in (made, next_release)
    )
    assert found == expected
    assert made.rows("neighbors") == next_release.rows("neighbors")
    genres = {row["genre"] for row in made.rows("catalog") if row["source"] == "main"}
    assert genres == {"Baroque", "Cubism", "Realism", None}
    assert gone_on.read[0] == gone_on.read[1]
    assert verify(open_store(str(made.root)), "other")[1] == []


def test_a_stopped_draft_names_the_runs_that_hold_its_cuts(gone_on: GoneOn) -> None:
    names = {"draft.json", "inventory.json", "ingest.json", "ingest.cut.json", "embed.cut.json"}
    names |= {"plan.json"}
    assert set(gone_on.cuts) == names
    for stage in ("ingest", "embed"):
        name = json.loads(gone_on.cuts[f"{stage}.cut.json"])["run_id"]
        run = json.loads((gone_on.made.root / f"runs/{stage}/{name}/run.json").read_bytes())
        assert run["notes"]["cut"]["segments"]


def test_no_table_is_broadcast_by_a_guess_of_its_size(gone_on: GoneOn) -> None:
    """Spark cannot know how large a table is that its tasks read. This is a night with a past."""
    joined = {table for table, plan in gone_on.plans.items() if "Join" in plan}
    assert joined == {
        "pending_members", "pending_pictures", "catalog", "rejects", "embeddings", "live_vectors",
        "neighbors_nested", "hubs", "duplicates", "catalog_changes",
    }  # fmt: skip
    assert {table for table, plan in gone_on.plans.items() if "Broadcast" in plan} == set()


FEW = PAINTINGS[:5]


def test_a_night_with_its_members_moved_goes_on_beside_a_stopped_one(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same pictures are read anew, into files that the stopped night's cut knows nothing of."""
    root = f"store.root={tmp_path / 'root'}"
    one = write_zip(tmp_path / "one.zip", FEW)
    other = write_zip(tmp_path / "other.zip", FEW[::-1])
    with monkeypatch.context() as patch:
        stopped_in_embed(spark, (root, f"sources.main.url={one}"), patch)
    settings = settings_of(root, f"sources.main.url={other}")
    draft = opened(settings, "other")
    inventory.run(spark, settings, draft)
    assert ingest.run(spark, settings, draft).counters["read"] == len(FEW)
    assert embed.run(spark, settings, draft).counters["encoded"] == len(FEW)


def test_a_stage_with_other_settings_than_its_drafts_is_refused(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, source = tmp_path / "root", write_zip(tmp_path / "a.zip", FEW)
    given = (f"sources.main.url={source}", f"store.root={root}")
    assert execute("inventory", options(*given, "neighbors.k=4", release="mine")) == 0
    before = tree(root)
    for stage in NAMES[1:]:
        capsys.readouterr()
        assert execute(stage, options(*given, "neighbors.k=10")) == 8
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("artrec: draft mine was begun with other settings ")
        assert "give every stage the same ones, or begin a new draft with artrec inv" in said.err
    assert tree(root) == before
    how_not_what = ("neighbors.k=4", "ingest.slice_bytes=7")
    assert execute("ingest", options(*given, *how_not_what)) == 0


def test_a_run_that_is_refused_its_name_leaves_that_names_outcome_alone(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    source = write_zip(tmp_path / "a.zip", FEW)
    before = tree(root)
    asked = (f"sources.main.url={source}", f"store.root={root}")
    assert execute("nightly", options(*asked, release="first")) == 8
    assert "the name first is held by other inputs" in capsys.readouterr().err
    folder, file = sorted(changes(before, tree(root)))
    assert file == f"{folder}/outcome.json"
    outcome = json.loads((root / file).read_bytes())
    assert (outcome["status"], outcome["exit_code"]) == ("failed", 8)
    assert (outcome["release_id"], outcome["current"]) == ("first", "first")


def test_an_outcome_names_the_release_that_is_current_after_the_run(
    release: Night, next_release: Night
) -> None:
    for made in (release, next_release):
        outcome = json.loads((made.root / f"drafts/{made.name}/outcome.json").read_bytes())
        assert (outcome["status"], outcome["current"]) == ("published", made.name)


def test_spark_is_told_to_broadcast_only_what_it_has_measured(spark: SparkSession) -> None:
    static, measured = (f"spark.sql.{kind}autoBroadcastJoinThreshold" for kind in ("", "adaptive."))
    before = {key: spark.conf.get(key, None) for key in (static, measured)}
    try:
        spark.conf.set(static, "10MB")
        spark.conf.unset(measured)
        session = start_spark("a test")
        assert session is spark
        assert session.conf.get(static) == "-1"
        assert session.conf.get(measured) == "10MB"
        assert session.conf.get("spark.sql.session.timeZone") == "UTC"
    finally:
        for key, value in before.items():
            spark.conf.unset(key)
            if value is not None:
                spark.conf.set(key, value)
