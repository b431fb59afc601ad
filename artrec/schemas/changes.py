"""The change feed: what to take from the last release's tables, and what to put in."""

from __future__ import annotations

import pyarrow as pa

from artrec.schemas.form import SHA, Table, columns
from artrec.schemas.night import NIGHT

__all__ = ["CATALOG_CHANGES", "entry_changes"]


_CATALOG = {
    f"{field.name}_" if field.nullable else field.name: field.type
    for table in NIGHT
    if table.name == "catalog"
    for field in table.columns
    if field.name not in ("image_id", "entry")
}


def entry_changes(name: str) -> Table:
    """The table of that name: the changes of one table of neighbor lists, entry by entry.

    ``change`` is insert, delete, or update of an entry whose distance or place among those that
    stay is another. ``rank`` is where an insert or update stands now, ``old_rank`` where an update
    or delete stood; ``distance`` is the new one, of a delete the one it had. Take all named entries
    out of a list, put inserts and updates at their ranks, and let the others fill the free ranks in
    their order: that is the new list.
    """
    return Table(
        name,
        columns(
            query_id=pa.string(),
            neighbor_id=pa.string(),
            change=pa.string(),
            rank_=pa.int32(),
            old_rank_=pa.int32(),
            distance=pa.float32(),
        ),
        key=("query_id", "neighbor_id"),
        sort=("query_id", "neighbor_id"),
    )


CATALOG_CHANGES = Table(
    "catalog_changes",
    columns(
        image_id=pa.string(),
        change=pa.string(),
        kind=pa.string(),
        picture=pa.bool_(),
        labels=pa.bool_(),
        other_id_=pa.string(),
        old_content_sha256_=SHA,
        **_CATALOG,
    ),
    key=("image_id",),
    sort=("image_id",),
)
"""``change`` is insert, delete or update, ``kind`` says why. An insert or update has the row of the
catalog as it is now, a delete as it was; all but ``entry``, a place in a listing that any other
member may move. ``picture`` and ``labels`` say of an update what is another."""
