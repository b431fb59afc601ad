"""index, the next nights: shards are kept, what came stands beside them, what is gone is masked."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from artrec import log
from artrec.commands.files import files_of
from artrec.commands.outside import open_index
from artrec.errors import GateRefused, StoreFormatError
from artrec.index import ShardSet
from artrec.releases import (
    Draft,
    Release,
    Run,
    StageRuns,
    find_run,
    holding,
    list_releases,
    publish,
    read_release,
    rollback,
)
from artrec.releases.forgotten import forget
from artrec.releases.sweep import Rules, carry_out, plan_sweep
from artrec.releases.verify import verify
from artrec.stages import index
from artrec.stages.index import keeping
from artrec.storage import open_store
from artrec.vectors import BruteForce
from tests.index.makers import Numbers, Vectors, scattered
from tests.nights import draft_rows, put_as, settings_of

DIM = 6
RULES = ("index.shards=2", "index.seed=5")


@dataclass
class Store:
    """A store in which only vectors and their index are released, night after night."""

    spark: SparkSession
    root: Path
    rules: tuple[str, ...] = RULES

    def night(
        self, name: str, numbers: Numbers, vectors: Vectors, *more: str, encoder: str = "mine-1"
    ) -> StageRuns:
        """A published night whose catalog has these vectors."""
        draft, done = self.drafted(name, numbers, vectors, *more, encoder=encoder)
        stages = {each: draft.need(each) for each in ("catalog", "embed", "index")}
        facts: dict[str, Any] = {"settings": {}, "versions": {}, "gates": [], "counts": {}}
        release = Release(
            release_id=name,
            previous=draft.base.release_id,
            inputs=name,
            created=datetime.now(UTC),
            stages=stages,
            **facts,
            encoder=encoder,
            metric="cosine",
            dim=DIM,
            k=5,
        )
        publish(draft.store, release, draft.base)
        return done

    def drafted(
        self, name: str, numbers: Numbers, vectors: Vectors, *more: str, encoder: str = "mine-1"
    ) -> tuple[Draft, StageRuns]:
        settings = settings_of(f"store.root={self.root}", *self.rules, *more)
        draft = Draft.begin(open_store(str(self.root)), name)
        draft.hold(name)
        live = [
            {"vector_no": n, "embedding": v}
            for n, v in zip(numbers.tolist(), vectors.tolist(), strict=True)
        ]
        put_as(name, draft, "catalog", {"live_vectors": live})
        put_as(name, draft, "embed", {"vectors": []}, encoder=encoder, metric="cosine", dim=DIM)
        return draft, index.run(self.spark, settings, draft)

    def opened(self, name: str | None = None, exact: bool = False) -> ShardSet:
        store = open_store(str(self.root))
        return open_index(store, read_release(store, name), exact=exact)

    def files(self) -> dict[str, int]:
        """Each file of the index, and when it was written."""
        found = (self.root / "runs/index").rglob("*.*")
        return {str(path.relative_to(self.root)): path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StageRuns]:
    """A store after its first night, and what its index stage recorded."""
    root = tmp_path_factory.mktemp("first") / "root"
    return root, Store(spark, root).night("one", *states()[0])


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path, first: tuple[Path, StageRuns]) -> Store:
    """A copy of that store, of its own."""
    return Store(spark, Path(shutil.copytree(first[0], tmp_path / "root")))


@pytest.fixture
def built(first: tuple[Path, StageRuns]) -> StageRuns:
    return first[1]


@pytest.fixture
def empty(spark: SparkSession, tmp_path: Path) -> Store:
    return Store(spark, tmp_path / "empty")


def states() -> list[tuple[Numbers, Vectors]]:
    """Four nights of 400 vectors and some: each time the tenth of one kind goes, and comes."""
    numbers, vectors = scattered(460, DIM)
    kind = np.arange(len(numbers)) % 46
    alive = [
        kind < 40,
        (kind != 3) & (kind < 42),
        (kind != 3) & (kind != 40) & (kind != 9) & (kind < 43),
        (kind != 9) & (kind < 42),
    ]
    return [(numbers[mask], vectors[mask]) for mask in alive]


def ids(done: StageRuns, table: str = "shard_items") -> list[str]:
    return [ref.run_id for ref in done.tables.get(table, [])]


def answers_like(opened: ShardSet, numbers: Numbers, vectors: Vectors) -> None:
    """To the last bit the exact lists, of each third that lives and of some that never did."""
    queries = np.concatenate([vectors[::3], scattered(8, DIM, 77)[1]])
    truth = BruteForce(vectors, numbers, "cosine").search(queries, 7)
    found = opened.search(queries, 7)
    assert found.ids.tolist() == truth.ids.tolist()
    assert found.distances.tobytes() == truth.distances.tobytes()
    for number, vector in zip(numbers.tolist(), vectors, strict=True):
        own = opened.vector(number)
        assert own is not None
        assert own.tobytes() == vector.tobytes()


def test_the_shards_are_kept_and_answer_as_the_vectors_of_the_night(
    store: Store, built: StageRuns
) -> None:
    first, tonight = states()[:2]
    before = store.files()
    kept = store.night("two", *tonight)
    assert {path: time for path, time in store.files().items() if path in before} == before
    new = set(store.files()) - set(before)
    assert not [path for path in new if path.endswith((".annoy", ".json")) and "run" not in path]
    assert ids(kept) == ids(built)
    assert ids(kept, "side_vectors") == ids(kept, "masked_items") != ids(kept)
    assert kept.notes == built.notes | {"side": {"vectors": 20, "masked": 10}}
    counters = {key: kept.counters[key] for key in ("shards_kept", "items", "masked")}
    assert counters == {"shards_kept": 2, "items": 20, "masked": 10}
    came = np.setdiff1d(tonight[0], first[0])
    gone = np.setdiff1d(first[0], tonight[0])
    side = draft_rows(store.root, "two", "index", "side_vectors")
    masked = draft_rows(store.root, "two", "index", "masked_items")
    assert [row["vector_no"] for row in side] == came.tolist()
    assert [row["vector_no"] for row in masked] == gone.tolist()
    items = draft_rows(store.root, "two", "index", "shard_items")
    assert [row for row in items if row["vector_no"] in set(gone.tolist())] == masked
    for exact in (False, True):
        opened = store.opened(exact=exact)
        answers_like(opened, *tonight)
        assert [opened.vector(number) for number in gone.tolist()] == [None] * len(gone)
    answers_like(store.opened("one"), *first)


@pytest.mark.long
def test_shards_that_are_asked_list_what_came_and_nothing_that_is_gone(empty: Store) -> None:
    store = empty
    store.rules = (*RULES, "index.trees=8", "index.search_k=100000")
    (first, tonight) = states()[:2]
    store.night("one", *first)
    assert not store.night("two", *tonight).notes["exact"]
    opened = store.opened()
    assert not opened.is_exact()
    answers_like(opened, *tonight)


def test_nights_add_up_and_the_way_back_finds_what_was_there(
    store: Store, built: StageRuns
) -> None:
    nights = states()
    runs = [store.night(name, *night) for name, night in zip("abc", nights[1:], strict=True)]
    assert [ids(done) for done in runs] == [ids(built)] * 3
    assert [tuple(done.notes["side"].values()) for done in runs] == [(20, 10), (20, 20), (20, 10)]
    for name, night in zip(("one", "a", "b", "c"), nights, strict=True):
        answers_like(store.opened(name), *night)
    before = store.files()
    again = store.night("d", *nights[1])
    assert ids(again, "side_vectors") == ids(runs[0], "side_vectors")
    back = store.night("e", *nights[0])
    assert (back.tables, back.notes) == (built.tables, built.notes)
    assert store.files() == before
    answers_like(store.opened(), *nights[0])


def test_shards_that_hold_what_was_forgotten_when_it_was_gone_are_built_anew(
    store: Store, built: StageRuns
) -> None:
    """Nothing else has changed that night; masked its vector would lie in the file for good."""
    first, tonight = states()[:2]
    kept = store.night("two", *tonight)
    assert ids(kept) == ids(built)
    gone, never = np.setdiff1d(first[0], tonight[0])[0], 12345
    disk = open_store(str(store.root))
    for name, number, expected in (("three", never, ids(built)), ("four", int(gone), None)):
        forget(disk, f"{2 * number:016x}{0:048x}", "a letter")
        made = store.night(name, *tonight)
        if expected is not None:
            assert ids(made) == expected
    items = draft_rows(store.root, "four", "index", "shard_items", ["vector_no"])
    assert sorted(row["vector_no"] for row in items) == tonight[0].tolist()
    assert "masked_items" not in made.tables
    answers_like(store.opened(), *tonight)


def test_a_sweep_leaves_the_shards_that_an_older_release_made(
    store: Store, built: StageRuns
) -> None:
    """And a rollback leads to a release whose look-ups go on, on which nights go on too."""
    nights = states()
    for name, night in zip("abc", nights[1:], strict=True):
        store.night(name, *night)
    disk, later = open_store(str(store.root)), datetime.now(UTC) + timedelta(hours=2)
    with holding(disk, "a sweep", 60.0) as lease:
        plan = plan_sweep(disk, Rules(keep=1, age=timedelta(hours=1), open_drafts=False), later)
        carry_out(disk, plan, lease)
    assert sorted(list_releases(disk)) == ["b", "c"]
    assert len([path for path in store.files() if "/masked_items/" in path]) == 4  # two nights'
    for name, night in zip("bc", nights[2:], strict=True):
        assert verify(disk, name)[1] == []
        answers_like(store.opened(name), *night)
    rollback(disk)
    answers_like(store.opened(), *nights[2])
    again = store.night("d", *nights[1])
    assert ids(again) == ids(built)
    answers_like(store.opened(), *nights[1])
    path = store.root / "runs/index" / ids(again, "side_vectors")[0]
    (side, *_) = path.rglob("side_vectors/*.parquet")
    side.write_bytes(side.read_bytes()[:-5])
    assert any("side_vectors" in fault and "bytes is" in fault for fault in verify(disk, "d")[1])


@pytest.mark.long
@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("index.rebuild_share=0.07", "30 changes are more than index.rebuild_share, 0.07"),
        ("index.side_rows=19", "20 vectors are more than index.side_rows, 19"),
        ("index.rebuild_share=0", "30 changes are more than index.rebuild_share, 0"),
    ],
)
def test_past_a_set_share_the_shards_are_built_anew(
    store: Store, built: StageRuns, capsys: pytest.CaptureFixture[str], rule: str, why: str
) -> None:
    tonight = states()[1]
    log.setup(as_json=True)
    anew = store.night("two", *tonight, rule)
    assert ids(anew) != ids(built)
    assert "side_vectors" not in anew.tables
    assert "side" not in anew.notes
    assert why in capsys.readouterr().err
    opened = store.opened()
    assert opened.side is None
    answers_like(opened, *tonight)


@pytest.mark.parametrize(
    ("rule", "side", "masked", "enough"),
    [
        ("index.rebuild_share=0.1", 60, 40, False),
        ("index.rebuild_share=0.1", 60, 41, True),
        ("index.rebuild_share=0", 0, 1, True),
        ("index.side_rows=60", 60, 40, False),
        ("index.side_rows=59", 60, 40, True),
    ],
)
def test_enough_is_more_than_a_share_of_all_or_than_a_set_number(
    rule: str, side: int, masked: int, enough: bool
) -> None:
    run = Run(
        stage="index",
        run_id="main",
        tables={},
        notes={"tuning": None},
        seconds=0.0,
        **{key: {} for key in ("inputs", "settings", "versions", "counters")},
    )
    inputs = {"vectors": {"rows": 1000}, "dim": DIM}
    counters = {"items": side, "masked": masked}
    why = keeping._too_much(counters, inputs, run, settings_of(rule).index)
    assert (why is not None) == enough


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "encoder"),
    [
        (("index.seed=6",), "mine-1"),
        (("index.trees=4",), "mine-1"),
        (("index.recall=0.9",), "mine-1"),
        (("index.shards=3",), "mine-1"),
        ((), "mine-2"),
    ],
    ids=["seed", "trees", "recall", "shards", "encoder"],
)
def test_other_settings_and_encoders_have_shards_of_their_own(
    store: Store, built: StageRuns, more: tuple[str, ...], encoder: str
) -> None:
    tonight = states()[1]
    other = store.night("two", *tonight, *more, encoder=encoder)
    assert ids(other) != ids(built)
    assert "side_vectors" not in other.tables
    answers_like(store.opened(), *tonight)


def test_how_look_ups_search_keeps_the_shards(store: Store, built: StageRuns) -> None:
    tonight = states()[1]
    deeper = store.night("two", *tonight, "index.search_k=70")
    assert (ids(deeper), deeper.notes["search_k"]) == (ids(built), 70)


@pytest.mark.long
def test_a_side_shard_that_does_not_fit_into_memory_is_none(empty: Store) -> None:
    store = empty
    first, tonight = states()[:2]
    bare = 4 * DIM + 24
    store.rules = (*RULES, f"index.memory={430 * bare}")
    built = store.night("one", *first)
    kept = store.night("two", *tonight)
    assert ids(kept) == ids(built)
    store.rules = (*RULES, f"index.memory={415 * bare}")
    other = store.night("three", *first)
    anew = store.night("four", *tonight)
    assert ids(anew) != ids(other)
    assert "side_vectors" not in anew.tables


@pytest.mark.long
def test_other_vectors_under_the_same_numbers_are_indexed_anew(
    store: Store, built: StageRuns
) -> None:
    numbers, vectors = states()[0]
    anew = store.night("two", numbers, 2 * vectors)
    assert ids(anew) != ids(built)
    answers_like(store.opened(), numbers, 2 * vectors)


@pytest.mark.long
def test_an_empty_catalog_and_one_of_new_vectors_alone(store: Store) -> None:
    numbers, vectors = states()[0]
    empty = store.night("two", numbers[:0], vectors[:0])
    assert draft_rows(store.root, "two", "index", "shard_items") == []
    assert "side_vectors" not in empty.tables
    assert "side_vectors" not in store.night("three", numbers[200:], vectors[200:]).tables
    answers_like(store.opened(), numbers[200:], vectors[200:])


@pytest.mark.long
def test_shards_whose_run_is_lost_are_built_anew(store: Store, built: StageRuns) -> None:
    tonight = states()[1]
    (ref,) = built.tables["shard_items"]
    (store.root / ref.path).unlink()
    assert "side_vectors" not in store.night("two", *tonight).tables
    answers_like(store.opened(), *tonight)


def test_changes_that_do_not_add_up_are_refused(store: Store) -> None:
    """Whoever compared: the digests of what was kept, masked and put beside are compared."""
    tonight = states()[1]
    store.night("two", *tonight)
    disk = open_store(str(store.root))
    release = read_release(disk, "two")
    main, side = (
        find_run(disk, "index", release.refs(table)[0].run_id)
        for table in ("shard_items", "side_vectors")
    )
    assert main is not None
    assert side is not None
    facts = {"vectors": side.inputs["vectors"]}
    keeping._check(disk, main, side, facts)
    for table, found in (("masked_items", 420), ("side_vectors", 390)):
        less = side.model_copy(update={"tables": side.tables | {table: []}})
        with pytest.raises(GateRefused, match=rf"gate shards: found {found} vectors .* of the 410"):
            keeping._check(disk, main, less, facts)
    double = {"side_vectors": [*side.tables["side_vectors"], *side.tables["side_vectors"]]}
    with pytest.raises(GateRefused, match=r"gate shards: found 430 vectors"):
        keeping._check(disk, main, side.model_copy(update={"tables": side.tables | double}), facts)


def test_changes_of_other_shards_are_not_opened(store: Store) -> None:
    tonight = states()[1]
    store.night("two", *tonight)
    disk = open_store(str(store.root))
    release = read_release(disk, "two")
    (ref,) = release.refs("side_vectors")
    path = store.root / ref.path
    said = json.loads(path.read_bytes())
    path.write_text(json.dumps(said | {"inputs": said["inputs"] | {"main": "another"}}))
    with pytest.raises(StoreFormatError, match=r"main is another, expected [0-9a-f]{16}"):
        open_index(disk, release)
    path.write_text(json.dumps(said | {"tables": said["tables"] | {"side_vectors": []}}))
    with pytest.raises(StoreFormatError, match="its index lists 390 vectors, its catalog has 410"):
        open_index(disk, release)


def test_files_are_named_by_table(store: Store) -> None:
    tonight = states()[1]
    store.night("two", *tonight)
    disk = open_store(str(store.root))
    shards = files_of(disk, "shards")
    assert len(shards) == 4
    for table in ("side_vectors", "masked_items"):
        assert all(f"/{table}/" in path for path in files_of(disk, table))


class Killed(BaseException):
    """What a process that is killed does not catch."""


@pytest.mark.parametrize("point", ["index.shards", "index.run"])
def test_a_night_killed_after_it_compared_goes_on(
    store: Store, built: StageRuns, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def reached(here: str) -> None:
        if here == point:
            raise Killed

    tonight = states()[1]
    with monkeypatch.context() as patch:
        patch.setattr(index, "reached", reached)
        patch.setattr(keeping, "reached", reached)
        with pytest.raises(Killed):
            store.night("two", *tonight)
    before = store.files()
    again = store.night("two", *tonight)
    assert ids(again) == ids(built)
    assert bool(set(store.files()) - set(before)) == (point == "index.shards")
    answers_like(store.opened(), *tonight)
