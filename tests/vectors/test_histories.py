"""Two hundred random histories of ten nights: pools kept up to date list what loops list.

A night here is what the stages see: a catalog before and one after, of which the rows that differ
are gone and added. So contents come back under their numbers, stand under several rows of labels,
and change with the labels alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.vectors import METRICS, Block, Pools, join, update
from artrec.vectors.rules import Entities, Rule, RuledPools, ruled_join
from artrec.vectors.rules import update as ruled_update
from tests.vectors.conftest import Matrix
from tests.vectors.test_rules import ARTIST, GENRE, STYLE, Lists, force
from tests.vectors.test_rules_update import (
    first,
    keeps_its_word,
    keys_of,
    pool_size,
    rows_of,
    some,
)

NIGHTS = 10
EVERYDAY, ALL = range(6), range(200)
Labels = tuple[int, int, int]


@dataclass(frozen=True)
class Image:
    """A row of a catalog: its content's number, its labels (-1: none), and a flag."""

    number: int
    labels: Labels
    flag: bool


def rule_of(rng: np.random.Generator) -> Rule:
    """Any rule; those of one condition are as likely as those of all."""
    columns = (STYLE, ARTIST, GENRE)
    return Rule(
        within=[(), (), (STYLE,), (STYLE, GENRE)][rng.integers(4)],
        never=[(), (), (ARTIST,), (ARTIST, GENRE)][rng.integers(4)],
        at_most=[None, (int(rng.integers(1, 4)), columns[rng.integers(3)])][rng.integers(2)],
        collapse=bool(rng.integers(2)),
        flagged=bool(rng.integers(2)),
    )


class Museum:
    """A catalog whose images come, go, return, change and are relabelled."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.ties = bool(rng.integers(2))
        self.numbers = rng.permutation(2**20).tolist()
        self.vectors: dict[int, NDArray[np.float32]] = {}
        self.images: dict[int, Image] = {}
        self.gone: list[Image] = []
        self.count = 0
        for _ in range(int(rng.integers(0, 36))):
            self.add()

    def add(self) -> None:
        """A picture of its own; a vector like another's, or one that many have, is likely."""
        number = self.numbers.pop()
        vector = self.rng.standard_normal(3)
        if self.ties:
            vector = self.rng.integers(-1, 2, 3).astype(float)
            vector[0] = 1
        self.vectors[number] = vector.astype(np.float32)
        self._hang(Image(number, self._labels(), bool(self.rng.random() < 0.7)))

    def double(self) -> None:
        """A known picture once more, under other labels."""
        if self.images:
            self._hang(replace(self.images[self._any()], labels=self._labels()))

    def delete(self) -> None:
        if self.images:
            self.gone.append(self.images.pop(self._any()))

    def clear(self) -> None:
        """Those around one of them, a whole neighborhood."""
        if not self.images:
            return
        middle = self.vectors[self.images[self._any()].number]
        names = sorted(
            self.images,
            key=lambda name: self._apart(middle, self.vectors[self.images[name].number]),
        )
        for name in names[: int(self.rng.integers(1, 10))]:
            self.gone.append(self.images.pop(name))

    def restore(self) -> None:
        """What was deleted comes back, as it was or under other labels."""
        if self.gone:
            image = self.gone.pop(int(self.rng.integers(len(self.gone))))
            labels = image.labels if self.rng.integers(2) else self._labels()
            self._hang(replace(image, labels=labels))

    def relabel(self) -> None:
        if self.images:
            name = self._any()
            self.images[name] = replace(self.images[name], labels=self._labels())

    def change(self) -> None:
        """Another picture under the same labels."""
        if self.images:
            name = self._any()
            self.add()
            newest = self.images.pop(self.count)
            self.gone.append(self.images[name])
            self.images[name] = replace(newest, labels=self.images[name].labels)

    def night(self) -> None:
        acts = (self.add, self.double, self.delete, self.restore, self.relabel, self.change)
        for _ in range(int(self.rng.integers(0, 10))):
            acts[self.rng.integers(len(acts))]()
        if self.rng.random() < 0.25:
            self.clear()
        if self.rng.random() < 0.1:  # a wave
            for _ in range(12):
                self.add()

    def block(self) -> Block:
        numbers = np.unique(np.array([image.number for image in self.images.values()], np.int64))
        return Block(numbers, self._vectors(numbers.tolist()))

    def entities(self, rule: Rule) -> Entities:
        images = sorted(self.images.values(), key=lambda image: image.number)
        numbers = [image.number for image in images]
        labels = np.array([image.labels for image in images], np.int32).reshape(-1, 3)
        flags = np.array([image.flag for image in images], np.bool_)
        everything = Entities(np.array(numbers, np.int64), self._vectors(numbers), labels, flags)
        return rows_of(rule, everything)

    def _hang(self, image: Image) -> None:
        self.count += 1
        self.images[self.count] = image

    def _any(self) -> int:
        names = list(self.images)
        return names[self.rng.integers(len(names))]

    def _labels(self) -> Labels:
        style, artist, genre = (int(self.rng.integers(-1, size)) for size in (3, 6, 2))
        return style, artist, genre

    def _vectors(self, numbers: list[int]) -> NDArray[np.float32]:
        found = [self.vectors[number] for number in numbers]
        return np.array(found, np.float32).reshape(-1, 3)

    def _apart(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(np.square(a - b).sum())


@dataclass
class Kept:
    """Both tables of one museum, and what they were made of."""

    rule: Rule
    k: int
    spare: int
    metric: str
    block: Block
    pools: Pools
    entities: Entities
    ruled: RuledPools

    def follow(self, museum: Museum) -> None:
        """Update by the difference between what was and what is."""
        now, was = museum.block(), self.block
        added = ~np.isin(now.numbers, was.numbers)
        gone = was.numbers[~np.isin(was.numbers, now.numbers)]
        came = Block(now.numbers[added], now.vectors[added])
        self.pools = update(self.pools, was, came, gone, k=self.k, metric=self.metric)
        self.block = now

        whole = museum.entities(self.rule)
        old, new = keys_of(self.entities), keys_of(whole)
        here, there = set(new), set(old)
        left = np.array([row for row, key in enumerate(old) if key not in here], np.int64)
        more = np.array([row for row, key in enumerate(new) if key not in there], np.int64)
        found = ruled_update(
            self.ruled,
            self.entities,
            some(whole, more),
            left,
            k=self.k,
            metric=self.metric,
            spare=self.spare,
        )
        assert keys_of(found.entities) == new
        self.entities, self.ruled = found.entities, found.pools

    def is_what_loops_list(self, matrix: Matrix) -> None:
        block, k = self.block, self.k
        apart = matrix(self.metric, block.vectors, block.vectors)
        numbers = block.numbers.tolist()
        assert self.pools.numbers.tolist() == numbers
        for row, number in enumerate(numbers):
            others = zip(apart[row].tolist(), numbers, strict=True)
            everybody = sorted(pair for pair in others if pair[1] != number)
            listed = zip(self.pools.distances[row], self.pools.others[row], strict=True)
            entries = [(float(far), int(n)) for far, n in listed][: self.pools.counts[row]]
            assert entries[:k] == everybody[:k]
            edge = (float(self.pools.radius[row]), int(self.pools.radius_no[row]))
            assert entries == [pair for pair in everybody if pair <= edge]
        apart = matrix(self.metric, self.entities.vectors, self.entities.vectors)
        taken = force(self.entities, self.rule, apart)
        assert first(self.ruled, k) == [row[:k] for row in taken]
        keeps_its_word(self.ruled, taken)
        if self.rule.at_most is not None:
            self.shows_where_values_end(
                force(self.entities, replace(self.rule, at_most=None), apart)
            )

    def shows_where_values_end(self, uncounted: Lists) -> None:
        """Who is kept out by a count has an entry of his value before him that is marked."""
        assert self.rule.at_most is not None
        pools, values = self.ruled, self.entities.labels[:, self.rule.at_most[1]]
        for row, everybody in enumerate(uncounted):
            ids = pools.lists.ids[row]
            marked = set(values[ids[pools.ends[row]]].tolist())
            edge = (float(pools.radius[row]), int(pools.radius_id[row]))
            kept_out = {i for far, i in everybody if (far, i) <= edge} - set(ids.tolist())
            assert {int(values[i]) for i in kept_out} <= marked

    def is_a_rebuild(self) -> None:
        size = self.pools.others.shape[1]
        anew = join(self.block, [self.block], k=size, metric=self.metric)
        for name in ("others", "distances"):
            mine, its = getattr(self.pools, name), getattr(anew, name)
            assert mine[:, : self.k].tobytes() == its[:, : self.k].tobytes()
        size = self.ruled.lists.ids.shape[1]
        ruled = ruled_join(self.entities, self.rule, k=size, metric=self.metric, spare=self.spare)
        assert first(self.ruled, self.k) == first(ruled, self.k)
        for name in ("permitted", "nowhere"):
            assert getattr(self.ruled, name).tobytes() == getattr(ruled, name).tobytes()


def opened(rng: np.random.Generator, museum: Museum) -> Kept:
    rule, metric = rule_of(rng), METRICS[rng.integers(len(METRICS))]
    k, slack, spare = (int(rng.integers(*ends)) for ends in ((1, 9), (0, 6), (0, 3)))
    block, entities = museum.block(), museum.entities(rule)
    return Kept(
        rule=rule,
        k=k,
        spare=spare,
        metric=metric,
        block=block,
        pools=join(block, [block], k=k + slack, metric=metric),
        entities=entities,
        ruled=ruled_join(
            entities, rule, k=pool_size(rule, k, slack, spare), metric=metric, spare=spare
        ),
    )


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[] if n in EVERYDAY else pytest.mark.long) for n in ALL]
)
def test_tables_kept_for_ten_nights_are_those_of_loops_and_of_a_rebuild(
    matrix: Matrix, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    museum = Museum(rng)
    kept = opened(rng, museum)
    for _ in range(NIGHTS):
        museum.night()
        kept.follow(museum)
        kept.is_what_loops_list(matrix)
        kept.is_a_rebuild()
