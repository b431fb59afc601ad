"""report: that the page shows what the tables hold, on published nights and on literal tables."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from artrec.errors import UsageError
from artrec.releases import Artifact, Draft, StageRuns, artifacts_of, read_release, receipts_of
from artrec.releases.heads import read_head
from artrec.releases.published import Base
from artrec.releases.verify import verify
from artrec.report import Facts, read_facts, visible
from artrec.stages import atonce, report
from artrec.stages.frames import Attempt
from artrec.stages.report import changes, findings, thumbnails
from artrec.stages.report.atonce import Shown
from artrec.storage import open_store
from tests.nights import (
    BROKEN,
    REMOVED,
    RENAMED,
    TRUNCATED,
    Night,
    opened,
    put,
    settings_of,
)
from tests.pictures import picture

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def artifacts(root: Path, runs: StageRuns) -> dict[str, Artifact]:
    """The files of a report by their names within its folder."""
    found = artifacts_of(open_store(str(root)), runs.tables["report"], "report")
    return {artifact.path.split("/", 4)[4]: artifact for artifact in found}


def facts_of(root: Path, runs: StageRuns) -> Facts:
    path = artifacts(root, runs)["data.json"].path
    return read_facts((root / path).read_bytes(), path)


def of_night(night: Night) -> tuple[StageRuns, Facts]:
    runs = StageRuns.model_validate(night.document["stages"]["report"])
    return runs, facts_of(night.root, runs)


# -- a published night ----------------------------------------------------------------------


def test_a_night_makes_a_report_of_its_own(release: Night) -> None:
    runs, facts = of_night(release)
    document = release.document
    assert facts.release == "first"
    assert (facts.encoder, facts.dim, facts.k) == (document["encoder"], document["dim"], 5)
    counts = document["counts"]
    assert (facts.listed, facts.stored, facts.rejected) == tuple(
        counts[name] for name in ("listed", "stored", "rejected")
    )
    assert {*artifacts(release.root, runs)} >= {"index.html", "data.json"}
    assert [stage.name for stage in facts.stages] == [
        "inventory", "ingest", "embed", "catalog", "index", "neighbors", "evaluate",
    ]  # fmt: skip


def test_its_files_are_part_of_the_release_and_whole(release: Night) -> None:
    counts, faults = verify(open_store(str(release.root)), "first")
    assert faults == []
    runs, _ = of_night(release)
    for artifact in artifacts(release.root, runs).values():
        data = (release.root / artifact.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact.bytes, artifact.sha256)
    assert counts["files"] > len(artifacts(release.root, runs))


def test_the_lists_are_those_of_the_table(release: Night) -> None:
    _, facts = of_night(release)
    rows = {(visible(row["query_id"]), row["rank"]): row for row in release.rows("neighbors")}
    assert len(facts.queries) == 12
    for query in facts.queries:
        assert [each.rank for each in query.neighbors] == [1, 2, 3, 4, 5]
        for each in query.neighbors:
            row = rows[query.image.image_id, each.rank]
            assert visible(row["neighbor_id"]) == each.image.image_id
            assert row["distance"] == pytest.approx(each.distance)


def test_every_shown_image_has_its_own_small_picture(release: Night) -> None:
    runs, facts = of_night(release)
    catalog = {visible(row["image_id"]): row for row in release.rows("catalog")}
    originals = {row["content_sha256"]: row["data"] for row in release.rows("pictures")}
    files = artifacts(release.root, runs)
    shown = [q.image for q in facts.queries]
    shown += [each.image for query in facts.queries for each in query.neighbors]
    for image in shown:
        content = catalog[image.image_id]["content_sha256"]
        assert image.thumb == content.hex()[:16]
        small = Image.open(release.root / files[f"thumbs/{image.thumb}.jpg"].path)
        large = Image.open(io.BytesIO(originals[content])).convert("RGB")
        assert small.format == "JPEG"
        assert small.size == large.size  # none of them is larger than a small picture may be
        apart = np.abs(np.asarray(small, np.int16) - np.asarray(large, np.int16))
        assert apart.mean() < 12


def test_small_pictures_of_the_last_report_are_not_made_again(
    release: Night, next_release: Night
) -> None:
    """But for those of neighbors that are no images any more, which may be forgotten."""
    before, after = (artifacts(made.root, of_night(made)[0]) for made in (release, next_release))
    thumbs = {name for name in after if name.startswith("thumbs/")}
    same = [name for name in thumbs if name in before]
    for name in same:
        first, second = (
            (made.root / files[name].path).read_bytes()
            for made, files in ((release, before), (next_release, after))
        )
        assert first == second
    counters = of_night(next_release)[0].counters
    gone = {f"thumbs/{row['content_sha256'].hex()[:16]}.jpg" for row in release.rows("catalog")
            if row["image_id"] in REMOVED}  # fmt: skip
    assert 0 < counters["kept"] <= len({*same} - gone)
    assert counters["kept"] + counters["thumbnails"] == len(thumbs)


def test_what_one_task_finds_is_what_spark_finds(
    next_release: Night, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what is drawn at random, which is another draw."""
    store = open_store(str(next_release.root))
    draft = Draft(store, Base(read_release(store, "first"), None), "second")
    draft.head, draft._written = read_head(store, "second"), True
    settings, tables = next_release.settings().report, findings._Tables(draft)
    shown = Shown(store, tables.receipts("catalog"), tables.receipts("rejects"))
    names = {row["image_id"] for row in next_release.rows("catalog")[3:7]}
    found = []
    for limit in (atonce.AT_ONCE, -1):
        monkeypatch.setattr(atonce, "AT_ONCE", limit)
        changed = changes.changes(spark, settings, draft, "a seed")
        drawn, rejects = findings._first(spark, draft, tables, shown, 1000, "a seed")
        named = findings._named(spark, draft, shown, names)
        alike = sorted(drawn, key=itemgetter("image_id")), rejects, named
        fresh = sorted(changed.fresh, key=itemgetter("image_id"))
        found.append((replace(changed, fresh=fresh), *alike))
    assert found[0] == found[1]
    assert len(found[0][1]) == len(next_release.rows("catalog"))
    assert all([found[0][0].turned, found[0][0].gone, found[0][0].kinds, found[0][2], named])


def test_each_reason_stands_there_with_its_count_and_samples(release: Night) -> None:
    _, facts = of_night(release)
    rows = release.rows("rejects")
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    assert {reason.reason: reason.count for reason in facts.reasons} == counts
    assert [r.count for r in facts.reasons] == sorted(counts.values(), reverse=True)
    named = {s.image_id: r.reason for r in facts.reasons for s in r.samples}
    assert {name: named[name] for name in BROKEN} == {n: why for n, (_, why) in BROKEN.items()}


def test_the_next_night_draws_again_and_says_what_it_follows(
    release: Night, next_release: Night
) -> None:
    _, before = of_night(release)
    _, after = of_night(next_release)
    assert (before.previous, after.previous) == (None, "first")
    assert [q.image.image_id for q in before.queries] != [q.image.image_id for q in after.queries]


# -- the morning after the second night -----------------------------------------------------

Lists = dict[str, dict[str, int]]


def lists_of(made: Night) -> Lists:
    """Query -> neighbor -> rank."""
    found: Lists = {row["image_id"]: {} for row in made.rows("catalog")}
    for row in made.rows("neighbors"):
        found[row["query_id"]][row["neighbor_id"]] = row["rank"]
    return found


def contents_of(made: Night) -> dict[str, bytes]:
    return {row["image_id"]: row["content_sha256"] for row in made.rows("catalog")}


def test_a_first_release_has_nothing_to_compare_with(release: Night) -> None:
    runs, facts = of_night(release)
    assert facts.morning is not None
    assert facts.morning.since is None
    assert facts.morning.model_copy(update={"nights": ()}) == type(facts.morning)()
    assert [night.release for night in facts.morning.nights] == ["first"]
    assert {*artifacts(release.root, runs)} >= {"index.html", "new.html", "changed.html"}


def test_the_morning_tells_what_became_of_images(release: Night, next_release: Night) -> None:
    _, facts = of_night(next_release)
    assert facts.morning is not None
    assert facts.morning.since == "first"
    kinds = {each.kind: each.count for each in facts.morning.became}
    assert kinds == {
        "new": 3, "changed": 1, "gone": 2, "moved": 1, "doubled": 0, "relabelled": 3,
        "healed": 1, "rejected": 0,
    }  # fmt: skip
    samples = {each.kind: each.samples for each in facts.morning.became}
    assert [each.image_id for each in samples["gone"]] == sorted(REMOVED)
    ((moved,), (healed,)) = samples["moved"], samples["healed"]
    assert (moved.image_id, moved.other_id) == RENAMED[::-1]
    assert healed.image_id == TRUNCATED
    added = {*contents_of(next_release)} - {*contents_of(release)} - {RENAMED[1]}
    fresh = {each.image.image_id: each for each in facts.morning.fresh}
    assert ({*fresh}, facts.morning.all_fresh) == (added, 4)
    lists = lists_of(next_release)
    for name, each in fresh.items():
        assert {n.image.image_id: n.rank for n in each.neighbors} == {
            visible(other): rank for other, rank in lists[name].items()
        }
        assert each.image.thumb == contents_of(next_release)[name].hex()[:16]


def test_the_lists_that_changed_most_are_shown_with_who_came_and_went(
    release: Night, next_release: Night
) -> None:
    _, facts = of_night(next_release)
    before, after = lists_of(release), lists_of(next_release)
    was, now = contents_of(release), contents_of(next_release)
    moved = {
        name: ({*after[name]} - {*before[name]}, {*before[name]} - {*after[name]})
        for name in was
        if was[name] == now.get(name)
    }
    order = sorted(moved, key=lambda name: (-len(moved[name][0]) - len(moved[name][1]), name))
    expected = [name for name in order if any(moved[name])][:6]
    assert facts.morning is not None
    assert [each.image.image_id for each in facts.morning.turned] == [*map(visible, expected)]
    for each, name in zip(facts.morning.turned, expected, strict=True):
        came, went = moved[name]
        assert (each.came, each.went) == (len(came), len(went))
        assert [(e.image.image_id, e.rank) for e in each.entered] == sorted(
            ((visible(other), after[name][other]) for other in came), key=lambda pair: pair[1]
        )
        assert [(e.image.image_id, e.rank, e.gone) for e in each.left] == sorted(
            ((visible(other), before[name][other], other not in now) for other in went),
            key=lambda entry: entry[1],
        )
        assert all(entry.image.thumb for entry in (*each.entered, *each.left))
    assert facts.churn is not None
    assert facts.morning.all_turned == facts.churn.changed


def test_images_that_nobody_lists_any_more_are_named(release: Night, next_release: Night) -> None:
    _, facts = of_night(next_release)
    listed = [{other for found in lists_of(n).values() for other in found}
              for n in (release, next_release)]  # fmt: skip
    here, were = contents_of(next_release), contents_of(release)
    orphans = [n for n in sorted(here) if n not in listed[1] and (n in listed[0] or n not in were)]
    assert facts.morning is not None
    assert facts.morning.new_orphans == len(orphans)
    assert [each.image_id for each in facts.morning.orphans] == [*map(visible, orphans[:12])]
    known = {row["image_id"] for row in release.rows("hubs")}
    hubs = [hub.image for hub in facts.hubs if hub.image.image_id not in map(visible, known)]
    assert list(facts.morning.hubs) == hubs


def test_figures_and_costs_stand_beside_those_of_the_last_release(
    release: Night, next_release: Night
) -> None:
    _, facts = of_night(next_release)
    assert facts.morning is not None
    beside = {each.name: each for each in facts.morning.beside}
    counts = [made.document["counts"] for made in (release, next_release)]
    before, now = (round(each["rejected"] / each["listed"], 6) for each in counts)
    assert (beside["rejects"].before, beside["rejects"].now) == (before, now)
    for rank in (1, 5):
        was, new = (
            next(r["value"] for r in made.rows("evaluation")
                 if (r["measure"], r["group"], r["k"]) == ("distance", "0.5", rank))
            for made in (release, next_release)
        )  # fmt: skip
        found = beside[f"median distance at rank {rank}"]
        assert (found.before, found.now) == (was, new)
    assert [night.release for night in facts.morning.nights] == ["first", "second"]
    for night, made in zip(facts.morning.nights, (release, next_release), strict=True):
        plan = made.document["plan"]
        stages = [name for name in plan["measured"] if name not in ("report", "publish")]
        assert night.images == made.document["counts"]["stored"]
        assert night.written == sum(plan["measured"][name]["bytes_written"] for name in stages)
        assert night.seconds == pytest.approx(
            sum(plan["measured"][name]["seconds"] for name in stages)
        )
        assert night.expected_seconds == pytest.approx(
            sum(f["seconds"] for n, f in plan["expected"].items() if n not in ("report", "publish"))
        )


def test_the_demo_says_how_to_open_it(
    release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from artrec.stages.account import show

    root = copied(release, tmp_path)
    draft = Draft.begin(open_store(str(root)), "second")
    told = StageRuns(
        stage="publish", inputs="", tables={}, counters=release.document["counts"],
        notes={"status": "published", "release": "first"},
    )  # fmt: skip
    show("nightly", settings_of(), draft, told, 0.0, as_json=False)
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("  the rep")]
    assert (
        Path(line.removeprefix("  the report, for a browser: "))
        .read_bytes()
        .startswith(b"<!doctype html>")
    )


# -- literal tables -------------------------------------------------------------------------


def copied(release: Night, tmp_path: Path) -> Path:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    return root


def begun(root: Path, name: str = "other") -> Draft:
    """A draft of other inputs with the records of the current release, but for its report."""
    draft = opened(settings_of(f"store.root={root}"), name)
    draft.hold(f"inputs of {name}")
    assert draft.base.release is not None
    for stage, runs in draft.base.release.stages.items():
        if stage not in ("report", "publish"):
            draft.record(runs)
    return draft


Build = Callable[..., Facts]


@pytest.fixture
def build(spark: SparkSession, release: Night, tmp_path: Path) -> Build:
    """The report of a draft in which these stages have these tables and notes."""
    root = copied(release, tmp_path)

    def of(
        *assignments: str,
        judged: StageRuns | None = None,
        **stages: tuple[dict[str, Any], dict[str, Any]],
    ) -> Facts:
        draft = begun(root)
        if judged is not None:
            draft.record(judged)
        for stage, (tables, notes) in stages.items():
            put(draft, stage, tables, **notes)
        settings = settings_of(*release.assignments[:-1], f"store.root={root}", *assignments)
        return facts_of(root, report.run(spark, settings, draft))

    return of


def measured(average: str, group: str, value: float | None, queries: int = 50) -> dict[str, Any]:
    return {
        "encoder": "x", "measure": "precision", "pool": "all", "label": "style",
        "variant": "all", "average": average, "group": group, "k": 10, "queries": queries,
        "value": value, "low": None, "high": None,
    }  # fmt: skip


def test_what_evaluate_found_is_shown(build: Build, release: Night) -> None:
    some = release.rows("catalog")[:4]
    labels = [{k: row[k] for k in ("style", "artist", "title")} for row in some]
    own = [{"image_id": r["image_id"], "content_sha256": r["content_sha256"]} for r in some]
    classes = [measured("class", f"Style_{n:02}", n / 100) for n in range(40)]
    gates = [
        {"gate": "index_recall", "passed": False, "found": "0.9", "expected": "0.95",
         "overridden": "a test"},
        {"gate": "drift", "passed": True, "found": "0", "expected": "0"},
    ]  # fmt: skip
    facts = build(
        evaluate=(
            {
                "evaluation": [measured("micro", "", 0.5), *classes,
                               measured("class", "Rare", 1.0, queries=2)],
                "hubs": [{**o, **w, "lists": n} for n, (o, w) in
                         enumerate(zip(own, labels, strict=True))],
                "duplicates": [{"content_sha256": some[0]["content_sha256"], "image_id": name}
                               for name in ("a", "b", "c")],
                "near_duplicates": [
                    *({"group_id": "b", "image_id": name, "bits": 2, "distance": None,
                       "content_sha256": r["content_sha256"]}
                      for name, r in zip("abc", some, strict=False)),
                    *({"group_id": "x", "image_id": name, "bits": 0, "distance": 0.0,
                       "content_sha256": some[0]["content_sha256"]} for name in "xy"),
                ],
                "coordinates": [{**o, **w, "x": float(n), "y": 0.5} for n, (o, w) in
                                enumerate(zip(own, labels, strict=True))],
            },
            {"gates": gates, "churn": {"since": "first", "images": 4, "new": 1}},
        )
    )  # fmt: skip
    assert [(gate.gate, gate.passed, gate.overridden) for gate in facts.gates] == [
        ("index_recall", False, "a test"),
        ("drift", True, None),
    ]
    assert [row.value for row in facts.measures] == [0.5]
    assert sorted(row.value or 0.0 for row in facts.classes) == [
        n / 100 for n in (*range(8), *range(32, 40))
    ]
    assert facts.classes[0].group.startswith("Style ")
    assert [hub.lists for hub in facts.hubs] == [3, 2, 1, 0]
    assert all(hub.image.thumb for hub in facts.hubs)
    assert [(d.names, d.count) for d in facts.duplicates] == [(("a", "b", "c"), 3)]
    assert facts.duplicate_names == 3
    (group,) = facts.near  # the other one is of one content
    assert ([each.image.image_id for each in group.copies], group.count) == (["b", "a", "c"], 3)
    assert all(each.image.thumb for each in group.copies)
    assert facts.churn is not None
    assert (facts.churn.since, facts.churn.images, facts.churn.new) == ("first", 4, 1)
    assert [point.x for point in facts.points] == [0.0, 1.0, 2.0, 3.0]


def test_a_group_of_which_not_all_rows_were_read_is_not_shown() -> None:
    """Groups of 2, 3 and 2 rows, each image of a content of its own."""
    rows = [
        {"group_id": group, "image_id": f"{group}{n}", "content_sha256": bytes([n])}
        for group, size in (("a", 2), ("b", 3), ("c", 2))
        for n in range(size)
    ]
    for most, sizes in ((1, []), (2, [2]), (4, [2]), (5, [2, 3]), (6, [2, 3]), (7, [2, 3, 2])):
        assert [count for _, count in findings._groups(iter(rows), most)] == sizes


def test_the_map_gets_small_pictures_as_far_as_they_are_to_be_had(
    build: Build, release: Night
) -> None:
    rows = release.rows("catalog")
    points = [
        {**{k: row[k] for k in ("image_id", "content_sha256", "style", "artist", "title")},
         "x": 0.0, "y": 0.0}
        for row in rows
    ]  # fmt: skip
    facts = build(
        "report.queries=1", "report.neighbors=1", "report.thumbnails=12",
        evaluate=({"coordinates": points}, {}),
    )  # fmt: skip
    having = {point.image.thumb for point in facts.points} - {None}
    assert 2 <= len(having) <= 12


def test_what_train_left_is_shown(build: Build) -> None:
    facts = build(
        train=(
            {
                "curves": [
                    {"epoch": epoch, "measure": measure, "value": float(epoch)}
                    for measure in ("train_loss", "valid_loss")
                    for epoch in (2, 1)
                ],
                "reconstructions": [
                    {"content_sha256": bytes([9]) * 32, "error": 0.25,
                     "original": picture(1, "PNG"), "reconstruction": picture(2, "PNG")}
                ],
            },
            {"encoder_id": "conv-1", "why": "trained: it is better", "trained": "conv-1",
             "compared": {"not": "shown"}, "best_epoch": 2, "best_loss": 0.5},
        )
    )  # fmt: skip
    assert facts.training is not None
    assert (facts.training.trained, facts.training.chosen) == ("conv-1", "conv-1")
    assert facts.training.why == "it is better"
    assert facts.training.notes == {"best_epoch": "2", "best_loss": "0.5"}
    assert [stage.name for stage in facts.stages] == [
        "inventory", "ingest", "train", "embed", "catalog", "index", "neighbors", "evaluate",
    ]  # fmt: skip
    assert [curve.points for curve in facts.training.curves] == [((1, 1.0), (2, 2.0))] * 2
    (found,) = facts.training.reconstructions
    assert (found.error, found.original) == (0.25, "09" * 8 + "-original")


def test_a_stage_whose_gates_alone_were_asked_anew_is_kept(build: Build, release: Night) -> None:
    before = StageRuns.model_validate(release.document["stages"]["evaluate"])
    facts = build(judged=before.model_copy(update={"notes": {**before.notes, "gates": []}}))
    (evaluate,) = [stage for stage in facts.stages if stage.name == "evaluate"]
    assert (evaluate.kept_from, evaluate.seconds) == ("first", 0.0)
    assert facts.gates == ()


def test_a_report_is_made_once_for_the_same_inputs_and_gates(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = copied(release, tmp_path)
    settings = settings_of(*release.assignments[:-1], f"store.root={root}")
    gate = {"gate": "drift", "passed": True, "found": "0", "expected": "0"}
    draft = begun(root)
    put(draft, "evaluate", {}, gates=[gate])
    first = report.run(spark, settings, draft)
    nothing: Any = None  # no Spark is needed to find it again
    assert report.run(nothing, settings, draft) == first
    again = begun(root)
    again.record(StageRuns(stage="evaluate", inputs="literal", tables={},
                           notes={"gates": [gate | {"passed": False}]}))  # fmt: skip
    assert report.run(spark, settings, again).inputs != first.inputs


def test_a_secret_in_a_url_is_not_shown(build: Build) -> None:
    url = "https://me:hunter2@there/a.zip?X-Signature=abc&x=1"
    facts = build("report.queries=1", f"sources.main.url={url}")
    assert facts.settings["sources.main.url"] == "https://***@there/a.zip?***"
    assert "hunter2" not in facts.to_bytes().decode()


def test_a_draft_without_neighbors_has_no_report_yet(release: Night, tmp_path: Path) -> None:
    draft = begun(copied(release, tmp_path))
    root = Path(draft.store.url)
    (root / "drafts/other/neighbors.json").unlink()
    again = Draft.reopen(draft.store, "other")
    assert again is not None
    nothing: Any = None
    with pytest.raises(UsageError, match="neighbors has not run yet"):
        report.run(nothing, settings_of(f"store.root={root}"), again)


# -- small pictures -------------------------------------------------------------------------


def test_a_task_that_is_tried_again_finds_what_it_wrote(release: Night, tmp_path: Path) -> None:
    root = copied(release, tmp_path)
    store = open_store(str(root))
    refs = StageRuns.model_validate(release.document["stages"]["ingest"]).tables["pictures"]
    receipt = receipts_of(store, refs, "pictures")[0]
    rows = [row["content_sha256"] for row in release.rows("pictures", ["content_sha256"])]
    found = []
    for number in range(2):
        chunks = [[(receipt.path, 0, frozenset(rows))]]
        made = thumbnails._make(
            store, {receipt.path: receipt}, chunks, frozenset(), 0, settings_of(), "runs/x",
            Attempt(0, number, number),
        )  # fmt: skip
        assert made.counters["thumbnails"] == receipt.rows
        found.append(made.artifacts)
    assert found[0] == found[1]
