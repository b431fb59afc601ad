"""Which measured rows stand beside each other, on literal rows."""

from __future__ import annotations

from typing import Any

import pytest

from artrec.report import Curve, Facts, Gate, Measured, NightCost
from artrec.report.charts import best_row, charts, has_interval, recalls, title_of
from artrec.report.drawing import columns, plots, recall_scale, script_json
from artrec.report.plane import map_data
from tests.report.literal import ENCODER, STYLES, bare, full, image, points


def row(measure: str = "precision", value: float | None = 0.5, **more: Any) -> Measured:
    facts = {
        "encoder": ENCODER, "pool": "catalog", "label": "style", "variant": "all",
        "average": "micro", "group": "", "k": 10, "queries": 100,
    }  # fmt: skip
    return Measured.model_validate(facts | {"measure": measure, "value": value} | more)


def having(*measures: Measured, **update: Any) -> Facts:
    return bare().model_copy(update={"measures": measures, **update})


def test_style_comes_first_and_the_strictest_variant() -> None:
    found = charts(full())
    assert [(chart.label, chart.pool) for chart in found] == [
        ("style", "catalog"),
        ("artist", "catalog"),
    ]
    assert [panel.title for panel in found[0].panels] == [
        "other artists, no duplicates",
        "other artists only",
        "no duplicates",
        "all images",
    ]
    names = [line.name for line in found[0].panels[0].lines]
    assert names == ["precision@1", "precision@5", "precision@10", "precision@50", "mAP@50"]


def test_a_line_holds_ours_beside_the_floors_and_chance() -> None:
    facts = having(
        row(value=0.6),
        row(value=0.9, average="macro"),
        row(value=0.3, encoder="pixels"),
        row(value=0.4, encoder="histogram"),
        row(value=0.1, encoder="chance"),
        row(value=0.5, encoder="handmade-1"),
    )
    (line,) = charts(facts)[0].panels[0].lines
    assert line.own is not None
    assert line.own.value == 0.6
    assert [floor.value for floor in line.floors] == [0.4, 0.3]
    assert line.chance is not None
    assert line.chance.value == 0.1
    assert [other.encoder for other in line.others] == ["handmade-1"]


def in_two_pools() -> tuple[Measured, ...]:
    """As evaluate measures: the encoder in both pools, the floors in the sample alone."""
    return (
        row(value=0.6),
        row(value=0.1, encoder="chance", k=0),
        row(value=0.61, pool="sample"),
        row(value=0.1, encoder="chance", k=0, pool="sample"),
        row(value=0.3, encoder="pixels", pool="sample"),
        row(value=0.4, encoder="histogram", pool="sample"),
    )


@pytest.mark.parametrize("stored", [5000, 12])
def test_a_sample_that_is_the_whole_catalog_is_one_table_with_the_floors(stored: int) -> None:
    settings = {"evaluate.sample": "5000"}
    (chart,) = charts(having(*in_two_pools(), settings=settings, stored=stored))
    assert (chart.pool, chart.within, chart.has_floors) == ("catalog", "", True)
    (line,) = chart.panels[0].lines
    assert line.own is not None
    assert line.chance is not None
    assert (line.own.value, line.chance.value) == (0.6, 0.1)
    assert [(floor.encoder, floor.value) for floor in line.floors] == [
        ("histogram", 0.4),
        ("pixels", 0.3),
    ]


@pytest.mark.parametrize("settings", [{"evaluate.sample": "5000"}, {}])
def test_a_sample_of_a_larger_catalog_has_a_table_of_its_own(settings: dict[str, str]) -> None:
    found = charts(having(*in_two_pools(), settings=settings, stored=5001))
    assert [(chart.within, chart.has_floors) for chart in found] == [
        ("within the whole catalog", False),
        ("within a sample, the floors beside", True),
    ]
    assert [chart.panels[0].lines[0].own.value for chart in found] == [0.6, 0.61]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.6, 0.64, True),
        (0.775, 0.775, False),
        (0.7750001, 0.7750002, False),
        (None, 0.7, False),
        (0.7, None, False),
    ],
)
def test_an_interval_with_both_ends_alike_is_none(
    low: float | None, high: float | None, shown: bool
) -> None:
    assert has_interval(row(low=low, high=high)) is shown
    assert not has_interval(None)


@pytest.mark.parametrize(
    ("least", "ticks"),
    [
        (1.0, [98, 99, 100]),
        (0.987, [98, 99, 100]),
        (0.95, [94, 96, 98, 100]),
        (0.9, [85, 90, 95, 100]),
        (0.89, [85, 90, 95, 100]),
        (0.5, [40, 60, 80, 100]),
        (0.31, [20, 40, 60, 80, 100]),
        (0.0, [0, 25, 50, 75, 100]),
    ],
)
def test_the_axis_of_recall_has_round_ticks_below_the_least(least: float, ticks: list[int]) -> None:
    scale = recall_scale(recalls(having(row("index_recall", least))))
    assert [100 * tick for tick in scale.ticks] == pytest.approx(ticks)
    assert scale(1.0) == "100.00%"


def test_where_floors_alone_were_measured_there_is_no_line_at_the_top() -> None:
    assert best_row(having(row(encoder="chance")), "style") is None
    assert best_row(having(row()), "artist") is None
    found = best_row(having(row(k=1), row(k=50), row(k=11), row("map", k=10)), "style")
    assert found is not None
    assert found.name == "precision@11"


def test_best_and_worst_classes_are_those_with_enough_queries() -> None:
    classes = tuple(
        row(value=value, average="class", group=name, queries=queries)
        for name, value, queries in (
            ("a", 0.9, 50), ("b", 0.2, 50), ("c", 0.5, 50), ("rare", 1.0, 4), ("none", None, 50),
        )
    )  # fmt: skip
    panel = charts(having(row(), classes=classes))[0].panels[0]
    assert [each.group for each in panel.best] == ["a", "c"]
    assert [each.group for each in panel.worst] == ["b"]


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [
        ("at least 0.95", 0.95),
        ("95 % or more", 0.95),
        ("recall@10 of 0.9", 0.9),
        ("as before", None),
    ],
)
def test_a_recall_stands_beside_what_its_gate_wants(expected: str, wanted: float | None) -> None:
    gates = (
        Gate(gate="balance", passed=True, found="0.1", expected="0.2"),
        Gate(gate="index_recall", passed=True, found="0.96", expected=expected),
    )
    (found,) = recalls(having(row("index_recall", 0.96, low=0.95, high=0.97), gates=gates))
    assert (found.name, found.wanted, found.gate) == ("Index, top 10", wanted, gates[1])


def test_titles_of_measures() -> None:
    assert title_of(row()) == "precision@10"
    assert title_of(row("map", k=0)) == "mAP"
    assert title_of(row("index_recall", k=0)) == "index recall"


def test_curves_of_one_measure_share_a_plot() -> None:
    found = plots(
        [
            Curve(measure="train_loss", points=((1, 4.0), (2, 2.0), (3, None))),
            Curve(measure="valid_loss", points=((1, 3.0), (3, 0.0))),
            Curve(measure="valid_map", points=((1, 0.25), (2, 0.5))),
            Curve(measure="train_nothing", points=((1, None),)),
        ]
    )
    assert [plot.title for plot in found] == ["loss", "map"]
    loss = found[0]
    assert (loss.low, loss.high, loss.first, loss.last) == (0.0, 4.0, 1, 3)
    assert loss.lines == (
        ("train_loss", "0.0,0.0 120.0,48.0", 2.0),
        ("valid_loss", "0.0,24.0 240.0,96.0", 0.0),
    )


def test_what_tells_nothing_of_a_training_has_no_plot() -> None:
    found = plots(
        [
            Curve(measure="learning_rate", points=((1, 0.001), (2, 0.001))),
            Curve(measure="reading_seconds", points=((1, 0.5), (2, 0.4))),
            Curve(measure="seconds", points=((1, 4.0), (2, 3.0))),
            Curve(measure="held_out_loss", points=((1, 0.25), (2, 0.25))),
        ]
    )
    assert [plot.title for plot in found] == ["loss"]
    fell = Curve(measure="learning_rate", points=((1, 0.001), (2, 0.0005)))
    assert [plot.title for plot in plots([fell])] == ["learning rate"]


def test_the_largest_styles_have_a_look_of_their_own() -> None:
    many = tuple(
        point.model_copy(update={"image": image(0).model_copy(update={"style": f"s{n % 40}"})})
        for n, point in enumerate(points(200))
    )
    found = map_data(bare().model_copy(update={"points": many}))["styles"]
    looks = [(style["hue"], style["shape"]) for style in found]
    assert len(set(looks[:27])) == 27
    assert set(looks[27:]) == {(9, 0)}


def test_titles_that_take_many_bytes_in_a_page_do_not_make_it_large() -> None:
    hostile = {"title": "<" * 60, "artist": "‹&" * 30}
    many = tuple(
        point.model_copy(update={"image": image(n).model_copy(update=hostile)})
        for n, point in enumerate(points(100))
    )
    page = script_json(map_data(bare().model_copy(update={"points": many})))
    assert len(page.encode()) < 100 * 200
    assert "<" not in page


def test_the_map_keeps_its_proportions() -> None:
    found = map_data(bare().model_copy(update={"points": points(5)}))
    assert [style["name"] for style in found["styles"]] == sorted(STYLES)
    xs, ys = ([point[axis] for point in found["points"]] for axis in (0, 1))
    assert (min(xs), min(ys)) == (0, 0)
    assert max(xs) == 4095
    assert max(ys) < 4095


def test_a_column_is_as_high_as_its_cost_and_its_mark_as_high_as_the_plan() -> None:
    """Three of four releases are known: steps of 80, columns of 48 in their middle, 96 high."""
    nights = [
        NightCost(release="a", seconds=30.0, expected_seconds=60.0),
        NightCost(release="b"),
        NightCost(release="c", seconds=15.0),
        NightCost(release="d", seconds=60.0, expected_seconds=0.0),
    ]
    found = columns("time", "seconds", nights, "seconds")
    assert found is not None
    assert (found.high, found.first, found.last) == (60.0, "a", "d")
    assert [(b.x, b.width) for b in found.bars] == [(16.0, 48.0), (96.0, 48.0), (176.0, 48.0)]
    assert [(b.y, b.height) for b in found.bars] == [(48.0, 48.0), (72.0, 24.0), (0.0, 96.0)]
    assert [b.expected for b in found.bars] == [0.0, None, 96.0]
    assert [b.now for b in found.bars] == [False, False, True]


@pytest.mark.parametrize("seconds", [[5.0], [5.0, None], [0.0, 0.0]])
def test_one_release_or_nothing_spent_has_no_columns(seconds: list[float | None]) -> None:
    nights = [NightCost(release="a", seconds=each) for each in seconds]
    assert columns("time", "seconds", nights, "seconds") is None
