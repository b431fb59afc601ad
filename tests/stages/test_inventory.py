"""inventory: what is listed, under which ids, with which labels. It needs no Spark."""

from __future__ import annotations

import os
import shutil
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from artrec.errors import ConfigError, InputError, ReleaseConflict, UsageError
from artrec.releases import Draft, Release, StageRuns
from artrec.releases.published import Base
from artrec.stages import RESULT_VERSIONS, inventory
from artrec.stages.listing import list_sources
from tests.nights import (
    BROKEN,
    DAMAGED,
    DECOMPOSED,
    FIRST,
    MORE,
    OUTSIDE,
    PREFIX,
    REPEATED,
    TWINS,
    Night,
    draft_rows,
    opened,
    settings_of,
    tree,
)
from tests.pictures import Named, picture, write_folder, write_zip

Rows = list[dict[str, Any]]


def listed(root: Path, *assignments: str, name: str = "one") -> tuple[StageRuns, Draft]:
    settings = settings_of(f"store.root={root}", *assignments)
    draft = opened(settings, name)
    return inventory.run(None, settings, draft), draft


def tables_of(root: Path, *assignments: str) -> tuple[Rows, Rows]:
    """Members and labels of a fresh store."""
    listed(root, *assignments)
    members = draft_rows(root, "one", "inventory", "members")
    return members, draft_rows(root, "one", "inventory", "labels")


def both(sources: Path) -> tuple[str, ...]:
    return (
        f"sources.main.url={sources / 'first.zip'}",
        f"sources.more.url={sources / 'more'}",
        f"sources.more.id_prefix={PREFIX}",
    )


def test_a_zip_is_listed_as_pythons_zipfile_lists_it(tmp_path: Path, sources: Path) -> None:
    members, _ = tables_of(tmp_path / "root", *both(sources)[:1])
    with zipfile.ZipFile(sources / "first.zip") as oracle:
        expected = [
            (each.filename, each.file_size, each.compress_size, each.CRC, each.header_offset)
            for each in oracle.infolist()
            if not each.is_dir()
        ]
    found = [
        (
            row["raw_name"].decode(),
            row["bytes"],
            row["stored_bytes"],
            int(row["fingerprint"].removeprefix("crc32="), 16),
            row["offset"],
        )
        for row in members
    ]
    assert found == expected
    assert [row["entry"] for row in members] == list(range(len(expected)))
    assert {row["source"] for row in members} == {"main"}


def test_a_folder_is_listed_as_os_walk_lists_it(tmp_path: Path, sources: Path) -> None:
    top = sources / "more"
    expected = {
        os.path.relpath(os.path.join(folder, name), top): os.path.getsize(f"{folder}/{name}")
        for folder, _, names in os.walk(top)
        for name in names
    }
    members, _ = tables_of(tmp_path / "root", f"sources.more.url={top}")
    assert {row["raw_name"].decode(): row["bytes"] for row in members} == expected
    assert expected.keys() == MORE.keys()
    assert {row["method"] for row in members} == {"object"}


def test_several_sources_stand_in_one_table_each_behind_its_prefix(
    tmp_path: Path, sources: Path
) -> None:
    result, _ = listed(tmp_path / "root", *both(sources))
    members = draft_rows(tmp_path / "root", "one", "inventory", "members")
    by_source = {
        name: [row["image_id"] for row in members if row["source"] == name]
        for name in ("main", "more")
    }
    assert sorted(by_source["more"]) == sorted(PREFIX + name for name in MORE)
    assert len(by_source["main"]) == len(FIRST) - 1
    assert not any(each.startswith(PREFIX) for each in by_source["main"])
    keys = [(row["source"], row["entry"]) for row in members]
    assert keys == sorted(keys)
    assert result.counters["listed"] == len(members) == len(FIRST) - 1 + len(MORE)
    assert result.counters["folders_skipped"] == 1
    assert result.counters["listed_bytes"] == sum(row["stored_bytes"] for row in members)


def test_every_member_has_its_row_of_labels(tmp_path: Path, sources: Path) -> None:
    members, labels = tables_of(tmp_path / "root", *both(sources))
    keys = [(row["source"], row["entry"]) for row in members]
    assert [(row["source"], row["entry"]) for row in labels] == keys


def labels_of(members: Rows, labels: Rows, raw_name: str) -> dict[str, Any]:
    place = next(n for n, row in enumerate(members) if row["raw_name"].decode() == raw_name)
    return {
        key: value
        for key, value in labels[place].items()
        if value is not None and key not in ("source", "entry")
    }


def test_labels_come_from_the_template(tmp_path: Path, sources: Path) -> None:
    tables = tables_of(tmp_path / "root", *both(sources))
    assert labels_of(*tables, "wikiart/Cubism/painter-1_work-1-1881.jpg") == {
        "style": "Cubism",
        "artist": "painter-1",
        "title": "work-1-1881",
        "year": 1881,
    }
    assert labels_of(*tables, "1889/vincent_room.jpg") == {
        "style": "1889",
        "artist": "vincent",
        "title": "room",
    }


def test_each_source_has_its_own_template(tmp_path: Path, sources: Path) -> None:
    template = "sources.more.template={extra.folder}/{artist}_{title}"
    tables = tables_of(tmp_path / "root", *both(sources), template)
    assert labels_of(*tables, "1889/vincent_room.jpg") == {
        "artist": "vincent",
        "title": "room",
        "extra": [("folder", "1889")],
    }


def test_a_damaged_accent_is_repaired_in_the_labels_and_kept_in_the_id(
    tmp_path: Path, sources: Path
) -> None:
    members, labels = tables_of(tmp_path / "root", *both(sources))
    assert labels_of(members, labels, DAMAGED)["artist"] == "joaquín-sorolla"
    found = [row for row in members if row["image_id"] == DAMAGED]
    assert [row["raw_name"] for row in found] == [DAMAGED.encode()]


def test_a_name_outside_the_template_is_a_member_with_null_labels(
    tmp_path: Path, sources: Path
) -> None:
    members, labels = tables_of(tmp_path / "root", *both(sources))
    assert labels_of(members, labels, OUTSIDE) == {}
    assert [row["image_id"] for row in members if row["raw_name"] == OUTSIDE.encode()] == [OUTSIDE]


def test_image_ids_are_nfc_and_raw_names_are_not_touched(tmp_path: Path, sources: Path) -> None:
    members, _ = tables_of(tmp_path / "root", *both(sources))
    ids = {row["raw_name"].decode(): row["image_id"] for row in members}
    assert ids[DECOMPOSED] == "wikiart/Realism/ren\xe9-magritte_pipe-1929.jpg"
    assert ids[TWINS[0]] == ids[TWINS[1]] == "wikiart/Realism/andr\xe9_twin.jpg"


def test_a_name_that_stands_twice_is_told_apart_by_its_occurrence(
    tmp_path: Path, sources: Path
) -> None:
    members, _ = tables_of(tmp_path / "root", *both(sources))
    twice = [row for row in members if row["image_id"] == REPEATED]
    assert [row["occurrence"] for row in twice] == [0, 1]
    assert sum(row["occurrence"] for row in members) == 1


ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0\\")
LOOKALIKES = st.sampled_from(["e\u0301", "\xe9", "\u212b", "o\u0308\u0323", "\ufb01"])


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(
        st.lists(ANY | LOOKALIKES, min_size=1)
        .map(lambda parts: "".join(parts).strip("/"))
        .filter(bool),
        min_size=1,
        max_size=6,
    )
)
def test_any_name_has_an_id_that_is_its_nfc_form(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("names")
    source = write_zip(place / "a.zip", [(name, b"x") for name in names])
    members, _ = tables_of(place / "root", f"sources.a.url={source}", "sources.a.id_prefix=p/")
    assert [row["raw_name"].decode() for row in members] == names
    assert [row["image_id"] for row in members] == [
        "p/" + unicodedata.normalize("NFC", name) for name in names
    ]


def test_a_name_that_is_not_utf8_still_has_an_id(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "in", {"a.jpg": b"x"})
    with open(os.fsencode(place) + b"/caf\xe9.jpg", "wb") as stream:
        stream.write(b"y")
    members, _ = tables_of(tmp_path / "root", f"sources.a.url={place}")
    assert [row["raw_name"] for row in members] == [b"a.jpg", b"caf\xe9.jpg"]
    assert len({row["image_id"] for row in members}) == 2


def test_the_same_listing_writes_no_file(release: Night, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    before = tree(root)
    _, draft = listed(root, *release.assignments[:-1], name="again")
    assert tree(root) == before
    assert draft.unchanged


def test_an_archive_that_was_only_copied_is_the_same_listing(
    release: Night, sources: Path, tmp_path: Path
) -> None:
    root, copied = tmp_path / "root", tmp_path / "copied.zip"
    shutil.copytree(release.root, root)
    copied.write_bytes((sources / "first.zip").read_bytes())
    before = tree(root)
    url = f"sources.main.url={copied}"
    result, draft = listed(root, *release.assignments[:-1], url, name="again")
    assert tree(root) == before
    assert draft.unchanged
    assert result.notes["pins"]["main"]["path"] == "copied.zip"


def test_a_zip_whose_directory_is_as_it_was_is_not_listed_again(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, url = tmp_path / "root", both(sources)[0]
    first, _ = listed(root, url)
    other = write_zip(tmp_path / "a.zip", [*FIRST, ("new.jpg", b"x")])
    released = Release(
        release_id="one",
        previous=None,
        inputs="",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        settings={},
        versions={},
        encoder="",
        metric="",
        dim=0,
        k=0,
        stages={"inventory": first},
        gates=[],
        counts={},
    )
    listings: list[Any] = []
    monkeypatch.setattr(inventory, "list_sources", told(listings, list_sources))
    asked = [(url,), (url, "sources.main.template={title}"), (f"sources.main.url={other}",)]
    for count, assignments in enumerate(asked):
        settings = settings_of(f"store.root={root}", *assignments)
        draft = opened(settings, f"again{count}")
        draft.base = Base(released, None)
        found = inventory.run(None, settings, draft)
        assert len(listings) == count
        same = (found.inputs, found.tables, found.counters, found.notes)
        assert (same == (first.inputs, first.tables, first.counters, first.notes)) == (count == 0)


def told(calls: list[Any], work: Any) -> Any:
    """``work``, leaving word of each call."""

    def asked(*arguments: Any) -> Any:
        calls.append(arguments)
        return work(*arguments)

    return asked


def test_one_more_member_is_another_listing(release: Night, sources: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    url = f"sources.main.url={write_zip(tmp_path / 'a.zip', [*FIRST, ('new.jpg', b'x')])}"
    result, draft = listed(root, *release.assignments[:-1], url, name="again")
    assert not draft.unchanged
    assert result.inputs != release.document["stages"]["inventory"]["inputs"]
    assert (root / "drafts/again/inventory.json").exists()


def test_the_listing_is_the_same_in_every_store(tmp_path: Path, sources: Path) -> None:
    one, _ = listed(tmp_path / "one", *both(sources))
    other, _ = listed(tmp_path / "other", *both(sources))
    assert one.inputs == other.inputs


def test_broken_members_are_listed_like_all_others(tmp_path: Path, sources: Path) -> None:
    members, _ = tables_of(tmp_path / "root", *both(sources))
    assert BROKEN.keys() <= {row["raw_name"].decode() for row in members}


PICTURES: list[Named] = [("a/b_c.jpg", picture(1))]


def test_a_source_without_members_is_refused(tmp_path: Path) -> None:
    empty = write_zip(tmp_path / "empty.zip", [])
    with pytest.raises(InputError, match=r"source a: .*empty\.zip holds no members"):
        listed(tmp_path / "root", f"sources.a.url={empty}")
    assert not (tmp_path / "root").exists()


def test_a_source_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.zip"):
        listed(tmp_path / "root", f"sources.a.url={tmp_path / 'nowhere.zip'}")


def test_no_source_at_all_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set sources\.main\.url=PATH"):
        listed(tmp_path / "root")


def test_a_name_held_by_another_archive_is_refused(tmp_path: Path) -> None:
    one = write_zip(tmp_path / "one.zip", PICTURES)
    other = write_zip(tmp_path / "other.zip", [*PICTURES, ("d.jpg", b"d")])
    listed(tmp_path / "root", f"sources.a.url={one}")
    with pytest.raises(ReleaseConflict, match="the name one is held by other inputs"):
        listed(tmp_path / "root", f"sources.a.url={other}")


def test_a_folder_whose_links_lead_in_a_circle_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", dict(PICTURES))
    (folder / "a" / "back").symlink_to(folder)
    with pytest.raises(UsageError, match="links lead in a circle"):
        listed(tmp_path / "root", f"sources.a.url={folder}")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("stage", RESULT_VERSIONS)
def test_other_inputs_are_another_listing_other_settings_or_a_newer_stage(
    monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    usual = settings_of("sources.a.url=a.zip")
    before = inventory.draft_inputs("listing", usual)
    assert inventory.draft_inputs("listing", settings_of("sources.a.url=b.zip")) == before
    assert inventory.draft_inputs("other", usual) != before
    trained = settings_of("sources.a.url=a.zip", "train.epochs=3", "train.seed=9")
    assert inventory.draft_inputs("listing", trained) == before  # the stage that trains asks itself
    more = settings_of("sources.a.url=a.zip", "neighbors.k=3")
    assert inventory.draft_inputs("listing", more) != before
    monkeypatch.setitem(RESULT_VERSIONS, stage, RESULT_VERSIONS[stage] + 1)
    assert inventory.draft_inputs("listing", usual) != before
