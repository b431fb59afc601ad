"""Compaction: live rows in new files, and nobody else notices."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from artrec.config import StoreSettings
from artrec.releases import Run, RunRef, StageRuns, publish
from artrec.releases.verify import verify
from artrec.schemas import PUBLISHED
from artrec.stages import compaction, embed, ingest, inventory
from artrec.stages.compaction import rewriting
from artrec.stages.compaction.choosing import SMALL, Segment, choose, is_due
from artrec.stages.compaction.living import living_vectors
from artrec.stages.session import Options, execute
from artrec.stages.slices import ever_appended
from artrec.storage import open_store
from tests.nights import Night, draft_rows, night, opened, put, put_as, settings_of, tree
from tests.pictures import Named, picture, write_zip
from tests.recount import recount
from tests.releases.protocol import release as protocol_release

RULES = StoreSettings(compact_share=0.25, compact_segments=3)


def segment(name: str, rows: int, size: int = SMALL) -> Segment:
    nothing: dict[str, Any] = {"inputs": {}, "settings": {}, "versions": {}, "counters": {}}
    run = Run(stage="ingest", run_id=name, tables={}, seconds=0.0, **nothing)
    return Segment(run, {"pictures": rows}, size, frozenset({f"{name}.parquet"}))


def chosen(held: list[Segment], live: dict[str, int], forbidden: set[str] | None = None) -> str:
    counts = {f"{name}.parquet": rows for name, rows in live.items()}
    doomed = {f"{name}.parquet" for name in forbidden or ()}
    return "".join(each.run.run_id for each in choose(held, counts, doomed, RULES))


def test_a_segment_is_chosen_for_its_dead_rows_and_for_what_it_must_not_hold() -> None:
    held = [segment(name, 4) for name in "abcd"]
    assert chosen(held, {"a": 4, "b": 3, "c": 2}) == "cd"
    assert chosen(held, {"a": 4, "b": 4, "c": 4, "d": 4}, {"b"}) == "b"


def test_small_segments_are_chosen_together_where_there_are_too_many() -> None:
    small = [segment(name, 4, SMALL - 1) for name in "abcd"]
    live = dict.fromkeys("abcdL", 4)
    assert chosen([*small[:3], segment("L", 4)], live) == ""
    assert chosen([*small, segment("L", 4)], live) == "abcd"
    assert is_due(small, {"pictures": 16}, RULES)
    assert not is_due(small[:3], {"pictures": 12}, RULES)


def test_counting_is_worth_while_when_the_estimate_exceeds_the_share() -> None:
    held = [segment("a", 50), segment("b", 50)]
    assert not is_due(held, {"pictures": 75}, RULES)
    assert is_due(held, {"pictures": 74}, RULES)


# -- a whole night ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compacted(
    spark: SparkSession,
    release: Night,
    next_release: Night,
    tmp_path_factory: pytest.TempPathFactory,
) -> Night:
    """The second night again, which writes every segment anew that holds a dead row."""
    root = tmp_path_factory.mktemp("compacted") / "root"
    shutil.copytree(release.root, root)
    return night(root, "second", *next_release.assignments[:-1], "store.compact_share=0.001")


APPENDED = ("pictures", "ingested", "vectors")
NO_MORE = ("report",)


@pytest.mark.long
def test_a_compacted_night_makes_the_release_that_it_would_have_made(
    next_release: Night, compacted: Night
) -> None:
    for table in (*PUBLISHED, "members", "live_vectors", "shard_items", "neighbor_pool"):
        assert compacted.rows(table) == next_release.rows(table), table
    stages, before = (each.document["stages"] for each in (compacted, next_release))
    for name, runs in before.items():
        assert stages[name]["inputs"] == runs["inputs"], name
        if name not in ("ingest", "embed"):
            assert stages[name]["tables"] == runs["tables"], name
    assert stages["embed"]["counters"]["encoded"] == before["embed"]["counters"]["encoded"]


@pytest.mark.long
def test_what_is_left_are_the_live_rows_each_once_and_as_they_were(
    next_release: Night, compacted: Night
) -> None:
    both = (*next_release.rows("catalog"), *next_release.rows("rejects"))  # of a name held twice
    contents = {row["content_sha256"] for row in both} - {None}
    for table in ("pictures", "vectors"):
        before = {row["content_sha256"]: row for row in next_release.rows(table)}
        after = compacted.rows(table)
        assert len(before) > len(after) == len(contents)
        assert {row["content_sha256"]: row for row in after} == {c: before[c] for c in contents}
    listed = Counter(
        (row["source"], row["raw_name"], row["occurrence"], row["bytes"])
        for row in next_release.rows("members")
    )
    assert listed == Counter(
        (row["source"], row["raw_name"], row["occurrence"], row["bytes"])
        for row in compacted.rows("ingested")
    )
    known = [row["reason"] for row in next_release.rows("rejects") if row["stage"] == "ingest"]
    kept = [row["reason"] for row in compacted.rows("ingested") if row["reason"]]
    assert sorted(kept) == sorted(known) != []


@pytest.mark.long
def test_a_compacted_store_is_whole_for_those_who_share_no_code_with_us(
    compacted: Night, sources: Path
) -> None:
    found = recount(compacted.root, {"main": sources / "second.zip", "more": sources / "more"})
    assert found.differences == []
    for name in ("first", "second"):
        assert verify(open_store(str(compacted.root)), name)[1] == []


@pytest.mark.long
def test_a_night_without_change_after_a_compaction_writes_nothing(
    spark: SparkSession, compacted: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(compacted.root)
    options = Options(assignments=compacted.assignments, release="again", verbosity="quiet")
    assert execute("nightly", options) == 0
    after = tree(compacted.root)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"drafts/again", "drafts/again/outcome.json"}
    assert "nothing was published" in capsys.readouterr().out


# -- many small nights --------------------------------------------------------------------------


class Nights:
    """inventory, ingest and embed of a zip of numbered pictures, published night by night."""

    def __init__(
        self, spark: SparkSession, place: Path, *assignments: str, broken: Sequence[Named] = ()
    ) -> None:
        self.spark, self.place, self.root = spark, place, place / "root"
        self.assignments, self.count, self.broken = assignments, 0, broken

    def run(self, numbers: range | list[int]) -> dict[str, StageRuns]:
        self.count += 1
        name = f"night-{self.count:02d}"
        members = [*((f"{n}.jpg", picture(n)) for n in numbers), *self.broken]
        source = write_zip(self.place / f"{name}.zip", members)
        self.settings = settings_of(
            f"sources.main.url={source}",
            f"store.root={self.root}",
            "encoder.id=handmade",
            "gates.source_shrinkage=1",
            *self.assignments,
        )
        draft = opened(self.settings, name)
        inventory.run(None, self.settings, draft)
        for stage in (ingest, embed):
            stage.run(self.spark, self.settings, draft)
        stages = {each: draft.need(each) for each in ("inventory", "ingest", "embed")}
        if self.broken:  # what compaction is decided by
            live = RunRef(stage="catalog", run_id=name, rows={"live_vectors": len(numbers)})
            stages["catalog"] = StageRuns(
                stage="catalog", inputs=name, tables={"live_vectors": [live]}
            )
        self.name, self.draft = name, draft
        made = protocol_release(name, draft.base).model_copy(update={"stages": stages})
        publish(draft.store, made, draft.base)
        return stages

    def rows(self, stage: str, table: str) -> list[dict[str, Any]]:
        return draft_rows(self.root, self.name, stage, table)


@pytest.mark.long
def test_over_many_small_nights_files_stay_few_and_rows_what_they_were(
    spark: SparkSession, tmp_path: Path
) -> None:
    """One picture comes and one goes each night; the first time that a row is seen it is kept."""
    nights = Nights(spark, tmp_path, "store.compact_segments=2", "store.compact_share=0.5")
    seen: dict[bytes, dict[str, Any]] = {}
    compactions = 0
    told: dict[str, int] = {}
    for first in range(7):
        stages = nights.run(range(first, first + 3))
        new = 1 if first else 3
        assert stages["ingest"].counters["read"] == stages["embed"].counters["encoded"] == new
        live = {row["content_sha256"] for row in nights.rows("ingest", "ingested")}
        pictures = nights.rows("ingest", "pictures")
        assert {picture(n) for n in range(first, first + 3)} <= {row["data"] for row in pictures}
        for row in nights.rows("embed", "vectors"):
            assert seen.setdefault(row["content_sha256"], row) == row
        assert live <= seen.keys()
        compactions += "compacted_segments" in stages["embed"].counters
        for stage, table in (("ingest", "ingested"), ("ingest", "pictures"), ("embed", "vectors")):
            assert len(stages[stage].tables[table]) <= 3, (first, table)
            ever = ever_appended(nights.draft.store, stages[stage], table, ())
            assert ever["rows"] == told.get(table, 0) + new
            told[table] = ever["rows"]
    assert compactions >= 2


def test_a_picture_that_was_left_out_and_returns_is_read_again(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Its member is still known where only the segment with its bytes was written anew."""
    nights = Nights(spark, tmp_path, "store.compact_share=0.3")
    nights.run([1, 2, 3])
    stages = nights.run([1, 4])
    assert [stages[s].counters["dropped_rows"] for s in ("ingest", "embed")] == [4, 2]
    stages = nights.run([1, 4, 2])
    assert [stages[s].counters[n] for s, n in (("ingest", "read"), ("embed", "encoded"))] == [1, 1]
    assert sorted(row["data"] for row in nights.rows("ingest", "pictures")) == sorted(
        picture(n) for n in (1, 2, 4)
    )


def test_a_picture_whose_vector_alone_was_left_out_is_encoded_again_when_it_returns(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Its bytes are still stored: rejects are known members, but no vectors, so shares differ."""
    broken = [(f"broken-{n}.jpg", picture(n)[:600]) for n in range(50, 60)]
    nights = Nights(spark, tmp_path, "store.compact_share=0.3", broken=broken)
    nights.run([1, 2, 3, 4, 5, 6])
    nights.run([4, 5, 6, 7])
    stages = nights.run([4, 5, 6, 7, 8])
    assert [stages[s].counters.get("dropped_rows") for s in ("ingest", "embed")] == [None, 3]
    stages = nights.run(range(1, 9))
    assert [stages["ingest"].counters["pending"], stages["embed"].counters["encoded"]] == [0, 3]
    assert len(nights.rows("embed", "vectors")) == 8


def test_vectors_that_live_by_other_verdicts_are_compacted_into_another_run(tmp_path: Path) -> None:
    """Rejects that are read again lead to other contents, under the same listing and segments."""
    settings = settings_of(f"store.root={tmp_path / 'root'}", "sources.main.url=x")
    draft = opened(settings, "one")
    draft.hold("literal")
    put(draft, "inventory", {"members": []})
    put(draft, "embed", {"vectors": []})
    found = []
    for name in ("first", "again"):
        put_as(name, draft, "ingest", {"ingested": []})
        nothing: Any = None
        for _ in range(2):
            living = living_vectors(nothing, settings, draft, draft.need("embed"), "mine-1")
            found.append(living.facts)
    assert found[0] == found[1] != found[2] == found[3]


class Killed(Exception):
    pass


@pytest.mark.long
@pytest.mark.parametrize("point", ["ingest.compacting", "ingest.compacted", "embed.compacting"])
def test_a_compaction_that_ends_early_is_gone_on_with(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    nights = Nights(spark, tmp_path, "store.compact_share=0.3")
    nights.run([1, 2, 3])

    def reached(name: str) -> None:
        if name == point:
            raise Killed(name)

    with monkeypatch.context() as patch:
        patch.setattr(rewriting, "reached", reached)
        patch.setattr(compaction, "reached", reached)
        with pytest.raises(Killed):
            nights.run([1, 4])
    before = tree(nights.root)
    nights.count -= 1
    stages = nights.run([1, 4])
    after = tree(nights.root)
    finished = {name for name in before if name.startswith("runs/")}
    assert {name: after[name] for name in finished if before[name][1]} == {
        name: before[name] for name in finished if before[name][1]
    }
    assert stages["ingest"].counters["dropped_rows"] == 4
    assert {row["data"] for row in nights.rows("ingest", "pictures")} == {picture(1), picture(4)}
    assert len(nights.rows("embed", "vectors")) == 2
