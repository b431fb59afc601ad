"""--dry-run: what a run would do, with counts; nothing is written and Spark is not started."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from artrec.config import Settings
from artrec.digests import Hashes, key_hashes
from artrec.releases import Release, read_base, receipts_of
from artrec.schemas import TABLES, Table
from artrec.stages import NAMES
from artrec.stages.listing import Listing, list_sources
from artrec.storage import Store, open_store
from artrec.tables import Receipt, read_table

if TYPE_CHECKING:
    from artrec.stages.session import Options

__all__ = ["preview"]

_KEY = ("source", "raw_name", "occurrence", "bytes", "fingerprint")


def preview(name: str, settings: Settings, options: Options) -> None:
    """Print the plan of a stage, or of a night, for the sources as they are now."""
    store = open_store(settings.store.root)
    release = read_base(store).release
    with list_sources(settings) as listing:
        facts = _plan(settings, store, release, listing)
    stages = NAMES if name == "nightly" else (name,)
    facts["stages"] = {stage: facts["stages"][stage] for stage in stages}
    if options.as_json:
        print(json.dumps(facts, indent=1))
        return
    print(f"dry run on {settings.store.root}, current release: {facts['current'] or 'none'}")
    for stage, counts in facts["stages"].items():
        print(f"  {stage}: " + ", ".join(f"{v:,} {k}" for k, v in counts.items()))


def _plan(
    settings: Settings, store: Store, release: Release | None, listing: Listing
) -> dict[str, Any]:
    """Counts by stage; the contents behind new members are not known before they are read."""
    listed = listing.counters["listed"]
    before = receipts_of(store, release.refs("members"), "members") if release else []
    sizes, keys = _members(listing.scratch, listing.receipts)
    _, old = _members(store, before)
    same_rules = release is not None and _results(release) == _plain(settings.results())
    new = ~np.isin(keys, old) if same_rules else np.ones(len(keys), bool)
    gone = int((~np.isin(old, keys)).sum())
    count, size = int(new.sum()), int(sizes[new].sum())
    changed = bool(count or gone or not same_rules)
    rebuilt = listed if changed else 0
    k = settings.neighbors.k
    return {
        "current": release.release_id if release else None,
        "stages": {
            "inventory": {"members listed": listed, "new": count, "gone": gone},
            "ingest": {"members to read": count, "bytes to read": size},
            "embed": {"pictures to encode at most": count},
            "catalog": {"members to account for": rebuilt},
            "neighbors": {"lists to make at most": rebuilt, "pairs to compare at most": rebuilt**2},
            "publish": {"releases": int(changed), "neighbor rows at most": rebuilt * k},
        },
    }


def _members(
    store: Store, receipts: Iterable[Receipt]
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Hashes]:
    """Stored bytes and a hash of the identity of each member: 16 bytes a member."""
    sizes, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    members = [receipt for receipt in receipts if receipt.table == "members"]
    identity = Table("members", TABLES["members"].columns, key=_KEY, sort=())
    for batch in read_table(store, members, [*_KEY, "stored_bytes"]):
        sizes.append(np.asarray(batch.column("stored_bytes")))
        hashes.append(key_hashes(batch, identity))
    return np.concatenate(sizes), np.concatenate(hashes)


def _results(release: Release) -> dict[str, Any]:
    return _plain(Settings(**release.settings).results())


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON would give it back: tuples are lists there."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
