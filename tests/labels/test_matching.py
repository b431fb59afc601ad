"""Which member a row is about: literal cases, and a slow matcher of its own beside the fast one."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from artrec.labels import (
    LabelLists,
    Matches,
    MemberPaths,
    RowPaths,
    Spellings,
    Verdict,
    find_lists,
    match,
    repair,
)
from artrec.labels.names import folded, loose_path
from artrec.storage.local import LocalStore
from tests.pictures import write_folder

Rows = dict[str, list[tuple[str, int]]]
"""The name of a list -> its rows."""


def lists_with(root: Path, rows: Rows) -> LabelLists:
    files = {
        name: "".join(f"{path},{index}\n" for path, index in each).encode()
        for name, each in rows.items()
    }
    for name in rows:
        files[f"{name.split('_')[0]}_class.txt"] = b"0 zero\n1 one\n2 two\n"
    write_folder(root / "lists", files)
    return find_lists(LocalStore(str(root)), "lists")


def matched(root: Path, rows: Rows, members: list[str]) -> Matches:
    lists = lists_with(root, rows)
    numbers = RowPaths()
    for number, row in lists.rows():
        numbers.add(number, row)
    paths = MemberPaths(numbers.depths())
    for member in members:
        paths.add(member)
    return match(lists.lists, numbers, paths)


def verdicts(matches: Matches) -> list[str]:
    return [Verdict(each).name for each in matches.verdicts]


def one(root: Path, rows: list[str], members: list[str]) -> tuple[list[int], list[str]]:
    """For one list: each member's row or -1, and each row's verdict."""
    found = matched(root, {"style_train.csv": [(path, 0) for path in rows]}, members)
    return found.rows["style"].tolist(), verdicts(found)


@pytest.mark.parametrize(
    ("row", "member"),
    [
        ("Baroque/a_b.jpg", "Baroque/a_b.jpg"),
        ("Baroque/a_b.jpg", "wikiart/Baroque/a_b.jpg"),
        ("Baroque/a_b.jpg", "x/y/z/Baroque/a_b.jpg"),
        ("a_b.jpg", "wikiart/Baroque/a_b.jpg"),
        ("./Baroque/a_b.jpg", "wikiart/Baroque/a_b.jpg"),
        ("/Baroque/a_b.jpg", "./Baroque/a_b.jpg"),
        ("Baroque/A_B.JPG", "wikiart/baroque/a_b.jpg"),
        ("Baroque/a_b.jpg", "wikiart/Baroque/a_b.png"),
        ("Baroque/a_b.jpg", "wikiart/Baroque/a_b"),
        ("B/ren\xe9_x.jpg", "w/B/rene\u0301_x.jpg"),
        ("B/joaquã\xadn-sorolla_x.jpg", "w/B/joaquín-sorolla_x.jpg"),
        ("B/joaquín-sorolla_x.jpg", "w/B/joaquã\xadn-sorolla_x.jpg"),
        ("B/joaquã\xadn-sorolla_x.jpg", "w/B/Joaqui\u0301n-Sorolla_x.jpg"),
        ("B/joaqua\u0303\xadn-sorolla_x.jpg", "w/B/joaquín-sorolla_x.jpg"),
        ("B/joan-mirã³_l'été.jpg", "w/B/joan-miró_l'été.jpg"),
    ],
)
def test_a_row_finds_its_member(tmp_path: Path, row: str, member: str) -> None:
    assert one(tmp_path, [row], ["other/else.jpg", member]) == ([-1, 0], ["used"])


@pytest.mark.parametrize(
    ("row", "member"),
    [
        ("Baroque/a_b.jpg", "a_b.jpg"),
        ("Baroque/a_b.jpg", "wikiart/NeoBaroque/a_b.jpg"),
        ("Baroque/a_b.jpg", "wikiart/Baroque/aa_b.jpg"),
        ("Baroque/a_b.jpg", "wikiart/Rococo/a_b.jpg"),
        ("Baroque/a_b.jpg", "wikiart/Baroque/a_b-2.jpg"),
        ("Baroque/a_b.jpg", "wikiart/Baroque/a_b.jpg/x"),
        ("B/café.jpg", "w/B/cafe.jpg"),
    ],
)
def test_a_row_finds_no_other_member(tmp_path: Path, row: str, member: str) -> None:
    assert one(tmp_path, [row], [member]) == ([-1], ["no_member"])


def test_the_exact_path_wins_over_the_same_but_for_case_or_extension(tmp_path: Path) -> None:
    members = ["w/B/A.png", "w/B/a.jpg", "w/B/A.JPG"]
    assert one(tmp_path, ["B/a.jpg"], members) == ([-1, 0, -1], ["used"])
    assert one(tmp_path, ["B/A.JPG", "B/a.jpg"], members) == ([-1, 1, 0], ["used", "used"])


def test_a_member_with_an_exact_row_is_not_given_to_a_looser_one(tmp_path: Path) -> None:
    rows = ["B/A.jpg", "B/a.jpg"]
    assert one(tmp_path, rows, ["w/B/a.jpg"]) == ([1], ["no_member", "used"])


def test_the_whole_path_wins_over_the_end_of_a_longer_one(tmp_path: Path) -> None:
    members = ["copies/B/a.jpg", "B/a.jpg"]
    assert one(tmp_path, ["B/a.jpg"], members) == ([-1, 0], ["used"])


def test_a_row_that_fits_two_members_is_given_to_neither(tmp_path: Path) -> None:
    members = ["x/B/a.jpg", "y/B/a.jpg", "x/B/b.jpg"]
    assert one(tmp_path, ["B/a.jpg", "B/b.jpg"], members) == ([-1, -1, 1], ["ambiguous", "used"])
    assert one(tmp_path, ["x/b/A.jpg", "B/é.jpg"], ["x/B/a.jpg", "B/É.jpg", "B/é.png"]) == (
        [0, -1, -1],
        ["used", "ambiguous"],
    )


def test_a_name_that_stands_twice_has_its_row_both_times(tmp_path: Path) -> None:
    members = ["w/B/a.jpg", "w/B/b.jpg", "w/B/a.jpg", "w/B/e\u0301.jpg", "w/B/\xe9.jpg"]
    rows = ["B/a.jpg", "B/é.jpg"]
    assert one(tmp_path, rows, members) == ([0, -1, 0, 1, 1], ["used", "used"])


def test_rows_of_different_depths_are_read_together(tmp_path: Path) -> None:
    members = ["x/y/z.jpg", "y/z.jpg", "z.jpg", "w/v.jpg"]
    rows = ["z.jpg", "y/z.jpg", "x/y/z.jpg", "V.jpg"]
    assert one(tmp_path, rows, members) == ([2, 1, 0, 3], ["used"] * 4)


def test_of_several_rows_for_one_member_the_first_counts(tmp_path: Path) -> None:
    rows: Rows = {"genre_train.csv": [("a.jpg", 1), ("a.jpg", 2), ("a.jpg", 1), ("a.jpg", 2)]}
    found = matched(tmp_path, rows, ["a.jpg"])
    assert found.rows["genre"].tolist() == [0]
    assert verdicts(found) == ["used", "other_class", "repeated", "other_class"]
    assert found.also == {"genre": {0: [2]}}


def test_rows_on_the_other_side_than_the_style_lists_are_told(tmp_path: Path) -> None:
    rows: Rows = {
        "artist_train": [("a.jpg", 1), ("b.jpg", 1), ("c.jpg", 1)],
        "artist_val": [("a.jpg", 1)],
        "style_train.csv": [("a.jpg", 0)],
        "style_val.csv": [("b.jpg", 0), ("a.jpg", 0)],
    }
    found = matched(tmp_path, rows, ["a.jpg", "b.jpg", "c.jpg"])
    assert verdicts(found) == [
        *("used", "other_split", "used"),
        "other_split",
        "used",
        *("used", "other_split"),
    ]
    assert found.rows["artist"].tolist() == [0, 1, 2]
    assert found.rows["style"].tolist() == [4, 5, -1]
    assert found.listed().tolist() == [True, True, True]


def test_lists_without_styles_have_no_split_to_differ_from(tmp_path: Path) -> None:
    rows: Rows = {"genre_train.csv": [("a.jpg", 1)], "genre_val.csv": [("a.jpg", 1)]}
    assert verdicts(matched(tmp_path, rows, ["a.jpg", "b.jpg"])) == ["used", "repeated"]


def test_no_rows_and_no_members_are_no_error(tmp_path: Path) -> None:
    assert one(tmp_path, [], ["a.jpg"]) == ([-1], [])
    assert one(tmp_path, ["a.jpg"], []) == ([], ["no_member"])


# -- an independent matcher ----------------------------------------------------------------


def slow(rows: list[str], members: list[str]) -> tuple[list[int], list[str]]:
    """The three steps for one list of one class, pair by pair."""

    def stem(path: str) -> str:
        base, dot, end = path.rpartition(".")
        plain = base if dot and end in ("jpg", "png") and not base.endswith("/") else path
        return unicodedata.normalize("NFC", plain.casefold())

    def ends_alike(row: str, member: str, loose: bool) -> bool:
        parts, end = row.split("/"), member.split("/")
        tail = "/".join(end[-len(parts) :])
        same = stem(tail) == stem(row) if loose else tail == row
        return len(end) >= len(parts) and same

    rows = [unicodedata.normalize("NFC", each) for each in rows]
    members = [unicodedata.normalize("NFC", each) for each in members]
    hits: dict[int, list[int]] = {}
    several: set[int] = set()
    free = set(range(len(members)))
    depths = sorted({row.count("/") for row in rows}, reverse=True)
    steps = [(None, False), *((d, False) for d in depths), *((d, True) for d in depths)]
    for depth, loose in steps:
        taken: set[int] = set()
        for place, row in enumerate(rows):
            if place in hits or place in several or depth not in (None, row.count("/")):
                continue
            fitting = [
                m
                for m in sorted(free)
                if (members[m] == row if depth is None else ends_alike(row, members[m], loose))
            ]
            if len({members[m] for m in fitting}) > 1:
                several.add(place)
            elif fitting:
                hits[place] = fitting
                taken |= set(fitting)
        free -= taken
    first = [
        min((place for place, each in hits.items() if m in each), default=-1)
        for m in range(len(members))
    ]
    words = []
    for place in range(len(rows)):
        if place in several:
            words.append("ambiguous")
        elif place in hits:
            words.append("used" if any(first[m] == place for m in hits[place]) else "repeated")
        else:
            words.append("no_member")
    return first, words


part = st.sampled_from(["a", "A", "b", "\xe9", "e\u0301", "\xc9"])
end = st.sampled_from([".jpg", ".png", ""])
some_paths = st.lists(
    st.tuples(st.lists(part, min_size=1, max_size=3), end).map(lambda p: "/".join(p[0]) + p[1]),
    max_size=8,
)


@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=some_paths, members=some_paths)
def test_the_matching_is_that_of_a_slow_one(
    rows: list[str], members: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert one(tmp_path_factory.mktemp("one"), rows, members) == slow(rows, members)


# -- forms ---------------------------------------------------------------------------------


@given(st.text())
def test_the_loose_form_is_one_for_all_cases_and_normal_forms(path: str) -> None:
    assert loose_path(path) == loose_path(unicodedata.normalize("NFC", path))
    assert loose_path(path.lower()) == loose_path(path.lower().casefold())


letters = st.text("abcxyz-_/éíñüčő葛", min_size=1)


@given(letters)
def test_a_path_and_its_damaged_form_have_one_loose_form(path: str) -> None:
    damaged = path.encode().decode("latin-1").lower()
    assert repair(damaged) == path
    assert loose_path(damaged) == loose_path(path)


@pytest.mark.parametrize(
    ("one_label", "other"),
    [
        ("Vincent_van_Gogh", "vincent-van-gogh"),
        ("Post_Impressionism", "Post-Impressionism"),
        ("M.C._Escher", "m.c.-escher"),
        ("Albrecht Dürer", "albrecht-durer"),
        ("Joaquín_Sorolla", "joaquã\xadn-sorolla"),
    ],
)
def test_spellings_of_one_label_fold_to_one(one_label: str, other: str) -> None:
    assert folded(one_label) == folded(other)


# -- spelling ------------------------------------------------------------------------------


def spelled(classes: list[str], said: list[tuple[str | None, int | None]]) -> list[str]:
    spellings = Spellings(dict(enumerate(classes)))
    for value, index in said:
        spellings.learn(value, index)
    return [spellings.of(index) for index in range(len(classes))]


def test_a_class_is_written_as_the_paths_write_it() -> None:
    said: list[tuple[str | None, int | None]] = [
        ("vincent-van-gogh", 0),
        ("claude-monet", None),
        ("somebody-else", None),
    ]
    classes = ["Vincent_van_Gogh", "Claude_Monet", "Salvador_Dali"]
    assert spelled(classes, said) == ["vincent-van-gogh", "claude-monet", "Salvador_Dali"]


def test_a_folder_with_another_name_keeps_it_where_it_is_the_only_one() -> None:
    nouveau: list[tuple[str | None, int | None]] = [("Art_Nouveau_Modern", 0), ("Baroque", 1)]
    classes = ["Art_Nouveau", "Baroque"]
    assert spelled(classes, nouveau) == ["Art_Nouveau_Modern", "Baroque"]
    # a second folder of the class, or a second class of the folder: which is meant is not known
    assert spelled(classes, [*nouveau, ("Jugendstil_Art", 0)]) == ["Art_Nouveau", "Baroque"]
    assert spelled(classes, [*nouveau, ("Art_Nouveau_Modern", 1)]) == ["Art_Nouveau", "Baroque"]


def test_a_class_that_is_called_otherwise_than_the_folder_is_another_one() -> None:
    assert spelled(["Orphism"], [("Cubism", 0), ("Cubism", None)]) == ["Orphism"]
    assert spelled(["Art"], [("Artists", 0)]) == ["Art"]
    assert spelled(["Rembrandt"], [("rembrandt-van-rijn", 0)]) == ["rembrandt-van-rijn"]
    assert spelled(["Rembrandt_van_Rijn"], [("rembrandt", 0)]) == ["rembrandt"]


def test_the_name_of_another_class_is_never_taken_for_a_spelling() -> None:
    assert spelled(["Cubism", "Fauvism"], [("Fauvism", 0), ("Cubism", 1)]) == ["Cubism", "Fauvism"]
    assert spelled(["Pop", "Pop_Art"], [("Pop-Art", 0)]) == ["Pop", "Pop-Art"]
    assert spelled(["Cubism", "Fauvism"], [("fauvism", 0)]) == ["Cubism", "fauvism"]


def test_without_words_in_the_paths_classes_are_written_as_in_their_file() -> None:
    assert spelled(["Art_Nouveau"], [(None, 0), (None, None)]) == ["Art_Nouveau"]


def test_of_two_spellings_in_the_paths_the_smaller_one_is_taken() -> None:
    said: list[tuple[str | None, int | None]] = [
        ("post-impressionism", 0),
        ("Post_Impressionism", 0),
    ]
    assert spelled(["Post Impressionism"], said) == ["Post_Impressionism"]
    assert spelled(["Post Impressionism"], said[::-1]) == ["Post_Impressionism"]
