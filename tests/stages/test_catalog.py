"""catalog: every member is an image or a reject, once, with its history."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from artrec.stages.catalog import joining
from artrec.stages.rejects import REASONS
from tests.nights import (
    ADDED,
    BROKEN,
    CHANGED,
    DAMAGED,
    FIRST,
    MORE,
    OUTSIDE,
    PREFIX,
    REMOVED,
    RENAMED,
    REPEATED,
    TRUNCATED,
    TWINS,
    Night,
)
from tests.pictures import picture as tiny

KEY = ["source", "entry"]


def keys(night: Night, table: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in night.rows(table, KEY)]


def by_id(night: Night, table: str = "catalog") -> dict[str, dict[str, Any]]:
    return {row["image_id"]: row for row in night.rows(table)}


@pytest.mark.parametrize("which", ["release", "next_release"])
def test_every_member_is_in_exactly_one_of_catalog_and_rejects(
    which: str, request: pytest.FixtureRequest
) -> None:
    night: Night = request.getfixturevalue(which)
    accounted = keys(night, "catalog") + keys(night, "rejects")
    assert sorted(accounted) == sorted(keys(night, "members"))
    assert len(accounted) == len(set(accounted))
    ids = [row["image_id"] for row in night.rows("catalog", ["image_id"])]
    assert ids == sorted(set(ids))


def test_each_image_is_its_members_content(release: Night, sources: Path) -> None:
    members = {(row["source"], row["entry"]): row for row in release.rows("members")}
    pictures = {row["content_sha256"]: row for row in release.rows("pictures")}
    for image in release.rows("catalog"):
        member = members[image["source"], image["entry"]]
        stored = pictures[image["content_sha256"]]
        assert (image["image_id"], image["bytes"]) == (member["image_id"], member["bytes"])
        assert hashlib.sha256(stored["data"]).digest() == image["content_sha256"]
        for fact in ("width", "height", "format"):
            assert image[fact] == stored[fact]
        assert image["vector_no"] == int.from_bytes(image["content_sha256"][:8], "big") >> 1


def test_each_image_has_the_labels_of_its_member(release: Night) -> None:
    labels = {(row["source"], row["entry"]): row for row in release.rows("labels")}
    for image in release.rows("catalog"):
        expected = labels[image["source"], image["entry"]]
        assert {name: image[name] for name in expected} == expected
    found = by_id(release)
    assert found[DAMAGED]["artist"] == "joaquín-sorolla"
    assert found["wikiart/Cubism/painter-9_as.gif"]["format"] == "GIF"


def test_a_name_outside_the_template_is_an_image_with_null_labels(release: Night) -> None:
    image = by_id(release)[OUTSIDE]
    names = ("style", "artist", "title", "year", "genre", "split", "license", "extra")
    assert [image[name] for name in names] == [None] * len(names)


def test_rejects_have_their_stage_reason_and_detail(release: Night) -> None:
    duplicates = {unicodedata.normalize("NFC", TWINS[0]), REPEATED}
    expected = {name: reason for name, (_, reason) in BROKEN.items()}
    expected |= {PREFIX + "notes.txt": "not_a_picture"}
    expected |= dict.fromkeys(duplicates, "duplicate_name")
    rejects = by_id(release, "rejects")
    assert {name: row["reason"] for name, row in rejects.items()} == expected
    for name, row in rejects.items():
        assert row["stage"] == REASONS[row["reason"]]
        assert row["detail"]
        assert (row["content_sha256"] is not None) == (name in duplicates)
        assert (row["first_release"], row["attempts"]) == ("first", 1)


def test_of_two_members_with_one_id_the_later_wins(release: Night) -> None:
    raw = {(row["source"], row["entry"]): row["raw_name"] for row in release.rows("members")}
    images, rejects = by_id(release), by_id(release, "rejects")
    twin = images[TWINS[1]]
    assert raw[twin["source"], twin["entry"]].decode() == TWINS[1]
    assert twin["content_sha256"] == hashlib.sha256(tiny(44)).digest()
    other = rejects[TWINS[1]]
    assert raw[other["source"], other["entry"]].decode() == TWINS[0]
    assert images[REPEATED]["content_sha256"] == hashlib.sha256(tiny(46)).digest()
    assert rejects[REPEATED]["content_sha256"] == hashlib.sha256(tiny(45)).digest()
    assert rejects[REPEATED]["entry"] < images[REPEATED]["entry"]


def test_embeddings_are_the_vectors_of_the_images(release: Night) -> None:
    vectors = {row["content_sha256"]: row["embedding"] for row in release.rows("vectors")}
    contents = {row["image_id"]: row["content_sha256"] for row in release.rows("catalog")}
    embeddings = release.rows("embeddings")
    assert [row["image_id"] for row in embeddings] == sorted(contents)
    for row in embeddings:
        assert row["embedding"] == vectors[contents[row["image_id"]]]


def test_the_first_release_is_kept_and_the_changed_one_moves(
    release: Night, next_release: Night
) -> None:
    history = {
        name: (row["first_release"], row["changed_release"])
        for name, row in by_id(next_release).items()
    }
    assert {row["changed_release"] for row in by_id(release).values()} == {"first"}
    new = {RENAMED[1], TRUNCATED, *(name for name, _ in ADDED)}
    labelled_anew = {PREFIX + name for name in MORE if name.endswith(".jpg")}
    assert {name for name, found in history.items() if found == ("second", "second")} == new
    changed = {name for name, found in history.items() if found == ("first", "second")}
    assert changed == labelled_anew | {CHANGED}
    rest = history.keys() - new - changed
    assert {history[name] for name in rest} == {("first", "first")}
    assert len(rest) > 15


def test_removed_and_renamed_members_leave_the_catalog(release: Night, next_release: Night) -> None:
    before, after = by_id(release).keys(), by_id(next_release).keys()
    assert before - after == {*REMOVED, RENAMED[0]}
    assert after - before == {RENAMED[1], TRUNCATED, *(name for name, _ in ADDED)}


def test_a_reject_keeps_the_release_that_first_met_it(next_release: Night) -> None:
    rejects = by_id(next_release, "rejects")
    assert TRUNCATED not in rejects
    assert len(rejects) == len(BROKEN) - 1 + 3
    assert {row["first_release"] for row in rejects.values()} == {"first"}


# What a night cannot meet by chance, on literal tables.

A, B, C, D = (bytes([n]) * 32 for n in range(4))

_MEMBER = "source string, raw_name binary, occurrence int, bytes long, fingerprint string"


def vectors_of(spark: SparkSession, *rows: tuple[bytes, int, str | None]) -> DataFrame:
    values = [(bytearray(content), number, reason, reason) for content, number, reason in rows]
    schema = "content_sha256 binary, vector_no long, reason string, detail string"
    return spark.createDataFrame(values, schema)


def test_of_contents_with_one_number_all_but_the_smallest_collide(spark: SparkSession) -> None:
    vectors = vectors_of(spark, (C, 7, None), (A, 7, None), (B, 7, None), (D, 8, None))
    found = joining._collisions(vectors).collect()
    assert sorted((bytes(row.content_sha256), row.vector_no) for row in found) == [(B, 7), (C, 7)]


def judged(
    spark: SparkSession,
    members: dict[str, list[tuple[str, bytes | None, str | None]]],
    vectors: DataFrame,
) -> dict[tuple[str, int], tuple[str | None, str | None]]:
    """(source, entry) -> (stage, reason) for (image_id, content, reason at ingest) by source."""
    listed, ingested = [], []
    for source, rows in members.items():
        for entry, (image_id, content, reason) in enumerate(rows):
            key = (source, bytearray(f"{entry}".encode()), 0, 9, "crc32=0")
            listed.append((*key, entry, image_id))
            ingested.append((*key, content and bytearray(content), reason, reason))
    verdict = "content_sha256 binary, reason string, detail string"
    tables: dict[str, Any] = dict.fromkeys(each.name for each in fields(joining._Inputs))
    tables |= {
        "members": spark.createDataFrame(listed, f"{_MEMBER}, entry long, image_id string"),
        "ingested": spark.createDataFrame(ingested, f"{_MEMBER}, {verdict}"),
        "vectors": vectors,
    }
    found = joining._judged(joining._Inputs(**tables)).collect()
    assert len(found) == len(listed)
    return {(row.source, row.entry): (row.stage, row.reason) for row in found}


def test_each_member_is_judged_once_by_the_first_stage_that_refused_it(
    spark: SparkSession,
) -> None:
    vectors = vectors_of(spark, (A, 7, None), (B, 7, None), (C, 8, "zero_vector"), (D, 9, None))
    members: dict[str, list[tuple[str, bytes | None, str | None]]] = {
        "m": [
            ("a", A, None),
            ("b", B, None),
            ("b-again", B, None),
            ("c", C, None),
            ("d", D, None),
            ("torn", None, "truncated"),
            ("twice", D, None),
            ("twice", None, "empty"),
        ],
        "n": [("d", A, None), ("e", D, None)],
    }
    found = judged(spark, members, vectors)
    assert found == {
        ("m", 0): (None, None),
        ("m", 1): ("embed", "vector_no_collision"),
        ("m", 2): ("embed", "vector_no_collision"),
        ("m", 3): ("embed", "zero_vector"),
        ("m", 4): ("inventory", "duplicate_name"),  # a later source has its id
        ("m", 5): ("ingest", "truncated"),
        ("m", 6): ("inventory", "duplicate_name"),
        ("m", 7): ("ingest", "empty"),
        ("n", 0): (None, None),
        ("n", 1): (None, None),
    }
    for stage, reason in found.values():
        assert stage == (reason and REASONS[reason])


def test_the_archive_of_the_tests_has_what_they_speak_of() -> None:
    names = [each[0] if isinstance(each, tuple) else each.name.decode() for each in FIRST]
    assert len(names) - len(set(names)) == 1
    assert {CHANGED, RENAMED[0], *REMOVED, *TWINS, OUTSIDE, DAMAGED} <= set(names)
