"""The page of a comparison, from a literal account."""

from __future__ import annotations

import re
from typing import Any

from artrec.report import page_of_comparison

Row = dict[str, Any]
HOSTILE = "<script>alert(1)</script>"


def encoder(name: str, **more: Any) -> Row:
    facts = {"architecture": "cnn", "dim": 8, "metric": "cosine", "vector_bytes": 32}
    costs = {"weights_bytes": 0, "trained_on": None, "training_seconds": None, "pictures": 50}
    counts = {"rejected": 0, "no_vector": 0, "value": None}
    times = {"decode_ms": 1.0, "encode_ms": 2.0, "reconstruction_error": None}
    return {"encoder": name, **facts, **costs, **times, **counts, **more}


def account(*encoders: Row, over: str | None = None) -> Row:
    floor = encoder("pixels", architecture="floor")
    return {"release": "one", "images": 50, "over": over, "encoders": [*encoders, floor]}


def measured(name: str, value: float, measure: str = "precision", k: int = 1, **more: Any) -> Row:
    row = {"encoder": name, "measure": measure, "pool": "sample", "label": "artist", "k": k}
    facts = {"variant": "all", "average": "micro", "group": "", "queries": 50, "value": value}
    return row | facts | {"low": value - 0.1, "high": value + 0.1} | more


def lines(page: bytes, title: str) -> list[list[str]]:
    """The cells of the rows of the table under a title, without markup."""
    part = page.decode().split(title, 1)[1].split("</table>", 1)[0].split("<tbody>", 1)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", part, re.S)
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows)
    return [[re.sub(r"<(?!/?b>)[^>]+>", "", c).replace("\u202f", " ").strip() for c in row]
            for row in cells]  # fmt: skip


def test_the_best_is_first_and_bold_and_floors_and_chance_are_last() -> None:
    rows = [
        measured("weak", 0.4), measured("strong", 0.6), measured("pixels", 0.7),
        measured("weak", 0.5, "map", 10), measured("chance", 0.1, k=0, low=None, high=None),
    ]  # fmt: skip
    page = page_of_comparison(account(encoder("weak"), encoder("strong")), rows)
    table = lines(page, ">Same artist<")
    assert [row[0] for row in table] == ["strong", "weak", "16 × 16 pixels", "chance"]
    assert [row[1] for row in table] == [
        "60.0 % 50.0 to 70.0 %", "40.0 % 30.0 to 50.0 %", "<b>70.0 %</b> 60.0 to 80.0 %", "10.0 %",
    ]  # fmt: skip
    assert [row[3] for row in table] == ["–", "<b>50.0 %</b> 40.0 to 60.0 %", "–", "–"]
    assert ">Same style<" not in page.decode()


def test_curves_over_a_setting_go_in_the_order_of_its_values() -> None:
    swept = [
        encoder("a", value="8", encode_ms=4.0, reconstruction_error=0.5),
        encoder("b", value="128", encode_ms=2.0, reconstruction_error=0.25),
        encoder("c", value="32", encode_ms=3.0, reconstruction_error=0.25),
    ]
    rows = [measured(name, value) for name, value in (("a", 0.2), ("b", 0.4), ("c", 0.3))]
    page = page_of_comparison(account(*swept, over="train.latent"), rows).decode()
    assert "Over <bdi>train.latent</bdi>" in page
    assert 'points="0.0,96.0 120.0,0.0 240.0,48.0"' in page  # P@1 from .2 to .4
    assert 'points="0.0,0.0 120.0,96.0 240.0,96.0"' in page  # the error
    assert re.findall(r'<span class="x">(.*?)</span>', page)[0] == (
        "<i><bdi>8</bdi></i><i><bdi>128</bdi></i><i><bdi>32</bdi></i>"
    )


def test_what_is_not_known_of_every_value_has_no_curve() -> None:
    """It would be drawn from end to end, over the names of values that have none."""
    swept = [
        encoder(value, value=value, reconstruction_error=error)
        for value, error in (("0.1", None), ("1e-3", 0.5), ("2", 0.25))
    ]
    rows = [measured(each["encoder"], 0.1 * n) for n, each in enumerate(swept, 1)]
    page = page_of_comparison(account(*swept, over="train.learning_rate"), rows).decode()
    assert "<figcaption>same artist</figcaption>" in page
    assert "<figcaption>reconstruction error</figcaption>" not in page


def test_between_names_no_curve_is_drawn_and_the_table_has_them() -> None:
    swept = [encoder(name, value=name) for name in ("descriptor", "dense", "tiny")]
    rows = [measured(each["encoder"], 0.1 * n) for n, each in enumerate(swept, 1)]
    page = page_of_comparison(account(*swept, over="train.recipe"), rows)
    assert b"<figcaption>" not in page
    names = [row[:2] for row in lines(page, ">Same artist<")][:3]
    assert names == [["tiny", "tiny"], ["dense", "dense"], ["descriptor", "descriptor"]]


def test_an_encoder_without_vectors_for_some_pictures_is_named() -> None:
    page = page_of_comparison(account(encoder("dark", no_vector=7)), []).decode()
    assert "<bdi>dark</bdi> gives 7 of these pictures no vector" in page


def test_without_labels_costs_are_compared_and_names_are_only_text() -> None:
    page = page_of_comparison(account(encoder(HOSTILE, rejected=3)), [])
    text = page.decode()
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "only costs are compared" in text
    assert "3 of these pictures could not be decoded" in text
    (own, _) = lines(page, "What they cost")
    assert own[1:6] == ["8", "32 B", "–", "1.00", "2.00"]
