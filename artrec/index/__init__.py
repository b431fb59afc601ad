"""The Annoy index: live vectors dealt to shards, each one file with its ids and a sidecar.

A shard is built by one thread from a recorded seed, proved by a canary process before it counts,
and opened only if its sidecar fits. A search asks all shards and measures what they answer exactly,
so its distances are those of the neighbor tables; which vectors it finds is approximate.
Vectors that came since the shards were built stand in a side shard, which is scanned; those that
are gone are masked.
"""

from __future__ import annotations

from artrec.index.building import Probes, Recipe, build_shard
from artrec.index.canary import prove_shard
from artrec.index.dealing import shard_count, shard_ranges
from artrec.index.opening import Wanted, open_shard, open_shards, side_of
from artrec.index.shards import CANDIDATES, Shard, ShardSet
from artrec.index.side import SIDE_BYTES, Changes, Side
from artrec.index.sidecar import ANNOY_METRICS, Sidecar, Tuning
from artrec.index.tuning import USUAL_TREES, Target, tune

__all__ = [
    "ANNOY_METRICS",
    "CANDIDATES",
    "Changes",
    "Probes",
    "Recipe",
    "SIDE_BYTES",
    "Shard",
    "ShardSet",
    "Side",
    "Sidecar",
    "Target",
    "Tuning",
    "USUAL_TREES",
    "Wanted",
    "build_shard",
    "open_shard",
    "open_shards",
    "prove_shard",
    "shard_count",
    "shard_ranges",
    "side_of",
    "tune",
]
