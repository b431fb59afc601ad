"""artrec outcome: how a job ended, for orchestrators, which in cluster mode see no exit code."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from artrec.commands.options import Json, Root
from artrec.commands.show import as_json, grid
from artrec.commands.stores import store_of
from artrec.errors import UsageError
from artrec.releases import Outcome, find_outcome
from artrec.storage import Store

__all__ = ["RETRIED", "VERDICTS", "judged", "show"]

RETRIED = (1, 6, 8, 130, 137, 143)
"""Exit codes after which the same command may succeed; after the others somebody has to act.

137 is a kill, by the system or an orchestrator, that left no word.
"""

VERDICTS = {5: "refused", 6: "resumable", 8: "locked", 130: "resumable", 143: "resumable"}
"""Exit code -> what to branch on; other errors are ``failed``, for 0 the store tells more."""


def judged(outcome: Outcome) -> dict[str, Any]:
    """The outcome with ``verdict`` and ``retry``.

    A release counts as published wherever it is current, though a later job of its name, such as a
    task that was tried again, found nothing more to do.
    """
    code = outcome.exit_code
    if code:
        verdict = VERDICTS.get(code, "failed")
    else:
        verdict = "published" if outcome.current == outcome.release_id else outcome.status
    facts = outcome.model_dump(mode="json", exclude={"format"})
    return facts | {"verdict": verdict, "retry": code in RETRIED}


def show(
    release: Annotated[
        str | None, typer.Argument(help="The name that was to be made; else the latest.")
    ] = None,
    root: Root = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of a job that ended no earlier (UTC).")
    ] = None,
    json: Json = False,
    exit: Annotated[
        bool, typer.Option("--exit", help="End with the exit code of the job itself.")
    ] = False,
) -> None:
    """How a job ended, and whether the same command may go on; for orchestrators."""
    store = store_of(root)
    found = _found(store, release, _time(since) if since else None)
    facts = judged(found)
    if json:
        as_json(facts)
    else:
        grid(["outcome", ""], [(key, "" if v is None else v) for key, v in facts.items()])
    if exit:
        sys.stdout.flush()
        sys.exit(found.exit_code)


def _found(store: Store, release: str | None, since: datetime | None) -> Outcome:
    found = find_outcome(store, release, since)
    if found is None:
        which = f"release {release}" if release else "any release"
        when = f" since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
        raise UsageError(
            f"{store.url}: no outcome of {which}{when}: the job has not ended, or ended before it "
            "had a draft (by usage, settings, credentials, or because another job writes); its log "
            "says why"
        )
    return found


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text!r} is no time such as 2026-01-31T02:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
