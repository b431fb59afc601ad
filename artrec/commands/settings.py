"""artrec config: the resolved settings, and the reference of all keys."""

from __future__ import annotations

from artrec.commands.options import Config, Json, Set
from artrec.commands.show import as_json, grid
from artrec.config import documented, flat, load, ranges

__all__ = ["reference", "show"]


def show(config: Config = None, set_: Set = None, json: Json = False) -> None:
    """Each setting, resolved, with its origin."""
    settings, origins = load(config, set_ or ())
    values = flat(settings.model_dump(mode="json"))
    rows = [(key, values[key], origin) for key, origin in origins.items()]
    if json:
        as_json([{"key": k, "value": v, "origin": o} for k, v, o in rows])
    else:
        grid(["key", "value", "origin"], rows)


def reference() -> str:
    """``conf/README.md``: every key, its type, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Made by `python -m artrec.commands.settings`; do not edit by hand.",
        "",
        "Defaults < the file of `--config` < environment (`ARTREC_NEIGHBORS__K=20`) < `--set",
        "neighbors.k=20`. An unknown key or a wrong type stops the job with exit code 3.",
        "`artrec config show` prints each resolved value with its origin.",
        "",
        "`--config` is a path, or the URL of an object in a store (`s3://bucket/run.yaml`).",
        "",
        "- `local.yaml`, `cluster.yaml`: settings for one machine, for several.",
        "- `rules.yaml`: neighbor tables under rules, an example to copy from.",
        "- `spark-local.conf`, `spark-standalone.conf`, `spark-yarn.conf`, `spark-k8s.conf`:",
        "  settings of Spark itself, each with its reason; the last is written, not run.",
    ]
    limits = ranges()
    for section, keys in documented().items():
        lines += [
            "",
            f"## {section}",
            "",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
        ]
        for key, kind, default, text in keys:
            kind = f"{kind}, {limits[key]}" if key in limits else kind
            lines.append(f"| `{key}` | {kind} | `{_shown(default)}` | {text} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return "[" + ", ".join(map(str, default)) + "]"
    return str(default) if default != "" else '""'


if __name__ == "__main__":
    print(reference(), end="")
