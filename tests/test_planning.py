"""Plans against sums done by hand, and against what must hold whatever the rates are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from artrec.planning import (
    Change,
    Figures,
    Prices,
    Rates,
    RuledWork,
    Work,
    cost,
    expected,
    expected_tables,
    joins_of,
    total,
)
from artrec.planning.maintaining import kept_up_products, whole_products

MB = 1 << 20
WORK = Work(
    listed=1000,
    listed_bytes=100 * MB,
    unread=1000,
    unread_bytes=100 * MB,
    encode=1000,
    encode_bytes=100 * MB,
    images=1000,
    dim=100,
    cores=2,
)
FREE = Rates(pace=0.0, request=0.0, byte=0.0, examine=0.0, encode=0.0, decode=0.0, pair=0.0)
"""Everything at no cost, so that one rate can be looked at alone."""


def test_reading_pictures_is_shared_by_the_cores() -> None:
    rates = FREE.model_copy(update={"examine": 1e-6})
    ingest = expected(WORK, rates)["ingest"]
    assert ingest.seconds == pytest.approx(50 * MB * 1e-6, rel=1e-4)
    three = expected(replace(WORK, cores=3), rates)["ingest"]
    assert three.seconds == pytest.approx(100 * MB / 3 * 1e-6, rel=1e-4)
    alone = expected(replace(WORK, unread_bytes=MB), rates)["ingest"]
    assert alone.seconds == pytest.approx(MB * 1e-6, rel=1e-3)  # one slice: one core has nothing


def test_slices_are_large_at_first_and_small_at_the_end() -> None:
    # Two cores: a quarter of what is left each time, never below 8 MB: 25, 18.75, 14.06, 10.55,
    # and of the 31.6 that are left three of 8 and one more.
    cut = replace(WORK, slice_bytes=128 * MB, unread_bytes=0)
    assert expected(cut, FREE)["embed"].tasks == 8
    # Of 1124 MB seven are whole slices of 128 MB before a quarter is less: 57, 42.75 and so on.
    large = replace(cut, encode_bytes=1124 * MB, embed_slice_bytes=128 * MB)
    assert expected(large, FREE)["embed"].tasks == pytest.approx(17, abs=2)


def test_what_one_task_has_to_read_alone_is_not_shared() -> None:
    rates = FREE.model_copy(update={"examine": 1e-6})
    alone = expected(replace(WORK, alone_bytes=80 * MB), rates)["ingest"]
    assert alone.seconds == pytest.approx(80 * MB * 1e-6, rel=1e-4)


def test_a_request_costs_its_latency_for_each_range_that_is_read() -> None:
    rates = FREE.model_copy(update={"request": 0.5})
    large = replace(WORK, unread_bytes=1024 * MB, slice_bytes=128 * MB)
    found = expected(large, rates)["ingest"]
    # 128 windows of 8 MB, and each slice begins a window of its own; two at once
    assert found.seconds == pytest.approx(0.5 * (128 + found.tasks) / 2)


def test_the_join_meets_every_pair() -> None:
    rates = FREE.model_copy(update={"pair": 1e-6})
    found = expected(WORK, rates)["neighbors"]
    assert found.seconds == pytest.approx(1000 * 1000 * 1e-6 / 2, rel=0.01)
    twice = expected(replace(WORK, images=2000), rates)["neighbors"]
    assert twice.seconds == pytest.approx(4 * found.seconds, rel=0.01)


def test_a_table_under_a_rule_is_a_part_of_what_the_neighbors_cost() -> None:
    rates = FREE.model_copy(update={"pair": 1e-6})
    tables = (
        RuledWork("in_style", k=50, pool=64, within=True),
        RuledWork("two", 50, 64, counted=True),
    )
    work = replace(WORK, ruled=tables)
    parts = expected_tables(work, rates)
    assert list(parts) == ["neighbors_in_style", "neighbors_two"]
    # half of all pairs, by 1.37 for the code, and by 1.86 or half for the rule; in one task
    assert parts["neighbors_two"].seconds == pytest.approx(0.5 * 1.37 * 1.86, rel=0.01)
    assert parts["neighbors_in_style"].seconds == pytest.approx(0.5 * 1.37 * 0.5, rel=0.01)
    plain = expected(WORK, rates)["neighbors"]
    whole = plain.seconds + sum(each.seconds for each in parts.values())
    assert expected(work, rates)["neighbors"].seconds == pytest.approx(whole, rel=0.01)
    assert expected_tables(replace(work, kept=frozenset({"neighbors"})), rates) == {}


def test_a_further_table_under_a_rule_is_all_that_neighbors_then_costs() -> None:
    tables = (RuledWork("in_style", k=50, pool=64, within=True),)
    work = replace(WORK, joins=False, ruled=tables)
    stage, (table,) = expected(work, Rates())["neighbors"], expected_tables(work, Rates()).values()
    fixed = expected(replace(WORK, joins=False), Rates())["neighbors"].seconds
    assert stage.seconds == pytest.approx(table.seconds + fixed)
    for name in ("bytes_read", "requests", "tasks", "bytes_written"):
        assert getattr(stage, name) == getattr(table, name) > 0


def test_a_table_under_a_rule_that_is_kept_up_to_date_takes_the_products_of_what_came() -> None:
    rates = FREE.model_copy(update={"pair": 1e-6})
    change = Change(1000, added=10, gone=10)
    table = RuledWork("two", 50, 64, counted=True, kept=True)
    work = replace(WORK, ruled=(table,), change=change)
    found = expected_tables(work, rates)["neighbors_two"].seconds
    assert found == pytest.approx(10 * 1000 * 1e-6 * 1.37 * 1.86, abs=1e-3)
    anew = replace(work, ruled=(replace(table, kept=False),))
    many = replace(work, change=Change(1000, added=400, gone=400))
    for each in (anew, many):
        whole = expected_tables(each, rates)["neighbors_two"].seconds
        assert whole == pytest.approx(0.5 * 1e6 * 1e-6 * 1.37 * 1.86, rel=0.01)


def test_the_names_of_all_images_are_memory_of_a_worker_for_a_table_under_a_rule() -> None:
    few, many = (
        replace(WORK, images=n, block_rows=1000, ruled=(RuledWork("x", 50, 64, within=True),))
        for n in (1_000_000, 3_000_000)
    )
    tables = [expected_tables(work, Rates())["neighbors_x"].worker_bytes for work in (few, many)]
    assert tables[1] - tables[0] == 2_000_000 * 350


def test_what_a_slower_machine_takes_longer_for_is_all_of_it() -> None:
    one = expected(WORK, Rates(pace=1.0))
    speeds = ("pace", "request", "byte", "examine", "encode", "decode", "pair")
    slow = Rates(**{name: 3 * getattr(Rates(), name) for name in speeds})
    for rates in (slow, Rates(busy=3.0)):
        three = expected(WORK, rates)
        for stage in one:
            assert three[stage].seconds == pytest.approx(3 * one[stage].seconds, rel=0.02), stage


def test_shards_that_are_kept_cost_reading_and_what_stands_beside_them() -> None:
    work = replace(WORK, images=1_000_000, shards=4, beside=10_000)
    kept, built = (expected(each, Rates())["index"] for each in (work, replace(work, beside=None)))
    assert (kept.images, kept.tasks) == (10_000, 4)
    assert kept.bytes_written == 10_000 * (4 * 100 + 16)
    assert kept.bytes_read >= 1_000_000 * 4 * 100
    assert kept.seconds < built.seconds / 10
    assert kept.worker_bytes < built.worker_bytes


def test_a_stage_that_finds_its_work_done_costs_nothing() -> None:
    kept = replace(WORK, kept=frozenset({"ingest", "embed"}))
    found = expected(kept, Rates())
    assert found["ingest"] == found["embed"] == Figures()
    assert found["neighbors"].seconds > 0


def test_only_the_first_stage_with_tasks_waits_for_the_workers() -> None:
    whole = expected(WORK, Rates())
    later = expected(replace(WORK, kept=frozenset({"ingest"})), Rates())
    assert later["embed"].seconds - whole["embed"].seconds == pytest.approx(3.0)
    assert later["catalog"].seconds == whole["catalog"].seconds


def test_a_worker_keeps_the_memory_that_an_earlier_stage_took() -> None:
    wide = replace(WORK, slice_bytes=64 * MB, unread_bytes=10_000 * MB)
    found = expected(wide, Rates(pixels=100_000_000))
    peaks = [each.worker_bytes for each in found.values() if each.worker_bytes]
    assert peaks == sorted(peaks)
    assert found["ingest"].worker_bytes > 1200 * 10**6  # 100 million pixels, decoded
    assert found["catalog"].worker_bytes == 0


def test_training_is_there_only_where_a_night_trains() -> None:
    assert "train" not in expected(WORK, Rates())
    some = replace(WORK, trains=True, examples=1000, epochs=10, example_flops=2e8)
    found = expected(some, Rates())
    assert list(found)[:4] == ["inventory", "ingest", "train", "embed"]
    # 1,000 examples, 10 epochs, forward and twice as much backward, at 2e10 a second and core
    alone = found["train"].seconds - expected(replace(some, epochs=0), Rates())["train"].seconds
    assert alone == pytest.approx(1000 * 10 * 2e8 * 3 / (2e10 * 2))
    assert found["train"].driver_bytes > expected(WORK, Rates())["embed"].driver_bytes


def test_money_is_core_hours_and_requests_and_bytes() -> None:
    figures = Figures(seconds=7200, requests=5000, bytes_read=3 * 10**9, bytes_written=10**9)
    assert cost(figures, 10, Prices(hour=0.05, request=0.4, gb=0.02)) == pytest.approx(3.08)
    assert cost(figures, 10, Prices(request=0.4)) == pytest.approx(2.0)
    assert cost(figures, 10, Prices()) is None


def test_the_whole_is_the_sum_and_of_memory_the_largest() -> None:
    one = Figures(seconds=1.5, requests=3, worker_bytes=5, driver_bytes=2, images=4, money=1.0)
    other = Figures(seconds=2.0, requests=4, worker_bytes=3, driver_bytes=9, images=2)
    assert total({"a": one, "b": other}) == Figures(
        images=4, seconds=3.5, requests=7, worker_bytes=5, driver_bytes=9, money=1.0
    )
    assert total({"b": other}).money is None


def test_tuning_builds_one_shard_more_and_asks_it() -> None:
    """1,000 vectors of 100 numbers: 40 trees at 3.5e-7 s for each of 9.97 halvings, and 0.035 s."""
    rates = FREE.model_copy(update={"pace": 1.0})
    plain, tuned = (expected(replace(WORK, trial_trees=trees), rates)["index"] for trees in (0, 40))
    built = 1000 * 40 * 3.5e-7 * 9.9687 * 100 / 154
    assert tuned.seconds - plain.seconds == pytest.approx(built + 0.035, abs=2e-3)
    assert tuned.tasks == plain.tasks + 1
    assert tuned.bytes_read == 4 * plain.bytes_read


def test_auto_is_exact_up_to_so_many_vectors_and_says_why_and_what_the_other_costs() -> None:
    few, many = (replace(WORK, images=rows, dim=128) for rows in (81_446, 10_000_000))
    taken, other = joins_of(few, Rates()), joins_of(many, Rates())
    assert (taken.method, taken.other) == ("exact", "neighbors.method=approximate")
    assert taken.why == "81,446 vectors at most are no more than neighbors.exact_rows = 3,000,000"
    assert (other.method, other.other) == ("approximate", "neighbors.method=exact")
    assert other.why == "10,000,000 vectors at most are more than neighbors.exact_rows = 3,000,000"
    # 6,324 cells of ten million: 60 of them, and both ends, hold a hundredth of all pairs
    assert (other.probes, other.cells) == (60, 6324)
    assert 10 < other.exact.core_seconds / other.approximate.core_seconds < 100
    asked = joins_of(replace(few, method="approximate"), Rates())
    assert (asked.method, asked.why) == ("approximate", "neighbors.method is approximate")


@pytest.mark.parametrize(
    ("method", "images", "dim", "measured"),
    [
        ("exact", 1_000_000, 128, 530),
        ("exact", 81_446, 512, 717),
        ("approximate", 1_000_000, 128, 764),
        ("approximate", 130_000, 512, 1271),
        ("approximate", 81_446, 512, 915),
    ],
)
def test_the_memory_of_a_join_is_planned_within_a_fifth_of_what_was_measured(
    method: str, images: int, dim: int, measured: int
) -> None:
    work = replace(WORK, images=images, dim=dim, pool=64, method=method, pairs_from=32_768)
    planned = getattr(joins_of(work, Rates()), method).worker_bytes
    assert planned == pytest.approx(measured * 10**6, rel=0.2)


def test_the_neighbors_of_a_night_cost_what_the_join_costs_that_is_taken() -> None:
    rates = FREE.model_copy(update={"pair": 1e-8})
    many = replace(WORK, images=1_000_000, dim=128, exact_rows=999_999)
    cheap, dear = (
        expected(replace(many, method=method), rates)["neighbors"].seconds
        for method in ("auto", "exact")
    )
    # Half of 10^12 pairs at 10 ns by two cores, and what the layout takes
    assert dear == pytest.approx(2500, rel=0.05)
    assert cheap < dear / 5
    more = replace(many, recall=0.99)  # half as much may be missed, twice the cells are looked at
    assert expected(more, rates)["neighbors"].seconds > 1.3 * cheap


def test_a_table_is_kept_up_to_date_below_a_share_of_the_products_of_a_whole_join() -> None:
    change = Change(81_446, added=1222, gone=815)
    night = replace(WORK, images=81_853, dim=128, change=change)
    upkeep = joins_of(night, Rates()).upkeep
    assert upkeep is not None
    # 1,222 by 80,631 that stay, themselves, and 2,557 by which their lists are bounded, of n^2 / 2
    assert upkeep.share == pytest.approx(1222 * (80_631 + 1222 + 2557) / (81_853**2 / 2), abs=1e-4)
    assert upkeep.kept_up
    rates = FREE.model_copy(update={"pair": 1e-8})
    kept, whole = (
        expected(each, rates)["neighbors"].seconds for each in (night, replace(night, change=None))
    )
    assert kept < 0.1 * whole
    never = joins_of(replace(night, rebuild_share=0.03), Rates()).upkeep
    assert never is not None
    assert not never.kept_up
    assert joins_of(replace(night, change=None), Rates()).upkeep is None


def test_lists_that_lose_more_than_their_spare_entries_count_as_made_again() -> None:
    none, few, all_gone = (
        kept_up_products(Change(1000, 0, gone), k=2, size=3) for gone in (0, 100, 1000)
    )
    assert (none, all_gone) == (0, 0)
    # two or three of three are gone: 3 * .01 * .9 + .001, of 900 lists, by 900 vectors each
    assert few == pytest.approx(0.028 * 900 * 900, abs=1)
    # more than half of 2,000 are gone of about half of the lists, however many ways there are
    half = kept_up_products(Change(2000, 0, 1000), k=1000, size=2000)
    assert half == pytest.approx(0.5 * 1000 * 1000, rel=0.02)
    assert whole_products(1000, 1001) == 1_000_000
    assert whole_products(1000, 1000) == 499_500
