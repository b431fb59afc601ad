"""ingest: each member is read once, ever, and becomes a picture or a reason."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from artrec import archive, picture
from artrec.releases import Ledger, StageRuns, publish
from artrec.releases.forgotten import forget
from artrec.schemas import TABLES
from artrec.stages import catalog, embed, ingest, inventory
from artrec.stages import rules as picture_rules
from artrec.stages.ingest import joining
from artrec.stages.rejects import ATTEMPTS, REASONS, TRANSIENT
from artrec.stages.session import Options, execute
from artrec.storage import open_store
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
    put,
    settings_of,
)
from tests.pictures import picture as tiny
from tests.pictures import write_zip
from tests.releases.protocol import release as protocol_release

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
    [pytest.param(1, 10_000, id="a member each"), pytest.param(144_000, 1, id="a unit each")],
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
    unit = max(1, slice_bytes // 16)
    places = {
        (row["source"], row["offset"] // unit)
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


# What failed for a cause that may pass is tried again.

RULES = picture_rules.ingest_rules(settings_of().ingest)


def ingested(name: str, data: bytes, verdict: str | None, **other: Any) -> dict[str, Any]:
    """A row about a member of a zip; of ``verdict`` None, it was a picture."""
    key = {"source": "main", "raw_name": name.encode(), "occurrence": 0, "bytes": len(data)}
    content = hashlib.sha256(data).digest() if verdict is None else None
    found = {"content_sha256": content, "reason": verdict, "detail": verdict and f"once {verdict}"}
    return {**key, "fingerprint": f"crc32={zlib.crc32(data):08x}", **RULES, **found, **other}


def test_a_member_has_one_verdict_and_a_content_counts_more_than_a_reason(
    spark: SparkSession,
) -> None:
    rows = [
        ingested("healed", b"1", "decode_timeout"),
        ingested("healed", b"1", None),
        ingested("fell ill", b"2", None),
        ingested("fell ill", b"2", "truncated"),
        ingested("twice", b"3", "decode_timeout"),
        ingested("twice", b"3", "decode_timeout"),
        ingested("at last", b"4", "decode_crashed", detail="a"),
        ingested("at last", b"4", "truncated", detail="b"),
        ingested("other rules", b"5", None, recipe="max_side=9"),
        ingested("other rules", b"5", "empty", decoder="0-0"),
        ingested("other rules", b"5", "bad_crc"),
        ingested("in turn", b"6", "vanished", detail="a"),
        ingested("in turn", b"6", "changed", detail="b"),
        ingested("same name", b"7", None),
        ingested("same name", b"77", "truncated"),
    ]
    schema = from_arrow_schema(TABLES["ingested"].columns)
    frame = spark.createDataFrame([tuple(row[n] for n in schema.names) for row in rows], schema)
    columns = ["raw_name", "bytes", "content_sha256", "reason", "detail", "attempts"]
    found = joining.verdicts(frame, RULES).select(*columns).collect()
    contents = {n: hashlib.sha256(n).digest() for n in (b"1", b"2", b"7")}
    assert sorted(tuple(bytes(v) if isinstance(v, bytearray) else v for v in r) for r in found) == [
        (b"at last", 1, None, "truncated", "b", 2),
        (b"fell ill", 1, contents[b"2"], None, None, 2),
        (b"healed", 1, contents[b"1"], None, None, 2),
        (b"in turn", 1, None, "changed", "b", 2),
        (b"other rules", 1, None, "bad_crc", "once bad_crc", 1),
        (b"same name", 1, contents[b"7"], None, None, 1),
        (b"same name", 2, None, "truncated", "once truncated", 1),
        (b"twice", 1, None, "decode_timeout", "once decode_timeout", 2),
    ]


GOOD = {
    name: tiny(80 + n)
    for n, name in enumerate(("known", "cured", "ill", "worse", "given-up", "lasting", "new"))
}
MEMBERS = {**GOOD, "torn": tiny(90)[:600]}
BEFORE: dict[str, list[str | None]] = {
    "known": [None],
    "cured": ["decode_timeout", None],
    "ill": ["decode_timeout"],
    "worse": ["decode_crashed"] * (ATTEMPTS - 1),
    "given-up": ["decode_timeout"] * ATTEMPTS,
    "lasting": ["truncated"],
    "torn": ["out_of_memory"],
}
"""The verdicts of earlier nights; all but ``torn`` are good pictures, whatever was said of them."""


def after_bad_nights(
    root: Path, stored: tuple[str, ...] = ("known", "cured"), **notes: object
) -> None:
    """A release ``one`` on what earlier nights said, of literal tables; ``notes`` are ingest's."""
    settings = settings_of(f"store.root={root}")
    draft = opened(settings, "one")
    draft.hold("literal")
    rows = [ingested(name, MEMBERS[name], each) for name, said in BEFORE.items() for each in said]
    pictures = [
        {"content_sha256": hashlib.sha256(GOOD[name]).digest(), "data": GOOD[name], "phash": 0}
        | {"recipe": "original", "width": 64, "height": 48, "format": "JPEG", "mode": "RGB"}
        for name in stored
    ]
    rejects = [
        {"source": "main", "entry": n, "image_id": name, "stage": "ingest", "reason": said[-1]}
        | {"detail": "", "content_sha256": None, "bytes": 1, "first_release": "one", "attempts": 1}
        for n, (name, said) in enumerate(BEFORE.items())
        if said[-1] is not None
    ]
    put(draft, "inventory", {"members": [], "labels": []})
    put(draft, "ingest", {"ingested": rows, "pictures": pictures}, **notes)
    put(draft, "embed", {"vectors": []}, encoder_id="handmade", encoder="handmade-0")
    put(draft, "catalog", {"catalog": [], "rejects": rejects})
    stages = {name: draft.need(name) for name in ("inventory", "ingest", "embed", "catalog")}
    made = protocol_release("one", draft.base).model_copy(update={"stages": stages})
    publish(draft.store, made, draft.base)


def test_what_may_have_failed_in_passing_is_read_again_a_few_times_and_the_rest_never(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    after_bad_nights(root)
    source = write_zip(tmp_path / "a.zip", MEMBERS.items())
    assigned = (f"store.root={root}", f"sources.main.url={source}")
    settings = settings_of(*assigned)
    planned = Options(assignments=assigned, verbosity="quiet", dry_run=True, as_json=True)
    assert execute("ingest", planned) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["ingest"]["members to read"] == 4
    draft = opened(settings, "two")
    inventory.run(None, settings, draft)
    counters = ingest.run(spark, settings, draft).counters
    assert counters["read"] == counters["pending"] == 4
    rows = draft_rows(root, "two", "ingest", "ingested")
    literal = sum(map(len, BEFORE.values()))
    assert {row["raw_name"] for row in rows[literal:]} == {b"ill", b"worse", b"torn", b"new"}

    embed.run(spark, settings, draft)
    catalog.run(spark, settings, draft)
    images = [row["image_id"] for row in draft_rows(root, "two", "catalog", "catalog")]
    assert sorted(images) == ["cured", "ill", "known", "new", "worse"]
    rejects = {
        row["image_id"]: (row["reason"], row["attempts"], row["first_release"])
        for row in draft_rows(root, "two", "catalog", "rejects")
    }
    assert rejects == {
        "given-up": ("decode_timeout", ATTEMPTS, "one"),
        "lasting": ("truncated", 1, "one"),
        "torn": ("truncated", 2, "two"),
    }


def test_with_retry_rejects_whatever_was_rejected_is_read_again_and_counted(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    after_bad_nights(root)
    source = write_zip(tmp_path / "a.zip", MEMBERS.items())
    assigned = (f"store.root={root}", f"sources.main.url={source}", "ingest.retry_rejects=true")
    settings = settings_of(*assigned)
    planned = Options(assignments=assigned, verbosity="quiet", dry_run=True, as_json=True)
    assert execute("ingest", planned) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["ingest"]["members to read"] == 6
    draft = opened(settings, "two")
    inventory.run(None, settings, draft)
    made = ingest.run(spark, settings, draft)
    assert made.counters["read"] == made.counters["pending"] == 6
    rows = draft_rows(root, "two", "ingest", "ingested")[sum(map(len, BEFORE.values())) :]
    assert {row["raw_name"] for row in rows} == {
        *(b"ill", b"worse", b"given-up", b"lasting", b"torn", b"new"),
    }
    again = ingest.run(spark, settings, draft)  # a night that goes on has done so
    assert again == made

    embed.run(spark, settings, draft)
    catalog.run(spark, settings, draft)
    images = [row["image_id"] for row in draft_rows(root, "two", "catalog", "catalog")]
    assert sorted(images) == sorted(GOOD)
    (reject,) = draft_rows(root, "two", "catalog", "rejects")
    assert (reject["image_id"], reject["attempts"]) == ("torn", 2)


def test_what_is_forgotten_no_more_is_read_also_after_a_night_that_came_to_nothing(
    spark: SparkSession, tmp_path: Path
) -> None:
    """That one found the same members and verdicts, under a longer ledger, and nothing to read."""
    root = tmp_path / "root"
    mine = hashlib.sha256(GOOD["cured"]).digest()
    after_bad_nights(root, ("known",), forgotten=Ledger(frozenset({mine})).name)
    source = f"sources.main.url={write_zip(tmp_path / 'a.zip', list(GOOD.items())[:2])}"
    store = open_store(str(root))
    for each in (mine.hex(), "f" * 64):
        forget(store, each, "a letter")
    assert read(spark, root, source, name="two").counters["pending"] == 0
    for path in (root / "forgotten").iterdir():
        path.unlink()
    assert read(spark, root, source, name="three").counters["read"] == 1
    rows = draft_rows(root, "three", "ingest", "pictures", ["content_sha256"])
    known = hashlib.sha256(GOOD["known"]).digest()
    assert sorted(row["content_sha256"] for row in rows) == sorted([known, mine])


def test_the_reasons_that_may_pass_are_of_the_closed_list_and_say_nothing_of_the_bytes() -> None:
    assert set(TRANSIENT) <= REASONS.keys()
    lasting = {"truncated", "bad_crc", "not_a_picture", "empty", "too_many_pixels", "too_large"}
    assert lasting <= REASONS.keys() - set(TRANSIENT)
    assert ATTEMPTS > 1


def test_a_decoder_is_named_by_its_rules_and_not_by_its_patience() -> None:
    def name(*assignments: str) -> str:
        return picture_rules.decoder_name(settings_of(*assignments).ingest)

    patient = ("ingest.decode_seconds=99", "ingest.decode_memory=1000000000")
    assert name(*patient) == name()
    rules = (
        "ingest.formats=[PNG]", "ingest.max_bytes=9", "ingest.max_pixels=9",
        "ingest.max_picture_side=9", "ingest.background=[0, 0, 0]",
    )  # fmt: skip
    assert len({name(), *map(name, rules)}) == 1 + len(rules)
