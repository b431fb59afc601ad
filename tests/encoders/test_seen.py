"""What a network makes of examples after some epochs: kept, found again, and gone at the end."""

from __future__ import annotations

from pathlib import Path

from artrec.encoders import seen
from artrec.encoders.recipes import Reconstruction
from artrec.storage import open_store


def made(number: int) -> Reconstruction:
    return Reconstruction(bytes([number]) * 32, number / 8, b"the original", bytes([9, number]))


def test_what_is_kept_is_found_by_epochs_without_the_originals(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    folder = "runs/train/one/checkpoints"
    seen.keep(store, folder, 13, [made(1), made(2)])
    seen.keep(store, folder, 2, [made(3)])
    seen.keep(store, folder, 2, [made(4)])  # another process, to the same end
    store.write(f"{folder}/epoch-000013.safetensors", b"x")
    found = seen.kept(store, folder)
    assert [(epoch, each.content_sha256[0], each.error) for epoch, each in found] == [
        (2, 3, 0.375), (13, 1, 0.125), (13, 2, 0.25),
    ]  # fmt: skip
    assert {each.original for _, each in found} == {b""}
    assert [each.reconstruction for _, each in found] == [b"\x09\x03", b"\x09\x01", b"\x09\x02"]
    seen.clear(store, folder)
    assert seen.kept(store, folder) == []
    assert [entry.path for entry in store.list(folder)] == [f"{folder}/epoch-000013.safetensors"]


def test_the_first_epochs_are_kept_and_then_fewer() -> None:
    found = [epoch for epoch in range(1, 60) if seen.is_seen(epoch)]
    assert found == [1, 2, 3, 5, 8, 13, 21, 34, 55]
