"""Every table, declared once: its columns, key, order, and the version of its form.

Columns are non-null unless said otherwise. Embeddings are ``list<float>`` without nulls, times are
UTC microseconds. A change that old readers would not understand raises the table's version, and
declares in ``older`` how its rows come of the former ones; further columns stand last, since
digests go by their place. Where such files cannot be read as they are (``on_reading``), the result
version of the stage that writes them is raised too, so that no run of an older form is found again.
What index sidecars name (``shard_items``) is built anew instead.
"""

from collections.abc import Iterable

from artrec.schemas.changes import CATALOG_CHANGES, entry_changes
from artrec.schemas.evaluation import EVALUATION
from artrec.schemas.form import Older, Table
from artrec.schemas.neighbors import NEIGHBORS
from artrec.schemas.night import NIGHT
from artrec.schemas.query import QUERY
from artrec.schemas.ruling import RULED_SCRATCH, Tables, rule_names, rule_tables

__all__ = ["Older", "PUBLISHED", "TABLES", "Table", "published", "rule_tables", "ruled"]

_CHANGES = (CATALOG_CHANGES, entry_changes("neighbor_changes"))

TABLES: dict[str, Table] = Tables(
    {
        table.name: table
        for table in (*NIGHT, *NEIGHBORS, *RULED_SCRATCH, *EVALUATION, *_CHANGES, *QUERY)
    }
)
"""By name; the tables of rules, ``neighbors_<name>``, are found here too, without being listed."""

PUBLISHED = (
    *("catalog", "rejects", "embeddings", "vector_images", "neighbors", "neighbors_nested"),
    *("catalog_changes", "neighbor_changes"),
    *("evaluation", "hubs", "duplicates", "near_duplicates", "coordinates"),
    *("clusters", "cluster_centers", "maps"),
)
"""What readers of a release are promised; the other tables are the stages' own."""


def ruled(tables: Iterable[str]) -> list[str]:
    """The names of the rules that have tables among ``tables``."""
    return rule_names(tables, TABLES.keys())


def published(tables: Iterable[str]) -> list[str]:
    """Those of a release's tables that readers are promised: all of a rule's but its pool."""
    found = set(tables)
    of_rules = (f"neighbors_{name}{part}" for name in ruled(found) for part in _SHOWN)
    return [table for table in (*PUBLISHED, *of_rules) if table in found]


_SHOWN = ("", "_nested", "_short", "_changes")
