"""Structured logging on stderr: JSON lines for machines, short lines for a terminal."""

from __future__ import annotations

import logging
import sys

import structlog

__all__ = ["bind", "get", "is_for_people", "setup"]

_LEVELS = {"quiet": logging.WARNING, "normal": logging.INFO, "verbose": logging.DEBUG}

_people: bool = False


def setup(verbosity: str = "normal", as_json: bool | None = None) -> None:
    """Send log lines to stderr; JSON where stderr is not a terminal, unless told otherwise.

    ``verbosity`` is quiet, normal or verbose.
    """
    global _people
    machine = not sys.stderr.isatty() if as_json is None else as_json
    _people = not machine and verbosity != "quiet"
    structlog.contextvars.clear_contextvars()
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


def is_for_people() -> bool:
    """Whether lines go to a terminal whose reader wants to see more than warnings."""
    return _people


def bind(**context: object) -> None:
    """From here on every line of this run carries ``context`` too (stage, attempt …)."""
    structlog.contextvars.bind_contextvars(**context)


def get(**context: object) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry ``context`` (stage, run, segment …)."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**context)
    return logger
