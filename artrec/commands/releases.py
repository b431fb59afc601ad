"""artrec releases: list (also of drafts), show, verify."""

from __future__ import annotations

from artrec.commands.show import as_json, grid
from artrec.commands.stores import store_of
from artrec.errors import UsageError
from artrec.releases import (
    Release,
    all_heads,
    draft_state,
    duckdb_views,
    list_releases,
    open_heads,
    read_base,
    read_release,
    were_current,
)
from artrec.releases.verify import verify
from artrec.schemas import TABLES

__all__ = ["show_drafts", "show_list", "show_one", "show_verified", "show_views"]


def show_list(root: str | None, json: bool) -> None:
    """All releases of a store, one line each; those that were never current are marked."""
    store = store_of(root)
    base = read_base(store)
    current = base.release_id
    found = [read_release(store, name) for name in list_releases(store)]
    published = were_current(store, found)
    rows = [
        {
            "release": each.release_id,
            "current": each.release_id == current,
            "published": each.release_id in published,
            "created": f"{each.created:%Y-%m-%d %H:%M} UTC",
            "images": each.counts["stored"],
            "rejected": each.counts["rejected"],
            "encoder": each.encoder,
            "k": each.k,
        }
        for each in sorted(found, key=lambda each: each.created)
    ]
    if json:
        as_json(rows)
    elif not rows:
        raise UsageError(f"{store.url}: no release has been published here")
    else:
        grid([name for name in rows[0] if name != "published"], [_shown(row) for row in rows])
        drafts = ", ".join(head.release_id for head in open_heads(store, base))
        if drafts:
            print(f"open drafts: {drafts} (artrec releases list --drafts)")


def show_drafts(root: str | None, json: bool) -> None:
    """All drafts of a store, with what may become of them."""
    store = store_of(root)
    base = read_base(store)
    rows = [
        {
            "draft": head.release_id,
            "state": draft_state(store, head, base),
            "begun": f"{head.begun:%Y-%m-%d %H:%M} UTC",
            "on": head.base_release,
        }
        for head in sorted(all_heads(store), key=lambda head: head.begun)
    ]
    if json:
        as_json(rows)
    elif not rows:
        print(f"{store.url}: no drafts")
    else:
        grid(list(rows[0]), [[value or "" for value in row.values()] for row in rows])


def _shown(row: dict[str, object]) -> list[object]:
    state = "current" if row["current"] else "" if row["published"] else "never"
    return [v for k, v in (row | {"current": state}).items() if k != "published"]


def show_one(root: str | None, release_id: str | None, json: bool) -> None:
    """Counts, tables, gates and seconds of a release."""
    release = read_release(store_of(root), release_id)
    if json:
        as_json(release.model_dump(mode="json"))
        return
    print(f"release {release.release_id} of {release.created:%Y-%m-%d %H:%M} UTC")
    print(f"encoder {release.encoder} ({release.metric}, {release.dim} numbers), k {release.k}")
    grid(["count", ""], release.counts.items())
    print()
    grid(["table", "rows", "runs"], _tables(release))
    print()
    grid(["stage", "seconds", *_PLANNED], [_took(release, name) for name in release.stages])
    print()
    grid(
        ["gate", "passed", "found", "expected", "overridden"],
        [(g.gate, g.passed, g.found, g.expected, g.overridden or "") for g in release.gates],
    )


_PLANNED = ("expected", "worker MB", "expected", "MB written", "expected")


def _took(release: Release, stage: str) -> list[object]:
    """Measured beside expected; empty where nothing was planned, or the stage had nothing to do."""
    row: list[object] = [stage, f"{release.stages[stage].seconds:.1f}"]
    plan = release.plan
    if plan is None or stage not in plan.expected or stage not in plan.measured:
        return [*row, *("" for _ in _PLANNED)]
    expected, measured = plan.expected[stage], plan.measured[stage]
    row.append(f"{expected.seconds:.1f}")
    for name in ("worker_bytes", "bytes_written"):
        row += [f"{getattr(each, name) / 1e6:,.1f}" for each in (measured, expected)]
    return row


def show_views(root: str | None, release_id: str | None) -> None:
    """The DuckDB views of a release, for where the store lies now."""
    store = store_of(root)
    print(duckdb_views(store, read_release(store, release_id)), end="")


def _tables(release: Release) -> list[tuple[str, str, int]]:
    """Of what is no table, such as a report, the runs alone."""
    return [
        (table, f"{stage.rows(table):,}" if table in TABLES else "", len(refs))
        for stage in release.stages.values()
        for table, refs in stage.tables.items()
    ]


def show_verified(root: str | None, release_id: str | None, json: bool) -> bool:
    """Whether every file of a release is as it was written, and its members balance."""
    store = store_of(root)
    release = read_release(store, release_id)
    counts, faults = verify(store, release.release_id)
    if json:
        as_json({"release": release.release_id, "counts": counts, "faults": faults})
    else:
        for fault in faults:
            print(f"FAULT {fault}")
        grid(["count", ""], counts.items())
        print(f"release {release.release_id}: {'whole' if not faults else 'NOT whole'}")
    return not faults
