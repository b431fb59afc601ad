"""Ask every executor, compare what they say, and tell it."""

from __future__ import annotations

import json
import pickle
import time
from dataclasses import dataclass, field
from typing import Any

from pyspark import cloudpickle
from pyspark.sql import SparkSession

from artrec import errors
from artrec.commands.show import grid, plain
from artrec.errors import ArtrecError, ConfigError
from artrec.stages.doctor import probe
from artrec.stages.ending import crossed, wrong_python
from artrec.stages.frames import parallelism
from artrec.storage import Store

__all__ = ["Findings", "find", "show"]

HOLD = 2.0  # seconds that a task keeps its slot, so that the others go elsewhere
WAIT = 120.0  # seconds for executors that are awaited

_REMEDY = (
    "set PYSPARK_PYTHON (or spark.pyspark.python) to a Python with artrec's packages that every "
    "machine has under that path; or bring one along by --archives environment.tar.gz#environment "
    "and PYSPARK_PYTHON=./environment/bin/python; see docker/README.md"
)


@dataclass
class Findings:
    """What the driver and the executors said; ``executors`` are named ``host/1``, ``host/2`` …"""

    root: str
    driver: dict[str, str]
    executors: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[ArtrecError] = field(default_factory=list)

    @property
    def differing(self) -> list[str]:
        """Facts that are not the same everywhere, or wrong everywhere.

        torch may be absent everywhere: the hand-made encoder needs none.
        """
        others = self.executors.values()
        return [
            name
            for name, value in self.driver.items()
            if any(other.get(name) != value for other in others) or _is_wrong(name, value)
        ]


def _is_wrong(name: str, value: str) -> bool:
    return (name, value) != ("torch", "absent") and value.startswith(
        ("absent", "broken", "killed", "ModuleNotFoundError", "ImportError")
    )


def find(
    spark: SparkSession, store: Store, scratch: str, token: bytes, awaited: int | None = None
) -> Findings:
    """Ask the driver and every executor; ``try_store`` of the driver has been before.

    A Python that executors cannot answer with is a problem too, told beside the driver's facts.
    """
    awaited = awaited or _asked_for(spark)
    try:
        reports = _reports(spark, store, scratch, token, awaited)
    except Exception as error:
        wrong = wrong_python(error, str(error))
        if wrong is None:
            raise
        return Findings(store.url, probe.facts(), problems=[ConfigError(f"{wrong}; {_REMEDY}")])
    return _judged(store, reports, awaited or 1)


def _reports(
    spark: SparkSession, store: Store, scratch: str, token: bytes, awaited: int | None
) -> list[dict[str, Any]]:
    """Rounds go on until ``awaited`` executors have answered, or none that is new."""
    by_value: Any = cloudpickle.register_pickle_by_value
    by_value(probe)
    body = probe.visits(pickle.dumps(store), scratch, token, HOLD)
    reports: dict[tuple[str, int], dict[str, Any]] = {}
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        before = len(reports)
        for report in _round(spark, body, awaited or 1):
            known = reports.setdefault((report["host"], report["parent"]), report)
            known["store"] = known["store"] or report["store"]
        if len(reports) >= awaited if awaited else len(reports) == before:
            break
    return [reports[key] for key in sorted(reports)]


def _asked_for(spark: SparkSession) -> int | None:
    """How many executors Spark was asked for, where that is a fixed number."""
    if str(spark.conf.get("spark.master", "")).startswith("local["):
        return 1
    if spark.conf.get("spark.dynamicAllocation.enabled", "false") == "true":
        return None
    instances = spark.conf.get("spark.executor.instances", "")
    return int(instances) if instances else None


def _round(spark: SparkSession, body: Any, least: int) -> list[dict[str, Any]]:
    slots = max(least, parallelism.__wrapped__(spark))  # anew: executors may have joined
    rows = spark.range(0, slots, 1, slots).mapInArrow(body, "report string").collect()
    return [json.loads(row.report) for row in rows]


def _judged(store: Store, reports: list[dict[str, Any]], awaited: int) -> Findings:
    findings = Findings(store.url, probe.facts())
    for report in reports:
        place = f"{report['host']}/{report['parent']}"
        findings.executors[place] = report["facts"]
        if report["store"]:
            findings.problems.append(_problem(place, *report["store"]))
    if findings.differing:
        findings.problems.insert(0, ConfigError(_disagreement(findings)))
    if len(reports) < awaited:
        findings.problems.append(
            ConfigError(
                f"{len(reports)} of {awaited} executors answered within {WAIT:g} s: see in the "
                "cluster manager's page why the others did not start (cores, memory, queue)"
            )
        )
    return findings


def _problem(place: str, kind: str, message: str) -> ArtrecError:
    """What an executor met in the store, with the exit code that a job would end with."""
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, ArtrecError):
        return crossed(known, f"executor {place}: {message}")
    return ArtrecError(f"executor {place}: the store could not be used: {kind}: {message}")


def _disagreement(findings: Findings) -> str:
    return (
        f"driver and executors do not agree on {', '.join(findings.differing)}: give all of them "
        "one environment (spark.archives and spark.pyspark.python, or one image); see "
        "docker/README.md"
    )


def show(findings: Findings, as_json: bool) -> None:
    """Print who answered, what differs, and the verdict."""
    if as_json:
        shown = {
            "root": findings.root,
            "driver": findings.driver,
            "executors": findings.executors,
            "differing": findings.differing,
            "problems": [
                {"exit_code": each.exit_code, "message": str(each)} for each in findings.problems
            ],
        }
        print(json.dumps(shown))  # one line: spark-submit mixes the log in before it
        return
    groups = _alike(findings)
    if findings.differing:
        rows = [[name, *(facts[name] for facts, _ in groups)] for name in findings.differing]
        grid(["", *(who for _, who in groups)], rows)
    else:
        who = "" if findings.executors else "driver: "
        print(who + ", ".join(f"{name} {value}" for name, value in findings.driver.items()))
    for problem in findings.problems[1:]:
        print(plain(f"also: {problem}"))
    if not findings.problems:
        print(
            f"All well: driver and {_counted(list(findings.executors))} agree, and each can "
            f"write, swap and read in {findings.root}"
        )


def _alike(findings: Findings) -> list[tuple[dict[str, str], str]]:
    """Those who say the same, together: (facts, who)."""
    groups: list[tuple[dict[str, str], list[str]]] = []
    for place, said in findings.executors.items():
        same = next((who for facts, who in groups if facts == said), None)
        if same is None:
            groups.append((said, [place]))
        else:
            same.append(place)
    return [
        (findings.driver, "driver"),
        *((facts, who[0] if len(who) == 1 else _counted(who)) for facts, who in groups),
    ]


def _counted(places: list[str]) -> str:
    hosts = {place.rpartition("/")[0] for place in places}
    word = "executor" if len(places) == 1 else "executors"
    return f"{len(places)} {word} on {', '.join(sorted(hosts)[:3])}" + (
        f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    )
