"""The settings: defaults < file < environment < ``--set``.

Every key is declared in a section with its default and one sentence; ``conf/README.md`` is made
from these. An unknown key or a value of the wrong type is an error that names the key and its
origin.
"""

from artrec.config.encoding import EmbedSettings, TrainSettings
from artrec.config.ingesting import IngestSettings, Source
from artrec.config.judging import FINAL_GATES, GATES, USUAL_GATES, GatesSettings, ReportSettings
from artrec.config.loading import Origins, load
from artrec.config.model import Key, Settings, documented, flat, ranges
from artrec.config.searching import IndexSettings, NeighborsSettings
from artrec.config.storing import StoreSettings

__all__ = [
    "EmbedSettings",
    "FINAL_GATES",
    "GATES",
    "GatesSettings",
    "IndexSettings",
    "IngestSettings",
    "Key",
    "NeighborsSettings",
    "Origins",
    "ReportSettings",
    "Settings",
    "Source",
    "StoreSettings",
    "TrainSettings",
    "USUAL_GATES",
    "documented",
    "flat",
    "load",
    "ranges",
]
