"""Five random histories of ten whole nights, some of them killed and started again.

Each history is some applications of spark-submit, and one more for each kill. What its releases say
is compared with the archives, with each other by the change feeds, and with rebuilds in fresh
stores.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artrec.commands.outside import lookup_picture, open_index
from artrec.encoders.card import save_encoder
from artrec.encoders.handmade import CARD, Parameters
from artrec.failpoints import POINTS
from artrec.releases import read_release
from artrec.storage import Store, open_store
from tests import recount
from tests.faults.rig import LISTS, Ended, environment, job, submitted
from tests.feeds import Rows, applied_images, applied_lists
from tests.galleries import Gallery, Member, Source

SEEDS = (1, 2, 3, 4, 5)
NIGHTS, WORKS, KILLS = 10, 48, 3
AT_ONCE = 6
"""Nights of one application, at most."""
ENCODED = 3
"""The seed of the history in which another encoder is taken up."""
TABLES = ("in_style", "mixed")
SETTINGS = (
    *LISTS,
    "neighbors.block_rows=16",
    "neighbors.rebuild_share=1",
    "neighbors.tables.in_style={within: [style], at_most: {genre: 2}}",
    "neighbors.tables.mixed={never: [artist], at_most: {style: 2}, collapse: true}",
    *("index.shards=2", "index.trees=4", "index.search_k=4000", "index.rebuild_share=0.4"),
    *("store.compact_share=0.15", "store.compact_segments=5"),
    *("evaluate.queries=20", "evaluate.sample=30", "evaluate.map_points=30"),
    *("report.queries=2", "report.neighbors=3", "report.thumbnails=10", "plan.sample_seconds=0"),
    *("gates.reject_rate=0.9", "gates.shrinkage=1", "gates.source_shrinkage=1", "gates.drift=9"),
    *("gates.usual_rejects=1", "gates.usual_churn=1", "gates.usual_drift=9"),  # so few images leap
    "gates.usual_index_recall=1",
    "gates.index_recall=0",  # twenty queries cannot show it; all are asked here
)
OTHERS = CARD.model_copy(
    update={"name": "coarse", "parameters": Parameters(power=0.5).model_dump(mode="json")}
)
"""That encoder: the built-in one, other exponents."""
NO_NIGHTS = ("train.", "rollback.", "migrate.", "sweep.", "neighbors.part")
WHERE = [point for point in POINTS if not point.startswith(NO_NIGHTS)]
PLAIN, EVERYBODY = ("first_release", "changed_release"), ("first_release", "attempts")


@dataclass(frozen=True)
class History:
    """One seed's nights: what they find, and how they are asked for."""

    place: Path
    seed: int
    sources: list[Source] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.place / "root"

    @classmethod
    def drawn(cls, place: Path, seed: int) -> History:
        """The nights, and in fresh stores of their own the fifth and the last one once more."""
        self, rng = cls(place, seed), np.random.default_rng(seed)
        gallery = Gallery(rng, WORKS)
        killed = rng.permutation(np.arange(1, NIGHTS))[:KILLS].tolist()
        another = save_encoder(open_store(str(self.root)), OTHERS, {})
        for night in range(NIGHTS):
            if night:
                print(f"seed {seed}, night {night}: {', '.join(gallery.night())}")
            self.sources.append(gallery.source())
            self.sources[-1].write(self.found(night))
            encoder = another if seed == ENCODED and night >= NIGHTS // 2 + 1 else "handmade"
            point = WHERE[rng.integers(len(WHERE))] if night in killed else ""
            self._ask(f"night-{night}", night, self.root, encoder, point)
            if night in (NIGHTS // 2, NIGHTS - 1):
                fresh = place / f"anew-{night}"
                save_encoder(open_store(str(fresh)), OTHERS, {})
                self._ask(f"anew-{night}", night, fresh, encoder, "")
        return self

    def found(self, night: int) -> Path:
        """The folder of what this night finds."""
        return self.place / f"found-{night}"

    def _ask(self, name: str, night: int, root: Path, encoder: str, point: str) -> None:
        tonight = self.place / "tonight"  # what is found is always in the same place
        assignments = [
            f"store.root={root}",
            f"sources.main.url={tonight / 'main.zip'}",
            f"sources.main.labels={tonight / 'lists'}",
            f"encoder.id={encoder}",
            *SETTINGS,
        ]
        case = {"name": name, "release": name, "assignments": assignments, "failpoint": point}
        copy = ["cp", "-rpT", str(self.found(night)), str(tonight)]
        self.cases.append(case | {"first": copy, "at_ingest": [], "or_end": True})

    def play(self) -> Counter[str]:
        """All cases in turn; where one is killed, it is asked for again. Returns the kills."""
        plan, left, kills = self.place / "plan.json", list(self.cases), Counter[str]()
        surroundings = environment(self.place)
        while left:
            plan.write_text(json.dumps(left[:AT_ONCE]))
            codes = plan.with_suffix(".codes")
            codes.write_text("{}")
            ended = job(submitted("tests/faults/several.py", str(plan)), surroundings)
            done = json.loads(codes.read_text())
            assert not any(done.values()), f"seed {self.seed}: {done}\n{ended.out}\n{ended.log}"
            if len(done) < len(left[:AT_ONCE]):
                killed = left[len(done)]
                self._is_killed(killed, ended)
                kills[killed["failpoint"]] += 1
                left[len(done)] = killed | {"failpoint": ""}
            left = left[len(done) :]
        return kills

    def _is_killed(self, case: dict[str, Any], ended: Ended) -> None:
        assert case["failpoint"], f"seed {self.seed}, {case['name']}: {ended.code}\n{ended.log}"
        assert ended.code == 128 + 9, f"seed {self.seed}, {case['name']}: {ended.code}\n{ended.log}"

    def published(self) -> Iterator[int]:
        """Nights that made a release: those on which something was another than before."""
        for night in range(NIGHTS):
            made = (self.root / f"releases/night-{night}.json").exists()
            if night and self.sources[night].content != self.sources[night - 1].content:
                assert made, f"seed {self.seed}: night {night} published nothing"
            if night and self.sources[night] == self.sources[night - 1]:
                same = self.cases_of(night) == self.cases_of(night - 1)
                assert made != same, f"seed {self.seed}: night {night} had nothing to publish"
            if made:
                yield night

    def cases_of(self, night: int) -> list[str]:
        """What the night was asked to do."""
        return next(c["assignments"] for c in self.cases if c["name"] == f"night-{night}")

    def rows(self, night: int, table: str) -> Rows:
        return rows_of(self.root, f"night-{night}", table)

    def document(self, night: int) -> dict[str, Any]:
        return recount.read_release(self.root, f"night-{night}")


def rows_of(root: Path, name: str, table: str) -> Rows:
    return recount.read_table(root, recount.read_release(root, name), table)


def without(rows: Rows, names: tuple[str, ...]) -> Rows:
    return [{k: v for k, v in row.items() if k not in names} for row in rows]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_ten_nights_end_where_a_rebuild_does(tmp_path: Path, seed: int) -> None:
    history = History.drawn(tmp_path, seed)
    kills = history.play()
    made = list(history.published())
    for night in made:
        is_whole(history, night)
        finds_what_there_is(history, night)
    for old, new in pairwise(made):
        is_told_by_its_feeds(history, old, new)
    for night in (NIGHTS // 2, NIGHTS - 1):
        is_like_a_rebuild(history, max(n for n in made if n <= night), night)
    looks_up_pictures(history, made[-1])
    is_what_it_should_try(history, made, kills)


def is_whole(history: History, night: int) -> None:
    """The balance, the contents, and the plain table by a brute force, counted from outside."""
    archives = {"main": history.found(night) / "main.zip"}
    count = recount.recount(history.root, archives, f"night-{night}")
    assert (count.differences, count.lost, count.double) == ([], 0, 0), (history.seed, night)
    assert count.listed == count.stored + count.rejected == len(history.sources[night].members)


def finds_what_there_is(history: History, night: int) -> None:
    """The shards list every vector of the release, each first of its own list, and no other."""
    store = open_store(str(history.root))
    shards = open_index(store, read_release(store, f"night-{night}"))
    assert not shards.is_exact()
    live = {row["vector_no"]: row["embedding"] for row in history.rows(night, "live_vectors")}
    assert {row["vector_no"] for row in history.rows(night, "catalog")} == live.keys()
    found = shards.search(np.array(list(live.values()), np.float32), len(live) + 1)
    for number, ids, distances in zip(live, found.ids, found.distances, strict=True):
        assert set(ids[:-1].tolist()) == live.keys(), (history.seed, night, number)
        assert ids[-1] == -1
        equal = ids[distances == distances[0]].tolist()
        assert number in equal, (history.seed, night, number)


def is_told_by_its_feeds(history: History, old: int, new: int) -> None:
    where = (history.seed, old, new)
    before, feed = history.rows(old, "catalog"), history.rows(new, "catalog_changes")
    assert applied_images(before, feed) == without(history.rows(new, "catalog"), ("entry",)), where
    for table in ("neighbors", *(f"neighbors_{name}" for name in TABLES)):
        feed_of = "neighbor_changes" if table == "neighbors" else f"{table}_changes"
        lists, feed = history.rows(old, table), history.rows(new, feed_of)
        assert applied_lists(lists, feed) == history.rows(new, table), (where, table)


def is_like_a_rebuild(history: History, night: int, anew: int) -> None:
    """Every published table, row for row, but for the releases in which a row came and changed."""
    made = partial(rows_of, history.place / f"anew-{anew}", f"anew-{anew}")
    for table, names in {"catalog": PLAIN, "rejects": EVERYBODY}.items():
        found, expected = history.rows(night, table), made(table)
        assert without(found, names) == without(expected, names), (history.seed, night, table)
    for part in ("neighbors", *(f"neighbors_{name}" for name in TABLES)):
        shorts = [] if part == "neighbors" else [f"{part}_short"]
        for table in ("embeddings", "live_vectors", part, f"{part}_nested", *shorts):
            assert history.rows(night, table) == made(table), (history.seed, night, table)


def looks_up_pictures(history: History, last: int) -> None:
    """Of the release that is current: pictures on the wall are found, and those gone are not."""
    store, wall = open_store(str(history.root)), defaultdict[bytes, set[str]](set)
    for row in history.rows(last, "catalog"):
        wall[row["content_sha256"]].add(row["image_id"])
    seen: dict[bytes, Member] = {}
    for member in (each for source in history.sources for each in source.members):
        if not member.cut:
            seen.setdefault(hashlib.sha256(member.data).digest(), member)
    there, gone = (sorted(keys) for keys in (wall.keys() & seen, seen.keys() - wall.keys()))
    assert gone
    for key in (*there[:3], *gone[:3]):
        same = found_as_same(store, history.place, seen[key])
        assert same == wall.get(key, set()), (history.seed, seen[key])


def found_as_same(store: Store, place: Path, member: Member) -> set[str]:
    file = place / "asked"
    file.write_bytes(member.data)
    found = lookup_picture(store, file, 60)["neighbors"]
    return {each["image_id"] for each in found if each["same_picture"]}


def is_what_it_should_try(history: History, made: list[int], kills: Counter[str]) -> None:
    """A history in which nothing was kept, compacted, or killed would show nothing."""
    stages = [history.document(night)["stages"] for night in made[1:]]
    seen = Counter[str](kills=sum(kills.values()))
    for each in stages:
        tables = each["neighbors"]["notes"]
        seen["maintained"] += "maintained" in tables
        seen["ruled"] += all("maintained" in tables["tables"][name] for name in TABLES)
        seen["side" if "side" in each["index"]["notes"] else "built"] += 1
        seen["compacted"] += "compacted_segments" in each["ingest"]["counters"]
    print(f"seed {history.seed}: {len(made)} releases, {dict(seen)}, killed at {sorted(kills)}")
    least = ("kills", "maintained", "ruled", "side", "built", "compacted")
    assert min(seen[name] for name in least) > 0, seen
