"""What every Store promises, asked of each kind; and what only a local one does."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Barrier, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.errors import (
    ConditionFailed,
    ConfigError,
    CredentialsError,
    NotFound,
    StoreFull,
    StoreUnavailable,
    UsageError,
)
from artrec.storage import Store, open_store, split_url
from artrec.storage.local import LocalStore
from tests.services.s3 import Server
from tests.storage.small_disk import small_disk

KINDS = (
    *("local", "s3"),
    *(pytest.param(scheme, marks=pytest.mark.long) for scheme in ("gs", "az")),
)
THREADS, ROUNDS = 16, 50


def empty_store(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    """An empty Store of a kind, in a folder or bucket that no other test uses."""
    if kind == "local":
        return LocalStore(str(folder))
    if kind in ("gs", "az"):
        return request.getfixturevalue("emulators")(kind).store("some/root")  # type: ignore[no-any-return]
    server: Server = request.getfixturevalue("s3_server")
    return server.store("some/root")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return empty_store(request.param, request, tmp_path / "root")


@pytest.fixture(scope="module", params=KINDS)
def roomy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One Store for all examples of a property; each example has a folder of its own."""
    return empty_store(request.param, request, tmp_path_factory.mktemp("roomy"))


def put(store: Store, path: str, data: bytes) -> None:
    with store.create(path) as stream:
        stream.write(data)


def paths(store: Store, prefix: str = "") -> list[str]:
    return [entry.path for entry in store.list(prefix)]


# -- writing and reading --------------------------------------------------------------------


def test_what_was_written_is_read_again(store: Store) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    written = store.write("runs/a/b.bin", b"\x00\xffbytes")
    assert (written.path, written.bytes) == ("runs/a/b.bin", 7)
    assert before < written.modified < datetime.now(UTC) + timedelta(seconds=5)
    assert store.stat("runs/a/b.bin") == written
    assert store.read("runs/a/b.bin") == b"\x00\xffbytes"


def test_a_stream_becomes_an_object_when_its_block_ends(store: Store) -> None:
    with store.create("new") as stream:
        stream.write(b"one ")
        stream.write(memoryview(b"two"))
    assert store.read("new") == b"one two"


def test_an_empty_object_is_an_object(store: Store) -> None:
    put(store, "empty", b"")
    assert (store.read("empty"), store.stat("empty").bytes) == (b"", 0)
    assert paths(store) == ["empty"]


def test_files_travel_both_ways(store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # more than one chunk
    (tmp_path / "there").write_bytes(data)
    assert store.upload(tmp_path / "there", "deep/er/object").bytes == len(data)
    store.download("deep/er/object", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_store_travels_to_tasks(store: Store) -> None:
    store.write("here", b"1")
    assert pickle.loads(pickle.dumps(store)).read("here") == b"1"
    assert len(pickle.dumps(store)) < 2000
    assert isinstance(store, Store)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 300),
    offset=st.integers(0, 320),
    length=st.none() | st.integers(0, 320),
)
def test_a_range_is_that_part_of_the_whole(
    roomy: Store, size: int, offset: int, length: int | None
) -> None:
    data = bytes(i % 251 for i in range(size))
    path = f"sized/{size}"
    if path not in paths(roomy, "sized"):
        put(roomy, path, data)
    end = None if length is None else offset + length
    assert roomy.read(path, offset, length) == data[offset:end]


# -- listing --------------------------------------------------------------------------------


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert paths(store) == []
    assert paths(store, "drafts") == []


def test_a_list_holds_what_stat_says(store: Store) -> None:
    for name in ("b", "a/x", "a/y"):
        store.write(name, name.encode())
    assert list(store.list()) == [store.stat(name) for name in ("a/x", "a/y", "b")]


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(store: Store) -> None:
    for name in ("run/1", "run/2/3", "runs/1", "run-1", "rum"):
        store.write(name, b"")
    assert paths(store, "run") == ["run/1", "run/2/3"]
    assert paths(store, "run/") == ["run/1", "run/2/3"]
    assert paths(store, "run/2") == ["run/2/3"]
    assert paths(store, "ru") == []
    assert paths(store, "rum") == []


def test_a_deleted_object_is_gone(store: Store) -> None:
    store.write("a/b", b"")
    store.delete("a/b")
    assert paths(store) == []
    with pytest.raises(NotFound):
        store.read("a/b")


FRESH = count()
NAMES = st.text("ab.-/é☃𝄞 ", min_size=1, max_size=8).filter(
    lambda p: all(part not in ("", ".", "..") for part in p.split("/"))
)


def has_no_file_as_folder(found: set[str]) -> bool:
    return not any(other.startswith(f"{path}/") for path in found for other in found)


@settings(max_examples=25, deadline=None)
@given(st.sets(NAMES, max_size=6).filter(has_no_file_as_folder))
def test_a_list_is_in_the_order_of_the_paths_utf_8_bytes(roomy: Store, names: set[str]) -> None:
    folder = f"order-{next(FRESH)}"
    for name in names:
        roomy.write(f"{folder}/{name}", b"")
    expected = sorted((f"{folder}/{name}" for name in names), key=lambda path: path.encode())
    assert paths(roomy, folder) == expected


# -- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["new\nline", " space ", "日本語/é", "e\u0301", "a\\b", "*?[x]", "#%41&+=", "-rf", "…"]
)
def test_a_name_is_kept_character_for_character(store: Store, name: str) -> None:
    if store.url.startswith("az://") and "\\" in name:
        pytest.skip("Azure takes a backslash for a slash: tests/storage/test_clouds.py")
    put(store, f"names/{name}", name.encode())
    assert store.read(f"names/{name}") == name.encode()
    assert paths(store, "names") == [f"names/{name}"]


def test_composed_and_decomposed_letters_are_two_names(store: Store) -> None:
    put(store, "\u00e9", b"composed")
    put(store, "e\u0301", b"decomposed")
    assert store.read("\u00e9") == b"composed"
    assert store.read("e\u0301") == b"decomposed"


@pytest.mark.parametrize(
    "path", ["", "/", "..", ".", "../up", "a/../../up", "a/./b", "a//b", "a\0b"]
)
def test_a_path_that_leads_out_of_the_store_is_refused(store: Store, path: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.write(path, b""),
        lambda: put(store, path, b""),
        lambda: store.read(path),
        lambda: store.stat(path),
        lambda: store.delete(path),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="is not a path inside"):
            call()


def test_a_slash_in_front_does_not_lead_to_the_machine_s_root(store: Store) -> None:
    with pytest.raises(NotFound):
        store.read("/etc/passwd")


def test_a_name_of_300_characters_is_kept_or_refused_in_words(store: Store) -> None:
    name = "x" * 300
    try:
        put(store, name, b"1")
    except UsageError:
        assert paths(store) == []
        with pytest.raises(UsageError, match="longer than"):
            store.read(name)
        with pytest.raises(UsageError, match="longer than"):
            store.write(name, b"1")
    else:
        assert store.read(name) == b"1"


# -- conditions -----------------------------------------------------------------------------


def test_an_object_is_never_replaced_by_a_create(store: Store, tmp_path: Path) -> None:
    store.write("taken", b"first")
    (tmp_path / "local").write_bytes(b"second")
    calls: list[Callable[[], object]] = [
        lambda: store.write("taken", b"second"),
        lambda: put(store, "taken", b"second"),
        lambda: store.upload(tmp_path / "local", "taken"),
    ]
    for call in calls:
        with pytest.raises(ConditionFailed, match="taken"):
            call()
    assert store.read("taken") == b"first"
    assert paths(store) == ["taken"]


def test_an_object_is_swapped_against_its_own_etag_alone(store: Store) -> None:
    first = store.write("CURRENT", b"first")
    second = store.write("CURRENT", b"second", if_etag=first.etag)
    assert (store.read("CURRENT"), store.stat("CURRENT")) == (b"second", second)
    assert second.etag != first.etag
    with pytest.raises(ConditionFailed, match="CURRENT"):
        store.write("CURRENT", b"third", if_etag=first.etag)
    assert store.read("CURRENT") == b"second"
    assert paths(store) == ["CURRENT"]


def test_a_swap_of_nothing_creates_nothing(store: Store) -> None:
    with pytest.raises(NotFound):
        store.write("missing", b"", if_etag="anything")
    with pytest.raises(NotFound):
        store.write("no/folder/yet", b"", if_etag="anything")
    assert paths(store) == []


def test_a_pinned_read_refuses_another_object(store: Store) -> None:
    pin = store.write("archive.zip", b"before").etag
    assert store.read("archive.zip", 1, 2, etag=pin) == b"ef"
    store.write("archive.zip", b"after!", if_etag=pin)
    with pytest.raises(ConditionFailed, match=r"archive\.zip"):
        store.read("archive.zip", 1, 2, etag=pin)
    assert store.read("archive.zip", 1, 2) == b"ft"


def test_what_is_missing_is_not_found(store: Store, tmp_path: Path) -> None:
    store.write("folder/object", b"")
    for path in ("missing", "folder", "folder/missing", "folder/object/below"):
        calls: list[Callable[[], object]] = [
            lambda path=path: store.read(path),  # type: ignore[misc]
            lambda path=path: store.stat(path),  # type: ignore[misc]
            lambda path=path: store.delete(path),  # type: ignore[misc]
            lambda path=path: store.download(path, tmp_path / "local"),  # type: ignore[misc]
        ]
        for call in calls:
            with pytest.raises(NotFound, match=path.split("/")[-1]):
                call()
    assert not (tmp_path / "local").exists()
    assert paths(store) == ["folder/object"]


# -- unfinished and failed ------------------------------------------------------------------


def test_nothing_is_visible_of_an_unfinished_object(store: Store) -> None:
    with store.create("folder/new") as stream:
        stream.write(b"x" * 100_000)
        assert paths(store) == []
        with pytest.raises(NotFound):
            store.stat("folder/new")
    assert paths(store) == ["folder/new"]


def test_nothing_is_left_of_a_failed_create(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.create("folder/new") as stream:  # noqa: PT012
        stream.write(b"half")
        raise ZeroDivisionError
    assert paths(store) == []
    put(store, "folder/new", b"whole")
    assert store.read("folder/new") == b"whole"


def test_an_object_created_meanwhile_is_not_replaced(store: Store) -> None:
    with pytest.raises(ConditionFailed), store.create("new") as stream:  # noqa: PT012
        stream.write(b"late")
        store.write("new", b"early")
    assert store.read("new") == b"early"


# -- races ----------------------------------------------------------------------------------


def race(
    before: Callable[[int], None], work: Callable[[int, int], None]
) -> tuple[list[list[int]], list[BaseException]]:
    """(winners of each round, errors); ``before(round)`` runs while all threads wait."""
    winners: list[list[int]] = [[] for _ in range(ROUNDS)]
    errors: list[BaseException] = []
    rounds = count()
    barrier = Barrier(THREADS, action=lambda: before(next(rounds)))

    def run(thread: int) -> None:
        for each in range(ROUNDS):
            barrier.wait()
            try:
                work(each, thread)
                winners[each].append(thread)
            except ConditionFailed:
                continue
            except BaseException as error:
                errors.append(error)

    threads = [Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return winners, errors


def test_of_threads_that_create_one_object_exactly_one_wins(store: Store) -> None:
    winners, errors = race(
        lambda _: None,
        lambda each, thread: put(store, f"round/{each}", f"by {thread}".encode()),
    )
    assert errors == []
    assert [len(found) for found in winners] == [1] * ROUNDS
    found = [store.read(f"round/{each}").decode() for each in range(ROUNDS)]
    assert found == [f"by {thread}" for (thread,) in winners]
    assert len(paths(store)) == ROUNDS


def test_of_threads_that_swap_one_object_exactly_one_wins(store: Store) -> None:
    store.write("CURRENT", b"nobody")
    etags: list[str] = []
    contents: list[bytes] = []

    def before(_: int) -> None:
        etags.append(store.stat("CURRENT").etag)
        contents.append(store.read("CURRENT"))

    winners, errors = race(
        before,
        lambda each, thread: [  # type: ignore[arg-type]
            store.write("CURRENT", f"{each} by {thread}".encode(), if_etag=etags[each])
        ],
    )
    assert errors == []
    assert [len(found) for found in winners] == [1] * ROUNDS
    expected = [f"{each} by {thread}".encode() for each, (thread,) in enumerate(winners)]
    assert [*contents[1:], store.read("CURRENT")] == expected
    assert paths(store) == ["CURRENT"]


# -- a local disk ---------------------------------------------------------------------------


def files_below(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """``folder`` closed to this process; root becomes nobody for the while."""
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_a_failed_create_leaves_no_file_on_the_disk(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    with pytest.raises(ZeroDivisionError), store.create("a/new"):
        raise ZeroDivisionError
    store.write("a/taken", b"")
    with pytest.raises(ConditionFailed):
        store.write("a/taken", b"")
    with pytest.raises(ConditionFailed):
        store.write("a/taken", b"", if_etag="other")
    assert files_below(tmp_path) == ["a/taken"]


def test_nothing_is_visible_of_what_a_killed_writer_left(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    script = (
        "import os, signal, sys\n"
        "from artrec.storage.local import LocalStore\n"
        "with LocalStore(sys.argv[1]).create('a/new') as stream:\n"
        "    stream.write(b'half'); stream.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(files_below(tmp_path)) == 1
    assert paths(store) == []
    with pytest.raises(NotFound):
        store.read("a/new")
    store.write("a/new", b"whole")
    assert paths(store) == ["a/new"]


def test_a_full_disk_is_a_stop_that_can_be_resumed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as folder:
        store = LocalStore(str(folder))
        etag = store.write("CURRENT", b"as before").etag
        large = b"x" * 300_000
        calls: list[Callable[[], object]] = [
            lambda: store.write("runs/large", large),
            lambda: put(store, "runs/large", large),
            lambda: store.write("CURRENT", large, if_etag=etag),
        ]
        for call in calls:
            with pytest.raises(StoreFull, match="no space left; free some"):
                call()
        assert files_below(folder) == ["CURRENT"]
        assert store.read("CURRENT", etag=etag) == b"as before"
        store.write("runs/small", b"there is room again")


def test_a_closed_folder_is_a_matter_of_credentials(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    etag = store.write("closed/object", b"").etag
    calls: list[Callable[[], object]] = [
        lambda: store.read("closed/object"),
        lambda: store.stat("closed/object"),
        lambda: store.write("closed/new", b""),
        lambda: store.write("closed/object", b"1", if_etag=etag),
        lambda: store.delete("closed/object"),
        lambda: paths(store, "closed"),
    ]
    with without_rights(tmp_path / "closed"):
        for call in calls:
            with pytest.raises(CredentialsError, match="access denied"):
                call()
    assert store.stat("closed/object").etag == etag


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_disk_that_does_not_answer_is_unavailable(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StoreUnavailable, match="run the same command again"):
        LocalStore(str(tmp_path)).write("new", b"")
    assert files_below(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_no_folder(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.write("a", b"file")
    with pytest.raises(ConditionFailed, match="exists already, as a file"):
        store.write("a/b", b"")
    store.write("folder/b", b"")
    with pytest.raises(ConditionFailed, match="exists already"):
        store.write("folder", b"")


@pytest.mark.parametrize("target", [".", "../in", "loop"], ids=["itself", "above", "a link"])
def test_links_that_lead_in_a_circle_are_named(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "loop").symlink_to(target)
    with pytest.raises(UsageError, match=r"loop.*: links lead in a circle"):
        list(LocalStore(str(tmp_path)).list("in"))


def test_objects_follow_the_user_s_umask(tmp_path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    store = LocalStore(str(tmp_path))
    etag = store.write("new", b"").etag
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o666 & ~mask
    store.write("new", b"1", if_etag=etag)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o666 & ~mask


def test_other_programs_find_an_object_under_its_path_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("./out")
    store.write("a/b", b"1")
    assert Path(store.path_url("a/b")) == tmp_path / "out" / "a" / "b"
    assert Path(store.path_url("a/b")).read_bytes() == b"1"


# -- names of stores ------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["{}", "file://{}", "{}/"])
def test_a_local_store_is_named_by_path_or_file_url(url: str, tmp_path: Path) -> None:
    assert open_store(url.format(tmp_path)).url == str(tmp_path)
    assert not (tmp_path / "anything").exists()


def test_a_file_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "archive.zip"
    file.write_bytes(b"PK")
    for url in (str(file), f"file://{file}"):
        with pytest.raises(ConfigError, match=r"archive\.zip is a file: a store is a folder"):
            open_store(url)


def test_an_unknown_kind_of_store_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"gopher://x.*no store for gopher://"):
        open_store("gopher://x")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("data/wikiart.zip", ("data", "wikiart.zip")),
        ("wikiart.zip", (".", "wikiart.zip")),
        ("/wikiart.zip", ("/", "wikiart.zip")),
        ("/data/folder/", ("/data", "folder")),
        ("file:///data/a b.zip", ("/data", "a b.zip")),
        ("file:///wikiart.zip", ("/", "wikiart.zip")),
    ],
)
def test_a_url_is_a_store_and_a_path_in_it(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["", "/", "//", "file:///"])
def test_a_url_without_a_name_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="names no object"):
        split_url(url)
