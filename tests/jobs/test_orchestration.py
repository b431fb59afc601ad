"""The files for orchestrators: of the right form, naming what exists, branching on exit codes."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from artrec.cli import VERBS, app
from artrec.commands.outcome import RETRIED
from artrec.releases import Outcome
from artrec.stages import JOBS, NAMES

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "jobs" / "orchestration"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
AIRFLOW = FOLDER / "airflow_night.py"
CODES = (1, 2, 3, 4, 5, 6, 7, 8, 130, 143)

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


# -- what the files name --------------------------------------------------------------------


@every_file
def test_every_job_and_settings_file_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"(?:jobs|conf)/[\w./-]*\w", text):
        assert (REPOSITORY / name).exists(), name


def options(verb: str) -> set[str]:
    """The options of ``artrec VERB`` as the command line takes them."""
    found: Any = get_command(app)
    return {name for each in found.commands[verb].params for name in each.opts}


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """(verb, options) of each ``artrec VERB …`` in a shell's words."""
    for verb, rest in re.findall(r"(?<![\w/.-])artrec ([a-z]+)((?: +[^\s|>&]+)*)", text):
        yield verb, re.findall(r"--[a-z-]+", rest)


@pytest.mark.parametrize("name", ["night.sh", "night.cron", "github-actions.yaml"])
def test_every_verb_and_option_that_is_called_exists(name: str) -> None:
    lines = [line for line in read(name).splitlines() if not line.lstrip().startswith("#")]
    found = list(calls("\n".join(lines)))
    assert found
    for verb, used in found:
        assert set(used) <= options(verb), (verb, used)


def test_options_of_jobs_are_those_that_every_job_takes() -> None:
    taken = options("nightly")
    words = [each.value for each in ast.walk(tree()) if isinstance(each, ast.Constant)]
    strings = " ".join(word for word in words if isinstance(word, str))
    night = read("night.sh") + read("databricks.yml") + read("step-functions.json") + strings
    spark = {"--properties-file", "--master", "--conf", "--wheel"}
    outcome = options("outcome") | options("report")
    assert {*re.findall(r"--[a-z][a-z-]+", night)} <= taken | spark | outcome
    assert all(options(verb) == taken for verb in VERBS.values())


def tree() -> ast.Module:
    return ast.parse(AIRFLOW.read_text(encoding="utf-8"))


def constant(name: str) -> Any:
    """A constant of the DAGs' file, which is not imported: Airflow may not be here."""
    for node in tree().body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def test_the_dag_s_stages_are_those_of_a_night_in_order() -> None:
    assert constant("STAGES") == NAMES
    assert {*constant("STAGES"), "nightly"} <= {*JOBS}


# -- forms ----------------------------------------------------------------------------------


def test_the_crontab_has_five_fields_of_time_before_each_command() -> None:
    lines = [line for line in read("night.cron").splitlines() if line and line[0] != "#"]
    names = [line for line in lines if re.match(r"[A-Z_]+=", line)]
    jobs = [line.split(None, 5) for line in lines if line not in names]
    limits = (59, 23, 31, 12, 7)
    for *fields, job in jobs:
        assert all(f == "*" or int(f) <= limit for f, limit in zip(fields, limits, strict=True))
        assert "%" not in job  # a line break, to cron
    assert [job[5].split()[0] for job in jobs] == [
        "/opt/artrec/jobs/orchestration/night.sh",
        "artrec",
    ]


def test_the_workflow_of_github_is_one() -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas")
    jsonschema = pytest.importorskip("jsonschema")
    schema = schemas.get_builtin_schema("vendor.github-workflows")
    workflow = yaml.load(read("github-actions.yaml"), Loader=yaml.BaseLoader)  # "on" is no boolean
    typed = yaml.safe_load(read("github-actions.yaml"))
    typed["on"] = typed.pop(True)
    jsonschema.Draft7Validator(schema).validate(typed)
    jobs = workflow["jobs"]
    assert {need for job in jobs.values() for need in [job.get("needs")] if need} <= {*jobs}
    broken = typed | {"jobs": {"night": {"stepz": []}}}
    assert list(jsonschema.Draft7Validator(schema).iter_errors(broken))


def test_the_bundle_s_job_is_one_of_databricks() -> None:
    jobs = pytest.importorskip("databricks.bundles.jobs")
    bundle = yaml.safe_load(read("databricks.yml"))
    (job,) = bundle["resources"]["jobs"].values()
    assert jobs.Job.from_dict(job).max_concurrent_runs == 1
    with pytest.raises(ValueError, match="Unexpected field"):
        jobs.Job.from_dict(job | {"taskz": []})
    keys = [task["task_key"] for task in job["tasks"]]
    for task in job["tasks"]:
        assert {each["task_key"] for each in task.get("depends_on", [])} <= {*keys}
        script = task.get("spark_python_task", {}).get("python_file", "../nightly.py")
        assert (FOLDER / script).exists(), script
    assert {*re.findall(r"\$\{var\.(\w+)\}", read("databricks.yml"))} == {*bundle["variables"]}


def test_the_state_machine_is_one_of_amazon_s() -> None:
    linter = pytest.importorskip("statelint.linter").Linter
    assert linter.validate(json.loads(read("step-functions.json"))) == []
    assert linter.validate({"StartAt": "A", "States": {"B": {"Type": "Succeed"}}}) != []


# -- the state machine, walked ----------------------------------------------------------------

BEGUN = datetime(2026, 1, 2, 2, tzinfo=UTC)


def at(data: Any, path: str) -> Any:
    for name in path.removeprefix("$.").split("."):
        data = data[name]
    return data


def holds(rule: dict[str, Any], data: Any) -> bool:
    """Whether a rule of a Choice state holds; those that the file uses."""
    if "And" in rule:
        return all(holds(each, data) for each in rule["And"])
    if "Or" in rule:
        return any(holds(each, data) for each in rule["Or"])
    value = at(data, rule["Variable"])
    (name,) = set(rule) - {"Variable", "Next", "Comment"}
    wanted = at(data, rule[name]) if name.endswith("Path") else rule[name]
    if name == "NumericEquals":
        return bool(value == wanted)
    if name == "NumericLessThan":
        return bool(value < wanted)
    if name == "StringEqualsPath":
        return bool(value == wanted)
    assert name == "TimestampLessThanPath"
    return datetime.fromisoformat(value) < datetime.fromisoformat(wanted)


def ends_in(outcome: Outcome, tries: int) -> list[str]:
    """The states after the outcome was read, down to the last or to the next try."""
    states = json.loads(read("step-functions.json"))["States"]
    found = {"outcome": json.loads(outcome.to_bytes())}
    data = {"release": "2026-01-02", "tries": tries, "begun": BEGUN.isoformat(), "found": found}
    passed = [states["Outcome"]["Next"]]
    while (state := states[passed[-1]])["Type"] == "Choice":
        rules = (each["Next"] for each in state["Choices"] if holds(each, data))
        passed.append(next(rules, state["Default"]))
    return passed


def ended(code: int, status: str = "failed", current: str = "2026-01-01") -> Outcome:
    """The word of a job a minute after the state machine began it."""
    return Outcome(
        status=status,
        exit_code=code,
        message="a sentence",
        release_id="2026-01-02",
        current=current,
        ended=BEGUN + timedelta(minutes=1),
    )


@pytest.mark.parametrize("code", CODES)
def test_the_state_machine_tries_again_what_may_go_on(code: int) -> None:
    last = "Pause" if code in RETRIED else "Refused" if code == 5 else "Failed"
    assert ends_in(ended(code), 1)[-1] == last
    assert ends_in(ended(code), 3)[-1] == (last if code == 5 else "Failed")


def test_the_state_machine_tells_a_release_from_a_night_without_change() -> None:
    assert ends_in(ended(0, "published", "2026-01-02"), 1) == ["Verdict", "Published"]
    assert ends_in(ended(0, "unchanged"), 1) == ["Verdict", "Unchanged"]
    # a try after the one that published finds nothing more to do
    assert ends_in(ended(0, "unchanged", "2026-01-02"), 2) == ["Verdict", "Published"]


def test_the_state_machine_does_not_believe_the_word_of_an_earlier_try() -> None:
    old = ended(0, "unchanged").model_copy(update={"ended": BEGUN - timedelta(hours=1)})
    assert ends_in(old, 1) == ["Verdict", "Again", "Pause"]


def test_every_state_is_reached() -> None:
    states = json.loads(read("step-functions.json"))["States"]
    named = re.findall(r'"(?:Next|Default|StartAt)": "(\w+)"', read("step-functions.json"))
    assert {*named} == {*states}


# -- exit codes -------------------------------------------------------------------------------


def test_the_same_codes_are_tried_again_everywhere() -> None:
    assert constant("RETRIED") == RETRIED
    case = re.search(r"^ +([\d| ]+)\) ;;$", read("night.sh"), re.MULTILINE)
    assert case is not None
    assert tuple(map(int, case[1].split("|"))) == RETRIED
    machine = json.loads(read("step-functions.json"))["States"]["Verdict"]["Choices"]
    again = [each["NumericEquals"] for rule in machine for each in rule.get("Or", [])]
    assert tuple(again) == RETRIED


def run_night(folder: Path, job: str, **more: str) -> subprocess.CompletedProcess[str]:
    """night.sh with this shell script in the job's place."""
    script = folder / "job.sh"
    script.write_text(f"#!/bin/sh\n{job}\n")
    script.chmod(0o755)
    own = {
        "NIGHT_SUBMIT": str(script),
        "NIGHT_LOGS": str(folder / "logs"),
        "NIGHT_PAUSE": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["bash", str(FOLDER / "night.sh"), "2026-01-02"]
    environment = os.environ | own | more
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def tries(folder: Path) -> int:
    return (folder / "logs/2026-01-02.log").read_text().count("night: 2026-01-02, try")


@pytest.mark.parametrize("code", CODES)
def test_the_script_tries_again_what_may_go_on_and_tells_what_was_said(
    tmp_path: Path, code: int
) -> None:
    done = run_night(tmp_path, f"echo artrec: a sentence >&2; exit {code}")
    assert (done.returncode, done.stdout) == (code, "")
    assert f"2026-01-02 ended with {code}" in done.stderr
    assert "artrec: a sentence" in done.stderr
    assert tries(tmp_path) == (3 if code in RETRIED else 1)


def test_the_script_says_nothing_when_all_is_well(tmp_path: Path) -> None:
    done = run_night(tmp_path, 'echo "$@"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    log = (tmp_path / "logs/2026-01-02.log").read_text()
    assert "jobs/nightly.py --config conf/local.yaml --release 2026-01-02\n" in log


def test_the_script_goes_on_after_a_stop(tmp_path: Path) -> None:
    job = f"test -e {tmp_path}/once && exit 0; touch {tmp_path}/once; exit 6"
    done = run_night(tmp_path, job)
    assert (done.returncode, done.stderr, tries(tmp_path)) == (0, "", 2)


def test_two_scripts_of_one_machine_do_not_run_at_once(tmp_path: Path) -> None:
    again = f"NIGHT_LOGS={tmp_path}/logs bash {FOLDER}/night.sh; exit $((100 + $?))"
    done = run_night(tmp_path, again)
    assert done.returncode == 108
    assert "another night of this machine is still running" in done.stderr


def test_the_script_reads_the_code_of_a_job_that_ran_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "root/drafts/2026-01-02"
    folder.mkdir(parents=True)
    job = f"mv {tmp_path}/word {folder}/outcome.json; exit 1"
    soon = datetime.now(UTC) + timedelta(hours=1)
    word = ended(5).model_copy(update={"ended": soon}).to_bytes()
    (tmp_path / "word").write_bytes(word)
    done = run_night(tmp_path, job, NIGHT_ROOT=str(tmp_path / "root"))
    assert (done.returncode, tries(tmp_path)) == (5, 1)


def test_the_script_does_not_believe_the_word_of_an_earlier_job(tmp_path: Path) -> None:
    folder = tmp_path / "root/drafts/2026-01-02"
    folder.mkdir(parents=True)
    (folder / "outcome.json").write_bytes(ended(5).to_bytes())
    done = run_night(tmp_path, "exit 1", NIGHT_ROOT=str(tmp_path / "root"), NIGHT_TRIES="1")
    assert done.returncode == 1
