"""Label lists over a listing: columns, counters, misses. All but the last needs no Spark."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from artrec.config import Source
from artrec.errors import InputError
from artrec.schemas import TABLES
from artrec.stages import inventory
from artrec.stages.labelling import COUNTERS, Overlay, label_rows
from artrec.stages.session import Options, execute
from artrec.storage.local import LocalStore
from artrec.tables import GROUP_ROWS, TableWriter, read_table
from tests.nights import Night, draft_rows, night, opened, settings_of, tree
from tests.pictures import write_folder, write_zip

DATA = Path(__file__).parents[2].parent / "shared" / "data"

VINCENT = "Post_Impressionism/vincent-van-gogh_stars-1889.jpg"
MONET = "Impressionism/claude-monet_lilies.jpg"
MUCHA = "Art_Nouveau_Modern/alphonse-mucha_job-1896.jpg"
KLIMT = "Art_Nouveau_Modern/gustav-klimt_kiss.jpg"
SOROLLA = "Impressionism/joaquã\xadn-sorolla_beach.jpg"
UNLISTED = "Art_Nouveau_Modern/nobody_untitled.jpg"
OUTSIDE = "cover.jpg"
MEMBERS = [f"wikiart/{each}" for each in (VINCENT, MONET, MUCHA, KLIMT)] + [
    "wikiart/Impressionism/joaquín-sorolla_beach.jpg",
    f"wikiart/{UNLISTED}",
    OUTSIDE,
]

LISTS = {
    "style_train.csv": f"{VINCENT},2\n{MONET},1\n{SOROLLA},1\n",
    "style_val.csv": f"{MUCHA},0\n{KLIMT},0\nArt_Nouveau_Modern/lost_1.jpg,0\n",
    "style_class.txt": "0 Art_Nouveau\n1 Impressionism\n2 Post-Impressionism\n",
    "artist_train": f"path,class\n\n{VINCENT},,1\n{KLIMT},0\n",
    "artist_class.txt": "0 Gustav_Klimt\n1 Vincent_van_Gogh\n",
    "genre_train.csv": f"{MONET},0\n{MONET},1\n{VINCENT},0\n{VINCENT},0\n",
    "genre_class.txt": "0 landscape\n1 cityscape\n",
}


@dataclass
class Listed:
    """What inventory wrote: labels by path, misses, counters."""

    labels: dict[str, dict[str, Any]]
    misses: list[tuple[str, int, str, str]]
    counters: dict[str, int]
    inputs: str


def listed(root: Path, *assignments: str) -> Listed:
    settings = settings_of(f"store.root={root}", *assignments)
    result = inventory.run(None, settings, opened(settings, "one"))
    members, labels, misses = (
        draft_rows(root, "one", "inventory", table)
        for table in ("members", "labels", "label_misses")
    )
    paths = {(row["source"], row["entry"]): row["raw_name"].decode() for row in members}
    found = {paths[row.pop("source"), row.pop("entry")]: row for row in labels}
    assert len(found) == len(labels)
    rows = [(row["list"], row["line"], row["path"], row["reason"]) for row in misses]
    return Listed(found, rows, result.counters, result.inputs)


def lists(place: Path, **changed: str | None) -> str:
    """The lists in a folder, some replaced or left out; the setting that names it."""
    given = {**LISTS, **changed}
    files = {name: text.encode() for name, text in given.items() if text is not None}
    return f"sources.main.labels={write_folder(place, files)}"


def zipped(place: Path, members: list[str]) -> str:
    return f"sources.main.url={write_zip(place, [(each, each.encode()) for each in members])}"


@pytest.fixture
def of_all(tmp_path: Path) -> Listed:
    return listed(tmp_path / "root", zipped(tmp_path / "a.zip", MEMBERS), lists(tmp_path / "lists"))


def said(found: Listed, path: str) -> dict[str, Any]:
    """The labels of a member that are not null."""
    row = found.labels[path]
    return {
        key: dict(value) if key == "extra" else value
        for key, value in row.items()
        if value is not None
    }


def test_the_lists_add_classes_and_the_split(of_all: Listed) -> None:
    assert said(of_all, f"wikiart/{VINCENT}") == {
        "style": "Post_Impressionism",
        "artist": "vincent-van-gogh",
        "title": "stars-1889",
        "year": 1889,
        "genre": "landscape",
        "split": "train",
        "extra": {
            "artist_class": "Vincent_van_Gogh",
            "genre_class": "landscape",
            "style_class": "Post-Impressionism",
        },
    }


def test_what_no_list_says_is_null_and_never_class_0(of_all: Listed) -> None:
    assert said(of_all, f"wikiart/{MUCHA}") == {
        "style": "Art_Nouveau_Modern",
        "artist": "alphonse-mucha",
        "title": "job-1896",
        "year": 1896,
        "split": "val",
        "extra": {"style_class": "Art_Nouveau"},
    }
    assert said(of_all, f"wikiart/{UNLISTED}") == {
        "style": "Art_Nouveau_Modern",
        "artist": "nobody",
        "title": "untitled",
    }
    assert said(of_all, OUTSIDE) == {}


def test_a_style_and_an_artist_have_one_spelling_whether_listed_or_not(of_all: Listed) -> None:
    assert Counter(row["style"] for row in of_all.labels.values()) == {
        "Art_Nouveau_Modern": 3,
        "Impressionism": 2,
        "Post_Impressionism": 1,
        None: 1,
    }
    assert {row["artist"] for row in of_all.labels.values()} == {
        *("vincent-van-gogh", "claude-monet", "alphonse-mucha", "gustav-klimt"),
        *("joaquín-sorolla", "nobody", None),
    }


def test_a_damaged_row_finds_a_sound_member(of_all: Listed) -> None:
    found = said(of_all, "wikiart/Impressionism/joaquín-sorolla_beach.jpg")
    assert (found["split"], found["extra"]) == ("train", {"style_class": "Impressionism"})


def test_a_second_genre_stands_beside_the_first(of_all: Listed) -> None:
    found = said(of_all, f"wikiart/{MONET}")
    assert found["genre"] == "landscape"
    assert found["extra"]["genre_class"] == "landscape"
    assert found["extra"]["genre_also"] == "cityscape"


def test_rows_and_members_that_miss_are_rows_of_a_table(of_all: Listed) -> None:
    assert of_all.misses == [
        ("", 5, f"wikiart/{UNLISTED}", "unlisted"),
        ("", 6, OUTSIDE, "unlisted"),
        ("artist_train", 4, KLIMT, "other_split"),
        ("genre_train.csv", 2, MONET, "other_class"),
        ("genre_train.csv", 4, VINCENT, "repeated"),
        ("style_val.csv", 3, "Art_Nouveau_Modern/lost_1.jpg", "no_member"),
    ]


def test_every_row_is_counted_once(of_all: Listed) -> None:
    counters = {key: of_all.counters[key] for key in (*COUNTERS.values(), "list_rows", "unlisted")}
    assert counters == {
        "list_rows": 12,
        "list_used": 8,
        "list_misses": 1,
        "list_ambiguous": 0,
        "list_repeated": 1,
        "class_conflicts": 1,
        "split_conflicts": 1,
        "unlisted": 2,
    }


def test_a_list_that_disagrees_with_the_path_is_believed(tmp_path: Path) -> None:
    members = ["w/Cubism/a_1.jpg", "w/Fauvism/a_2.jpg", "w/Fauvism/b_3.jpg"]
    place = write_folder(
        tmp_path / "lists",
        {
            "style_val.csv": b"Cubism/a_1.jpg,1\nFauvism/a_2.jpg,1\n",
            "style_class.txt": b"0 cubism\n1 FAUVISM\n",
        },
    )
    found = listed(
        tmp_path / "root", zipped(tmp_path / "a.zip", members), f"sources.main.labels={place}"
    )
    assert {path: row["style"] for path, row in found.labels.items()} == {
        "w/Cubism/a_1.jpg": "Fauvism",
        "w/Fauvism/a_2.jpg": "Fauvism",
        "w/Fauvism/b_3.jpg": "Fauvism",
    }


def test_without_labels_in_the_template_the_lists_alone_give_them(tmp_path: Path) -> None:
    found = listed(
        tmp_path / "root",
        zipped(tmp_path / "a.zip", MEMBERS),
        lists(tmp_path / "lists"),
        "sources.main.template={title}",
    )
    classes = {row["style"] for row in found.labels.values()}
    assert classes == {"Art_Nouveau", "Impressionism", "Post-Impressionism", None}
    artists = {row["artist"] for row in found.labels.values()}
    assert artists == {"Gustav_Klimt", "Vincent_van_Gogh", None}


def test_a_folder_of_pictures_has_the_labels_of_a_zip(tmp_path: Path, of_all: Listed) -> None:
    place = write_folder(tmp_path / "pictures", dict.fromkeys(MEMBERS, b"x"))
    url = f"sources.main.url={place}"
    found = listed(tmp_path / "other", url, f"sources.main.labels={tmp_path / 'lists'}")
    assert found.labels == of_all.labels
    assert sorted(row[2:] for row in found.misses) == sorted(row[2:] for row in of_all.misses)
    inside = f"sources.main.url={place / 'wikiart'}"
    found = listed(tmp_path / "inside", inside, f"sources.main.labels={tmp_path / 'lists'}")
    expected = {name: of_all.labels[f"wikiart/{name}"] for name in found.labels}
    assert found.labels == expected
    assert len(expected) == 6


def test_each_source_has_lists_of_its_own(tmp_path: Path) -> None:
    portraits = {"genre_val": b"x_y.jpg,3", "genre_class": b"3 portrait"}
    found = listed(
        tmp_path / "root",
        zipped(tmp_path / "a.zip", MEMBERS[:4]),
        lists(tmp_path / "lists"),
        f"sources.b.url={write_folder(tmp_path / 'b', {VINCENT: b'x'})}",
        f"sources.c.url={write_folder(tmp_path / 'c', {'Realism/x_y.jpg': b'x'})}",
        f"sources.c.labels={write_folder(tmp_path / 'd', portraits)}",
    )
    assert said(found, VINCENT).get("split") is None
    assert said(found, f"wikiart/{VINCENT}")["split"] == "train"
    assert said(found, "Realism/x_y.jpg")["genre"] == "portrait"
    assert said(found, "Realism/x_y.jpg").get("split") is None  # that is from style lists alone
    assert found.counters["list_rows"] == 13


def test_a_template_keeps_what_the_lists_do_not_name(tmp_path: Path) -> None:
    found = listed(
        tmp_path / "root",
        zipped(tmp_path / "a.zip", ["test/a.jpg", "test/b.jpg"]),
        "sources.main.template={split}/{extra.id}",
        lists(
            tmp_path / "lists",
            **{
                "style_train.csv": "b.jpg,1\n",
                "style_val.csv": None,
                "artist_train": None,
                "genre_train.csv": None,
            },
        ),
    )
    assert said(found, "test/a.jpg") == {"split": "test", "extra": {"id": "a"}}
    assert said(found, "test/b.jpg") == {
        "style": "Impressionism",
        "split": "train",
        "extra": {"id": "b", "style_class": "Impressionism"},
    }


def test_a_source_without_lists_has_an_empty_table_of_misses_and_no_counters(
    tmp_path: Path,
) -> None:
    found = listed(tmp_path / "root", zipped(tmp_path / "a.zip", MEMBERS))
    assert found.misses == []
    assert found.counters.keys() == {"listed", "listed_bytes", "folders_skipped"}


def test_lists_of_another_catalog_are_refused_with_an_example_of_both_sides(
    tmp_path: Path,
) -> None:
    url = zipped(tmp_path / "a.zip", ["clothing/hat/1.jpg", "clothing/hat/2.jpg"])
    with pytest.raises(InputError, match="no row of the label lists") as error:
        listed(tmp_path / "root", url, lists(tmp_path / "lists"))
    assert f"{VINCENT!r}" in str(error.value)
    assert "'clothing/hat/1.jpg'" in str(error.value)
    assert not (tmp_path / "root").exists()


def test_empty_lists_are_refused(tmp_path: Path) -> None:
    url = zipped(tmp_path / "a.zip", MEMBERS)
    empty = {name: "" for name in LISTS if "class" not in name}
    with pytest.raises(InputError, match="they hold no rows"):
        listed(tmp_path / "root", url, lists(tmp_path / "lists", **empty))


def test_a_job_with_a_wrong_list_ends_with_4_before_spark_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = lists(tmp_path / "lists", **{"style_class.txt": None})
    given = (zipped(tmp_path / "a.zip", MEMBERS), wrong, f"store.root={tmp_path / 'root'}")
    assert execute("nightly", Options(assignments=given, verbosity="quiet")) == 4
    said = capsys.readouterr().err
    assert "sources.main.labels: " in said
    assert "style_class.txt is missing" in said


def test_the_log_warns_with_a_few_examples(tmp_path: Path) -> None:
    rows = "".join(f"Realism/lost_{n}.jpg,1\n" for n in range(9))
    given = lists(tmp_path / "lists", **{"style_val.csv": rows})
    structlog.reset_defaults()
    with capture_logs() as logs:
        listed(tmp_path / "root", zipped(tmp_path / "a.zip", MEMBERS), given)
    warned = next(each for each in logs if each["log_level"] == "warning")
    assert warned["source"] == "main"
    assert warned["no_member"] == [f"style_val.csv:{n} Realism/lost_{n - 1}.jpg" for n in (1, 2, 3)]
    assert warned["unlisted"] == [f"wikiart/{MUCHA}", f"wikiart/{UNLISTED}", OUTSIDE]


def test_lists_that_were_only_moved_are_the_same_inputs(tmp_path: Path, of_all: Listed) -> None:
    url = f"sources.main.url={tmp_path / 'a.zip'}"
    assert listed(tmp_path / "other", url, lists(tmp_path / "moved")).inputs == of_all.inputs
    less = lists(tmp_path / "less", **{"genre_train.csv": None})
    assert listed(tmp_path / "third", url, less).inputs != of_all.inputs
    missing = lists(tmp_path / "more", **{"genre_val.csv": "Realism/lost.jpg,0\n"})
    found = listed(tmp_path / "fourth", url, missing)
    assert found.labels == of_all.labels
    assert found.inputs != of_all.inputs


def test_a_dry_run_counts_what_the_lists_give_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (
        zipped(tmp_path / "a.zip", MEMBERS),
        lists(tmp_path / "lists"),
        f"store.root={tmp_path / 'root'}",
    )
    before = tree(tmp_path)
    wanted = Options(assignments=given, dry_run=True, as_json=True, verbosity="quiet")
    assert execute("inventory", wanted) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["inventory"] == {
        "members listed": 7,
        "new": 7,
        "gone": 0,
        "rows of label lists": 12,
        "rows without a member": 1,
        "rows that fit several members": 0,
        "members that no list names": 2,
        "rows on the other side of the split": 1,
    }
    assert tree(tmp_path) == before


def test_labels_and_misses_of_a_long_listing_are_those_of_their_members(tmp_path: Path) -> None:
    count = GROUP_ROWS + 10_000
    paths = [f"w/{n % 7}/{n}.jpg" for n in range(count)]
    rows = "".join(f"{n % 7}/{n}.jpg,{n % 3}\n" for n in range(0, count, 2))
    files = {"style_val.csv": rows.encode(), "style_class.txt": b"0 a\n1 b\n2 c"}
    source = Source(url="a.zip", labels=str(write_folder(tmp_path / "lists", files)))
    store = LocalStore(str(tmp_path / "scratch"))
    with Overlay("main", source, store) as overlay:
        overlay.add(label_rows("main", range(count), paths, [None] * count))
    with (
        TableWriter(store, "t", TABLES["labels"], "all") as labels,
        TableWriter(store, "t", TABLES["label_misses"], "all") as misses,
    ):
        overlay.lay(labels, misses)
    found = [row for batch in read_table(store, labels.receipts) for row in batch.to_pylist()]
    assert [row["entry"] for row in found] == list(range(count))
    assert [row["style"] for row in found] == [
        None if n % 2 else "abc"[n % 3] for n in range(count)
    ]
    missed = [row for batch in read_table(store, misses.receipts) for row in batch.to_pylist()]
    assert [(row["line"], row["path"]) for row in missed] == list(enumerate(paths))[1::2]


@pytest.mark.skipif(not DATA.exists(), reason="shared/data is not here")
def test_the_lists_of_the_real_paintings_name_every_one_of_them(tmp_path: Path) -> None:
    found = listed(
        tmp_path / "root",
        f"sources.main.url={DATA / 'paintings.zip'}",
        f"sources.main.labels={DATA / 'labels'}",
    )
    assert found.misses == []
    assert found.counters["listed"] == 1144
    assert (found.counters["list_rows"], found.counters["list_used"]) == (2288, 2288)
    assert Counter(row["split"] for row in found.labels.values()) == {"train": 800, "val": 344}
    extras = [dict(row["extra"]) for row in found.labels.values()]
    assert [each["style_class"] for each in extras] == [
        row["style"] for row in found.labels.values()
    ]
    assert [each["artist_class"] for each in extras] == [
        row["artist"] for row in found.labels.values()
    ]
    assert len({each["artist_class"] for each in extras}) == 15


def test_a_night_with_other_lists_reads_no_picture_again(release: Night, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    catalog = release.rows("catalog")
    chosen = next(
        row["image_id"] for row in catalog if row["image_id"].startswith("wikiart/Cubism")
    )
    files = {"style_train.csv": f"{chosen},0\n".encode(), "style_class.txt": b"0 Orphism\n"}
    given = f"sources.main.labels={write_folder(tmp_path / 'lists', files)}"
    second = night(root, "second", *release.assignments[:-1], given)
    stages = second.account["stages"]
    assert stages["ingest"].get("read", 0) == 0
    assert stages["embed"].get("encoded", 0) == 0
    assert stages["neighbors"] == {"seconds": 0.0, "kept_from": "first"}
    assert stages["inventory"]["list_used"] == 1
    before, after = (
        {row["image_id"]: row for row in each} for each in (catalog, second.rows("catalog"))
    )
    changed = {each for each in after if before[each] != after[each]}
    assert changed == {chosen}
    told = second.account["changes"]["images"]
    assert {kind: n for kind, n in told.items() if n} == {"relabelled": 1, "unchanged": 30}
    assert stages["ingest"] == {"seconds": 0.0, "kept_from": "first"}
    assert stages["index"] == {"seconds": 0.0, "kept_from": "first"}
    assert (after[chosen]["style"], after[chosen]["split"]) == ("Orphism", "train")
    assert (after[chosen]["first_release"], after[chosen]["changed_release"]) == ("first", "second")
    misses = [row["reason"] for row in second.rows("label_misses")]
    assert Counter(misses) == {"unlisted": len(release.rows("members")) - 1 - 4}
