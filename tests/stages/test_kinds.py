"""The same pictures, packed as each kind of source: the same images, labels and rejects.

One night holds them all as sources of one catalog, each behind its prefix.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from artrec.releases import StageRuns
from artrec.releases.verify import verify
from artrec.stages import ingest, inventory
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from tests.archive.packs import FILES, gzipped, parquet_bytes, tar_bytes
from tests.nights import MANY, Night, draft_rows, night, opened, settings_of
from tests.pictures import Named, picture, write_folder, write_zip
from tests.recount import recount

STYLES = ("Baroque", "Cubism", "Realism")
ARTISTS = ("Unknown Artist", "joaqu\xedn-sorolla", "zoe")
PAINTINGS: list[Named] = [
    (f"wikiart/{STYLES[n % 3]}/{ARTISTS[1 + n % 2]}_work-{n}-{1880 + n}.jpg", picture(n))
    for n in range(9)
]
BROKEN: list[Named] = [
    ("wikiart/Baroque/x_truncated.jpg", picture(20)[:600]),
    ("wikiart/Baroque/x_page.jpg", b"<html>Not Found</html>"),
    ("wikiart/Baroque/x_empty.jpg", b""),
]
MEMBERS = sorted([*PAINTINGS, *BROKEN])
CLASSES = {"style": STYLES, "artist": ARTISTS}
BARE = {
    "style": [n % 3 for n in range(9)],
    "artist": [1 + n % 2 for n in range(8)] + [0],
    "title": [f"work-{n}" for n in range(9)],
}
"""Labels of PAINTINGS in a Parquet file without paths; of the last one the artist is not known."""

KINDS = ("folder", "parquet", "tar", "tar.gz", "tar.zst", "zip")


def packed(place: Path, kind: str) -> Path:
    """MEMBERS as one source of this kind."""
    if kind == "folder":
        return write_folder(place / "loose", dict(MEMBERS))
    if kind == "zip":
        return write_zip(place / "all.zip", MEMBERS)
    if kind == "parquet":
        parts = {"0.parquet": parquet_bytes(MEMBERS[:5]), "1.parquet": parquet_bytes(MEMBERS[5:])}
        return write_folder(place / "rows", parts)
    path = place / f"all.{kind}"
    path.write_bytes(FILES[kind](MEMBERS))
    return path


def source(kind: str) -> str:
    return kind.replace(".", "_")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The path of each source, by its name."""
    place = tmp_path_factory.mktemp("kinds")
    paths = {source(kind): packed(place, kind) for kind in KINDS}
    paths["bare"] = place / "bare.parquet"
    data = parquet_bytes(PAINTINGS, paths=False, labels=BARE, classes=CLASSES)
    paths["bare"].write_bytes(data)
    return paths


@pytest.fixture(scope="module")
def together(
    spark: SparkSession, places: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Night:
    given = [f"sources.{name}.url={path}" for name, path in places.items()]
    prefixes = [f"sources.{name}.id_prefix={name}:" for name in places]
    rest = ("encoder.id=handmade", "neighbors.k=5", f"gates.reject_rate={MANY}")
    return night(tmp_path_factory.mktemp("store") / "root", "all", *given, *prefixes, *rest)


LABELS = ("style", "artist", "title", "year")


def rows_of(made: Night, table: str, name: str, columns: tuple[str, ...]) -> list[Any]:
    """Rows of one source, its prefix taken off."""
    return sorted(
        (row["image_id"].removeprefix(f"{name}:"), *(row[column] for column in columns))
        for row in made.rows(table)
        if row["source"] == name
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_the_same_images_with_their_labels(together: Night, kind: str) -> None:
    columns = ("content_sha256", "bytes", *LABELS)
    assert rows_of(together, "catalog", source(kind), columns) == sorted(
        (
            name,
            hashlib.sha256(data).digest(),
            len(data),
            STYLES[n % 3],
            ARTISTS[1 + n % 2],
            f"work-{n}-{1880 + n}",
            1880 + n,
        )
        for n, (name, data) in enumerate(PAINTINGS)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_the_same_rejects(together: Night, kind: str) -> None:
    assert rows_of(together, "rejects", source(kind), ("reason", "bytes")) == [
        ("wikiart/Baroque/x_empty.jpg", "empty", 0),
        ("wikiart/Baroque/x_page.jpg", "not_a_picture", 22),
        ("wikiart/Baroque/x_truncated.jpg", "truncated", 600),
    ]


def test_labels_in_columns_reach_the_catalog(together: Night) -> None:
    assert rows_of(together, "catalog", "bare", ("content_sha256", *LABELS)) == [
        (
            f"bare/{n:08d}",
            hashlib.sha256(data).digest(),
            STYLES[n % 3],
            ARTISTS[1 + n % 2] if n < 8 else None,
            f"work-{n}",
            None,
        )
        for n, (_, data) in enumerate(PAINTINGS)
    ]


def test_all_members_balance_by_an_outside_count(together: Night, places: dict[str, Path]) -> None:
    count = recount(together.root, places)
    assert count.differences == []
    listed = len(KINDS) * len(MEMBERS) + len(PAINTINGS)
    assert (count.listed, count.lost, count.double) == (listed, 0, 0)
    assert count.rejected == len(KINDS) * len(BROKEN)
    assert verify(open_store(str(together.root)), "all")[1] == []


def test_sources_that_cannot_be_cut_are_one_task_each(together: Night) -> None:
    offsets = {
        kind: {row["offset"] for row in together.rows("members") if row["source"] == source(kind)}
        for kind in KINDS
    }
    assert {kind for kind in KINDS if offsets[kind] == {0}} == {"tar.gz", "tar.zst"}


def test_a_dry_run_says_what_one_task_has_to_read_alone(
    together: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*together.assignments[:-1], f"store.root={tmp_path / 'root'}")
    options = Options(assignments=asked, dry_run=True, as_json=True, verbosity="quiet")
    assert execute("ingest", options) == 0
    counts = json.loads(capsys.readouterr().out)["stages"]["ingest"]
    alone = counts["bytes in compressed tars, of which one task each reads all"]
    assert alone == 2 * sum(len(data) for _, data in MEMBERS)


def again(
    spark: SparkSession, together: Night, root: Path, *assignments: str
) -> tuple[StageRuns, list[Any]]:
    """inventory and ingest of another night; what it read, by source."""
    shutil.copytree(together.root, root)
    append = (f"store.root={root}", "store.compact_share=1")
    settings = settings_of(*together.assignments[:-1], *append, *assignments)
    draft = opened(settings, "next")
    inventory.run(None, settings, draft)
    runs = ingest.run(spark, settings, draft)
    before = len(together.rows("ingested"))
    rows = draft_rows(root, "next", "ingest", "ingested")[before:]
    return runs, sorted((row["source"], row["raw_name"].decode()) for row in rows)


def test_another_packing_is_read_again_where_its_listing_knows_no_crc(
    spark: SparkSession, together: Night, tmp_path: Path
) -> None:
    """Of a compressed tar and of Parquet only what is new is read; of a plain tar everything."""
    new = ("wikiart/Cubism/new_one.jpg", picture(50))
    files = {
        "tar": tar_bytes(MEMBERS),
        "tar_gz": gzipped(tar_bytes([new, *MEMBERS[::-1]])),
        "parquet": parquet_bytes([*MEMBERS, new], group=2),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    given = [f"sources.{name}.url={tmp_path / name}" for name in files]
    _, read = again(spark, together, tmp_path / "root", *given)
    everything = [("tar", name) for name, _ in MEMBERS]
    assert read == sorted([("parquet", new[0]), ("tar_gz", new[0]), *everything])


def test_a_changed_picture_of_the_same_size_in_a_tar_is_seen(
    spark: SparkSession, together: Night, tmp_path: Path
) -> None:
    name, data = PAINTINGS[3]
    other = data[:15] + bytes([data[15] ^ 2]) + data[16:]  # the density that its header claims
    changed = [(each, other if each == name else old) for each, old in MEMBERS]
    for kind in ("tar", "tar.zst"):
        (tmp_path / f"new.{kind}").write_bytes(FILES[kind](changed))
    given = [f"sources.{source(k)}.url={tmp_path / f'new.{k}'}" for k in ("tar", "tar.zst")]
    again(spark, together, tmp_path / "root", *given)
    rows = draft_rows(tmp_path / "root", "next", "ingest", "ingested")
    found = {
        (row["source"], row["content_sha256"]) for row in rows if row["raw_name"].decode() == name
    }
    content = hashlib.sha256(other).digest()
    assert {("tar", content), ("tar_zst", content)} <= found


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_night_over_one_kind_alone(
    spark: SparkSession, places: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    path = places[source(kind)]
    rest = ("encoder.id=handmade", "neighbors.k=5", f"gates.reject_rate={MANY}")
    cut = ("ingest.slice_bytes=1", "ingest.segment_bytes=1500")
    made = night(tmp_path / "root", "one", f"sources.main.url={path}", *rest, *cut)
    count = recount(made.root, {"main": path})
    assert count.differences == []
    assert (count.listed, count.stored, count.rejected) == (12, 9, 3)
    contents = {row["content_sha256"] for row in made.rows("catalog")}
    assert contents == {hashlib.sha256(data).digest() for _, data in PAINTINGS}
