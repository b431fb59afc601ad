"""Lists by several threads: the plain list, on any server's pages and on a real one's."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artrec.errors import ConfigError, CredentialsError
from artrec.storage import S3Options
from artrec.storage.s3 import S3Store
from artrec.storage.s3.client import Asking
from artrec.storage.s3.listing import NAME, Listing
from tests.services.hooks import error, interfering
from tests.services.s3 import Server

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 3


@dataclass
class Bucket:
    """Answers lists as S3's reference says: keys and common prefixes in one order, in pages."""

    keys: list[str]
    fails_at: str = "\U0010ffff"
    asked: list[dict[str, Any]] = field(default_factory=list)
    busy: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        assert operation == "list_objects_v2"
        with self.lock:
            self.asked.append(parameters)
            self.busy += 1
            self.most = max(self.most, self.busy)
        try:
            return self.answer(**parameters)
        finally:
            with self.lock:
                self.busy -= 1

    def answer(
        self,
        Prefix: str,
        MaxKeys: int,
        StartAfter: str = "",
        ContinuationToken: str = "",
        Delimiter: str = "",
    ) -> dict[str, Any]:
        after = ContinuationToken or StartAfter
        rows: dict[str, str] = {}
        for key in sorted(self.keys, key=str.encode):
            if not key.startswith(Prefix):
                continue
            rest = key[len(Prefix) :]
            cut = rest.find(Delimiter) if Delimiter else -1
            name = key if cut < 0 else Prefix + rest[: cut + 1]
            if name > after or (cut >= 0 and key > after and not ContinuationToken):
                rows.setdefault(name, "Contents" if cut < 0 else "CommonPrefixes")
        page = list(islice(rows.items(), MaxKeys))
        if page and page[-1][0] >= self.fails_at and not Delimiter:
            raise CredentialsError("denied from here on")
        kinds: dict[str, list[dict[str, Any]]] = {"Contents": [], "CommonPrefixes": []}
        for name, kind in page:
            kinds[kind].append(
                {"Key": name, "Size": len(name), "ETag": '"e"', "LastModified": WHEN}
                if kind == "Contents"
                else {"Prefix": name}
            )
        more = {"NextContinuationToken": page[-1][0]} if len(page) < len(rows) else {}
        return {**kinds, "IsTruncated": bool(more), **more}


class Deserted(Bucket):
    """Before each page it gives two empty ones that go on, as where much was deleted."""

    def answer(self, *, ContinuationToken: str = "", Delimiter: str = "", **more: Any) -> Any:
        if Delimiter:
            return super().answer(Delimiter=Delimiter, **more)
        if not ContinuationToken.endswith("\0\0"):
            token = (ContinuationToken or more.get("StartAfter", "")) + "\0"
            return {"Contents": [], "IsTruncated": True, "NextContinuationToken": token}
        token = ContinuationToken.removesuffix("\0\0")
        return super().answer(ContinuationToken=token, **more)


def listed(bucket: Bucket, folder: str = "", threads: int = 4, page: int = PAGE) -> list[str]:
    return [key for key, *_ in Listing(bucket, folder, threads, page)]


def no_thread_is_left() -> bool:
    return [each for each in threading.enumerate() if each.name == NAME] == []


PARTS = st.sampled_from(["a", "b", "a-b", "a b", "a0", "é", "𝄞", ".", "-"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
KEYS = PATHS | PATHS.map(lambda path: f"{path}/")  # the marker of a folder too


@settings(max_examples=300, deadline=None)
@given(st.sets(KEYS, max_size=60), st.integers(2, 5), st.integers(1, 6))
@example({"a/1", "a/2", "b/", "b/1", "c/", "c/1", "d/", "d/1", "e/"}, 2, 2)
@example({"a-b/1", "a/1", "a/2", "a/3", "a/4", "a0/1", "a0/2", "a", "a-b"}, 2, 1)
def test_a_list_by_threads_is_the_sorted_keys(keys: set[str], threads: int, page: int) -> None:
    expected = sorted(keys, key=str.encode)
    assert listed(Bucket(expected), threads=threads, page=page) == expected
    inside = [key for key in expected if key.startswith("a/")]
    assert listed(Bucket(expected), "a/", threads, page) == inside
    assert no_thread_is_left()


def tree(folders: int, of_each: int) -> list[str]:
    return [f"in/{f:03d}/{n:03d}" for f in range(folders) for n in range(of_each)]


@pytest.mark.parametrize(("folders", "of_each"), [(1, 100), (20, 5), (50, 2)])
@pytest.mark.parametrize("threads", [1, 4])
def test_empty_pages_that_go_on_lose_nothing(folders: int, of_each: int, threads: int) -> None:
    keys = tree(folders, of_each)
    assert listed(Deserted(keys), "in/", threads) == keys


def test_a_flat_folder_costs_the_requests_that_it_did() -> None:
    bucket = Bucket([f"in/{n:03d}" for n in range(100)])
    assert listed(bucket, "in/", page=10) == bucket.keys
    assert len(bucket.asked) == 10


def test_a_list_of_one_page_is_one_request() -> None:
    bucket = Bucket(tree(3, 3))
    assert listed(bucket, "in/", page=9) == bucket.keys
    assert len(bucket.asked) == 1


def test_one_lister_asks_page_after_page() -> None:
    bucket = Bucket(tree(10, 10))
    assert listed(bucket, "in/", threads=1, page=10) == bucket.keys
    assert (len(bucket.asked), bucket.most) == (10, 1)


@pytest.mark.parametrize(("folders", "of_each"), [(1, 400), (20, 20), (100, 4), (400, 1)])
def test_no_shape_of_folders_costs_many_more_requests(folders: int, of_each: int) -> None:
    bucket = Bucket(tree(folders, of_each))
    assert listed(bucket, "in/", threads=4, page=20) == bucket.keys
    assert len(bucket.asked) <= 2.5 * 20


@pytest.mark.parametrize("above", ["in/", "in/train/", "in/2026/11/"])
def test_subfolders_further_below_are_found(above: str) -> None:
    keys = [f"{above}{f:02d}/{n:03d}" for f in range(20) for n in range(30)]
    bucket = Bucket(keys)
    assert listed(bucket, "in/", page=10) == keys
    started = {each["StartAfter"] for each in bucket.asked if "StartAfter" in each}
    assert len(started & {f"{above}{f:02d}/" for f in range(1, 20)}) >= 4


def test_as_many_requests_are_under_way_as_there_are_listers() -> None:
    met, first = threading.Barrier(3, timeout=60), iter(range(3))

    class Slow(Bucket):
        def answer(self, **parameters: Any) -> dict[str, Any]:
            of_a_range = "StartAfter" in parameters and "Delimiter" not in parameters
            if of_a_range and next(first, None) is not None:
                met.wait()
            return super().answer(**parameters)

    bucket = Slow(tree(13, 10))
    assert listed(bucket, "in/", threads=3, page=10) == bucket.keys
    assert bucket.most == 3


def test_pages_ahead_are_few_where_nobody_takes_them() -> None:
    bucket = Bucket(tree(100, 400))
    found = iter(Listing(bucket, "in/", 2, 10))
    taken = [next(found)[0] for _ in range(11)]
    for thread in threading.enumerate():
        if thread.name == NAME:
            thread.join(0.5)  # each waits for room
    assert taken == bucket.keys[:11]
    assert len(bucket.asked) < 4 * 34
    found.close()  # type: ignore[attr-defined]
    assert no_thread_is_left()


def test_an_error_comes_in_its_place_and_leaves_no_thread() -> None:
    bucket = Bucket(tree(30, 10), fails_at="in/020/")
    found: list[str] = []
    with pytest.raises(CredentialsError, match="denied from here on"):
        found.extend(key for key, *_ in Listing(bucket, "in/", 4, 10))
    assert found == tree(20, 10)
    assert no_thread_is_left()


def test_a_server_that_does_not_know_start_after_is_found_out() -> None:
    class Old(Bucket):
        def answer(self, **parameters: Any) -> dict[str, Any]:
            if "Delimiter" not in parameters:
                parameters.pop("StartAfter", None)
            return super().answer(**parameters)

    bucket = Old(tree(10, 10))
    with pytest.raises(ConfigError, match=r"set store\.s3\.listers=1"):
        listed(bucket, "in/", page=10)
    assert listed(bucket, "in/", threads=1, page=10) == bucket.keys


# -- a real server --------------------------------------------------------------------------


def fill(server: Server, store: S3Store, paths: list[str]) -> None:
    """Objects, put there as files: that is how the server keeps them."""
    for path in paths:
        file = server.folder / store.bucket / f"{store.prefix}{path}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def plain(server: Server, store: S3Store) -> list[str]:
    """The list as boto3's own paginator makes it."""
    pages = server.client().get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=store.bucket, Prefix=store.prefix)
    return [each["Key"] for page in found for each in page.get("Contents", [])]


NAMES = st.lists(st.sampled_from(["a", "b", "a-b", "a b", "é", "𝄞"]), min_size=1, max_size=3)


@settings(max_examples=15, deadline=None)
@given(st.sets(NAMES.map(lambda parts: "/".join(parts) + ".jpg"), max_size=40))
def test_a_real_server_s_list_is_the_same_by_threads(s3_server: Server, paths: set[str]) -> None:
    store = s3_server.store("some/place")
    fill(s3_server, store, sorted(paths))
    ask = Asking(store.bucket, store.url, store.options)
    keys = [key for key, *_ in Listing(ask, store.prefix, 4, 3)]
    assert keys == plain(s3_server, store)
    assert keys == [f"some/place/{path}" for path in sorted(paths)]


STYLES = ("a", "a b", "a-b", "a0", "b", "é", "z", "z z", "z-z", "zz")


def test_a_store_lists_many_subfolders_as_one_list(s3_server: Server) -> None:
    store = s3_server.store("root")
    paths = [f"in/{style}/{n:04d}.jpg" for style in STYLES for n in range(500)]
    fill(s3_server, store, paths)
    alone = S3Store(store.bucket, store.prefix, S3Options(seconds=20, listers=1))
    seen: list[Any] = []
    with interfering(store, lambda request: seen.append(request)):
        found = list(store.list("in"))
    assert [entry.path for entry in found] == sorted(paths)
    assert found == list(alone.list("in"))
    assert len([request for request in seen if "start-after" in request.url]) > 2
    assert no_thread_is_left()


def test_a_denied_page_among_many_is_told_and_leaves_no_thread(s3_server: Server) -> None:
    store = s3_server.store("root")
    fill(s3_server, store, [f"in/{style}/{n}" for style in STYLES for n in range(500)])

    def deny(request: Any) -> Any:
        denied = "start-after" in request.url and "delimiter" not in request.url
        return error(request, 403, "AccessDenied") if denied else None

    with interfering(store, deny), pytest.raises(CredentialsError, match="access denied"):
        list(store.list("in"))
    assert no_thread_is_left()
