"""The report of a release: one page for people who have never heard of the project.

``Facts`` is all that is shown; ``render`` makes the files of it, ``jpeg`` the small pictures.
The page opens from a disk, needs no network, and treats every name and text as hostile.
"""

from __future__ import annotations

from artrec.report.clusters import Cluster, Clusters, MapView
from artrec.report.comparison import page_of_comparison
from artrec.report.facts import (
    Copy,
    Duplicate,
    Facts,
    Gate,
    Hub,
    Measured,
    NearGroup,
    Point,
    Query,
    Reason,
    Sample,
    Stage,
    Status,
    read_facts,
)
from artrec.report.lists import Approximate, Churn, Maintained, Ruled
from artrec.report.morning import Became, Beside, Entry, Fresh, Morning, NightCost, Renamed, Turned
from artrec.report.pages import PAGE, render
from artrec.report.parts import Image, Neighbor
from artrec.report.scatter import draw_map
from artrec.report.sheets import Tile, draw_sheet, page_of_clusters, page_of_queries
from artrec.report.text import visible
from artrec.report.thumbnails import difference, jpeg
from artrec.report.training import Curve, Reconstruction, Step, Training

__all__ = [
    "Approximate",
    "Became",
    "Beside",
    "Churn",
    "Cluster",
    "Clusters",
    "Copy",
    "Curve",
    "Duplicate",
    "Entry",
    "Facts",
    "Fresh",
    "Gate",
    "Hub",
    "Image",
    "Maintained",
    "MapView",
    "Measured",
    "Morning",
    "NearGroup",
    "Neighbor",
    "NightCost",
    "PAGE",
    "Point",
    "Query",
    "Reason",
    "Reconstruction",
    "Renamed",
    "Ruled",
    "Sample",
    "Stage",
    "Status",
    "Step",
    "Tile",
    "Training",
    "Turned",
    "difference",
    "draw_map",
    "draw_sheet",
    "jpeg",
    "page_of_clusters",
    "page_of_comparison",
    "page_of_queries",
    "read_facts",
    "render",
    "visible",
]
