"""artrec migrate: the current release, written by an older artrec, in today's form."""

from __future__ import annotations

from artrec.commands.show import as_json, grid
from artrec.commands.upkeep import not_empty, writing
from artrec.config import load
from artrec.releases import open_heads, read_base
from artrec.releases.migrate import Migration, migrate, plan_migration
from artrec.releases.published import Base
from artrec.schemas import TABLES
from artrec.storage import Store, open_store

__all__ = ["show"]


def show(root: str | None, config: str | None, every: bool, yes: bool, json: bool) -> None:
    """Say what is older and would be written again; with ``yes`` do it."""
    settings, _ = load(config)
    store = open_store(root or settings.store.root, settings.store.options)
    not_empty(store)
    if not yes:
        base = read_base(store)
        _tell(store, base, _planned(store, base, every), None, json)
        return
    with writing(store, "artrec migrate", settings) as lease:
        base = read_base(store)
        plan = _planned(store, base, every)
        made = migrate(store, plan, base, lease).release_id if plan and plan.due else None
    _tell(store, base, plan, made, json)


def _planned(store: Store, base: Base, every: bool) -> Migration | None:
    return plan_migration(store, base.release, every) if base.release else None


def _tell(store: Store, base: Base, plan: Migration | None, made: str | None, json: bool) -> None:
    older = sorted(plan.older.items()) if plan else []
    due = plan.due if plan else {}
    opened = [head.release_id for head in open_heads(store, base)] if due and not made else []
    rows = [
        {
            "table": name,
            "version": version,
            "today": TABLES[name].version,
            "files": each.files,
            "rows": each.rows,
            "bytes": each.bytes,
            "needed": each.needed,
            "written": (name, version) in due,
        }
        for (name, version), each in older
    ]
    if json:
        facts = {"of": base.release_id, "release": made, "tables": rows, "open_drafts": opened}
        as_json(facts)
        return
    if rows:
        grid([*rows[0]], [["" if v is False else v for v in row.values()] for row in rows])
    print(_sentence(base.release_id, bool(rows), bool(due), made))
    if opened:
        print(f"open drafts that it would overtake: {', '.join(opened)}; finish them first")


def _sentence(of: str | None, older: bool, due: bool, made: str | None) -> str:
    if made is not None:
        return f"release {made} is current, of {of}; artrec rollback goes back"
    if due:
        return "nothing was written; --yes writes these tables and makes a release of them current"
    if older:
        return "these are read as they are; --all writes them again all the same"
    return f"nothing to migrate: release {of} is of today's form"
