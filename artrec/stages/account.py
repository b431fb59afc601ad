"""The short account at the end of a run: for people on stdout, or as JSON."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from artrec.config import Settings
from artrec.releases import (
    Draft,
    StageRuns,
    artifacts_of,
    read_release,
    receipts_of,
    table_receipts,
)
from artrec.stages import NAMES, ORDER
from artrec.stages.shortage import shortages
from artrec.tables import read_table

__all__ = ["show"]

RATED = {"ingest": "read", "embed": "encoded"}  # the counter that makes images/s


def show(
    name: str,
    settings: Settings,
    draft: Draft,
    result: StageRuns,
    start_seconds: float,
    as_json: bool,
) -> str:
    """Print the account of a stage or a night; returns the outcome's message."""
    facts = _facts(name, draft, result, start_seconds)
    if as_json:
        print(json.dumps(facts, default=str))  # one line: spark-submit mixes the log in before it
    else:
        _print(name, settings, draft, facts)
    return str(facts["status"])


def _facts(name: str, draft: Draft, result: StageRuns, start_seconds: float) -> dict[str, Any]:
    night = [each for each in ORDER if each in NAMES or draft.stage(each) is not None]
    stages = night if name == "nightly" else [name]
    found = {stage: result if stage == result.stage else draft.stage(stage) for stage in stages}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **_ending(name, draft, result),
        "root": draft.store.url,
        "spark_start_seconds": round(start_seconds, 2),
        "driver_peak_bytes": peak * (1 if sys.platform == "darwin" else 1024),
        "overridden": _overridden(draft),
        **_changes(draft, result),
        "stages": {
            stage: _stage_facts(draft, runs) for stage, runs in found.items() if runs is not None
        },
    }


def _changes(draft: Draft, result: StageRuns) -> dict[str, Any]:
    """What became of images and entries since the last release, of a night that has one."""
    told = result.notes.get("changes")
    return {"changes": told} if told else {}


def _ending(name: str, draft: Draft, result: StageRuns) -> dict[str, Any]:
    """Status, and the release that it is about; an inventory without a draft found nothing new."""
    if name == "inventory" and not draft.is_begun:
        return {"status": "unchanged", "release": draft.base.release_id}
    notes = result.notes
    return {
        "status": notes.get("status", "done"),
        "release": notes.get("release", draft.release_id),
    }


def _overridden(draft: Draft) -> dict[str, str]:
    """Gates that would have refused the release, and why they did not."""
    evaluate = draft.stage("evaluate")
    gates = evaluate.notes.get("gates", []) if evaluate else []
    return {gate["gate"]: gate["overridden"] for gate in gates if gate["overridden"] is not None}


def _gates(facts: dict[str, Any]) -> str:
    overridden = facts["overridden"]
    return f"gates passed but for {', '.join(overridden)}" if overridden else "gates passed"


def _stage_facts(draft: Draft, runs: StageRuns) -> dict[str, Any]:
    """What a stage did; of one that had nothing to do, the release whose tables it kept."""
    base = draft.base.release
    if base is not None and base.stages.get(runs.stage) == runs:
        return {"seconds": 0.0, "kept_from": base.release_id}
    facts = {"seconds": round(runs.seconds, 2), **_expected(draft, runs.stage)}
    facts |= {**_rate(runs), **runs.counters}
    if runs.stage == "neighbors":
        facts |= _short_lists(runs)
    if "found_from" in runs.notes:
        facts["found_from"] = runs.notes["found_from"]
    return facts | ({"notes": runs.notes} if runs.stage == "train" else {})


def _short_lists(runs: StageRuns) -> dict[str, Any]:
    """How many lists of each table have fewer entries than asked for."""
    found = {each.table: each.short for each in shortages(runs)}
    return {"short_lists": found} if found else {}


def _expected(draft: Draft, stage: str) -> dict[str, float]:
    planned = draft.planned()
    found = planned.expected.get(stage) if planned else None
    return {"expected_seconds": round(found.seconds, 2)} if found else {}


def _rate(runs: StageRuns) -> dict[str, float]:
    done = runs.counters.get(RATED.get(runs.stage, ""), 0)
    return {"images_per_second": round(done / runs.seconds, 1)} if done and runs.seconds else {}


def _print(name: str, settings: Settings, draft: Draft, facts: dict[str, Any]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console = Console(soft_wrap=True, highlight=False, width=10_000)
    if facts["status"] == "unchanged":
        console.print(
            f"Nothing has changed since release {facts['release']}: nothing was published "
            f"(Spark started in {facts['spark_start_seconds']:.1f} s).",
            markup=False,
        )
        return
    console.print(_stage_grid(facts))
    why = facts["stages"].get("train", {}).get("notes", {}).get("why")
    if why:  # a sentence too long for a row of the table
        said = "The better encoder is" if name == "train" else "The encoder taken is"
        console.print(f"\n{said} {why}.", markup=False)
    if name == "train":
        console.print(_how_to_use(settings, draft, facts["stages"][name]["notes"]), markup=False)
        return
    if facts["status"] != "published":
        console.print(f"{name} is done in draft {facts['release']}.", markup=False)
        return
    _print_release(console, draft, facts)


def _stage_grid(facts: dict[str, Any]) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("stage", "seconds", "expected", "images/s", "counts"):
        grid.add_column(title, justify="left" if title in ("stage", "counts") else "right")
    hidden = {
        "seconds",
        "expected_seconds",
        "images_per_second",
        "task_milliseconds",
        "worker_peak_bytes",
    }
    hidden |= {"kept_from", "found_from", "short_lists", "notes"}
    for stage, runs in facts["stages"].items():
        counts = ", ".join(f"{value:,} {key}" for key, value in runs.items() if key not in hidden)
        if stage == "publish":
            counts = _gates(facts)
        elif "kept_from" in runs:
            counts = f"nothing to do: as in release {runs['kept_from']}"
        elif "found_from" in runs:
            counts = f"nothing to measure: as in release {runs['found_from']}; judged anew"
        elif stage == "train":
            counts = _training(runs)
        if "short_lists" in runs:
            short = (f"{count:,} of {table}" for table, count in runs["short_lists"].items())
            counts += f"; lists below k: {', '.join(short)}"
        rate = runs.get("images_per_second")
        expected = f"{runs['expected_seconds']:.1f}" if "expected_seconds" in runs else ""
        rated = f"{rate:,.0f}" if rate else ""
        grid.add_row(stage, f"{runs['seconds']:.1f}", expected, rated, counts)
    return grid


def _training(runs: dict[str, Any]) -> str:
    """What a training came to, in a few words."""
    notes = runs["notes"]
    if not notes["trained"]:
        return "none was trained"
    if "best_loss" not in notes:
        return "fitted"
    return f"{runs['epochs']} epochs, best loss {notes['best_loss']:.5f}"


def _how_to_use(settings: Settings, draft: Draft, notes: dict[str, Any]) -> str:
    """After a training: where its encoder is, and what becomes of it."""
    trained = notes["trained"]
    if not trained:
        root = shlex.quote(draft.store.url)
        return f"To train: artrec train-encoder {notes['examples']} --root {root}, same settings"
    use = f"Encoder {trained} is in {draft.store.url}. To use it: --set encoder.id={trained}"
    if draft.head is not None and not settings.encoder.id and draft.base.release is None:
        return f"{use}\nDraft {draft.release_id} will use {notes['encoder_id']}."
    return use


def _print_release(console: Console, draft: Draft, facts: dict[str, Any]) -> None:
    counts = facts["stages"]["publish"]
    reasons = ", ".join(
        f"{value} {key.removeprefix('rejected_')}"
        for key, value in counts.items()
        if key.startswith("rejected_")
    )
    peaks = [runs.get("worker_peak_bytes", 0) for runs in facts["stages"].values()]
    root, release = shlex.quote(facts["root"]), facts["release"]
    image = shlex.quote(_an_image(draft, release))
    lines = [
        "",
        *_since(facts),
        f"listed {counts['listed']:,} = stored {counts['stored']:,} + rejected "
        f"{counts['rejected']:,}" + (f" ({reasons})" if reasons else ""),
        f"peak memory: driver {facts['driver_peak_bytes'] >> 20} MB beside its JVM, "
        f"largest worker {max(peaks) >> 20} MB; Spark started in {facts['spark_start_seconds']} s",
        f"release {release} is current in {facts['root']}",
        "",
        "Look at it:",
        f"  {_program('artrec')} lookup {image} -k 10 --root {root}",
        f"  {_program('python')} -c {shlex.quote(_look(draft, release))}",
        *_page(draft, release),
    ]
    console.print("\n".join(lines), markup=False)


def _since(facts: dict[str, Any]) -> list[str]:
    found = facts.get("changes")
    if not found:
        return []
    words = [f"{count:,} {kind}" for kind, count in found["images"].items() if count]
    entries = [f"{count:,} {change}" for change, count in found["entries"].items() if count]
    lists = f"; entries of lists: {', '.join(entries)}" if entries else ""
    return [f"since {found['from']}: {', '.join(words)}{lists}"]


def _look(draft: Draft, release: str) -> str:
    """Python that shows ten neighbors without artrec; DuckDB needs an extension to read from S3.

    Names are shown by their ends: what many of them begin with would be all that fits. Text in $$
    needs no quotes, which a shell would make unreadable.
    """
    if "://" in draft.store.url:
        files = table_receipts(draft.store, read_release(draft.store, release), "neighbors")
        first = json.dumps(draft.store.path_url(files[0].path))
        return (
            f"import pyarrow.parquet as pq; t = pq.read_table({first}).slice(0, 10).to_pandas(); "
            'ids = ["query_id", "neighbor_id"]; '
            't[ids] = t[ids].apply(lambda c: c.str.split("/").str[-1]); '
            "print(t.to_string(index=False))"
        )
    views = draft.store.path_url(f"releases/{release}.sql")
    return (
        f"import duckdb; c = duckdb.connect(); c.execute(open({json.dumps(views)}).read()); "
        'c.sql("SELECT split_part(query_id, $$/$$, -1) AS image, rank, '
        "split_part(neighbor_id, $$/$$, -1) AS neighbor, round(distance, 4) AS distance "
        'FROM neighbors LIMIT 10").show(max_width=200)'
    )


def _page(draft: Draft, release: str) -> list[str]:
    """How to see the report: where it lies on this machine, else by having it written there."""
    runs = draft.stage("report")
    found = artifacts_of(draft.store, runs.tables["report"], "report") if runs else []
    pages = [draft.store.path_url(a.path) for a in found if a.path.endswith("/index.html")]
    if pages and "://" in draft.store.url:
        root, name = shlex.quote(draft.store.url), shlex.quote(release)
        return [f"  {_program('artrec')} report {name} --root {root} --to report"]
    return [f"  the report, for a browser: {page}" for page in pages if Path(page).is_file()]


def _program(name: str) -> str:
    """A program of this environment, as it can be called from here."""
    own = Path(sys.executable).parent / name
    found = shutil.which(name)
    if found and Path(found).samefile(own):
        return name
    near = own.is_relative_to(Path.cwd())
    return shlex.quote(os.path.relpath(own) if near else str(own))


def _an_image(draft: Draft, release_id: str) -> str:
    release = read_release(draft.store, release_id)
    receipts = receipts_of(draft.store, release.refs("catalog")[:1], "catalog")
    names = next(read_table(draft.store, receipts[:1], ["image_id"])).column(0).to_pylist()
    middle = names[len(names) // 2 :] + names[: len(names) // 2]
    # A name with control characters could steer the terminal, and would not survive copying.
    return next((name for name in middle if name.isprintable()), "IMAGE_ID")
