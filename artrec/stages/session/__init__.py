"""From a command line to a finished run: settings, Spark, draft, outcome, exit code.

``spark-submit jobs/<stage>.py`` and ``artrec <stage>`` both end here.
"""

from artrec.stages.ending import stop_spark
from artrec.stages.session.running import Options, Run, execute
from artrec.stages.session.spark import ALONE, describe, places_at_once, start_spark
from artrec.stages.session.submitting import command, plan, submit

__all__ = [
    "ALONE",
    "Options",
    "Run",
    "command",
    "describe",
    "execute",
    "places_at_once",
    "plan",
    "start_spark",
    "stop_spark",
    "submit",
]
