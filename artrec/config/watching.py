"""Sections about seeing what a run will cost, and what it is doing."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveFloat

from artrec.config.section import Section, key

__all__ = ["LogSettings", "PlanSettings"]


class PlanSettings(Section):
    """What a night is expected to cost; prices in any one currency, 0 where it is not known."""

    cores: int = key(
        0,
        "Cores of all executors together, for plans without Spark; 0: those of this machine. A "
        "night asks Spark.",
        result=False,
        ge=0,
    )
    sample_seconds: NonNegativeFloat = key(
        1.0,
        "How long the pictures of a plan's timed sample may take, about; 0: no sample, the rates "
        "of one idle core of an Intel Xeon.",
        result=False,
        allow_inf_nan=False,
    )
    price_hour: NonNegativeFloat = key(
        0.0, "Of one core for one hour.", result=False, allow_inf_nan=False
    )
    price_request: NonNegativeFloat = key(
        0.0, "Of 1,000 requests to the storage.", result=False, allow_inf_nan=False
    )
    price_gb: NonNegativeFloat = key(
        0.0,
        "Of 10^9 bytes read from the storage or written to it.",
        result=False,
        allow_inf_nan=False,
    )


class LogSettings(Section):
    """What is told while a run is under way."""

    every: PositiveFloat = key(
        30.0,
        "Seconds between two lines on the progress of a long stage, where no terminal shows a bar.",
        result=False,
        allow_inf_nan=False,
    )
    prometheus: str = key(
        "",
        "A local file of metrics for Prometheus (node_exporter's textfile collector), replaced at "
        "the end of each stage and of the run; its name must end in .prom.",
        result=False,
    )
