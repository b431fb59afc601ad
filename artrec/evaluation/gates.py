"""The gates: each says whether what was measured is good enough, with found and expected.

Pure functions of what was measured and the limits of the settings: a limit can be changed, and a
release judged anew, without measuring anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from artrec.config import GATES, USUAL_GATES, GatesSettings
from artrec.evaluation.measured import Measured
from artrec.evaluation.memory import shift, usual
from artrec.releases import GateResult

__all__ = ["judge", "judge_sources"]


_FAULTS = {"non_finite": "not finite", "zero": "zero", "flat": "of one number"}


def judge(measured: Measured, limits: GatesSettings) -> list[GateResult]:
    """All gates that apply, in the order of ``config.GATES``, with overrides where they refuse."""
    found = [result for gate in GATES if (result := _GATES[gate](measured, limits)) is not None]
    return [_overridden(result, limits) for result in found]


def _overridden(result: GateResult, limits: GatesSettings) -> GateResult:
    if result.passed:
        return result
    return result.model_copy(update={"overridden": limits.override.get(result.gate)})


def judge_sources(
    now: Mapping[str, int], before: Mapping[str, int], limits: GatesSettings
) -> GateResult | None:
    """Whether each source has most of the members that it had; before anything is read.

    A source that is no longer in the settings has none. None on a first night.
    """
    if not before:
        return None
    most = limits.source_shrinkage
    least = {
        name: max(1, count - int(most * count + 1e-9)) for name, count in before.items() if count
    }
    over = {name for name, count in least.items() if now.get(name, 0) < count}
    shown = sorted(over or least)
    result = GateResult(
        gate="sources",
        passed=not over,
        found=", ".join(f"{now.get(name, 0)} members in {name}" for name in shown),
        expected=", ".join(
            f"at least {least[name]} in {name}, which had {before[name]}" for name in shown
        )
        + " (gates.source_shrinkage)",
    )
    return _overridden(result, limits)


def _sources(measured: Measured, limits: GatesSettings) -> GateResult | None:
    return judge_sources(measured.sources, measured.sources_before, limits)


def _balance(measured: Measured, limits: GatesSettings) -> GateResult:
    counts = {name: measured.counts[name] for name in ("lost", "invented", "double")}
    return GateResult(
        gate="balance",
        passed=not any(counts.values()),
        found=", ".join(f"{value} {name}" for name, value in counts.items()),
        expected="every member in exactly one of catalog and rejects",
    )


def _identity(measured: Measured, limits: GatesSettings) -> GateResult:
    double = measured.counts["double_ids"]
    return GateResult(
        gate="identity",
        passed=double == 0,
        found=f"{double} image ids more than once",
        expected="each image id once",
    )


def _lists(measured: Measured, limits: GatesSettings) -> GateResult:
    """One list for each image in every table; under a rule each is full, or says why not."""
    lists, stored = measured.counts["lists"], measured.counts["stored"]
    found, expected = f"{lists} neighbor lists", f"{stored}, one for each image"
    bad = {
        name: f"{each['lists']} in neighbors_{name}, {each['unexplained']} entries unexplained"
        for name, each in measured.ruled.items()
        if each["lists"] != stored or each["unexplained"]
    }
    if measured.ruled:
        found = "; ".join([found, *bad.values()])
        expected += f", in {len(measured.ruled)} tables under rules too, full or with a reason"
    passed = lists == stored and not bad
    return GateResult(gate="lists", passed=passed, found=found, expected=expected)


def _images(measured: Measured, limits: GatesSettings) -> GateResult:
    stored = measured.counts["stored"]
    return GateResult(
        gate="images", passed=stored > 0, found=f"{stored} images", expected="at least one"
    )


def _shards(measured: Measured, limits: GatesSettings) -> GateResult | None:
    """Every live vector in a shard, and every file of the shards in its place."""
    counts = measured.counts
    if "indexed" not in counts:
        return None
    indexed, missing = counts["indexed"], counts["shard_files_missing"]
    return GateResult(
        gate="shards",
        passed=indexed == counts["vectors"] and not missing,
        found=f"{indexed} vectors indexed, {missing} files of shards missing",
        expected=f"{counts['vectors']}, and every file of the shards",
    )


def _vectors(measured: Measured, limits: GatesSettings) -> GateResult:
    """None with NaN, zero, or of one number; and not all of them equal, if there are several."""
    counts = measured.counts
    bad = {name: counts[name] for name in _FAULTS}
    equal = counts["vectors"] > 1 and counts["distinct_vectors"] == 1
    found = ", ".join(f"{value} {_FAULTS[name]}" for name, value in bad.items())
    if equal:
        found += f", all {counts['vectors']} vectors equal"
    return GateResult(
        gate="vectors",
        passed=not any(bad.values()) and not equal,
        found=found,
        expected="all finite, none zero or of one number all through, and not all equal",
    )


def _reject_rate(measured: Measured, limits: GatesSettings) -> GateResult:
    rejected, listed = measured.counts["rejected"], measured.counts["listed"]
    return GateResult(
        gate="reject_rate",
        passed=rejected <= limits.reject_rate * listed,
        found=_share(rejected, listed),
        expected=f"at most {limits.reject_rate:g} (gates.reject_rate)",
    )


def _reject_rates(measured: Measured, limits: GatesSettings) -> GateResult | None:
    """Of the reasons that have a limit of their own."""
    if not limits.reject_rates:
        return None
    listed = measured.counts["listed"]
    rejected = {r: measured.counts.get(f"rejected_{r}", 0) for r in limits.reject_rates}
    over = {r for r, limit in limits.reject_rates.items() if rejected[r] > limit * listed}
    shown = sorted(over or rejected)
    return GateResult(
        gate="reject_rates",
        passed=not over,
        found=", ".join(f"{r} {_share(rejected[r], listed)}" for r in shown),
        expected=", ".join(f"{r} at most {limits.reject_rates[r]:g}" for r in shown)
        + " (gates.reject_rates)",
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole if whole else 0:.4f} ({part} of {whole})"


def _index_recall(measured: Measured, limits: GatesSettings) -> GateResult | None:
    if not measured.index_recall:
        return None
    k, least = min(measured.index_recall.items(), key=lambda item: (item[1], item[0]))
    return GateResult(
        gate="index_recall",
        passed=least >= limits.index_recall,
        found=f"recall@{k} not below {least:.4f}",
        expected=f"at least {limits.index_recall:g} at every cut (gates.index_recall)",
    )


def _table_recall(measured: Measured, limits: GatesSettings) -> GateResult | None:
    """All of a table that is said to be exact; of an approximate one what it was made for."""
    if measured.table_recall is None:
        return None
    if not measured.exact:
        return _approximate_recall(measured.table_recall, measured.planned_recall, limits)
    return GateResult(
        gate="table_recall",
        passed=measured.table_recall == 1.0,
        found=f"{measured.table_recall:.6f} of the entries as they should be",
        expected="all: the table is exact",
    )


def _approximate_recall(
    low: float, planned: float | None, limits: GatesSettings
) -> GateResult | None:
    least = limits.table_recall or planned
    if least is None:
        return None
    name = "gates.table_recall" if limits.table_recall else "neighbors.recall"
    return GateResult(
        gate="table_recall",
        passed=low >= least,
        found=f"recall not below {low:.4f}",
        expected=f"at least {least:g} ({name}): the table is approximate",
    )


def _shrinkage(measured: Measured, limits: GatesSettings) -> GateResult | None:
    before, stored = measured.stored_before, measured.counts["stored"]
    if not before:
        return None
    return GateResult(
        gate="shrinkage",
        passed=before - stored <= limits.shrinkage * before,
        found=f"{stored} images",
        expected=f"at most {limits.shrinkage:g} fewer than the last release's {before} "
        "(gates.shrinkage)",
    )


def _drift(measured: Measured, limits: GatesSettings) -> GateResult | None:
    """How far the mean vector moved since the last release.

    A catalog of other pictures, or an encoder that computes otherwise on another machine, moves it
    by a good part of the spread.
    """
    moved = shift(measured.cloud, measured.cloud_before)
    if moved is None:
        return None
    return GateResult(
        gate="drift",
        passed=moved.value <= limits.drift + moved.noise,
        found=f"mean vector moved by {moved.value:.3f} of the spread",
        expected=f"at most {limits.drift:g} + {moved.noise:.3f} (gates.drift + sampling)",
    )


_GATES: Mapping[str, Callable[[Measured, GatesSettings], Any]] = {
    "sources": _sources,
    "balance": _balance,
    "identity": _identity,
    "lists": _lists,
    "images": _images,
    "shards": _shards,
    "vectors": _vectors,
    "reject_rate": _reject_rate,
    "reject_rates": _reject_rates,
    "index_recall": _index_recall,
    "table_recall": _table_recall,
    "shrinkage": _shrinkage,
    "drift": _drift,
    **{gate: partial(usual, gate) for gate in USUAL_GATES},
}
