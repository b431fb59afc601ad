"""artrec forget: what is entered, what is refused, and what still holds it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from artrec.releases import Draft, Ledger, current_release
from artrec.releases.published import publish
from artrec.releases.sweep import Rules, plan_sweep
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import PAINTINGS, publish_paintings, record_paintings, release_of
from tests.releases.protocol import tree

MINE, OTHER = PAINTINGS[0], PAINTINGS[6]


def documents(root: Path) -> dict[str, dict[str, str]]:
    return {path.stem: json.loads(path.read_bytes()) for path in root.glob("forgotten/*.json")}


def test_the_ledger_keeps_the_hash_the_reason_and_the_date_and_no_name(
    artrec: Call, store_root: Path
) -> None:
    called = artrec("forget", MINE.image_id, "--reason", " a letter ", "--root", str(store_root))
    assert (called.code, called.err) == (0, "")
    assert called.out.splitlines()[:2] == [
        f"{MINE.sha256.hex()} is forgotten; images of it in the current release: 1",
        f"  {MINE.image_id}",
    ]
    found = documents(store_root)
    assert found.keys() == {MINE.sha256.hex()}
    entry = found[MINE.sha256.hex()]
    assert entry.keys() == {"format", "sha256", "reason", "when"}
    assert (entry["sha256"], entry["reason"]) == (MINE.sha256.hex(), "a letter")
    assert Ledger.read(open_store(str(store_root))).hashes == {MINE.sha256}


def test_a_second_call_keeps_the_first_reason(artrec: Call, store_root: Path) -> None:
    sha256 = MINE.sha256.hex()
    for reason in ("first", "second"):
        called = artrec("forget", sha256.upper(), "--reason", reason, "--root", str(store_root))
        assert called.code == 0
    assert "was forgotten before" in called.out
    assert documents(store_root)[sha256]["reason"] == "first"


def test_a_hash_that_nobody_has_is_taken_as_it_is(artrec: Call, store_root: Path) -> None:
    called = artrec("forget", "ab" * 32, "--reason", "r", "--root", str(store_root), "--json")
    assert json.loads(called.out) == [
        {"name": "ab" * 32, "sha256": "ab" * 32, "new": True, "images": 0, "shown": []}
    ]


def test_an_unknown_image_is_refused_and_nothing_is_entered(artrec: Call, store_root: Path) -> None:
    before = tree(open_store(str(store_root)))
    called = artrec("forget", MINE.image_id, "no.jpg", "--reason", "r", "--root", str(store_root))
    assert (called.code, called.out) == (2, "")
    assert "release 2026-01-02 has no image no.jpg" in called.err
    called = artrec("forget", MINE.image_id, "--root", str(store_root))
    assert (called.code, called.err) == (
        2,
        "artrec: --reason says why; it is kept beside the hash\n",
    )
    called = artrec("forget", "--reason", "r", "--root", str(store_root))
    assert called.code == 2
    assert tree(open_store(str(store_root))) == before


def test_an_empty_store_forgets_nothing(artrec: Call, tmp_path: Path) -> None:
    root = tmp_path / "nowhere"
    called = artrec("forget", "ab" * 32, "--reason", "r", "--root", str(root))
    assert called.code == 2
    assert not root.exists()


def without(root: Path, name: str, forgotten: str) -> None:
    """The next release, of the others, made under this ledger."""
    draft = Draft.begin(open_store(str(root)), name)
    counts = record_paintings(draft, PAINTINGS[1:])
    release = release_of(draft, 10, counts)
    ingest = release.stages["inventory"].model_copy(update={"notes": {"forgotten": forgotten}})
    stages = {**release.stages, "ingest": ingest.model_copy(update={"stage": "ingest"})}
    publish(draft.store, release.model_copy(update={"stages": stages}), draft.base)


def test_status_says_what_holds_it_and_what_removes_that(artrec: Call, store_root: Path) -> None:
    root = str(store_root)
    assert "nothing was forgotten" in artrec("forget", "--status", "--root", root).out
    artrec("forget", MINE.image_id, "--reason", "a letter", "--root", root)
    (first,) = json.loads(artrec("forget", "--status", "--json", "--root", root).out)
    assert first["releases"] == ["2026-01-02"]
    assert {path.split("/")[1] for path in first["runs"]} == {"catalog", "index"}
    assert first["next"] == "the current release holds it: run a night first"

    without(store_root, "next", Ledger.read(open_store(root)).name)
    said = artrec("forget", "--status", "--root", root).out
    assert "held by releases: 2026-01-02\n" in said
    assert "held by 2 runs; artrec sweep --keep 1 --yes removes them" in said

    refused = artrec("forget", OTHER.image_id, "--status", "--root", root)
    assert (refused.code, refused.out) == (2, "")
    assert "was not forgotten" in refused.err


def test_a_sweep_does_not_keep_the_way_back_to_what_was_forgotten(
    artrec: Call, store_root: Path
) -> None:
    """Unless it is asked to keep two releases; without a ledger the one before stays."""
    store = open_store(str(store_root))
    artrec("forget", MINE.image_id, "--reason", "r", "--root", str(store_root))
    without(store_root, "next", Ledger.read(store).name)
    now = current_release(store).created

    def kept(keep: int) -> list[str]:
        return plan_sweep(store, Rules(keep, timedelta(0)), now + timedelta(hours=2)).kept

    assert kept(1) == ["next"]
    assert kept(2) == ["2026-01-02", "next"]
    called = artrec("rollback", "--root", str(store_root))
    assert "was made before pictures were forgotten and may show them" in called.out


def test_the_way_back_stays_where_nothing_was_forgotten(store_root: Path) -> None:
    store = publish_paintings(store_root, "next", PAINTINGS[1:])
    now = current_release(store).created + timedelta(hours=2)
    assert plan_sweep(store, Rules(1, timedelta(0)), now).kept == ["2026-01-02", "next"]
