"""Progress of a long stage: a bar on a terminal, else a line every half minute.

The driver waits for one job and learns of its tasks when all are done. Classic Spark would tell
more through its SparkContext, which Spark Connect does not have; streaming the rows of a result
runs its partitions one after another. So a finished task leaves a word of its own: an empty object
``drafts/<release>/progress/<attempt>/<stage>-<task>-<done>-<rejected>``, whose name says all. The
driver lists that folder now and then and removes what it has counted. That is one small object for
each task of seconds to minutes, works on every Spark, and tells pictures and rejects beside tasks.
What a killed driver leaves is swept with the draft. All of it is a courtesy: where it fails, the
work goes on.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from artrec import log
from artrec.errors import ArtrecError
from artrec.releases import Draft
from artrec.storage import Store

__all__ = ["Marks", "Watch"]

BAR_SECONDS = 1.0
"""Between two looks for a bar."""


@dataclass(frozen=True)
class Marks:
    """Where tasks leave word; travels to them.

    ``done`` names the counters of what is done; where there are none a task counts for one.
    """

    store: Store
    folder: str
    stage: str
    done: tuple[str, ...]

    def leave(self, task: int, counters: Mapping[str, int]) -> None:
        """Word that a task is done; a second attempt at it says the same again."""
        done, rejected = _sum(counters, self.done), counters.get("rejected", 0)
        name = f"{self.stage}-{task:05d}-{done}-{rejected}"
        with suppress(ArtrecError, OSError):
            self.store.write(f"{self.folder}/{name}", b"")

    def collect(self) -> Iterator[tuple[int, int, int]]:
        """(task, done, rejected) of each word that is there, which is removed."""
        for entry in list(self.store.list(self.folder)):
            stage, *numbers = entry.path.rpartition("/")[2].split("-")
            with suppress(ArtrecError, OSError):
                self.store.delete(entry.path)
            if stage == self.stage and len(numbers) == 3:
                task, done, rejected = map(int, numbers)
                yield task, done, rejected


def _sum(counters: Mapping[str, int], names: tuple[str, ...]) -> int:
    return sum(counters.get(name, 0) for name in names) if names else 1


@dataclass
class Watch:
    """What a stage has done so far, out of ``total``, counted in ``unit``.

    ``before`` was done by an earlier attempt: it is done, but says nothing of tonight's rate.
    """

    draft: Draft
    stage: str
    total: int
    done_by: tuple[str, ...]
    unit: str = "pictures"
    every: float = 30.0
    before: int = 0
    done: int = 0
    rejected: int = 0
    context: dict[str, Any] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)
    _tasks: set[int] = field(default_factory=set)
    _open: tuple[int, int] = (0, 0)

    @property
    def marks(self) -> Marks:
        folder = f"drafts/{self.draft.release_id}/progress/{self.draft.attempt}"
        return Marks(self.draft.store, folder, self.stage, self.done_by)

    def skip(self, counters: Mapping[str, int]) -> None:
        """A part that an earlier attempt has finished."""
        self.before += _sum(counters, self.done_by)
        self.rejected += counters.get("rejected", 0)

    @contextmanager
    def watching(self, **context: Any) -> Iterator[Marks]:
        """While a job of the stage runs; ``context`` goes into the lines, such as its segment."""
        self.context, self._tasks, self._open = context, set(), (0, 0)
        over = threading.Event()
        run = contextvars.copy_context().run  # what the lines of this run carry, there too
        thread = threading.Thread(target=run, args=(self._tell, over), daemon=True)
        thread.start()
        try:
            yield self.marks
        finally:
            over.set()
            thread.join()
            self._look()

    def finish(self, counters: Mapping[str, int]) -> None:
        """The job is done, and this is what it did, whatever its tasks left word of."""
        self.done += _sum(counters, self.done_by)
        self.rejected += counters.get("rejected", 0)
        self._open = (0, 0)

    def state(self, now: float) -> dict[str, Any]:
        """Done, rate, time left and rejects; a rate needs something done."""
        done, rejected = self.done + self._open[0], self.rejected + self._open[1]
        rate = done / (now - self.begun) if now > self.begun else 0.0
        found: dict[str, Any] = {"done": self.before + done, "of": self.total, "unit": self.unit}
        found["rejected"] = rejected
        if rate:
            found["per_second"] = round(rate, 1)
            found["seconds_left"] = round(max(0, self.total - self.before - done) / rate)
        return found

    def _look(self) -> None:
        with suppress(ArtrecError, OSError):
            for task, done, rejected in self.marks.collect():
                if task not in self._tasks:
                    self._tasks.add(task)
                    self._open = (self._open[0] + done, self._open[1] + rejected)

    def _tell(self, over: threading.Event) -> None:
        if log.is_for_people() and sys.stderr.isatty():
            self._draw(over)
            return
        logger = log.get(stage=self.stage, **self.context)
        while not over.wait(self.every):
            self._look()
            logger.info("progress", **self.state(time.monotonic()))

    def _draw(self, over: threading.Event) -> None:
        # Here, as workers import this module too.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[rejects]}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            label = f"{self.stage} {self.context.get('segment', '')}".rstrip()
            task = bar.add_task(label, total=self.total, unit=self.unit, rate="", rejects="")
            while True:
                found = self.state(time.monotonic())
                bar.update(
                    task,
                    completed=found["done"],
                    rate=f"{found['per_second']:,}/s" if "per_second" in found else "",
                    rejects=f"{found['rejected']:,} rejected" if found["rejected"] else "",
                )
                if over.wait(BAR_SECONDS):
                    return
                self._look()
