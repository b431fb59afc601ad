"""Metrics of a run as a text file for Prometheus, by way of node_exporter's textfile collector.

The file (``log.prometheus``) is replaced whole at the end of each stage and of the run. Needs the
package prometheus-client, which comes with the extra ``prometheus``.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

from artrec import log
from artrec.config import Settings
from artrec.errors import ConfigError
from artrec.planning import Figures
from artrec.releases import Draft, StageRuns
from artrec.stages import ORDER

__all__ = ["check", "write"]

_REJECTS = {"ingest": "rejected", "embed": "rejected", "catalog": "rejects", "publish": "rejected"}

STAGE = {
    "seconds": "Seconds that a stage took.",
    "expected_seconds": "Seconds that it was expected to take.",
    "images": "Images that it worked on.",
    "rejects": "Members that it rejected, or has on record as rejected.",
    "written_bytes": "Bytes that it wrote.",
    "worker_peak_bytes": "Largest resident memory of a Python worker up to its end.",
    "driver_peak_bytes": "Largest resident memory of the driver's Python up to its end.",
}
"""Each is a gauge ``artrec_stage_…`` with the label ``stage``."""


def check(settings: Settings) -> None:
    """Fail early where such a file is wanted and cannot be made."""
    path = settings.log.prometheus
    if not path:
        return
    if not path.endswith(".prom"):
        raise ConfigError(f"log.prometheus: {path} must end in .prom, or no collector reads it")
    if find_spec("prometheus_client") is None:
        raise ConfigError(
            "log.prometheus needs the package prometheus-client: pip install 'artrec[prometheus]'"
        )


def write(
    settings: Settings,
    draft: Draft | None,
    result: StageRuns | None = None,
    exit_code: int | None = None,
) -> None:
    """Replace the file by what is known now; ``exit_code`` once the run is over.

    A file that cannot be written is a warning: no night fails for it.
    """
    if not settings.log.prometheus:
        return
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()
    gauges = {
        name: Gauge(f"artrec_stage_{name}", text, ["stage"], registry=registry)
        for name, text in STAGE.items()
    }
    for stage, values in (_stages(draft, result) if draft else {}).items():
        for name, value in values.items():
            gauges[name].labels(stage).set(value)
    now = "Seconds since 1970 when this file was written."
    Gauge("artrec_updated_timestamp_seconds", now, registry=registry).set(time.time())
    if exit_code is not None:
        text = "How the run ended: 0 done, other codes as in jobs/README.md."
        Gauge("artrec_exit_status", text, registry=registry).set(exit_code)
    try:
        write_to_textfile(settings.log.prometheus, registry)
    except OSError as error:
        log.get().warning("no metrics written", path=settings.log.prometheus, why=str(error))


def _stages(draft: Draft, result: StageRuns | None) -> dict[str, dict[str, float]]:
    """Of the stages of this night that had something to do, each metric that is known."""
    planned, base = draft.planned(), draft.base.release
    found: dict[str, dict[str, float]] = {}
    for name in ORDER:
        runs = result if result is not None and result.stage == name else draft.stage(name)
        if runs is None or (base is not None and base.stages.get(name) == runs):
            continue
        measured = planned.measured.get(name) if planned else None
        found[name] = {"seconds": runs.seconds, **_figures(measured)}
        if name in _REJECTS:
            found[name]["rejects"] = runs.counters.get(_REJECTS[name], 0)
        if planned is not None and name in planned.expected:
            found[name]["expected_seconds"] = planned.expected[name].seconds
    return found


def _figures(measured: Figures | None) -> dict[str, Any]:
    if measured is None:
        return {}
    return {
        "images": measured.images,
        "written_bytes": measured.bytes_written,
        "worker_peak_bytes": measured.worker_bytes,
        "driver_peak_bytes": measured.driver_bytes,
    }
