"""artrec forget: a picture is taken down, by its id or the sha256 of its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from artrec.commands.lookup import labels_of
from artrec.commands.show import as_json, plain
from artrec.commands.stores import store_of
from artrec.errors import UsageError
from artrec.releases import Ledger, current_release, read_base, table_receipts
from artrec.releases.forgotten import entries, forget
from artrec.releases.remains import Remains, remains
from artrec.storage import Store
from artrec.tables import read_table

__all__ = ["show", "show_status"]

SHOWN = 20  # names of one content
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def show(root: str | None, names: Sequence[str], reason: str | None, json: bool) -> None:
    """Enter each into the ledger, when all of them are known."""
    store = store_of(root)
    if not names:
        raise UsageError("which one? Give an image's id or a sha256, or --status")
    if reason is None or not reason.strip():
        raise UsageError("--reason says why; it is kept beside the hash")
    contents = {name: _content(store, name) for name in names}
    rows: list[dict[str, Any]] = []
    for name, content in contents.items():
        new = forget(store, content.hex(), reason.strip())
        images = list(_images(store, content))
        rows.append(
            {
                "name": name,
                "sha256": content.hex(),
                "new": new is not None,
                "images": len(images),
                "shown": images[:SHOWN],
            }
        )
    if json:
        as_json(rows)
        return
    for row in rows:
        what = "is forgotten" if row["new"] else "was forgotten before"
        print(f"{row['sha256']} {what}; images of it in the current release: {row['images']:,}")
        for image in row["shown"]:
            print(f"  {plain(image)}")
    print(
        "the next night leaves it out of its release; artrec forget --status says what still "
        "holds it then, and what removes that"
    )


def _content(store: Store, name: str) -> bytes:
    """The content that is meant; UsageError for an image that the current release has not."""
    if _SHA256.fullmatch(name):
        if read_base(store).release is None and next(iter(store.list()), None) is None:
            raise UsageError(f"{store.url}: no release has been published here")
        return bytes.fromhex(name)
    release = current_release(store)
    catalog = table_receipts(store, release, "catalog")
    found = labels_of(store, catalog, name, ["content_sha256"])
    if found is None:
        raise UsageError(
            f"release {release.release_id} has no image {name}; give an id of its catalog, or the "
            "sha256 of the picture's bytes, which needs not be there. Nothing was forgotten"
        )
    return bytes(found["content_sha256"])


def _images(store: Store, content: bytes) -> Iterator[str]:
    """Names under which the current release has it; a column of its catalog is read."""
    release = read_base(store).release
    if release is None:
        return
    for batch in read_table(
        store, table_receipts(store, release, "catalog"), ["image_id", "content_sha256"]
    ):
        rows = zip(*(batch.column(n).to_pylist() for n in range(2)), strict=True)
        yield from (image for image, each in rows if each == content)


def show_status(root: str | None, names: Sequence[str], json: bool) -> None:
    """What still holds each forgotten content, and what removes it there."""
    store = store_of(root)
    ledger = Ledger.read(store)
    wanted = {_content(store, name) for name in names} or ledger.hashes
    unknown = sorted(each.hex() for each in wanted - ledger.hashes)
    if unknown:
        raise UsageError(f"{unknown[0]} was not forgotten; artrec forget does that")
    found = remains(store, Ledger(frozenset(wanted)))
    words = {bytes.fromhex(each.sha256): each for each in entries(store)}
    rows = [
        {
            "sha256": content.hex(),
            "reason": words[content].reason,
            "when": words[content].when.isoformat(),
            "releases": found[content].releases,
            "drafts": found[content].drafts,
            "runs": found[content].runs,
            "next": _next(found[content]),
        }
        for content in sorted(wanted)
    ]
    if json:
        as_json(rows)
    elif not rows:
        print(f"{store.url}: nothing was forgotten")
    else:
        for row in rows:
            _tell(row)


def _tell(row: dict[str, Any]) -> None:
    print(f"{row['sha256']}  {row['when'][:10]}  {plain(row['reason'])}")
    for kind in ("releases", "drafts"):
        if row[kind]:
            print(f"  held by {kind}: {plain(', '.join(row[kind]))}")
    print(f"  held by {len(row['runs']):,} runs; {row['next']}")


def _next(found: Remains) -> str:
    """What has to be done for it to be gone."""
    if not found.runs:
        return "no run of this store holds it"
    if found.keep is None:
        return "the current release holds it: run a night first"
    abandon = " --abandon" if found.drafts else ""
    return (
        f"artrec sweep --keep {found.keep}{abandon} --yes removes them, as soon as they are older "
        "than store.sweep_seconds"
    )
