"""The page: what it says, what it leaves out, and that no text of others has any power in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
import unicodedata
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from artrec.report import (
    Approximate,
    Became,
    Churn,
    Facts,
    Gate,
    Maintained,
    Morning,
    Stage,
    Training,
    render,
)
from artrec.report.drawing import script_json
from tests.report.literal import bare, full, points
from tests.report.reading import Page

THUMB = "0123456789abcdef"
SECTIONS = {
    *("lists", "quality", "recall", "map", "encoder", "gates"),
    *("rejects", "hubs", "duplicates", "near", "distances", "churn", "stages", "settings", "ruled"),
    *("morning", "beside", "nights", "clusters"),
}


BECAME = Became(kind="gone", count=1)
PAGES = ("index.html", "new.html", "changed.html")


def page(facts: Facts, name: str = "index.html") -> Page:
    return Page(render(facts)[name].decode())


def with_gates(*passed: bool, overridden: str | None = None) -> dict[str, tuple[Gate, ...]]:
    gates = (
        Gate(
            gate=f"g{n}", passed=ok, found="1", expected="2", overridden=None if ok else overridden
        )
        for n, ok in enumerate(passed)
    )
    return {"gates": tuple(gates)}


def test_a_release_of_which_little_is_known_has_no_empty_sections() -> None:
    found = page(bare())
    assert found.ids & SECTIONS == set()
    assert "2026-01-02" in found.text
    assert "0 listed = 0 stored as images + 0 rejected" in found.text


def test_everything_that_is_known_has_its_section_and_its_link() -> None:
    found = page(full([THUMB]))
    assert found.ids >= SECTIONS
    links = {value for value in found.values("href") if value.startswith("#")}
    assert links == {f"#{name}" for name in (*SECTIONS, "main")}


def test_the_figures_stand_in_the_page() -> None:
    text = page(full([THUMB])).text
    for words in (
        "1,166 listed = 1,150 stored as images + 16 rejected",
        "62.0\u202f% chance 11.0\u202f%",
        "precision@10",
        "60.0 to 64.0\u202f%",
        "31.0\u202f%",
        "truncated ingest 11",
        "neighbors_in_style within the same style 50 57,000 98.0\u202f% 20 fewer candidates than "
        "places, 3 no label to be within",
        "neighbors_two at most 2 of each artist 50 57,500 100.0\u202f% none",
        "ends after 600 bytes",
        "and 10 more, in the table rejects",
        "236\u202fMB",
        "Index, top 10 96.3\u202f% 95.9 to 96.5\u202f% passed at 95.0\u202f%",
        "mAP 0.31 on held-out pictures",
        "as in release 2026-01-01: nothing to do",
        "11.0\u202f% other artists, no duplicates",
        "this encoder, with its 95 % interval",
        "a/one.jpg b/two.jpg and 5 more",
        "31 groups, 6.2\u202f% of the images, the largest of 9.",
        "4 bits 0.013",
        "2 bits –",
        "and 5 more",
        "median 0.15",
        "Lists of images that 2026-01-01 had too.",
        "lists that changed 17.50\u202f% of 1,143",
        "with another first neighbor 1.75\u202f%",
        "entries that are new 2.00\u202f% of 57,150",
        "neighbors that went 1,150",
        "neighbors.k 50",
        "2 January 2026, 03:04 UTC",
    ):
        assert words.replace("\u202f", " ") in text, words


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"status": "published"}, "● published"),
        ({"status": "refused", **with_gates(True, False)}, "✕ refused by 1 of 2 gates"),
        (with_gates(False, False), "✕ refused by 2 of 2 gates"),
        (with_gates(True, True), "✓ 2 gates passed"),
        (
            with_gates(True, False, overridden="a test"),
            "! 1 of 2 gates passed, the others overridden",
        ),
        ({}, "○ draft"),
    ],
)
def test_the_verdict_stands_beside_the_name(update: dict[str, Any], words: str) -> None:
    assert words in page(bare().model_copy(update=update)).text


def test_lists_that_cannot_be_compared_are_said_to_be_so() -> None:
    churn = Churn(since="2026-01-01", why="other encoder, not comparable", kinds={"new": 2})
    text = page(bare().model_copy(update={"churn": churn})).text
    assert "Its lists beside those of 2026-01-01 : other encoder, not comparable." in text
    assert "What became of images: 2 new." in text


def test_the_change_feed_is_counted_by_images_and_by_entries() -> None:
    text = page(full([THUMB])).text
    assert "What became of images" not in text  # the morning says it
    before = page(full([THUMB]).model_copy(update={"morning": None})).text
    assert "Since 2026-01-01 : 7 images are new, 3 are gone." in before
    assert "What became of images: 7 new, 3 gone." in before
    assert "1,500 entries to insert, 1,300 to delete, 12 to update." in text


def test_a_table_that_was_kept_up_to_date_says_from_which_and_at_what_cost() -> None:
    churn = Churn(since="2026-01-01", images=1150, new=7, gone=3)
    facts = {"added": 7, "gone": 4, "recomputed": 2, "products": 30, "whole_products": 1000}
    kept = Maintained(since="2026-01-01", **facts)
    text = page(bare().model_copy(update={"churn": churn, "maintained": kept})).text
    assert "kept up to date from that of 2026-01-01" in text
    assert "7 vectors came, 4 went, 2 lists were made again; 3.0 % of the products" in text
    older = kept.model_copy(update={"since": "2025-12-31"})  # kept since then, tonight untouched
    text = page(bare().model_copy(update={"churn": churn, "maintained": older})).text
    assert "kept up to date" not in text


def said_of(encoder: str, **training: str) -> str:
    """The section Encoder of a release with this encoder."""
    facts = full([THUMB])
    assert facts.training is not None
    known = Training.model_validate(facts.training.model_dump() | training)
    text = page(facts.model_copy(update={"encoder": encoder, "training": known})).text
    return text[text.index("This release uses") : text.index("Held-out pictures")]


def test_a_trained_encoder_that_was_not_taken_is_not_said_to_be_the_release_s() -> None:
    why = "hand-made: on 40 held-out examples it was worse"
    said = said_of("handmade-1", trained="conv-1", chosen="handmade-1", why=why)
    assert said.startswith(
        "This release uses handmade-1 , the hand-made one. conv-1 was trained. "
        "Taken: handmade-1 , the hand-made one. Why: on 40 held-out examples it was worse ."
    )
    for words in ("Training of conv-1", "Reconstructions of conv-1"):
        assert f"{words} , not the encoder of this release" in said
    assert "name another since" not in said


def test_an_encoder_that_was_named_after_the_training_is_said_to_be_so() -> None:
    said = said_of("conv-1", trained="conv-1", chosen="handmade-1")
    assert said.startswith("This release uses conv-1 , the trained one. conv-1 was trained.")
    assert "Taken then: handmade-1 , the hand-made one." in said
    assert "The settings, or the release before this one, name another since." in said
    assert "not the encoder of this release" not in said


def test_where_every_image_was_asked_there_are_no_intervals() -> None:
    facts = full([THUMB])
    points = [
        row.model_copy(update={"low": row.value, "high": row.value}) for row in facts.measures
    ]
    text = page(facts.model_copy(update={"measures": tuple(points)})).text
    assert "this encoder; every image was asked" in text
    assert "95 % interval" not in text
    assert not re.search(r"\d to \d+\.\d", text)


# -- the morning ----------------------------------------------------------------------------


def test_the_morning_says_what_became_of_images_and_what_the_night_cost() -> None:
    text = page(full([THUMB])).text
    for words in (
        "What became of the images of 2026-01-01 , and of its lists.",
        "new 9 gone 3 moved 1 healed 0 rejects in all 16",
        "wikiart/Realism/new_5.jpg and 3 more, in the table catalog_changes",
        "to/here.jpg was from/there.jpg",
        "New hubs Among those in the most lists now; in the last release they were not.",
        "5 images stand in no list now that are new or stood in one; some of them.",
        "rejects 1.37\u202f% 1.25\u202f% +0.12\u202fpoints 1.00\u202f% to 1.30\u202f% in 7",
        "mean vector moved, of the spread 0.0123 – – –",
        "median distance at rank 10 0.25 0.25 same –",
        "2026-01-02 1,150 44.0 s 40.0 s 1.0 MB 2.0 MB 5.0 MB – 0.0100 2025-12-31 1,106 132 s 100 s",
        "2025-12-25 1,100 90.0 s 100 s 4.2 MB 4.0 MB 9.0 MB 0.0200 0.0250",
    ):
        assert words.replace("\u202f", " ") in text, words
    order = ["This night", "Changes", "Drift", "Cost", "Neighbors", "Quality"]
    places = [text.index(f" {title} ") for title in order]
    assert places == sorted(places)


def test_a_page_shows_new_images_with_their_neighbors() -> None:
    found = page(full([THUMB]), "new.html")
    assert "2 of 9, drawn at random, since 2026-01-01" in found.text
    assert "was rejected before" in found.text
    assert "Its list is empty." in found.text
    assert found.values("src") == [f"thumbs/{THUMB}.jpg"] * 12


def test_a_page_shows_the_lists_that_changed_most() -> None:
    text = page(full([THUMB]), "changed.html").text
    assert "2 of the 200 lists that changed since 2026-01-01" in text
    assert "Came 12, the nearest 10" in text
    assert text.count("no image any more") == 1
    assert "Went 0 None." in text


@pytest.mark.parametrize(
    ("night", "index", "new", "changed"),
    [
        (
            Morning(),
            "The first release: nothing to compare it with.",
            "The first release: every image is new.",
            "The first release: no list was another before.",
        ),
        (
            Morning(since="a", why="other encoder, not comparable", became=(BECAME,)),
            "its lists, which do not compare: other encoder, not comparable.",
            "No image is new since a .",
            "The lists do not compare with those of a : other encoder, not comparable.",
        ),
        (
            Morning(since="a"),
            "Since a : it kept no tables to compare with.",
            "No image is new since a .",
            "No such list has changed since a .",
        ),
    ],
)
def test_what_has_nothing_to_show_says_so_in_a_line(
    night: Morning, index: str, new: str, changed: str
) -> None:
    facts = bare().model_copy(update={"morning": night})
    for name, words in zip(PAGES, (index, new, changed), strict=True):
        assert words in page(facts, name).text
    assert page(facts).ids & SECTIONS == {"morning"}


def test_a_report_of_an_older_artrec_has_one_page() -> None:
    older = full([THUMB]).model_copy(update={"morning": None})
    assert set(render(older)) == {"index.html", "data.json"}
    assert page(older).ids & SECTIONS == SECTIONS - {"morning", "beside", "nights"}


def test_an_approximate_join_of_more_pairs_than_the_exact_one_names_the_cheaper_one() -> None:
    counts = {"near": 2, "probes": 0, "cells": 7, "exact_products": 1000}
    recall = {"mean": 0.99, "low": 0.98, "high": 1.0, "rows": 500}
    rest = {"target": 0.98, "seconds": 0.2, "exact_seconds": 0.1, "recall": recall}
    for products, said in ((1001, True), (1000, False)):
        made = Approximate.model_validate({**counts, **rest, "products": products})
        text = page(full([THUMB]).model_copy(update={"approximate": made})).text
        assert "The neighbor table is approximate" in text
        assert ("At this size the exact join is the cheaper one" in text) == said


def test_a_stage_stands_beside_what_it_was_expected_to_take() -> None:
    stage = Stage(name="catalog", seconds=9.5, counters={"worker_peak_bytes": 3 << 29},
                  expected_seconds=12.0, expected_worker_bytes=2**30)  # fmt: skip
    text = page(bare().model_copy(update={"stages": (stage,)})).text
    assert "catalog 9.5 s 12.0 s 1,024 MB – 1,536 MB" in text
    assert "beside what it was expected to take" in text
    without = stage.model_copy(update={"expected_seconds": None, "expected_worker_bytes": None})
    text = page(bare().model_copy(update={"stages": (without,)})).text
    assert "catalog 9.5 s – – 1,536 MB" in text
    assert "beside what it was expected to take" not in text


def test_a_stage_that_was_kept_shows_nothing_of_the_night_before() -> None:
    kept = Stage(name="evaluate", seconds=0.0, kept_from="2026-01-01",
                 counters={"queries": 1234, "worker_peak_bytes": 2**30})  # fmt: skip
    text = page(bare().model_copy(update={"stages": (kept,)})).text
    assert "evaluate – – – – as in release 2026-01-01: nothing to do" in text


# -- text of others -------------------------------------------------------------------------

HOSTILE = {
    "script": "</script><script>window.owned=1</script><img src=x onerror=window.owned=1>",
    "attribute": '" onmouseover="window.owned=1" x=\'',
    "quote": "' autofocus onfocus=window.owned=1 '",
    "comment": "--><!--<script>",
    "entity": "&lt;script&gt;window.owned=1&lt;/script&gt;",
    "url": "javascript:window.owned=1",
    "template": "{{ 7 * 7 }}{% include 'page.html' %}${7*7}",
    "ansi": "\x1b[31mred\x1b]0;owned\x07",
    "bidi": "\u202e\u2066gpj.exe",
    "lines": "a\u2028b\u2029c\nd\x00e",
    "surrogate": "\ud800\udfff",
    "long": "A" * 10_000,
    "combining": "Z" + "\u0335\u0348" * 5_000,
}


def spoiled(value: Any, text: str) -> Any:
    """The same, with ``text`` in place of every string that is no hash and no closed list."""
    if isinstance(value, dict):
        kept = ("thumb", "picture", "original", "reconstruction", "difference", "status", "created")
        labels = ("measure", "average", "label", "variant", "pool")
        return {k: v if k in (*kept, *labels) else spoiled(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [spoiled(each, text) for each in value]
    return text if isinstance(value, str) else value


@cache
def hostile_files(kind: str) -> dict[str, bytes]:
    return render(hostile(HOSTILE[kind]))


def hostile_page(kind: str, name: str = "index.html") -> Page:
    return Page(hostile_files(kind)[name].decode())


def hostile(text: str) -> Facts:
    return Facts.model_validate(spoiled(full([THUMB]).model_dump(mode="json"), text))


@pytest.fixture(scope="module")
def sounds() -> dict[str, Page]:
    return {name: page(hostile("quiet"), name) for name in PAGES}


@pytest.fixture
def sound(sounds: dict[str, Page]) -> Page:
    return sounds["index.html"]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", PAGES)
def test_no_text_changes_the_elements_of_the_page(
    kind: str, name: str, sounds: dict[str, Page]
) -> None:
    found, sound = hostile_page(kind, name), sounds[name]
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in sound.elements]
    for (_, attributes), (_, plain) in zip(found.elements, sound.elements, strict=True):
        assert attributes.keys() == plain.keys()
    assert found.values("href", "src", "id") == sound.values("href", "src", "id")


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_text_changes_what_runs(kind: str, sound: Page) -> None:
    found = hostile_page(kind)
    code = [(tag, text) for tag, held, text in found.raw if "type" not in held]
    assert code == [(tag, text) for tag, held, text in sound.raw if "type" not in held]
    data = [text for _, held, text in found.raw if held.get("type") == "application/json"]
    assert len(data) == 1
    assert not re.search("[<>&\u2028\u2029]", data[0])
    assert json.loads(data[0])["points"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_invisible_is_written(kind: str) -> None:
    for data in hostile_files(kind).values():
        written = data.decode()
        odd = {c for c in written if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
        assert odd <= {"\n"}


def test_a_hostile_title_is_shown_as_it_is_spelled() -> None:
    assert "<script>window.owned=1</script>" in hostile_page("script").text
    assert r"\u202e\u2066gpj.exe" in hostile_page("bidi").text
    assert "{{ 7 * 7 }}" in hostile_page("template").text


def test_script_json_cannot_end_its_element() -> None:
    text = script_json(["</script>", "\u2028", "<!--", "é&"])
    assert text == r'["\u003c/script\u003e","\u2028","\u003c!--","é\u0026"]'
    assert json.loads(text) == ["</script>", "\u2028", "<!--", "é&"]


# -- what it loads --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_allows_this_style_and_this_script_alone(name: str) -> None:
    found = page(full([THUMB]), name)
    policy = next(
        str(held["content"])
        for tag, held in found.elements
        if held.get("http-equiv") == "Content-Security-Policy"
    )
    for tag in ("style", "script"):
        (text,) = [text for kind, held, text in found.raw if kind == tag and "type" not in held]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    found = page(full([THUMB]), name)
    sources = found.values("src")
    assert sources
    assert all(re.fullmatch(rf"thumbs/{THUMB}\.jpg", source) for source in sources)
    for value in found.values("href"):
        assert value.startswith(("#", "data:image/svg+xml,")) or value in (*PAGES, "data.json")
    style = next(text for tag, _, text in found.raw if tag == "style")
    assert not re.search(r"url\(|@import|//", style)
    assert "style" not in {name for _, held in found.elements for name in held}


@pytest.mark.parametrize("name", PAGES)
def test_pictures_have_words_and_controls_have_names(name: str) -> None:
    found = page(full([THUMB]), name)
    assert all(held.get("alt") for tag, held in found.elements if tag == "img")
    marks = [held for tag, held in found.elements if tag == "svg" and "aria-hidden" not in held]
    inner = [held for held in marks if held.get("overflow") == "visible"]
    assert all(held.get("aria-label") for held in marks if held not in inner)
    assert ("html", {"lang": "en"}) in found.elements


# -- sizes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["the great wave off kanagawa", "<" * 300, "神" * 300])
def test_the_first_page_of_80000_images_is_below_5_mb(text: str) -> None:
    many = hostile(text).model_copy(
        update={"points": Facts.model_validate(
            spoiled(bare().model_copy(update={"points": points(8_000, [THUMB])})
                    .model_dump(mode="json"), text)).points}
    )  # fmt: skip
    assert len(render(many)["index.html"]) < 5_000_000


def test_the_same_facts_make_the_same_bytes() -> None:
    assert render(full([THUMB])) == render(full([THUMB]))


def test_the_templates_are_part_of_the_package() -> None:
    found = {each.name for each in (resources.files("artrec.report") / "templates").iterdir()}
    assert found >= {"page.html", "new.html", "report.css", "report.js"}
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["wheel"] == {
        "packages": ["artrec"]
    }
