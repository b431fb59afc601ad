"""artrec lookup: an image and its neighbors, or why there are none."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from artrec.commands.lookup import describe, lookup
from artrec.commands.show import plain
from artrec.errors import UsageError
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import EVIL, PAINTINGS, REJECTED, nearest, publish_paintings

WATCH = "wikiart/Baroque/rembrandt_the-night-watch-1642.jpg"


def columns(line: str) -> list[str]:
    return [part.strip() for part in line.split("  ") if part.strip()]


def test_neighbors_are_shown_with_rank_distance_and_labels(artrec: Call, finished: Path) -> None:
    called = artrec("lookup", WATCH, "-k", "4", "--root", str(finished))
    assert (called.code, called.err) == (0, "")
    first, second, empty, titles, *rows = called.out.splitlines()
    assert columns(first) == [WATCH, "the night watch 1642, rembrandt"]
    assert second == "release 2026-01-02, line-1, euclidean"
    assert empty == ""
    assert columns(titles) == ["rank", "distance", "style", "artist", "title", "image_id"]
    assert [columns(row)[:2] for row in rows] == [
        ["1", "1.0000"], ["2", "4.0000"], ["3", "11.0000"], ["4", "28.0000"],
    ]  # fmt: skip
    assert columns(rows[3])[2:] == [
        "Cubism", "juan gris", "guitar 1913", "wikiart/Cubism/juan-gris_guitar-1913.jpg",
    ]  # fmt: skip


def test_an_image_cannot_be_scanned_for(artrec: Call, finished: Path) -> None:
    called = artrec("lookup", WATCH, "--exact", "--root", str(finished))
    assert (called.code, called.out) == (2, "")
    assert "--exact is for a picture file; the lists of images are those of the neighbor table" in (
        " ".join(called.err.split())
    )


def test_json_holds_the_labels_as_they_are_stored(artrec: Call, finished: Path) -> None:
    called = artrec("lookup", WATCH, "-k", "3", "--root", str(finished), "--json")
    found = json.loads(called.out)
    assert {key: found[key] for key in ("release", "encoder", "metric")} == {
        "release": "2026-01-02", "encoder": "line-1", "metric": "euclidean",
    }  # fmt: skip
    assert found["image"] == {
        "image_id": WATCH, "style": "Baroque", "artist": "rembrandt",
        "title": "the-night-watch-1642", "year": 1642,
    }  # fmt: skip
    assert found["neighbors"][2] == {
        "rank": 3, "distance": 11.0, "image_id": EVIL, "style": "Cubism",
        "artist": "\x1b[31mred", "title": "\x1b]0;owned\x07\nsecond line", "year": None,
    }  # fmt: skip


@pytest.mark.parametrize("painting", PAINTINGS, ids=range(len(PAINTINGS)))
@pytest.mark.parametrize("k", [1, 10])
def test_every_image_has_its_true_neighbors(finished: Path, painting: object, k: int) -> None:
    (subject,) = (each for each in PAINTINGS if each is painting)
    found = lookup(open_store(str(finished)), subject.image_id, k)
    assert found["image"]["image_id"] == subject.image_id
    assert [each["rank"] for each in found["neighbors"]] == list(range(1, k + 1))
    assert [(each["image_id"], each["distance"]) for each in found["neighbors"]] == nearest(
        subject, PAINTINGS, k
    )


def test_ten_neighbors_are_shown_unless_told_otherwise(artrec: Call, finished: Path) -> None:
    called = artrec("lookup", WATCH, "--root", str(finished), "--json")
    assert len(json.loads(called.out)["neighbors"]) == 10


def test_an_image_without_labels_is_shown_all_the_same(artrec: Call, finished: Path) -> None:
    called = artrec("lookup", "loose.jpg", "-k", "1", "--root", str(finished))
    assert called.out.splitlines()[0].strip() == "loose.jpg"
    assert "joaquín sorolla  el baño 1909" in called.out


@pytest.mark.parametrize("k", ["11", "0", "-1"])
def test_more_neighbors_than_the_release_has_are_refused(
    artrec: Call, finished: Path, k: str
) -> None:
    called = artrec("lookup", WATCH, "-k", k, "--root", str(finished))
    assert (called.code, called.out) == (2, "")
    assert called.err == f"artrec: -k {k}: release 2026-01-02 holds lists of 10; ask for 1 to 10\n"


def test_a_rejected_image_names_its_stage_and_reason(artrec: Call, finished: Path) -> None:
    called = artrec("lookup", "wikiart/Baroque/rembrandt_half.jpg", "--root", str(finished))
    assert (called.code, called.out) == (2, "")
    assert called.err == (
        "artrec: wikiart/Baroque/rembrandt_half.jpg was rejected by ingest: truncated_data "
        "(the picture ends early)\n"
    )


def test_a_reject_without_a_detail_is_named_harmlessly(artrec: Call, finished: Path) -> None:
    (name,) = (name for name in REJECTED if "\x1b" in name)
    called = artrec("lookup", name, "--root", str(finished))
    assert called.err == (
        "artrec: wikiart/Baroque/no\\x1b[2Jtes.txt was rejected by ingest: not_a_picture\n"
    )


@pytest.mark.parametrize("name", ["unknown.jpg", "", "the-night-watch-1642.jpg", WATCH[:-1], "~"])
def test_an_unknown_image_is_refused_with_what_an_id_is(
    artrec: Call, finished: Path, name: str
) -> None:
    called = artrec("lookup", name, "--root", str(finished))
    assert (called.code, called.out) == (2, "")
    assert called.err.startswith(
        f"artrec: {name}: no such image in release 2026-01-02; an image_id"
    )


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("juan-gris_guitar-1913.jpg", "wikiart/Cubism/juan-gris_guitar-1913.jpg"),
        ("Ukiyo_e/hokusai_view-3.jpg", "wikiart/Ukiyo_e/hokusai_view-3.jpg"),
    ],
)
def test_the_end_of_an_id_leads_to_the_id(
    artrec: Call, finished: Path, name: str, like: str
) -> None:
    called = artrec("lookup", name, "--root", str(finished))
    assert (called.code, called.out) == (2, "")
    assert called.err.endswith(
        f"; a picture file is named by its path here; did you mean {like}?\n"
    )


def test_a_folder_is_a_matter_for_query(artrec: Call, finished: Path, tmp_path: Path) -> None:
    called = artrec("lookup", str(tmp_path), "--root", str(finished))
    assert (called.code, called.out) == (2, "")
    assert called.err == (
        f"artrec: {tmp_path} is a folder: artrec query {tmp_path} --out DIR asks for all in it\n"
    )


def test_fewer_neighbors_than_were_asked_for_are_told(artrec: Call, tmp_path: Path) -> None:
    publish_paintings(tmp_path / "root", "few", PAINTINGS[:4])
    for k, last in ((10, "Only 3, not 10: the release has no other images."), (3, None)):
        called = artrec("lookup", WATCH, "-k", str(k), "--root", str(tmp_path / "root"))
        lines = called.out.splitlines()
        assert (lines[-1].startswith("Only"), len(lines)) == (bool(last), 9 if last else 7)
        assert last in (None, lines[-1])


def test_a_title_with_terminal_codes_and_newlines_is_printed_harmlessly(
    artrec: Call, finished: Path
) -> None:
    for name in (EVIL, WATCH):
        called = artrec("lookup", name, "-k", "5", "--root", str(finished))
        assert called.code == 0
        assert [c for c in called.out if unicodedata.category(c) == "Cc" and c != "\n"] == []
        assert len(called.out.splitlines()) == 4 + 5
        assert "\\x1b[31mred" in called.out


def test_the_root_may_come_from_the_settings(
    artrec: Call, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTREC_STORE__ROOT", str(finished))
    assert artrec("lookup", WATCH, "-k", "1").code == 0


def test_the_function_raises_what_the_command_says(finished: Path) -> None:
    with pytest.raises(UsageError, match="holds lists of 10; ask for 1 to 10"):
        lookup(open_store(str(finished)), WATCH, 11)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ({"title": "the-starry-night", "artist": "van-gogh"}, "the starry night, van gogh"),
        ({"title": "x", "artist": None}, "x"),
        ({}, ""),
    ],
)
def test_an_image_is_described_by_what_is_known(image: dict[str, str], text: str) -> None:
    assert describe(image) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("el baño ☃ 日本", "el baño ☃ 日本"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[2J\x07\x9b31m", "\\x1b[2J\\x07\\x9b31m"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("[bold]not markup[/bold] :smile:", "[bold]not markup[/bold] :smile:"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown
