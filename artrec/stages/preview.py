"""--dry-run: what a run would do, with counts and costs.

Nothing is written, and Spark is not started.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from artrec.config import Settings
from artrec.releases import read_base
from artrec.stages import NAMES, ORDER
from artrec.stages.costs import shown
from artrec.stages.forecast import foreseen
from artrec.stages.listing import known_sources, list_sources
from artrec.stages.outlook import look
from artrec.stages.sources import check_shrunken
from artrec.storage import open_store

if TYPE_CHECKING:
    from artrec.stages.session import Options

__all__ = ["preview"]


def preview(name: str, settings: Settings, options: Options) -> None:
    """Print the plan of a stage, or of a night, for the sources as they are now."""
    store = open_store(settings.store.root, settings.store.options)
    release = read_base(store).release
    with list_sources(settings, known_sources(release)) as listing:
        check_shrunken(settings.gates, store, release, listing.sources)
        outlook = look(settings, store, release, listing)
        planned = foreseen(settings, store, release, listing, outlook)
    night = [stage for stage in ORDER if stage in NAMES or outlook.trains]
    stages = night if name == "nightly" else [name]
    counts = {stage: outlook.counts[stage] for stage in stages}
    current = release.release_id if release else None
    costs = shown(planned, stages)
    if options.as_json:
        print(json.dumps({"current": current, "stages": counts, "plan": costs.facts}))
        return
    print(f"dry run on {settings.store.root}, current release: {current or 'none'}")
    for stage, found in counts.items():
        print(f"  {stage}: " + ", ".join(f"{v:,} {k}" for k, v in found.items()))
    print(costs.text)
