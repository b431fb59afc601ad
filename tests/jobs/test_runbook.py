"""The runbook in jobs/README.md: a paragraph for each exit code and gate, each of them provoked."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from artrec import errors
from artrec.commands.outcome import RETRIED
from artrec.config import FINAL_GATES
from artrec.config.judging import GATES

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "jobs/README.md").read_text(encoding="utf-8")
RUNBOOK = TEXT[TEXT.index("## The night failed: what now?") :]

EVALUATE, FAULTS = "tests/stages/test_evaluate.py", "tests/faults"
JUDGED = "tests/evaluation/test_gates.py::test_a_gate_refuses_what_is_beyond_its_limit_and_says_"

CODES = {
    0: "tests/stages/test_nightly.py::test_a_second_night_without_change_writes_its_outcome_and_",
    1: f"{FAULTS}/test_executor_killed.py::test_a_task_that_kills_every_executor_ends_the_job",
    2: "tests/stages/test_nightly.py::test_a_stage_before_its_time_says_what_has_to_run_first",
    3: f"{FAULTS}/test_bad_input.py::test_what_cannot_be_done_ends_with_its_code_and_one_sentence",
    4: f"{FAULTS}/test_signals.py::test_spark_submit_returns_the_code_of_an_unreadable_archive",
    5: f"{FAULTS}/test_bad_input.py::test_a_refused_release_says_so_in_its_outcome",
    6: f"{FAULTS}/test_full_disk.py::test_a_full_scratch_disk_stops_the_job_and_the_same_command",
    7: f"{FAULTS}/test_s3.py::test_credentials_that_expire_end_the_job_with_7_and_new_ones_go_on",
    8: "tests/stages/test_one_writer.py::test_a_second_job_exits_with_8_and_writes_nothing",
    130: f"{FAULTS}/test_signals.py::test_spark_submit_returns_the_code_of_ctrl_c",
    143: f"{FAULTS}/test_signals.py::test_spark_submit_returns_the_code_of_a_termination",
}
"""Exit code -> the test that provokes it."""

REMEMBERED = "tests/evaluation/test_memory.py"
PROVOKED = {
    "sources": "tests/stages/test_sources.py::test_an_emptied_folder_stops_the_night_before_any",
    "balance": "tests/stages/test_publish.py::test_a_catalog_that_lost_a_row_is_refused_and_",
    "identity": JUDGED,
    "lists": JUDGED,
    "images": f"{FAULTS}/test_bad_input.py::test_a_release_without_images_is_refused_and_its_",
    "shards": f"{EVALUATE}::test_a_release_whose_shard_is_gone_is_refused_until_the_file_is_put",
    "vectors": f"{EVALUATE}::test_constant_vectors_are_refused",
    "reject_rate": f"{EVALUATE}::test_too_many_rejects_are_refused",
    "reject_rates": f"{EVALUATE}::test_another_limit_publishes_a_refused_release_too",
    "index_recall": f"{EVALUATE}::test_a_bad_index_is_refused_and_a_perfect_one_is_not",
    "table_recall": f"{EVALUATE}::test_a_table_that_is_not_what_it_should_be_is_refused",
    "shrinkage": f"{EVALUATE}::test_a_catalog_that_shrank_is_refused",
    "drift": f"{EVALUATE}::test_vectors_that_moved_are_refused",
    "usual_rejects": f"{EVALUATE}::test_what_the_last_releases_never_had_is_refused",
    "usual_churn": f"{REMEMBERED}::test_churn_is_refused_by_entries_or_by_first_neighbors",
    "usual_drift": f"{REMEMBERED}::test_drift_is_refused_far_beyond_what_it_was",
    "usual_index_recall": f"{REMEMBERED}::test_recall_is_refused_far_below_what_it_was",
    "usual_table_recall": f"{REMEMBERED}::test_recall_is_refused_far_below_what_it_was",
}
"""Gate -> the test in which it refuses; no night could have what identity and lists refuse, and
of the gates with memory, which differ in their figures, one is tried by a night."""


def paragraphs() -> dict[str, str]:
    """Heading -> paragraph, of those that begin with one in bold."""
    found = re.findall(r"^\*\*(.+?)\.\*\* ?(.+?)(?=\n\n|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    return {heading: " ".join(text.split()) for heading, text in found}


def names(test: str) -> list[str]:
    """The tests of a file whose name begins so."""
    file, _, start = test.partition("::")
    module = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    found = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    return [name for name in found if name.startswith(start)]


@pytest.mark.parametrize("code", CODES)
def test_every_exit_code_has_its_paragraph_and_a_test_that_provokes_it(code: int) -> None:
    heads = [h for h in paragraphs() if str(code) in re.findall(r"\d+", h)]
    assert len(heads) == 1
    assert len(paragraphs()[heads[0]]) > 100
    assert len(names(CODES[code])) == 1


def test_every_code_of_the_errors_is_there() -> None:
    named = [getattr(errors, name) for name in errors.__all__]
    codes = {each.exit_code for each in named if isinstance(each, type)}
    assert {0, 130, 143} | codes == {*CODES}
    assert {*RETRIED} - {137} < {*CODES}
    assert "137 is a kill" in RUNBOOK


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_has_its_paragraph_and_a_test_in_which_it_refuses(gate: str) -> None:
    text = paragraphs()[f"Gate {gate}"]
    assert len(text) > 100
    assert len(names(PROVOKED[gate])) == 1
    rows = re.findall(rf"^\| {gate} \|.*\|$", TEXT, re.MULTILINE)
    assert len(rows) == 1, "the table of gates has a row for it too"


def test_what_cannot_be_overridden_is_said_to_be_so() -> None:
    final = [gate for gate in GATES if "cannot be overridden" in paragraphs()[f"Gate {gate}"]]
    assert {*final} <= {*FINAL_GATES}


def test_the_commands_of_the_runbook_exist() -> None:
    from typer.main import get_command

    from artrec.cli import app

    found = re.findall(r"`artrec\s+([a-z]+)(?:\s+([a-z]+))?", RUNBOOK)
    known = getattr(get_command(app), "commands", {})
    for verb, second in found:
        assert verb in known, verb
        if hasattr(known[verb], "commands") and second:
            assert second in known[verb].commands, (verb, second)
    assert len(found) > 10
