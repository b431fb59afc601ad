"""Label lists: every way in which they are written, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from artrec.errors import InputError
from artrec.labels import LabelLists, ListRow, find_lists
from artrec.storage.local import LocalStore
from tests.pictures import write_folder

CLASSES = b"0 Baroque\n1 Art_Nouveau\n2 Pop Art\n"


def found(root: Path, files: dict[str, bytes]) -> LabelLists:
    write_folder(root / "lists", files)
    return find_lists(LocalStore(str(root)), "lists")


def rows_of(root: Path, data: bytes) -> list[tuple[int, str, int]]:
    lists = found(root, {"style_train.csv": data, "style_class.txt": CLASSES})
    return [(row.line, row.path, row.index) for _, row in lists.rows()]


A, B = "Baroque/a_b.jpg", "Pop_Art/c_d-1960(2).jpg"


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (f"{A},0\n{B},2\n", (1, 2)),
        (f"{A},0\n{B},2", (1, 2)),
        (f"path,class\n\n{A},0\n{B},2\n", (3, 4)),
        (f"path,,class\n{A},,0\n{B},,2\n", (2, 3)),
        (f"\n\n{A},0\n\n \n{B},2\n\n", (3, 6)),
        (f"{A},0,\n{B},2,,\n", (1, 2)),
        (f"{A},0\r\n{B},2\r\n", (1, 2)),
        (f"path,class\r\n\r\n{A},0\r\n{B},2", (3, 4)),
        (f"\ufeff{A},0\n{B},2\n", (1, 2)),
        (f"\ufeffpath,class\n{A},0\n{B},2\n", (2, 3)),
        (f"{A},0  \t\n  {B} , 2\n", (1, 2)),
        (f"{A},00\n{B},02\n", (1, 2)),
    ],
    ids=[
        *("plain", "no last line end", "header and empty line", "doubled commas", "empty lines"),
        *("commas at the end", "CRLF", "CRLF and header", "BOM", "BOM and header", "spaces"),
        "zeros in front",
    ],
)
def test_the_rows_are_the_same_however_the_list_is_written(
    tmp_path: Path, data: str, lines: tuple[int, int]
) -> None:
    assert rows_of(tmp_path, data.encode()) == [(lines[0], A, 0), (lines[1], B, 2)]


@pytest.mark.parametrize(
    "path",
    [
        "one.jpg",
        "a/b/c/d.jpg",
        "Baroque/one, two.jpg",
        "Baroque/a_b,12.jpg",
        "Baroque/l'arlésienne.jpg",
        "Realism/joaquã\xadn-sorolla_beach.jpg",
        'Realism/"quoted".jpg',
        "a b/c d.jpg",
        "1889",
    ],
)
def test_a_path_is_taken_as_it_stands(tmp_path: Path, path: str) -> None:
    assert rows_of(tmp_path, f"{path},1\n".encode()) == [(1, path, 1)]


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters=",\ufeff"),
    min_size=1,
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
ends = st.sampled_from(["\n", "\r\n", "  \n", ",\n", "\n\n", "\r\n \r\n"])


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(paths, st.integers(0, 2), st.sampled_from([",", ",,", " , "]), ends)),
    head=st.sampled_from(["", "path,class\n", "\ufeff", "\ufeffpath,,class\r\n\r\n", "\n"]),
)
def test_what_is_written_as_a_list_is_read_back(
    rows: list[tuple[str, int, str, str]], head: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = head + "".join(f"{path}{comma}{index}{end}" for path, index, comma, end in rows)
    read = rows_of(tmp_path_factory.mktemp("lists"), text.encode())
    assert [(path, index) for _, path, index in read] == [(r[0], r[1]) for r in rows]
    lines = text.split("\n")
    assert all(path in lines[line - 1] for line, path, _ in read)


def test_a_list_of_several_windows_has_each_row_once(tmp_path: Path) -> None:
    expected = [(n + 1, f"Baroque/{'ü' * (n % 60)}_{n}.jpg", n % 3) for n in range(30_000)]
    data = "".join(f"{path},{index}\n" for _, path, index in expected).encode()
    assert len(data) > 2 << 20
    assert rows_of(tmp_path, data) == expected


@pytest.mark.parametrize(
    ("data", "line", "complaint"),
    [
        (f"{A},0\n{B}\n", 2, "expected path,index"),
        (f"{A},0\npath,class\n", 2, "expected path,index"),
        (f"path,class\npath,class\n{A},0\n", 2, "expected path,index"),
        (f"{A}\n", 1, "expected path,index"),
        (f"{A},Baroque\n", 1, "expected path,index"),
        (f"{A},-1\n", 1, "expected path,index"),
        (f"{A},1.0\n", 1, "expected path,index"),
        (f"{A},1234567890\n", 1, "expected path,index"),
        (f"{A};0\n", 1, "expected path,index"),
        (f"{A},0\n,0\n", 2, "expected path,index"),
        (f"{A},0\r{B},2\r", 1, "expected path,index"),
        (f"{A},0\n{A[:-4]}\0,\n", 2, "expected path,index"),
        (f"{A},0\n{'x' * 9_000},0\n", 2, "too long"),
        ("x" * (2 << 20), 1, "too long"),
        (f"{A},0\n{B},3\n", 2, r"Pop_Art/c_d-1960\(2\)\.jpg has class 3.*style_class\.txt.*0 to 2"),
    ],
)
def test_what_is_no_row_is_refused_with_its_file_and_line(
    tmp_path: Path, data: str, line: int, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as error:
        rows_of(tmp_path, data.encode())
    assert f"{tmp_path}/lists/style_train.csv, line {line}:" in str(error.value)


def test_a_list_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"style_train\.csv, line 2: not UTF-8: b'B/caf\\xe9"):
        rows_of(tmp_path, b"A/a.jpg,0\nB/caf\xe9.jpg,1\n")


def test_a_list_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    lists = found(tmp_path, {"style_train.csv": b"a.jpg,0\n", "style_class.txt": CLASSES})
    (tmp_path / "lists/style_train.csv").write_bytes(b"a.jpg,1\nb.jpg,1\n")
    with pytest.raises(InputError, match="changed while it was read"):
        list(lists.rows())


# -- the folder ----------------------------------------------------------------------------


def test_lists_are_found_under_their_names_with_and_without_endings(tmp_path: Path) -> None:
    files = {
        "artist_train": b"a.jpg,0\n",
        "artist_val": b"b.jpg,0\n",
        "artist_class.txt": b"0 Vincent_van_Gogh\n",
        "genre_val.csv": b"c.jpg,4\n",
        "genre_class": b"4 portrait\n",
        "style_train.csv": b"d.jpg,1\n",
        "style_class.txt": CLASSES,
        "README.txt": b"not a list",
    }
    lists = found(tmp_path, files)
    assert [(each.name, each.field, each.split) for each in lists.lists] == [
        ("artist_train", "artist", "train"),
        ("artist_val", "artist", "val"),
        ("genre_val.csv", "genre", "val"),
        ("style_train.csv", "style", "train"),
    ]
    assert lists.classes == {
        "artist": {0: "Vincent_van_Gogh"},
        "genre": {4: "portrait"},
        "style": {0: "Baroque", 1: "Art_Nouveau", 2: "Pop Art"},
    }
    assert list(lists.rows()) == [
        (0, ListRow(1, "a.jpg", 0)),
        (1, ListRow(1, "b.jpg", 0)),
        (2, ListRow(1, "c.jpg", 4)),
        (3, ListRow(1, "d.jpg", 1)),
    ]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (b"0 A\n1 B\n", {0: "A", 1: "B"}),
        (b"index name\n\n0 A\r\n1\t B  \r\n", {0: "A", 1: "B"}),
        ("\ufeff0 É\n".encode(), {0: "É"}),
        (b"7 two words", {7: "two words"}),
    ],
)
def test_classes_are_named_as_they_stand_in_their_file(
    tmp_path: Path, classes: bytes, expected: dict[int, str]
) -> None:
    lists = found(tmp_path, {"style_val.csv": b"", "style_class.txt": classes})
    assert lists.classes == {"style": expected}


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"notes.txt": b""}, r"lists: no label lists; expected style_train\.csv"),
        ({"style_class.txt": CLASSES}, "no label lists"),
        ({"style_train.csv": b""}, r"lists: style_class\.txt is missing"),
        (
            {"style_train.csv": b"", "style_train": b"", "style_class.txt": CLASSES},
            r"style_train and style_train\.csv are both there",
        ),
        ({"style_val.csv": b"", "style_class.txt": b""}, r"style_class\.txt: no classes"),
        (
            {"style_val.csv": b"", "style_class.txt": b"0 A\nB 1\n"},
            r"style_class\.txt, line 2: expected index name such as 3 Baroque, found 'B 1'",
        ),
        ({"style_val.csv": b"", "style_class.txt": b"0,A\n"}, "line 1: expected index name"),
        ({"style_val.csv": b"", "style_class.txt": b"0\n"}, "line 1: expected index name"),
        (
            {"style_val.csv": b"", "style_class.txt": b"0 A\n0 B\n"},
            "line 2: class 0 is there twice",
        ),
        ({"style_val.csv": b"", "style_class.txt": b"0 A\n1 A\n"}, "two classes have one name"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    tmp_path: Path, files: dict[str, bytes], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        found(tmp_path, files)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no label lists"):
        find_lists(LocalStore(str(tmp_path)), "nowhere")
