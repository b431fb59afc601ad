"""Structured logging on stderr: JSON lines for machines, short lines for a terminal."""

from __future__ import annotations

import logging
import sys

import structlog

__all__ = ["get", "setup"]

_LEVELS = {"quiet": logging.WARNING, "normal": logging.INFO, "verbose": logging.DEBUG}


def setup(verbosity: str = "normal", as_json: bool | None = None) -> None:
    """Send log lines to stderr; JSON where stderr is not a terminal, unless told otherwise.

    ``verbosity`` is quiet, normal or verbose.
    """
    machine = not sys.stderr.isatty() if as_json is None else as_json
    renderer = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if machine
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[verbosity]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(**context: object) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry ``context`` (stage, run, segment …)."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**context)
    return logger
