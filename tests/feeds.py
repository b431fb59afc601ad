"""Applying a change feed, written down a second time and plainly: an oracle for tests."""

from __future__ import annotations

from typing import Any

__all__ = ["Rows", "applied_images", "applied_lists"]

Rows = list[dict[str, Any]]


def applied_lists(neighbors: Rows, feed: Rows) -> Rows:
    """The rows of ``neighbors`` after the feed, by the rule that jobs/README.md gives."""
    lists: dict[str, Rows] = {}
    for row in neighbors:
        lists.setdefault(row["query_id"], []).append(row)
    for query in {row["query_id"] for row in feed}:
        told = [row for row in feed if row["query_id"] == query]
        named = {row["neighbor_id"] for row in told}
        old = sorted(lists.get(query, []), key=lambda row: row["rank"])
        gone = {row["neighbor_id"] for row in told if row["change"] != "insert"}
        assert gone <= {row["neighbor_id"] for row in old}, "what is taken out was there"
        left = [row for row in old if row["neighbor_id"] not in named]
        put = [row for row in told if row["change"] != "delete"]
        for row in sorted(put, key=lambda row: row["rank"]):
            left.insert(row["rank"] - 1, row)
            assert left[row["rank"] - 1] is row, "the ranks before it are filled"
        lists[query] = left
    return [
        {
            "query_id": query,
            "rank": rank,
            "neighbor_id": row["neighbor_id"],
            "distance": row["distance"],
        }
        for query in sorted(lists)
        for rank, row in enumerate(lists[query], 1)
    ]


def applied_images(catalog: Rows, feed: Rows) -> Rows:
    """The rows of a catalog after the feed, without ``entry``, which no feed tells."""
    images = {row["image_id"]: {k: v for k, v in row.items() if k != "entry"} for row in catalog}
    names = next(iter(images.values())).keys()
    for row in feed:
        assert (row["image_id"] in images) == (row["change"] != "insert")
        images.pop(row["image_id"], None)
        if row["change"] != "delete":
            images[row["image_id"]] = {name: row[name] for name in names}
    return [images[name] for name in sorted(images)]
