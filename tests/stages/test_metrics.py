"""The text file for Prometheus, read by its own rules: a line is a name, labels, a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from artrec.stages import metrics
from artrec.stages.session import Options, execute
from tests.nights import Night, opened, settings_of

LINE = re.compile(r'(artrec_\w+)(?:\{stage="(\w+)"\})? (\S+)')


def values(path: Path) -> dict[tuple[str, str], float]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    found = [LINE.fullmatch(line) for line in lines]
    return {(m[1], m[2] or ""): float(m[3]) for m in found if m is not None}


def run(*assignments: str) -> int:
    return execute("inventory", Options(assignments=assignments, verbosity="quiet"))


def test_a_night_leaves_its_figures(release: Night, tmp_path: Path) -> None:
    path = tmp_path / "artrec.prom"
    settings = settings_of(*release.assignments, f"log.prometheus={path}")
    draft = opened(settings, "first")
    draft.base = draft.base.__class__(None, None)  # as it was on that night, when all was new
    draft._written, draft._stages = True, {}
    metrics.write(settings, draft, exit_code=0)
    found, document = values(path), release.document
    assert found["artrec_exit_status", ""] == 0
    for name, stage in document["stages"].items():
        assert found["artrec_stage_seconds", name] == pytest.approx(stage["seconds"])
        measured, expected = (document["plan"][each][name] for each in ("measured", "expected"))
        assert found["artrec_stage_written_bytes", name] == measured["bytes_written"]
        assert found["artrec_stage_worker_peak_bytes", name] == measured["worker_bytes"]
        assert found["artrec_stage_expected_seconds", name] == expected["seconds"]
    assert found["artrec_stage_images", "ingest"] == release.account["stages"]["ingest"]["read"]
    assert found["artrec_stage_rejects", "catalog"] == document["counts"]["rejected"]
    assert ("artrec_stage_rejects", "index") not in found


def test_a_run_that_fails_leaves_its_exit_code_and_the_time(tmp_path: Path) -> None:
    path = tmp_path / "artrec.prom"
    missing = f"sources.main.url={tmp_path / 'no.zip'}"
    assert run(missing, f"store.root={tmp_path / 'root'}", f"log.prometheus={path}") == 4
    found = values(path)
    assert found["artrec_exit_status", ""] == 4
    assert found["artrec_updated_timestamp_seconds", ""] > 1.7e9
    assert [other for other in tmp_path.iterdir() if other.name.startswith("artrec")] == [path]


def test_a_dry_run_leaves_no_file(release: Night, tmp_path: Path) -> None:
    path = tmp_path / "artrec.prom"
    asked = (*release.assignments, f"log.prometheus={path}", "plan.sample_seconds=0")
    options = Options(assignments=asked, verbosity="quiet", dry_run=True, as_json=True)
    assert execute("nightly", options) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_collector_reads_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"store.root={tmp_path}", "log.prometheus=metrics.txt") == 3
    assert "metrics.txt must end in .prom" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    settings = settings_of(f"log.prometheus={tmp_path / 'no' / 'artrec.prom'}")
    structlog.reset_defaults()
    with capture_logs() as lines:
        metrics.write(settings, None, exit_code=0)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("no metrics written", "warning")


def test_the_package_is_asked_for_before_anything_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str, *_: Any) -> None:
        assert name == "prometheus_client"

    monkeypatch.setattr(metrics, "find_spec", none)
    assert run(f"store.root={tmp_path}", "log.prometheus=a.prom") == 3
    assert "artrec[prometheus]" in capsys.readouterr().err
