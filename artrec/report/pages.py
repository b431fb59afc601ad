"""From facts to files: pages that need nothing but the small pictures beside them.

Style and script stand in the page itself, under a content security policy that names their hashes:
nothing else can run or be loaded, from a disk as from a server.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from artrec.report import charts, drawing, plane
from artrec.report.facts import Facts, Stage
from artrec.report.morning import Beside
from artrec.report.parts import Image

__all__ = ["PAGE", "assets", "environment", "render"]

PAGE = "index.html"

_OTHERS = {"new.html": "New tonight", "changed.html": "Lists that changed"}
"""The pages beside the first one, in the morning after a night."""

_LISTS = ("orphans", "twins", "mutual", "near_groups", "near_largest", "near_images")
"""Measures of the lists themselves, shown with hubs and near duplicates."""
_REASONS = {
    "no_label": "no label to be within",
    "few_candidates": "fewer candidates than places",
    "few_left": "too few left of copies and counted values",
    "unexplained": "entries missing without a reason",
}
"""Of short lists, in words."""
_OTHER = {"moved": "was", "doubled": "the same as"}
_RATED = {"ingest": "read", "embed": "encoded"}
_HIDDEN = {"task_milliseconds", "worker_peak_bytes"}


def render(facts: Facts) -> dict[str, bytes]:
    """File names and their bytes: the pages, and ``data.json``, from which they can be made again.

    The pictures that they name, ``thumbs/*.jpg``, are made by ``thumbnail``.
    """
    style, script, policy = assets()
    mapped, recalls = plane.map_data(facts), charts.recalls(facts)
    every = charts.charts(facts)
    worn = {"style": Markup(style), "script": Markup(script), "policy": policy}
    page = environment().get_template("page.html")
    html = page.render(
        facts=facts,
        sections=_sections(facts),
        charts=every,
        recalls=recalls,
        recall_intervals=any(charts.has_interval(each.row) for each in recalls),
        top=charts.best_row(facts, "style"),
        has_intervals=any(
            charts.has_interval(line.own)
            for chart in every
            for panel in chart.panels
            for line in panel.lines
        ),
        lists={each.measure: each.value for each in facts.measures if each.measure in _LISTS},
        map=Markup(drawing.script_json(mapped)),
        styles=mapped["styles"],
        colours=mapped["by"],
        views=[view["title"] for view in mapped["views"]],
        distances=drawing.distances(facts.measures),
        plots=drawing.plots(facts.training.curves) if facts.training else (),
        seconds=sum(stage.seconds for stage in facts.stages),
        longest=max((stage.seconds for stage in facts.stages), default=0.0),
        others=_OTHERS if facts.morning else {},
        **_costs(facts),
        **worn,
    )
    more = {
        name: environment().get_template(name).render(facts=facts, **worn).encode()
        for name in (_OTHERS if facts.morning else ())
    }
    return {PAGE: html.encode(), **more, "data.json": facts.to_bytes()}


def _costs(facts: Facts) -> dict[str, Any]:
    """Charts of what the last nights took, and whether any of it has a price."""
    nights = facts.morning.nights if facts.morning else ()
    drawn = (
        drawing.columns("time", "seconds", nights, "seconds"),
        drawing.columns("written", "bytes", nights, "written"),
        drawing.columns("money", "money", nights, "money"),
    )
    return {
        "columns": [each for each in drawn if each is not None],
        "nights_cost": any(night.expected_money is not None for night in nights),
    }


def _sections(facts: Facts) -> dict[str, str]:
    """Anchor -> title of each section that has something to show."""
    morning, since = facts.morning, facts.morning and facts.morning.since
    tonight = {
        "morning": ("This night", morning),
        **({"churn": ("Changes", facts.churn)} if since else {}),
        "beside": ("Drift", morning and morning.beside),
        "nights": ("Cost", morning and any(n.seconds is not None for n in morning.nights)),
    }
    every = {
        **(tonight if since else {}),
        "lists": ("Neighbors", facts.queries),
        "ruled": ("Tables under rules", facts.ruled),
        "quality": ("Quality", facts.measures),
        "recall": ("Recall", charts.recalls(facts)),
        "map": ("Map", facts.points),
        "clusters": ("Clusters", facts.clusters and facts.clusters.clusters),
        "encoder": ("Encoder", facts.training),
        **({} if since else tonight),
        "gates": ("Gates", facts.gates),
        "rejects": ("Rejects", facts.rejected),
        "hubs": ("Hubs", facts.hubs),
        "duplicates": ("Duplicates", facts.duplicates),
        "near": ("Near duplicates", facts.near),
        "distances": ("Distances", drawing.distances(facts.measures)),
        **({} if since else {"churn": ("Changes", facts.churn)}),
        "stages": ("Stages", facts.stages),
        "settings": ("Settings", facts.settings or facts.versions),
    }
    return {anchor: title for anchor, (title, found) in every.items() if found}


def assets() -> tuple[str, str, str]:
    """Style, script, and the policy that lets a page have these and nothing else."""
    style, script = _asset("report.css"), _asset("report.js")
    return style, script, _policy(style, script)


@cache
def _asset(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@cache
def environment() -> Environment:
    """The templates of all pages, with what they need to show numbers and names."""
    made = Environment(
        loader=PackageLoader("artrec.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": _number,
        "share": _share,
        "seconds": _seconds,
        "memory": _memory,
        "bytes": _bytes,
        "took": lambda value: _seconds(value) if value < 100 else f"{value:,.0f}\u202fs",
        "change": _change,
        "other": lambda kind: _OTHER.get(kind, "with"),
        "day": _day,
        "words": lambda text: text.replace("_", " "),
        "reason": lambda text: _REASONS.get(text, text.replace("_", " ")),
        "caption": _caption,
        "value": _value,
        "variant": lambda row: charts.VARIANTS.get(row.variant, row.variant.replace("_", " ")),
    }
    made.globals |= {
        "counts_of": _counts,
        "rate_of": _rate,
        "title_of": charts.title_of,
        "has_interval": charts.has_interval,
        "scale": drawing.Scale(),
        "recall_scale": drawing.recall_scale,
    }
    return made


def _number(value: int) -> str:
    return f"{value:,}"


def _share(value: float | None, digits: int = 1, sign: str = "\u202f%") -> str:
    """A share in percent."""
    return "–" if value is None else f"{100 * value:.{digits}f}{sign}"


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _seconds(value: float) -> str:
    if value < 100:
        return f"{value:.1f}\u202fs"
    minutes = round(value / 60)
    return f"{minutes}\u202fmin" if minutes < 100 else f"{value / 3600:.1f}\u202fh"


def _memory(value: int) -> str:
    return f"{value / 2**20:,.0f}\u202fMB"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:,.1f}\u202f{unit}"
    return f"{value:,.0f}\u202fB"


def _change(each: Beside) -> str:
    """How much a figure moved, with its sign; of shares in points."""
    if each.now is None or each.before is None:
        return "–"
    moved = each.now - each.before
    shown = f"{100 * moved:+.2f}\u202fpoints" if each.share else f"{moved:+.4g}"
    return "same" if float(shown.split("\u202f")[0]) == 0 else shown


def _day(value: datetime) -> str:
    return f"{value.day} {value:%B %Y, %H:%M} UTC"


def _caption(image: Image) -> str:
    """What an image is called, for people who do not see it."""
    name = image.title or image.image_id
    return f"{name}, {image.artist}" if image.artist else name


def _rate(stage: Stage) -> float | None:
    done = stage.counters.get(_RATED.get(stage.name, ""), 0)
    return done / stage.seconds if done and stage.seconds else None


def _counts(stage: Stage) -> dict[str, Any]:
    return {name: count for name, count in stage.counters.items() if name not in _HIDDEN}
