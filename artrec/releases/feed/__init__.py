"""The change feed: what became of one release's images and lists in another, and how to apply it.

Both releases' tables are sorted by their keys, so they are read side by side, a range of keys at a
time; memory does not grow with them.
"""

from artrec.releases.feed.entries import changed_entries
from artrec.releases.feed.images import KINDS, changed_images
from artrec.releases.feed.reading import Span, in_step, spans

__all__ = ["KINDS", "Span", "changed_entries", "changed_images", "in_step", "spans"]
