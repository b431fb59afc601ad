"""A Spark session that is started when something is first asked of it.

A night in which nothing changed lists its sources, finds every stage's work done, and asks nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Later"]


class Later:
    """Stands for the session that ``start`` makes; ``seconds`` is what that took."""

    def __init__(self, start: Callable[[], SparkSession]) -> None:
        self._start = start
        self._session: SparkSession | None = None
        self.seconds = 0.0

    @property
    def session(self) -> SparkSession:
        """Itself, for those who work with a session."""
        return cast("SparkSession", self)

    @property
    def started(self) -> SparkSession | None:
        """The session itself, once there is one."""
        return self._session

    def __getattr__(self, name: str) -> Any:
        """Whatever the session has; only what this class lacks is asked for here."""
        if self._session is None:
            begun = time.monotonic()
            self._session = self._start()
            self.seconds = time.monotonic() - begun
        return getattr(self._session, name)
