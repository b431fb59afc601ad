"""artrec query: pictures and vectors from outside, and sets of them, against brute force."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from artrec import encoders
from artrec import picture as pictures
from artrec.stages.query import answering, joining
from artrec.stages.query.joining import Part, cut_parts
from artrec.storage import open_store
from tests.brute_force import distance
from tests.commands.conftest import Called
from tests.commands.conftest import artrec as artrec
from tests.nights import BROKEN, PAINTINGS, PREFIX, SAME, Night, tree
from tests.pictures import Named, picture, write_folder, write_zip
from tests.services.s3 import Server

Rows = list[dict[str, Any]]
Lists = dict[str, list[tuple[str, float]]]
Asking = Callable[..., "Answer"]


@dataclass(frozen=True)
class Answer:
    """How a query ended, what it said, and where it wrote."""

    called: Called
    out: Path

    @property
    def account(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "query.json").read_bytes())
        return found

    def rows(self, table: str) -> Rows:
        """Of the files that the account names."""
        files = [self.out / file["path"] for file in self.account["files"][table]]
        rows: Rows = pa.concat_tables([pq.ParquetFile(file).read() for file in files]).to_pylist()
        return rows

    def lists(self) -> Lists:
        found: Lists = {}
        for row in self.rows("neighbors"):
            of = found.setdefault(row["query_id"], [])
            of.append((row["neighbor_id"], row["distance"]))
            assert row["rank"] == len(of)
        return found

    def reasons(self) -> dict[str, str]:
        return {row["query_id"]: row["reason"] for row in self.rows("query_rejects")}


@pytest.fixture
def ask(spark: SparkSession, release: Night, tmp_path: Path, artrec: Any) -> Asking:
    """Ask the first release; the answer lies in ``out`` unless told otherwise."""

    def asking(
        source: Path | str, *more: str, out: str = "out", root: Path | None = None
    ) -> Answer:
        place = out if "://" in out else tmp_path / out
        options = ("--root", str(root or release.root), "--quiet", *more)
        return Answer(artrec("query", str(source), "--out", str(place), *options), tmp_path / out)

    return asking


def encoded(data: bytes) -> list[float]:
    """A picture's vector, by the hand-made encoder alone."""
    encoder = encoders.load_builtin("handmade")
    wanted = encoder.preprocess
    pixels = pictures.decode(data, pictures.Limits(), wanted.size, wanted.fit, wanted.filter)
    vector: list[float] = encoder.encode(pixels[None])[0].tolist()
    return vector


Catalog = dict[str, tuple[int, list[float]]]


def catalog_of(release: Night) -> Catalog:
    """image_id -> (vector_no, vector)."""
    numbers = {row["image_id"]: row["vector_no"] for row in release.rows("catalog")}
    vectors = {row["image_id"]: row["embedding"] for row in release.rows("embeddings")}
    return {name: (number, vectors[name]) for name, number in numbers.items()}


def nearest(
    catalog: Catalog, asked: Iterable[list[float]], k: int, without: Iterable[int] = ()
) -> list[tuple[str, float]]:
    """The first k images by (least distance, vector_no, image_id), one pair after the other."""
    asked, own = list(asked), set(without)
    order = sorted(
        (min(distance("cosine", each, vector) for each in asked), number, name)
        for name, (number, vector) in catalog.items()
        if number not in own
    )
    return [(name, far) for far, _, name in order[:k]]


def mean(vectors: list[list[float]]) -> list[float]:
    """Of unit vectors, in float64."""
    units = [np.array(each) / np.sqrt(np.sum(np.square(each))) for each in vectors]
    found: list[float] = np.float32(sum(units) / len(units)).tolist()
    return found


def rounded(lists: Lists) -> Lists:
    """Encoders differ in the last bits from batch to batch."""
    return {
        query: [(name, pytest.approx(far, abs=1e-6)) for name, far in found]
        for query, found in lists.items()
    }


BAD = [(each, reason) for each, reason in BROKEN.values() if each.name.endswith(b".jpg")]
OUTSIDE: list[Named] = [(f"mine/new/outside_{n}.jpg", picture(900 + n)) for n in range(9)]
KNOWN: list[Named] = [("mine/old/copy.jpg", PAINTINGS[0][1]), ("mine/old/two.jpg", PAINTINGS[2][1])]
AGAIN = "mine/new/again.jpg"
ASKED: list[Any] = [
    OUTSIDE[0],
    *(each for each, _ in BAD),
    (AGAIN, picture(950)),
    *OUTSIDE[1:],
    *KNOWN,
    (AGAIN, picture(951)),
]


def test_pictures_find_what_brute_force_finds_and_the_rest_are_rejects(
    release: Night, tmp_path: Path, ask: Asking
) -> None:
    before = tree(release.root)
    source = write_zip(tmp_path / "asked.zip", ASKED)
    answer = ask(source, "-k", "4", "--json", "--set", "ingest.slice_bytes=8000")
    assert answer.called.code == 0, answer.called.err
    catalog = catalog_of(release)
    wanted = dict([*OUTSIDE, *KNOWN, (AGAIN, picture(951))])
    truth = {name: nearest(catalog, [encoded(data)], 4) for name, data in wanted.items()}
    assert answer.lists() == rounded(truth)
    same = sorted([PAINTINGS[0][0], *SAME, f"{PREFIX}1890/paul_copy.jpg"])
    assert answer.lists()["mine/old/copy.jpg"] == [(name, 0.0) for name in same]

    bad = {each.name.decode(): reason for each, reason in BAD}
    assert answer.reasons() == {**bad, AGAIN: "duplicate_name"}
    first = next(row for row in answer.rows("query_rejects") if row["query_id"] == AGAIN)
    assert (first["stage"], first["entry"]) == ("inventory", len(BAD) + 1)
    account = answer.account
    assert json.loads(answer.called.out) == account
    assert account["counts"] == {
        "listed": len(ASKED),
        "queries": len(wanted),
        "rejects": len(BAD) + 1,
        "neighbors": 4 * len(wanted),
    }
    assert sum(account["reasons"].values()) == len(BAD) + 1
    assert (account["release"], account["metric"], account["k"]) == ("first", "cosine", 4)
    assert tree(release.root) == before
    files = {path.relative_to(answer.out).parts[0] for path in answer.out.rglob("*")}
    assert files == {"neighbors", "query_rejects", "query.json"}
    (file,) = account["files"]["neighbors"]
    said = pq.read_schema(answer.out / file["path"]).metadata
    assert said[b"artrec.table"] == b"neighbors"
    assert said[b"artrec.encoder"] == account["encoder"].encode()


def test_sets_of_pictures_are_nearest_to_any_of_them(
    release: Night, tmp_path: Path, ask: Asking
) -> None:
    """One set has contents of the catalog, which its list leaves out under all their names."""
    files = {name.partition("/")[2]: data for name, data in [*OUTSIDE[:3], *KNOWN]}
    files |= {"loose.jpg": picture(1), "empty/page.jpg": b"<html>"}
    source, catalog = write_folder(tmp_path / "asked", files), catalog_of(release)
    sets = {
        name: [encoded(data) for path, data in files.items() if path.startswith(f"{name}/")]
        for name in ("new", "old")
    }
    own = {"new": [], "old": [catalog[PAINTINGS[n][0]][0] for n in (0, 2)]}
    answer = ask(source, "-k", "6", "--sets", "any")
    assert answer.called.code == 0, answer.called.err
    assert answer.lists() == rounded(
        {name: nearest(catalog, vectors, 6, own[name]) for name, vectors in sets.items()}
    )
    assert answer.reasons() == {"loose.jpg": "no_set", "empty/page.jpg": "not_a_picture"}
    assert answer.account["counts"] == {
        "listed": 7,
        "members": 5,
        "rejects": 2,
        "queries": 2,
        "rejected_sets": 0,
        "neighbors": 12,
    }


# Vectors.


def some_vectors(n: int, seed: int = 1) -> list[list[float]]:
    random = np.random.default_rng(seed)
    found: list[list[float]] = random.normal(0, 1, (n, 154)).astype(np.float32).tolist()
    return found


def saved(path: Path, **columns: Any) -> Path:
    """A Parquet file of vectors, in row groups of five rows."""
    types = {"embedding": pa.list_(pa.float32()), "vector_no": pa.int64()}
    table = pa.table(
        {name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=5)
    return path


def test_vectors_find_what_brute_force_finds_bit_for_bit(
    release: Night, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "RANGE_BYTES", 1)  # each core meets a part of the catalog
    vectors = some_vectors(14)
    spoiled = [*vectors[:12], [float("nan")] * 154, [0.0] * 154, None, vectors[12], vectors[13]]
    names = [*(f"q{n:02d}" for n in range(15)), None, "q03"]
    half = {"query_id": names[:8], "embedding": spoiled[:8]}
    saved(tmp_path / "asked/part-0.parquet", **half)
    half = {"query_id": names[8:], "embedding": spoiled[8:]}
    saved(tmp_path / "asked/part-1.parquet", **half)
    (tmp_path / "asked/_SUCCESS").write_bytes(b"")
    answer = ask(tmp_path / "asked", "-k", "7", "--set", "ingest.slice_bytes=2000")
    assert answer.called.code == 0, answer.called.err
    catalog = catalog_of(release)
    wanted = {f"q{n:02d}": vectors[n] for n in range(12)} | {"q03": vectors[13]}
    assert answer.lists() == {name: nearest(catalog, [v], 7) for name, v in wanted.items()}
    assert answer.reasons() == {
        "q12": "non_finite_vector",
        "q13": "zero_vector",
        "q14": "no_vector",
        "": "no_query_id",
        "q03": "duplicate_name",
    }
    counts = answer.account["counts"]
    assert (counts["listed"], counts["queries"], counts["rejects"]) == (17, 12, 5)
    assert "12 vectors, 84 neighbors of release first" in answer.called.out


@pytest.mark.parametrize("sets", ["none", "any", "centroid"])
def test_where_everything_is_a_reject_there_are_no_lists(
    tmp_path: Path, ask: Asking, sets: str
) -> None:
    source = saved(
        tmp_path / "q.parquet",
        query_id=["a", "b"],
        set_id=["one", "one"],
        embedding=[[0.0] * 154, None],
    )
    answer = ask(source, "--sets", sets)
    assert answer.called.code == 0, answer.called.err
    assert answer.lists() == {}
    assert answer.reasons() == {"a": "zero_vector", "b": "no_vector"}
    assert answer.account["counts"]["queries"] == 0


def sets_of_vectors(tmp_path: Path, catalog: Catalog) -> tuple[Path, Lists, dict[str, list[int]]]:
    """A file with sets of 1, 4 and 9 rows, some of which stand for a content of the catalog; its
    sets, and the contents that they leave out. And two rows without a set.
    """
    vectors, sets = some_vectors(16), [*"bb", *"aaaaaaaaa", "c", *"bb", None, ""]
    near = nearest(catalog, vectors[2:11], 3)
    own: list[int | None] = [None] * 16
    own[4], own[5], own[13] = catalog[near[0][0]][0], catalog[near[1][0]][0], 12345
    source = saved(
        tmp_path / "q.parquet",
        query_id=[f"q{n:02d}" for n in range(16)],
        set_id=sets,
        embedding=vectors,
        vector_no=own,
    )
    members: dict[str, Any] = {
        name: [v for v, each in zip(vectors, sets, strict=True) if each == name] for name in "abc"
    }
    left_out = {"a": [n for n in own[4:6] if n is not None], "b": [], "c": []}
    return source, members, left_out


def finely(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The join in parts of two queries, and two of the sets by themselves."""
    monkeypatch.setattr(joining, "ALONE", 3)
    monkeypatch.setattr(joining, "LEAST", 1)
    return ("--set", "neighbors.block_rows=2")


def test_a_set_that_is_cut_has_the_list_of_the_whole(
    release: Night, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = catalog_of(release)
    source, members, left_out = sets_of_vectors(tmp_path, catalog)
    answer = ask(source, "-k", "5", "--sets", "any", *finely(monkeypatch))
    assert answer.called.code == 0, answer.called.err
    assert answer.lists() == {
        name: nearest(catalog, found, 5, left_out[name]) for name, found in members.items()
    }
    assert answer.reasons() == {"q14": "no_set", "q15": "no_set"}
    assert answer.account["counts"]["queries"] == 3


def test_sets_are_nearest_to_their_mean_and_one_without_direction_is_a_reject(
    release: Night, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = catalog_of(release)
    source, members, left_out = sets_of_vectors(tmp_path / "asked", catalog)
    (one,) = some_vectors(1, seed=7)
    saved(
        tmp_path / "asked/r.parquet",
        query_id=["r", "s"],
        set_id=["against"] * 2,
        embedding=[one, [-3 * x for x in one]],
    )
    answer = ask(source.parent, "-k", "5", "--sets", "centroid", *finely(monkeypatch))
    assert answer.called.code == 0, answer.called.err
    assert answer.lists() == rounded(
        {name: nearest(catalog, [mean(v)], 5, left_out[name]) for name, v in members.items()}
    )
    assert answer.reasons() == {"against": "zero_mean", "q14": "no_set", "q15": "no_set"}
    (row,) = (row for row in answer.rows("query_rejects") if row["entry"] == -1)
    assert (row["stage"], row["query_id"]) == ("query", "against")
    assert row["detail"].startswith("the mean of 2 unit vectors is ")
    assert answer.account["counts"] == {
        "listed": 18,
        "members": 16,
        "rejects": 2,
        "queries": 3,
        "rejected_sets": 1,
        "neighbors": 15,
    }


@pytest.mark.long
def test_a_query_on_s3_is_as_one_on_a_disk(s3_server: Server, tmp_path: Path, ask: Asking) -> None:
    bucket = s3_server.bucket()
    source = write_zip(tmp_path / "asked.zip", ASKED)
    s3_server.client().put_object(Bucket=bucket, Key="asked.zip", Body=source.read_bytes())
    here = ask(source, "-k", "3")
    there = ask(f"s3://{bucket}/asked.zip", "-k", "3", out=f"s3://{bucket}/answers")
    assert there.called.code == 0, there.called.err
    found = Answer(there.called, s3_server.folder / bucket / "answers")
    assert found.rows("neighbors") == here.rows("neighbors")
    assert found.rows("query_rejects") == here.rows("query_rejects")
    keys = [entry.path for entry in open_store(f"s3://{bucket}/answers").list()]
    assert {key.partition("/")[0] for key in keys} == {"neighbors", "query_rejects", "query.json"}


# What is refused.


def refused(answer: Answer, code: int, *words: str) -> None:
    assert (answer.called.code, answer.called.out) == (code, ""), answer.called.err
    for word in words:
        assert word in answer.called.err


def test_vectors_of_another_dimension_are_refused_and_nothing_stays(
    tmp_path: Path, ask: Asking
) -> None:
    vectors = [*some_vectors(7), [1.0] * 153]
    source = saved(tmp_path / "q.parquet", query_id=[str(n) for n in range(8)], embedding=vectors)
    refused(ask(source), 4, "row 7 is a vector of 153 numbers", "have 154")
    assert not list((tmp_path / "out").rglob("*"))


def test_columns_and_encoders_that_do_not_fit_are_refused(
    release: Night, tmp_path: Path, ask: Asking
) -> None:
    one = some_vectors(1)
    renamed = saved(tmp_path / "a.parquet", image_id=["a"], embedding=one)
    refused(ask(renamed), 4, "no column query_id; it has: image_id, embedding")
    plain = saved(tmp_path / "b.parquet", query_id=["a"], embedding=one)
    refused(ask(plain, "--sets", "any"), 4, "no column set_id")
    text = saved(tmp_path / "c.parquet", query_id=["a"], vector_no=[1])
    pq.write_table(pa.table({"query_id": ["a"], "embedding": ["b"]}), text)
    refused(ask(text), 4, "embedding is string, not list<float>")
    (tmp_path / "mixed").mkdir()
    plain.rename(tmp_path / "mixed/b.parquet")
    (tmp_path / "mixed/read.me").write_text("vectors of mine")
    refused(ask(tmp_path / "mixed"), 4, "read.me: no Parquet, beside vectors")
    plain = tmp_path / "mixed/b.parquet"
    for name, said, due in (
        ("encoder", "other-1", "handmade-"),
        ("metric", "euclidean", "cosine,"),
        ("dim", "512", "154,"),
    ):
        other = pq.read_table(plain).replace_schema_metadata({f"artrec.{name}": said})
        pq.write_table(other, plain)
        words = f"vectors of {name} {said}; those of release first are of {due}"
        refused(ask(plain), 3, words)


def test_a_place_that_is_not_the_querys_own_is_refused(
    release: Night, tmp_path: Path, ask: Asking
) -> None:
    source = write_folder(tmp_path / "asked", {"a/b.jpg": picture(1)})
    (tmp_path / "link").symlink_to(release.root)
    for place in (release.root, release.root / "runs/mine", tmp_path / "link/mine"):
        refused(ask(source, out=str(place)), 2, "is the root of the release")
    refused(ask(source, out=str(source / "out")), 2, "is what is read")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes").write_text("mine")
    refused(ask(source, out="full"), 2, "is not empty (notes is there)")
    assert (tmp_path / "full/notes").read_text() == "mine"


def test_what_cannot_be_asked_is_refused_before_spark(
    release: Night, tmp_path: Path, ask: Asking
) -> None:
    source = write_folder(tmp_path / "asked", {"a/b.jpg": picture(1)})
    refused(ask(source, "--sets", "some"), 2, "--sets some: there are: none, centroid, any")
    refused(ask(source, "-k", "0"), 2, "-k 0: a query lists 1 to 1000 neighbors")
    refused(ask(source, root=tmp_path / "nowhere"), 2, "no release has been published here")
    refused(ask(source, "--release", "tenth"), 2, "no release tenth; there are: first")
    refused(ask(tmp_path / "missing"), 4, "no file and no folder with files")
    assert not (tmp_path / "out").exists()


def test_vectors_of_another_dimension_are_refused_before_spark(
    release: Night, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "start_spark", lambda *_: pytest.fail("Spark was started"))
    short = saved(tmp_path / "a.parquet", query_id=["a"], embedding=[[1.0, 2.0, 3.0]])
    refused(ask(short), 4, "row 0 is a vector of 3 numbers", "have 154")
    assert not (tmp_path / "out").exists()


# Parts of the join.


@given(
    st.lists(st.integers(1, 40), max_size=30),
    st.integers(1, 30),
    st.integers(1, 10),
    st.booleans(),
)
def test_parts_are_all_rows_once_and_no_larger_than_asked(
    sizes: list[int], rows: int, sets: int, whole: bool
) -> None:
    places = [(f"{n:03d}", entry) for n, size in enumerate(sizes) for entry in range(size)]
    parts = list(cut_parts(iter(places), rows, sets, whole))
    assert [p for part in parts for p in places if part.low <= p <= part.high] == places
    assert [part.rows for part in parts] == [
        sum(part.low <= p <= part.high for p in places) for part in parts
    ]
    assert [part.sets for part in parts] == [
        len({p[0] for p in places if part.low <= p <= part.high}) for part in parts
    ]
    assert all(part.rows <= rows or (whole and part.sets == 1) for part in parts)
    assert all(part.sets <= sets for part in parts)


def test_a_large_set_is_cut_into_pieces_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "ALONE", 2)
    places = [("a", 1), ("b", 2), ("c", 0), ("c", 5), ("c", 6), ("d", 7)]
    assert list(cut_parts(iter(places), 2, 9, whole=False)) == [
        Part(("a", 1), ("b", 2), 2, 2),
        Part(("c", 0), ("c", 5), 1, 2, 0),
        Part(("c", 6), ("c", 6), 1, 1, 1),
        Part(("d", 7), ("d", 7), 1, 1),
    ]
    assert [part.rows for part in cut_parts(iter(places), 2, 9, whole=True)] == [2, 3, 1]
