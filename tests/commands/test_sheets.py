"""Sheets, clusters, maps and copies of a release: what is written is what the tables say."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artrec.commands import copying, sheets
from artrec.commands.results import results_of
from artrec.errors import UsageError
from artrec.releases import current_release
from artrec.storage import open_store
from tests.commands.small_store import EVIL, publish_paintings
from tests.nights import PAINTINGS, Night
from tests.pictures import picture

IMAGE = PAINTINGS[0][0]


def test_copies_are_the_stored_bytes_by_rank(release: Night, tmp_path: Path) -> None:
    copying.show(str(release.root), [IMAGE, PAINTINGS[1][0]], tmp_path / "out", 3, None)
    folder = tmp_path / "out" / "painter-0_work-0-1880"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        folder.name, "painter-1_work-1-1881",
    }  # fmt: skip
    rows = [row for row in release.rows("neighbors") if row["query_id"] == IMAGE][:3]
    wanted = {row["image_id"]: row["content_sha256"] for row in release.rows("catalog")}
    stored = {row["content_sha256"]: row["data"] for row in release.rows("pictures")}
    with open(folder / "list.csv", encoding="utf-8", newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert [row["image_id"] for row in listed] == [IMAGE, *(row["neighbor_id"] for row in rows)]
    assert [row["rank"] for row in listed] == ["0", "1", "2", "3"]
    for row in listed:
        assert (folder / row["file"]).read_bytes() == stored[wanted[row["image_id"]]]
        assert row["file"].startswith(f"{int(row['rank']):03d}_")
    assert len(list(folder.iterdir())) == 5


def test_a_sheet_is_a_page_and_a_picture_of_each_query(release: Night, tmp_path: Path) -> None:
    outside = tmp_path / "mine & yours.jpg"
    outside.write_bytes(picture(99))
    sheets.show_sheet(str(release.root), [IMAGE, str(outside)], tmp_path / "out", 4, None)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 2
    assert "mine &amp; yours.jpg" in page
    assert ">no picture<" not in page
    for name in ("painter-0_work-0-1880.png", "mine & yours.png"):
        with Image.open(tmp_path / "out" / name) as shown:
            assert (shown.format, shown.mode) == ("PNG", "RGB")
            assert shown.info == {}
    assert all(f"{row['distance']:.3f}" in page for row in release.rows("neighbors")
               if row["query_id"] == IMAGE and row["rank"] <= 4)  # fmt: skip


def test_answers_of_a_query_are_shown_with_the_files_asked_for(
    release: Night, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.jpg").write_bytes(picture(98))
    rows = [
        {"query_id": query, "rank": rank, "neighbor_id": PAINTINGS[rank][0], "distance": 0.5}
        for query in ("../a.jpg", "a.jpg", "b.jpg")
        for rank in (1, 2)
    ]
    answers = tmp_path / "answers"
    (answers / "neighbors").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), answers / "neighbors" / "x.parquet")
    (answers / "query.json").write_text(
        f'{{"release": "first", "source": "{tmp_path / "mine"}",'
        ' "files": {"neighbors": [{"path": "neighbors/x.parquet"}]}}'
    )
    (tmp_path / "a.jpg").write_bytes(b"not to be read")
    copying.show(str(release.root), [], tmp_path / "out", 1, str(answers))
    made = {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg")
    }
    first = "001_painter-1_work-1-1881.jpg"
    assert made == {f"a/{first}", f"a-2/{first}", "a-2/000_a.jpg", f"b/{first}"}
    assert (tmp_path / "out/a-2/000_a.jpg").read_bytes() == picture(98)
    with pytest.raises(UsageError, match=r"has no query c\.jpg"):
        results_of(open_store(str(release.root)), ["c.jpg"], 1, str(answers))
    with pytest.raises(UsageError, match="holds no answers"):
        results_of(open_store(str(release.root)), [], 1, str(tmp_path / "mine"))


def test_clusters_and_maps_are_drawn_from_their_tables(release: Night, tmp_path: Path) -> None:
    store = open_store(str(release.root))
    first = current_release(store)
    page = sheets.write_clusters(store, first, tmp_path / "clusters")
    assert page.read_text(encoding="utf-8").count('aria-label="Cluster ') == 6
    assert len(list((tmp_path / "clusters").glob("cluster-*.png"))) == 6
    made = sheets.write_map(store, first, tmp_path / "map", ["cluster", "artist"])
    assert [path.name for path in made] == [
        "pca-2d-cluster.png", "pca-3d-cluster.png", "pca-2d-artist.png", "pca-3d-artist.png",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="--by colour: there are: cluster, style, artist"):
        sheets.write_map(store, first, tmp_path / "other", ["colour"])
    assert not (tmp_path / "other").exists()


def test_names_of_evil_images_stay_within_the_folder(tmp_path: Path) -> None:
    """A release without pictures: nothing is copied, the lists are there."""
    publish_paintings(tmp_path / "store", "one")
    copying.show(str(tmp_path / "store"), [EVIL], tmp_path / "out", 2, None)
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name == "_[31mred__]0;owned__second line"
    assert [path.name for path in folder.iterdir()] == ["list.csv"]
    sheets.show_sheet(str(tmp_path / "store"), [EVIL], tmp_path / "sheet", 2, None)
    page = (tmp_path / "sheet" / "index.html").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert ">no picture<" in page


def test_a_full_folder_no_image_and_a_release_without_clusters_are_refused(tmp_path: Path) -> None:
    publish_paintings(tmp_path / "store", "one")
    root = str(tmp_path / "store")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="is there already"):
        sheets.show_sheet(root, ["loose.jpg"], tmp_path / "full", 2, None)
    with pytest.raises(UsageError, match="name 1 to 1000 images"):
        sheets.show_sheet(root, [], tmp_path / "out", 2, None)
    for answers in (None, str(tmp_path / "full")):
        with pytest.raises(UsageError, match="-k -1: 1 neighbor is the least"):
            copying.show(root, ["loose.jpg"], tmp_path / "out", -1, answers)
    with pytest.raises(UsageError, match="no such image"):
        copying.show(root, ["nobody.jpg"], tmp_path / "out", 2, None)
    with pytest.raises(UsageError, match="has no table cluster_centers"):
        sheets.show_clusters(root, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_large_tile_takes_two_by_two() -> None:
    from artrec.report import Tile, draw_sheet

    sheet = Image.open(
        io.BytesIO(draw_sheet("x", [Tile(None, ["q"], large=True), *[Tile(None, ["n"])] * 10], 7))
    )
    assert sheet.size == (7 * 216 + 16, 16 + 40 + 2 * 236 + 16)
