"""ingest: each member is read once, ever, and becomes a picture or a reason."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pyspark.sql import SparkSession

from artrec import archive, picture
from artrec.releases import StageRuns
from artrec.stages import ingest, inventory
from tests.nights import (
    ADDED,
    BROKEN,
    CHANGED,
    MORE,
    PAINTINGS,
    RENAMED,
    SAME,
    TRUNCATED,
    Night,
    draft_rows,
    opened,
    settings_of,
)
from tests.pictures import picture as tiny
from tests.pictures import write_zip

Rows = list[dict[str, Any]]

FACTS = ["content_sha256", "recipe", "data", "width", "height", "format", "mode", "phash"]


def read(spark: SparkSession, root: Path, *assignments: str, name: str = "one") -> StageRuns:
    """inventory and ingest, in a new draft of the store at ``root``."""
    settings = settings_of(*assignments, f"store.root={root}")
    draft = opened(settings, name)
    inventory.run(None, settings, draft)
    return ingest.run(spark, settings, draft)


def stored(sources: Path) -> dict[tuple[str, bytes], list[bytes]]:
    """(source, raw name) -> the bytes of its good members, by Python's own readers."""
    found: dict[tuple[str, bytes], list[bytes]] = {}
    with zipfile.ZipFile(sources / "first.zip") as oracle:
        for each in oracle.infolist():
            if not each.is_dir() and each.filename not in BROKEN:
                key = ("main", each.filename.encode())
                found.setdefault(key, []).append(oracle.read(each))
    for name in MORE:
        if name.endswith(".jpg"):
            found["more", name.encode()] = [(sources / "more" / name).read_bytes()]
    return found


def test_every_member_is_a_picture_or_has_a_reason(release: Night) -> None:
    members = release.rows("members", ["source", "raw_name", "occurrence"])
    ingested = release.rows("ingested")
    keys = [tuple(row.values()) for row in members]
    assert sorted(keys) == sorted(
        (row["source"], row["raw_name"], row["occurrence"]) for row in ingested
    )
    assert len(set(keys)) == len(keys)
    for row in ingested:
        assert (row["content_sha256"] is None) != (row["reason"] is None), row
    contents = {row["content_sha256"] for row in ingested} - {None}
    assert contents == {row["content_sha256"] for row in release.rows("pictures", FACTS[:1])}


def test_the_counters_are_what_happened(release: Night) -> None:
    counters = release.document["stages"]["ingest"]["counters"]
    ingested = release.rows("ingested")
    good = sum(row["reason"] is None for row in ingested)
    assert counters["pending"] == counters["read"] == len(ingested)
    assert (counters["stored"], counters["rejected"]) == (good, len(ingested) - good)
    size = sum(len(row["data"]) for row in release.rows("pictures", ["data"]))
    assert counters["picture_bytes"] == size


def test_each_good_members_bytes_are_stored_bit_for_bit(release: Night, sources: Path) -> None:
    pictures = {row["content_sha256"]: row["data"] for row in release.rows("pictures")}
    expected = stored(sources)
    seen = Counter[tuple[str, bytes]]()
    for row in release.rows("ingested"):
        if row["reason"] is None:
            key = (row["source"], row["raw_name"])
            data = expected[key][row["occurrence"]]
            assert row["content_sha256"] == hashlib.sha256(data).digest()
            assert pictures[row["content_sha256"]] == data
            seen[key] += 1
    assert seen == {key: len(each) for key, each in expected.items()}


def test_pictures_say_what_pillow_says(release: Night) -> None:
    for row in release.rows("pictures"):
        with Image.open(io.BytesIO(row["data"])) as image:
            found = (row["width"], row["height"], row["format"], row["mode"])
            assert found == (*image.size, image.format, image.mode)
        assert row["recipe"] == "original"
    forms = {row["format"] for row in release.rows("pictures", ["format"])}
    assert forms == {"JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"}


def test_each_broken_member_has_its_reason_from_the_closed_lists(release: Night) -> None:
    rejected = {
        row["raw_name"].decode(): (row["reason"], row["detail"])
        for row in release.rows("ingested")
        if row["reason"] is not None
    }
    assert {name: reason for name, (reason, _) in rejected.items()} == {
        **{name: reason for name, (_, reason) in BROKEN.items()},
        "notes.txt": "not_a_picture",
    }
    assert {reason for reason, _ in rejected.values()} <= {*archive.REASONS, *picture.REASONS}
    assert all(detail and "\n" not in detail for _, detail in rejected.values())


def test_a_content_under_several_names_is_stored_once_in_a_slice(release: Night) -> None:
    """The zip is one slice, the folder another; both hold the content of PAINTINGS[0]."""
    content = hashlib.sha256(tiny(0)).digest()
    names = [row for row in release.rows("ingested") if row["content_sha256"] == content]
    assert len(names) == 2 + len(SAME)
    stands = Counter(row["content_sha256"] for row in release.rows("pictures", FACTS[:1]))
    assert stands.pop(content) == 2
    assert set(stands.values()) == {1}


def contents_of(rows: Rows) -> list[tuple[Any, ...]]:
    """Pictures as a set: one content may stand in several slices."""
    return sorted({tuple(row[name] for name in FACTS) for row in rows})


def verdicts_of(rows: Rows) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in rows), key=repr)


@pytest.mark.parametrize(
    ("slice_bytes", "segment_bytes"),
    [pytest.param(1, 20_000, id="a member each"), pytest.param(9_000, 1, id="a slice each")],
)
def test_any_cut_gives_the_same_tables(
    spark: SparkSession,
    release: Night,
    tmp_path: Path,
    slice_bytes: int,
    segment_bytes: int,
) -> None:
    cut = (f"ingest.slice_bytes={slice_bytes}", f"ingest.segment_bytes={segment_bytes}")
    found = read(spark, tmp_path / "root", *release.assignments[:-1], *cut)
    places = {
        (row["source"], row["offset"] // slice_bytes)
        for row in release.rows("members", ["source", "offset"])
    }
    segments = len(found.tables["ingested"])
    assert segments == len(places) if segment_bytes == 1 else 2 < segments < len(places)
    folder = tmp_path / "root"
    ingested = draft_rows(folder, "one", "ingest", "ingested")
    assert verdicts_of(ingested) == verdicts_of(release.rows("ingested"))
    pictures = draft_rows(folder, "one", "ingest", "pictures")
    assert contents_of(pictures) == contents_of(release.rows("pictures"))
    expected = release.document["stages"]["ingest"]
    assert found.inputs == expected["inputs"]
    names = ("pending", "read", "stored", "rejected")
    assert [found.counters[n] for n in names] == [expected["counters"][n] for n in names]


def test_the_next_night_reads_new_members_alone(release: Night, next_release: Night) -> None:
    counters = next_release.document["stages"]["ingest"]["counters"]
    new = {RENAMED[1], CHANGED, TRUNCATED, *(name for name, _ in ADDED)}
    assert counters["read"] == counters["pending"] == counters["stored"] == len(new) == 6
    assert counters["rejected"] == 0
    before = Counter(verdicts_of(release.rows("ingested")))
    after = Counter(verdicts_of(next_release.rows("ingested")))
    assert before <= after
    added = after - before
    assert {name.decode() for _, name, *_ in added} == new


def test_earlier_segments_are_kept_as_they_are(release: Night, next_release: Night) -> None:
    for table in ("pictures", "ingested"):
        first = release.document["stages"]["ingest"]["tables"][table]
        second = next_release.document["stages"]["ingest"]["tables"][table]
        assert second[: len(first)] == first
        assert len(second) == len(first) + 1


def test_a_bounded_recipe_stores_smaller_copies_of_large_pictures_only(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    found = read(spark, root, *release.assignments[:-1], "ingest.max_side=50")
    assert found.counters["read"] == len(release.rows("ingested", ["bytes"]))
    rows = draft_rows(root, "one", "ingest", "pictures")
    originals = {r["content_sha256"]: r for r in rows if r["recipe"] == "original"}
    bounded = {r["content_sha256"]: r for r in rows if r["recipe"] == "max_side=50"}
    assert originals.keys() == bounded.keys()
    for key, row in bounded.items():
        assert row["data"] != originals[key]["data"]
        with Image.open(io.BytesIO(row["data"])) as image:
            assert max(image.size) == 50
        for fact in ("width", "height", "format", "mode"):
            assert row[fact] == originals[key][fact]
    one = bounded[hashlib.sha256(MORE["1889/vincent_room.jpg"]).digest()]
    with Image.open(io.BytesIO(one["data"])) as image:
        assert (image.height, image.format) == (50, "JPEG")
        assert image.width == pytest.approx(40 * 50 / 90, abs=1)


def test_pictures_within_the_bound_keep_their_bytes(spark: SparkSession, tmp_path: Path) -> None:
    small, large = tiny(1, size=(50, 20)), tiny(2, size=(51, 20))
    source = write_zip(tmp_path / "a.zip", [("small.jpg", small), ("large.jpg", large)])
    read(spark, tmp_path / "root", f"sources.a.url={source}", "ingest.max_side=50")
    rows = draft_rows(tmp_path / "root", "one", "ingest", "pictures")
    data = {row["content_sha256"]: row["data"] for row in rows}
    assert data[hashlib.sha256(small).digest()] == small
    assert data[hashlib.sha256(large).digest()] != large


def test_changed_limits_read_everything_again_and_give_other_verdicts(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    found = read(spark, root, *release.assignments[:-1], "ingest.max_pixels=3100")
    before = release.rows("ingested")
    assert found.counters["read"] == len(before)
    rows = draft_rows(root, "one", "ingest", "ingested")
    decoder = {row["decoder"] for row in before}.pop()
    again = [row for row in rows if row["decoder"] != decoder]
    assert len(again) == len(before)
    refused = {row["raw_name"].decode() for row in again if row["reason"] == "too_many_pixels"}
    assert refused == {"1889/vincent_room.jpg", "wikiart/Baroque/x_huge.png"}
    kept = [row for row in rows if row["decoder"] == decoder]
    assert verdicts_of(kept) == verdicts_of(before)


def test_limits_that_did_not_change_read_nothing(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    found = read(spark, root, *release.assignments[:-1], "ingest.slice_bytes=5000")
    assert found.model_dump(mode="json") == release.document["stages"]["ingest"]


def test_a_member_of_the_bytes_limit_is_kept_and_a_larger_one_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    data = PAINTINGS[0][1]
    source = write_zip(tmp_path / "a.zip", [("fits.jpg", data), ("not.jpg", data + b"\0")])
    limit = f"ingest.max_bytes={len(data)}"
    read(spark, tmp_path / "root", f"sources.a.url={source}", limit)
    rows = draft_rows(tmp_path / "root", "one", "ingest", "ingested")
    reasons = {row["raw_name"]: row["reason"] for row in rows}
    assert reasons == {b"fits.jpg": None, b"not.jpg": "too_large"}
