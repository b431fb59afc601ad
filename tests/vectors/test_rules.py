"""Tables under rules are what plain loops over all pairs give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import artrec.vectors.rules.bounds as bounds
import artrec.vectors.rules.join as rules_join
import artrec.vectors.rules.meeting as meeting
from artrec.errors import ConfigError, InputError
from artrec.vectors import METRICS, Block, Tiling, self_join
from artrec.vectors.rules import (
    SHORTAGES,
    Entities,
    Rule,
    RuledPools,
    published,
    ruled_join,
    shortages,
    without,
)
from tests.vectors.test_join import KINDS, LAST, numbers, spread

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Matrix = Callable[[str, Floats, Floats], Floats]
Lists = list[list[tuple[float, int]]]

STYLE, ARTIST, GENRE = 0, 1, 2

RULES = {
    "no condition": Rule(),
    "within a style": Rule(within=(STYLE,)),
    "within style and genre": Rule(within=(STYLE, GENRE)),
    "never the artist": Rule(never=(ARTIST,)),
    "neither artist nor genre": Rule(never=(ARTIST, GENRE)),
    "one an artist": Rule(at_most=(1, ARTIST)),
    "three a style": Rule(at_most=(3, STYLE)),
    "copies once": Rule(collapse=True),
    "flagged": Rule(flagged=True),
    "flagged, copies once": Rule(flagged=True, collapse=True),
    "never the artist, copies once": Rule(never=(ARTIST,), collapse=True),
    "two an artist, copies once": Rule(at_most=(2, ARTIST), collapse=True),
    "never the artist, two a style": Rule(never=(ARTIST,), at_most=(2, STYLE)),
    "never the artist, two an artist": Rule(never=(ARTIST,), at_most=(2, ARTIST)),
    "all": Rule((GENRE,), (ARTIST,), (2, STYLE), True, True),
    "all, within and counted": Rule((STYLE,), (STYLE, ARTIST), (2, STYLE), True, True),
}


def force(
    entities: Entities,
    rule: Rule,
    apart: Floats,
    gone: frozenset[int] = frozenset(),
    queries: Sequence[int] | None = None,
) -> Lists:
    """All that the rule takes, for each row or query: one candidate after the other."""
    vectors = [tuple((row + np.float32(0)).tolist()) for row in entities.vectors]
    labels = entities.labels.tolist()
    flags = [True] * len(labels) if entities.flags is None else entities.flags.tolist()
    lists = []
    for place, query in enumerate(range(len(labels)) if queries is None else queries):
        own = labels[query]
        taken: list[tuple[float, int]] = []
        copies, of_value = {vectors[query]}, Counter[int]()
        others = [(far, i) for i, far in enumerate(apart[place].tolist()) if i != query]
        for far, i in sorted(others):
            if i in gone or (rule.flagged and not flags[i]):
                continue
            if any(own[c] == -1 or own[c] != labels[i][c] for c in rule.within):
                continue
            if any(own[c] != -1 and own[c] == labels[i][c] for c in rule.never):
                continue
            if rule.collapse and vectors[i] in copies:
                continue
            copies.add(vectors[i])
            if rule.at_most is not None:
                most, column = rule.at_most
                value = labels[i][column]
                of_value[value] += 1
                if value != -1 and of_value[value] > most:
                    continue
            taken.append((far, i))
        lists.append(taken)
    return lists


def labelled(made: Floats, rule: Rule, seed: int) -> Entities:
    """Vectors, every third of them under two rows of labels; of labels one in eight is missing."""
    rng = np.random.default_rng(seed)
    twice = np.repeat(np.arange(len(made)), 1 + (rng.random(len(made)) < 0.3))
    labels = np.column_stack([rng.integers(0, size, len(twice)) for size in (4, 12, 3)])
    labels[rng.random(labels.shape) < 0.125] = -1
    flags = rng.random(len(twice)) < 0.6
    entities = Entities(numbers(len(made))[twice], made[twice], labels.astype(np.int32), flags)
    return entities.narrowed(rule)[0]


def listed(pools: RuledPools) -> Lists:
    lists = pools.lists
    return [
        [(far, i) for far, i in zip(*row, strict=True) if i != -1]
        for row in zip(lists.distances.tolist(), lists.ids.tolist(), strict=True)
    ]


def same(a: RuledPools, b: RuledPools) -> bool:
    def parts(pools: RuledPools) -> list[NDArray[np.generic]]:
        lists = (pools.lists.distances, pools.lists.ids, pools.lists.values, pools.ends)
        return [*lists, pools.radius, pools.radius_id, pools.permitted, pools.nowhere]

    return all(x.tobytes() == y.tobytes() for x, y in zip(parts(a), parts(b), strict=True))


@pytest.mark.parametrize(
    ("metric", "kind"),
    [("cosine", "copies"), ("euclidean", "few_values"), ("euclidean", "mixed"), ("dot", "copies")],
)
@pytest.mark.parametrize("name", RULES)
def test_a_list_holds_the_nearest_that_the_rule_takes(
    matrix: Matrix, metric: str, kind: str, name: str
) -> None:
    rule, k = RULES[name], 9
    entities = labelled(KINDS[kind](44, 4), rule, 3)
    apart = matrix(metric, entities.vectors, entities.vectors)
    everything = force(entities, rule, apart)
    tiling = Tiling(16, 23)
    whole = ruled_join(entities, rule, k=k, metric=metric, tiling=tiling)
    cut = ruled_join(entities, rule, k=k, metric=metric, tiling=tiling, blocks=3)
    assert listed(whole) == [row[:k] for row in everything]
    assert same(cut, whole)
    ends = [row[k - 1] if len(row) > k else (math.inf, LAST) for row in everything]
    assert list(zip(whole.radius.tolist(), whole.radius_id.tolist(), strict=True)) == ends
    assert whole.complete.tolist() == [len(row) <= k for row in everything]


@pytest.mark.parametrize("limits", [0, 1 << 20])
@pytest.mark.parametrize("name", RULES)
def test_scratch_sizes_do_not_change_a_bit(
    name: str, limits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = RULES[name]
    entities = labelled(KINDS["copies"](120, 5), rule, 7)
    whole = ruled_join(entities, rule, k=6, metric="euclidean")
    monkeypatch.setattr(meeting, "_STRIP_CELLS", 160)
    monkeypatch.setattr(meeting, "_PIECE", 37)
    monkeypatch.setattr(meeting, "_ROOM", 1)
    monkeypatch.setattr(bounds, "_ENOUGH", 1)
    monkeypatch.setattr(bounds, "_SEEDS", 1)
    monkeypatch.setattr(rules_join, "_LIMITS", limits)
    tiling = Tiling(20, 30)
    cut = ruled_join(entities, rule, k=6, metric="euclidean", blocks=4, tiling=tiling)
    assert same(cut, whole)


rules = st.builds(
    Rule,
    st.sampled_from([(), (), (STYLE,), (STYLE, GENRE)]),
    st.sampled_from([(), (ARTIST,), (STYLE,), (ARTIST, GENRE)]),
    st.none() | st.tuples(st.integers(1, 4), st.sampled_from([STYLE, ARTIST, GENRE])),
    st.booleans(),
    st.booleans(),
)


@settings(deadline=None, max_examples=60)
@given(
    rules,
    st.integers(0, 60),
    st.integers(1, 25),
    st.integers(0, 6),
    st.sampled_from(METRICS),
    st.integers(1, 32),
    st.integers(1, 50),
    st.integers(0, 99),
)
def test_any_rule_in_any_blocks_and_tiles_is_the_rule(
    matrix: Matrix,
    rule: Rule,
    n: int,
    k: int,
    blocks: int,
    metric: str,
    rows: int,
    columns: int,
    seed: int,
) -> None:
    made = np.random.default_rng(seed).integers(-2, 3, (n, 3)).astype(np.float32)
    made[:, 0] = 1  # ties and copies, but no zeros
    entities = labelled(made, rule, seed)
    apart = matrix(metric, entities.vectors, entities.vectors)
    tiling = Tiling(rows, columns)
    found = ruled_join(entities, rule, k=k, metric=metric, tiling=tiling, blocks=blocks)
    everything = force(entities, rule, apart)
    assert listed(found) == [row[:k] for row in everything]


def crowds(n: int, of: int) -> Entities:
    """``of`` tight crowds, an artist each, in three styles."""
    crowd = np.arange(n) % of
    made = (4 * spread(of, 6, 5)[crowd] + spread(n, 6)).astype(np.float32)
    labels = np.column_stack((crowd % 3, crowd, np.zeros(n))).astype(np.int32)
    return Entities(numbers(n), made, labels, np.arange(n) % 5 == 0)


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize(
    "rule",
    [
        Rule(never=(ARTIST,)),
        Rule(at_most=(2, ARTIST)),
        Rule(at_most=(2, STYLE)),
        Rule((STYLE,), (ARTIST,), (1, ARTIST), True, True),
    ],
)
def test_crowds_of_an_artist_are_seen_through(matrix: Matrix, rule: Rule, blocks: int) -> None:
    entities = crowds(900, 30)
    pools = ruled_join(entities, rule, k=12, metric="euclidean", blocks=blocks)
    some = list(range(0, 900, 40))
    apart = matrix("euclidean", entities.vectors[some], entities.vectors)
    everything = force(entities, rule, apart, queries=some)
    found = listed(pools)
    assert [found[row] for row in some] == [row[:12] for row in everything]


@pytest.mark.parametrize("blocks", [1, 3])
def test_without_conditions_it_is_the_join(blocks: int) -> None:
    block = Block(numbers(700), KINDS["copies"](700, 8))
    entities = Entities(block.numbers, block.vectors, np.zeros((700, 0), dtype=np.int32))
    pools = ruled_join(entities, Rule(), k=20, metric="cosine", blocks=blocks)
    expected = self_join(block, k=20, metric="cosine")
    assert (block.numbers[pools.lists.ids] == expected.others).all()
    assert pools.lists.distances.tobytes() == expected.distances.tobytes()
    assert pools.radius.tobytes() == expected.radius.tobytes()


# -- what a label that is missing means -------------------------------------------------------


def on_a_line(labels: list[tuple[int, ...]], *positions: float, at: int = 0) -> Entities:
    vectors = np.array([[position] for position in positions], dtype=np.float32)
    ids = np.arange(len(positions), dtype=np.int64)
    return Entities(ids + at, vectors, np.array(labels, dtype=np.int32))


def ids_of(pools: RuledPools) -> list[list[int]]:
    return [[i for _, i in row] for row in listed(pools)]


def test_without_a_style_a_row_has_no_list_and_stands_in_none() -> None:
    line = on_a_line([(0,), (-1,), (0,), (-1,), (1,)], 0, 1, 2, 3, 4)
    pools = ruled_join(line, Rule(within=(0,)), k=2, metric="euclidean")
    assert ids_of(pools) == [[2], [], [0], [], []]
    lists, _ = published(pools, 2)
    why = [SHORTAGES[code] for code in shortages(pools, lists)]
    assert why == ["few_candidates", "no_label", "few_candidates", "no_label", "few_candidates"]
    assert pools.permitted.tolist() == [1, 0, 1, 0, 0]


def test_two_unknown_artists_are_not_the_same_artist() -> None:
    line = on_a_line([(-1,), (-1,), (0,), (0,)], 0, 1, 2, 3)
    pools = ruled_join(line, Rule(never=(0,)), k=3, metric="euclidean")
    assert ids_of(pools) == [[1, 2, 3], [0, 2, 3], [1, 0], [1, 0]]
    assert pools.permitted.tolist() == [3, 3, 2, 2]


def test_unknown_artists_are_not_counted_together() -> None:
    line = on_a_line([(5,), (-1,), (0,), (0,), (-1,), (0,)], 0, 1, 2, 3, 4, 5)
    pools = ruled_join(line, Rule(at_most=(1, 0)), k=5, metric="euclidean")
    assert ids_of(pools)[0] == [1, 2, 4]
    lists, again = published(pools, 5)
    assert [SHORTAGES[code] for code in shortages(pools, lists)] == ["few_left"] * 6
    assert not again.any()


def test_of_copies_one_counts_and_of_the_query_none() -> None:
    line = on_a_line([(0,), (1,), (0,), (1,), (2,)], 0, 0, 3, 3, 5)
    pools = ruled_join(line, Rule(collapse=True), k=4, metric="euclidean")
    assert ids_of(pools) == [[2, 4], [2, 4], [4, 0], [4, 0], [2, 0]]
    never = ruled_join(line, Rule(never=(0,), collapse=True), k=4, metric="euclidean")
    assert ids_of(never) == [[3, 4], [2, 4], [4, 1], [4, 0], [2, 0]]


def test_equal_pictures_under_other_labels_are_others() -> None:
    line = on_a_line([(0,), (1,), (2,)], 1, 1, 4)
    twice = Entities(np.array([7, 7, 9]), line.vectors, line.labels)
    pools = ruled_join(twice, Rule(never=(0,)), k=2, metric="euclidean")
    assert ids_of(pools) == [[1, 2], [0, 2], [0, 1]]
    assert pools.lists.distances.tolist() == [[0, 3], [0, 3], [3, 3]]


def test_thousands_of_copies_are_one_kind() -> None:
    made = spread(3000, 8)
    made[500:] = made[0]
    labels = np.zeros((3000, 1), dtype=np.int32)
    labels[:500, 0] = np.arange(500) % 7
    pools = ruled_join(Entities(numbers(3000), made, labels), Rule(), k=6, metric="cosine")
    assert ids_of(pools)[0] == [500, 501, 502, 503, 504, 505]
    assert ids_of(pools)[502] == [0, 500, 501, 503, 504, 505]
    two = Rule(at_most=(2, 0))
    pools = ruled_join(Entities(numbers(3000), made, labels), two, k=3, metric="cosine")
    assert ids_of(pools)[2999][:2] == [0, 500]


# -- what goes ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(rules, st.integers(0, 3), st.integers(1, 12), st.integers(0, 99), st.data())
def test_what_is_published_after_some_have_gone_is_a_join_of_the_rest(
    matrix: Matrix, rule: Rule, spare: int, k: int, seed: int, data: st.DataObject
) -> None:
    made = np.random.default_rng(seed).integers(-2, 3, (40, 3)).astype(np.float32)
    made[:, 0] = 1
    entities = labelled(made, rule, seed)
    apart = matrix("euclidean", entities.vectors, entities.vectors)
    pools = ruled_join(entities, rule, k=k + 4, metric="euclidean", spare=spare)
    everyone = st.integers(0, len(entities.numbers) - 1)
    gone: set[int] = set()
    for _ in range(2):
        leaving = data.draw(st.sets(everyone, max_size=8))
        gone |= leaving
        pools = without(pools, np.array(sorted(leaving), dtype=np.int64))
    lists, again = published(pools, k)
    everything = force(entities, rule, apart, frozenset(gone))
    for row in sorted(set(range(len(entities.numbers))) - gone):
        edge = (float(pools.radius[row]), int(pools.radius_id[row]))
        within = {i for far, i in everything[row] if (far, i) <= edge}
        assert within <= set(pools.lists.ids[row].tolist())
        if not again[row]:
            found = [i for i in lists.ids[row].tolist() if i != -1]
            assert found == [i for _, i in everything[row][:k]]


def test_a_spare_entry_comes_in_when_one_goes() -> None:
    line = on_a_line([(0,), (1,), (1,), (1,), (2,)], 0, 1, 2, 3, 4)
    rule = Rule(at_most=(1, 0))
    pools = ruled_join(line, rule, k=4, metric="euclidean", spare=1)
    assert ids_of(pools)[0] == [1, 2, 4]
    assert pools.ends[0].tolist() == [False, True, False, False]
    lists, again = published(without(pools, np.array([1])), 2)
    assert (lists.ids[0].tolist(), again[0]) == ([2, 4], False)
    fewer = without(pools, np.array([1, 2]))
    assert (fewer.radius[0], fewer.radius_id[0]) == (2.0, 2)  # the third of the artist is behind
    lists, again = published(fewer, 2)
    assert (lists.ids[0].tolist(), again[0]) == ([-1, -1], True)


def test_a_copy_may_stand_in_for_what_goes() -> None:
    line = on_a_line([(0,)] * 4, 0, 1, 1, 2)
    pools = ruled_join(line, Rule(collapse=True), k=3, metric="euclidean")
    assert ids_of(pools)[0] == [1, 3]
    assert published(without(pools, np.array([1])), 1)[1][0]
    lists, again = published(without(pools, np.array([3]), copied=np.array([1])), 2)
    assert (lists.ids[0].tolist(), again[0]) == ([1, -1], False)


def test_a_copy_may_stand_in_for_what_was_crowded_out() -> None:
    line = on_a_line([(9,), (0,), (0,), (1,), (1,)], 0, 1, 2, 2, 3)
    pools = ruled_join(line, Rule(collapse=True, at_most=(1, 0)), k=3, metric="euclidean")
    assert ids_of(pools)[0] == [1, 4]  # 2 is crowded out by 1, and 3 is a copy of it
    again = published(without(pools, np.array([2])), 2)[1]
    assert again[0]
    lists, again = published(without(pools, np.array([2]), copied=np.array([], np.int64)), 2)
    assert (lists.ids[0].tolist(), again[0]) == ([1, 4], False)


# -- what is refused ---------------------------------------------------------------------------


def test_rows_that_a_rule_cannot_tell_apart_are_refused() -> None:
    twice = Entities(np.array([7, 7]), spread(1, 2)[[0, 0]], np.array([[0, 1], [0, 2]], np.int32))
    with pytest.raises(InputError, match="vector_no 7 stands twice with the labels that"):
        ruled_join(twice, Rule(never=(0,)), k=1, metric="dot")
    assert ids_of(ruled_join(twice, Rule(never=(1,)), k=1, metric="dot")) == [[1], [0]]


def test_rows_are_narrowed_to_what_a_rule_can_tell_apart() -> None:
    vectors = spread(2, 2)[[0, 0, 0, 1]]
    labels = np.array([[3, 1], [0, 2], [0, 4], [0, 5]], dtype=np.int32)
    entities = Entities(np.array([7, 7, 7, 9]), vectors, labels)
    found, of = entities.narrowed(Rule(within=(0,)))
    assert found.numbers.tolist() == [7, 7, 9]
    assert found.labels.tolist() == [[0, -1], [3, -1], [0, -1]]
    assert of.tolist() == [1, 0, 0, 2]
    assert (found.vectors[of] == vectors).all()


def test_a_number_has_one_vector() -> None:
    twice = Entities(np.array([7, 7]), spread(2, 2), np.array([[0], [1]], np.int32))
    with pytest.raises(InputError, match="vector_no 7 has two vectors"):
        ruled_join(twice, Rule(never=(0,)), k=1, metric="dot")


def test_settings_without_meaning_are_refused() -> None:
    line = on_a_line([(0,), (1,)], 1, 2)
    with pytest.raises(ConfigError, match="1 columns of labels are not enough"):
        ruled_join(line, Rule(within=(1,)), k=1, metric="dot")
    with pytest.raises(ConfigError, match="at most 0 of a value"):
        Rule(at_most=(0, 1))
    with pytest.raises(ConfigError, match="counted from 0"):
        Rule(never=(-1,))
    with pytest.raises(ConfigError, match="k must be at least 1"):
        ruled_join(line, Rule(), k=0, metric="dot")
    with pytest.raises(ConfigError, match="between 1 and 2 can be published, not 3"):
        published(ruled_join(line, Rule(), k=2, metric="dot"), 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": np.array([2, 1])}, "1 follows 2"),
        ({"numbers": np.array([-2, 1])}, "negative, got -2"),
        ({"vectors": spread(3, 2)}, r"float32 \[2, d\], got float32 \[3, 2\]"),
        ({"labels": np.array([[0], [-2]], np.int32)}, "from 0 on, or -1, not -2"),
        ({"labels": np.array([[0], [1]])}, r"int32 \[2, c\], got int64"),
        ({"flags": np.array([1, 0])}, r"bool \[2\], got int64"),
    ],
)
def test_entities_of_another_shape_are_refused(
    change: dict[str, NDArray[np.generic]], message: str
) -> None:
    good = {
        "numbers": np.array([1, 2]),
        "vectors": spread(2, 2),
        "labels": np.zeros((2, 1), dtype=np.int32),
    }
    with pytest.raises(InputError, match=message):
        Entities(**(good | change))  # type: ignore[arg-type]


def test_vectors_without_a_distance_are_refused() -> None:
    with pytest.raises(InputError, match=r"zero.*ids 1"):
        ruled_join(on_a_line([(0,), (0,)], 1, 0), Rule(), k=1, metric="cosine")
