"""What there is to do, of the sources as they are listed: counts by stage, and the members.

Counted for a dry run as for a night that has listed its sources; nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from artrec.config import Settings
from artrec.digests import Hashes, key_hashes
from artrec.planning import Change, resolved
from artrec.releases import Ledger, Release, ledger_of, receipts_of
from artrec.schemas import TABLES, Table
from artrec.stages.inventory import listing_id
from artrec.stages.listing import Listing
from artrec.stages.rejects import ATTEMPTS, TRANSIENT
from artrec.stages.rules import MEMBER_KEY, decoder_name, ingest_rules, picture_recipe
from artrec.storage import Store
from artrec.tables import Receipt, read_table

__all__ = ["Outlook", "look"]

_IDENTITY = Table("members", TABLES["members"].columns, key=MEMBER_KEY, sort=())


@dataclass(frozen=True, eq=False)
class Outlook:
    """What there is to do: ``counts`` by stage, and the members that they are of.

    ``sizes`` are the stored bytes of each member, int64 [members], and ``unread`` bool [members]
    says which have to be read; ``kept`` says of later stages whether they have nothing to do.
    ``lists`` names the neighbor tables to be made: neighbors itself, and those under rules.
    ``beside`` are the vectors, at most, that stand beside shards which are kept; None where shards
    are built, or may be.
    ``change`` is what came and went at most, where the lists without a rule can be kept up to date;
    ``upkept`` are the tables under rules that can be, too.
    """

    counts: dict[str, dict[str, int]]
    sizes: np.ndarray[Any, np.dtype[np.int64]]
    unread: np.ndarray[Any, np.dtype[np.bool_]]
    kept: dict[str, bool]
    lists: frozenset[str]
    trains: bool
    beside: int | None = None
    change: Change | None = None
    upkept: frozenset[str] = frozenset()


def look(settings: Settings, store: Store, release: Release | None, listing: Listing) -> Outlook:
    """Counts by stage; the contents behind new members are not known before they are read."""
    listed = listing.counters["listed"]
    before = _members(store, _files(store, release, "members"))
    sizes, keys = _stored_bytes(listing), _members(listing.scratch, listing.receipts)
    kept, lists = _kept(settings, release, listing, Ledger.read(store))
    new, gone = (int((~np.isin(*each)).sum()) for each in ((keys, before), (before, keys)))
    unread = ~np.isin(keys, _read_before(settings, store, release, again=not kept["catalog"]))
    came = int((unread | ~np.isin(keys, before)).sum())
    later = _beside(settings, release, kept, came, gone)
    count, size = int(unread.sum()), int(sizes[unread].sum())
    rebuilt = {stage: 0 if kept[stage] else listed for stage in kept}
    joined = listed if "neighbors" in lists else 0
    under_rules = len(lists - {"neighbors"})
    asked = min(rebuilt["evaluate"], settings.evaluate.queries)
    counts = {
        "inventory": {
            "members listed": listed,
            "new": new,
            "gone": gone,
            **_listed_labels(listing.counters),
        },
        "ingest": {"members to read": count, "bytes to read": size, **_whole(listing)},
        "train": {"pictures to train on at most": min(listed, settings.train.max_pictures)},
        "embed": {"pictures to encode at most": count if kept["embed"] else listed},
        "catalog": {"members to account for": rebuilt["catalog"]},
        "index": later or {"vectors to index at most": rebuilt["index"]},
        "neighbors": {
            "lists to make at most": joined,
            "pairs to compare at most": joined**2,
            **({"tables under rules": under_rules} if under_rules and listed else {}),
        },
        "evaluate": {"queries at most": asked},
        "report": {"reports": int(any(rebuilt.values()))},
        "publish": {
            "releases": int(any(rebuilt.values())),
            "neighbor rows at most": joined * settings.neighbors.k,
        },
    }
    trains = release is None and not settings.encoder.id
    beside = later["vectors beside them at most"] if later else None
    change = _change(settings, release, kept["embed"], new, gone)
    upkept = _upkept(settings, release) if change else frozenset()
    return Outlook(counts, sizes, unread, kept, lists, trains, beside, change, upkept)


_KEEPING = {"rebuild_share", "side_rows"}


def _beside(
    settings: Settings, release: Release | None, kept: Mapping[str, bool], came: int, gone: int
) -> dict[str, int]:
    """What stands beside the shards of the index, where they are kept for certain.

    So many members came and are gone: of vectors it will be no more. Empty where nothing is to be
    done, and where shards are built or may be.
    """
    before, rules = _settings_of(release), settings.index
    index = release.stages.get("index") if release else None
    if release is None or before is None or index is None or kept["index"] or not kept["embed"]:
        return {}
    then, now = (each.index.model_dump(exclude=set(_KEEPING)) for each in (before, settings))
    had = index.notes.get("side", {"vectors": 0, "masked": 0})
    side, masked = had["vectors"] + came, had["masked"] + gone
    rows = max(0, release.stages["catalog"].rows("live_vectors") - gone)
    if then != now or side + masked > rules.rebuild_share * rows or side > rules.side_rows:
        return {}
    return {
        "shards kept": int(index.notes["shards"]),
        "vectors beside them at most": side,
        "vectors masked at most": masked,
    }


def _change(
    settings: Settings, release: Release | None, same: bool, new: int, gone: int
) -> Change | None:
    """What came and went at most; None where the lists cannot be made from the release's."""
    before = _settings_of(release)
    if release is None or before is None or not same or not release.refs("neighbor_pool"):
        return None
    now, then = (_list_rules(each, release)["neighbors"] for each in (settings, before))
    rows = release.stages["catalog"].rows("live_vectors")
    return Change(rows, new, min(gone, rows)) if now == then else None


def _upkept(settings: Settings, release: Release | None) -> frozenset[str]:
    """The tables under rules that the release has, under the same."""
    before = _settings_of(release)
    if release is None or before is None:
        return frozenset()
    now, then = (_list_rules(each, release) for each in (settings, before))
    return frozenset(name for name in now if now[name] == then.get(name) and release.refs(name))


def _whole(listing: Listing) -> dict[str, int]:
    """What cannot be cut, where there is any: a compressed tar is read from its start."""
    sizes = listing.whole.values()
    text = "bytes in compressed tars, of which one task each reads all"
    return {text: sum(sizes)} if sizes else {}


def _listed_labels(counters: dict[str, int]) -> dict[str, int]:
    """What label lists give, where there are any."""
    words = {
        "list_rows": "rows of label lists",
        "list_misses": "rows without a member",
        "list_ambiguous": "rows that fit several members",
        "unlisted": "members that no list names",
        "split_conflicts": "rows on the other side of the split",
    }
    return {text: counters[key] for key, text in words.items() if key in counters}


def _kept(
    settings: Settings, release: Release | None, listing: Listing, ledger: Ledger
) -> tuple[dict[str, bool], frozenset[str]]:
    """The stages whose rules, and whose inputs as far as they are known, are the release's.

    And the neighbor tables of which that is not so.
    """
    before = _settings_of(release)
    if release is None or before is None:
        names = ("embed", "catalog", "index", "neighbors", "evaluate", "report")
        every = {f"neighbors_{name}" for name in settings.neighbors.tables}
        return dict.fromkeys(names, False), frozenset({"neighbors", *every})
    embed = settings.encoder == before.encoder and _seen(settings) == _seen(before)
    ingest = release.stages.get("ingest")
    catalog = (
        embed
        and listing_id(listing) == release.stages["inventory"].inputs
        and decoder_name(settings.ingest) == decoder_name(before.ingest)
        and ledger.name == ledger_of(ingest.notes if ingest is not None else {})
        and settings.catalog == before.catalog
        and not settings.ingest.retry_rejects
    )
    now, then = (_list_rules(each, release) for each in (settings, before))
    lists = {name for name, rules in now.items() if not catalog or rules != then.get(name)}
    index = catalog and settings.index == before.index and "index" in release.stages
    neighbors = catalog and now == then
    unasked = {"block_rows", "pairs_from"}
    rules = [each.evaluate.model_dump(exclude=unasked) for each in (settings, before)]
    evaluate = index and "neighbors" not in lists and rules[0] == rules[1]
    kept = {
        "embed": embed,
        "catalog": catalog,
        "index": index,
        "neighbors": neighbors,
        "evaluate": evaluate,
        "report": evaluate and neighbors and settings.report == before.report,
    }
    return kept, frozenset(lists)


def _list_rules(settings: Settings, release: Release) -> dict[str, tuple[Any, ...]]:
    """For each neighbor table what of the settings changes its lists of a release's vectors."""
    rows = release.stages["catalog"].rows("live_vectors")
    rules = settings.neighbors
    method = resolved(rules.method, rows, rules.exact_rows)
    asked = (rules.recall, settings.evaluate.queries) if method == "approximate" else ()
    tables = {
        f"neighbors_{name}": (rules.k_of(table), rules.slack, table.conditions)
        for name, table in rules.tables.items()
    }
    return {"neighbors": (rules.k, rules.slack, method, *asked), **tables}


def _seen(settings: Settings) -> tuple[object, ...]:
    """What beside the encoder may change vectors; of those that know one precision it does not."""
    ingest = settings.ingest
    return picture_recipe(ingest), ingest.background, settings.embed.precision


def _settings_of(release: Release | None) -> Settings | None:
    """What a release was made with; None where an artrec with other settings made it."""
    try:
        return Settings.model_validate(release.settings) if release else None
    except ValidationError:
        return None


def _read_before(settings: Settings, store: Store, release: Release | None, again: bool) -> Hashes:
    """The members that some earlier night has read under tonight's rules.

    With ``again`` those are left out that failed for a passing reason and will be tried again, with
    ``ingest.retry_rejects`` all that failed.
    """
    retry = settings.ingest.retry_rejects
    rules = ingest_rules(settings.ingest)
    settled, passing = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    columns = [*MEMBER_KEY, *rules, "reason"]
    for batch in read_table(store, _files(store, release, "ingested"), columns):
        same = [pc.equal(batch.column(name), value) for name, value in rules.items()]
        mine = batch.filter(pc.and_(*same))
        reason = mine.column("reason")
        failed = pc.is_valid(reason) if retry else pc.is_in(reason, pa.array(TRANSIENT))
        settled.append(key_hashes(mine.filter(pc.invert(failed)), _IDENTITY))
        passing.append(key_hashes(mine.filter(failed), _IDENTITY))
    tried, times = np.unique(np.concatenate(passing), return_counts=True)
    done = tried[:0] if retry else tried[times >= ATTEMPTS] if again else tried
    return np.concatenate([*settled, done])


def _files(store: Store, release: Release | None, table: str) -> list[Receipt]:
    return receipts_of(store, release.refs(table), table) if release else []


def _members(store: Store, receipts: Iterable[Receipt]) -> Hashes:
    """A hash of the identity of each member: 8 bytes a member."""
    members = [receipt for receipt in receipts if receipt.table == "members"]
    batches = read_table(store, members, MEMBER_KEY)
    found = [key_hashes(batch, _IDENTITY) for batch in batches]
    return np.concatenate([np.zeros(0, np.uint64), *found])


def _stored_bytes(listing: Listing) -> np.ndarray[Any, np.dtype[np.int64]]:
    members = [receipt for receipt in listing.receipts if receipt.table == "members"]
    batches = read_table(listing.scratch, members, ["stored_bytes"])
    return np.concatenate([np.zeros(0, np.int64), *(np.asarray(b.column(0)) for b in batches)])
