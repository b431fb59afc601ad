"""The scratch disk fills up: the job stops with 6 and goes on when there is room again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Nights
from tests.faults.rig import FINE, assert_same_tables, command, environment, job, outcome
from tests.nights import night
from tests.storage.small_disk import small_disk

SHUFFLED = ("neighbors.pairs_from=1", "neighbors.block_rows=4")
"""Lists that are merged by Spark: else a night of so few pictures leaves nothing on its disk."""


@pytest.mark.parametrize(
    ("variable", "size", "words"),
    [
        ("SPARK_LOCAL_DIRS", "8k", "spark.local.dir"),
        pytest.param("TMPDIR", "8k", "no space left", marks=pytest.mark.long),
    ],
)
def test_a_full_scratch_disk_stops_the_job_and_the_same_command_goes_on(
    nights: Nights, tmp_path: Path, variable: str, size: str, words: str
) -> None:
    root = nights.store(f"full-{variable}")
    before = (root / "CURRENT.json").read_bytes()
    with small_disk(tmp_path / "disk", size) as disk:
        surroundings = environment(nights.place / "full", **{variable: str(disk)})
        ended = job(command(root, nights.new, *FINE, *SHUFFLED), surroundings)
    assert ended.code == 6, ended.log
    assert len(ended.complaints) == 1, ended.log
    assert words in ended.complaints[0]
    assert "Traceback" not in ended.log
    assert (root / "CURRENT.json").read_bytes() == before
    assert outcome(root)["exit_code"] == 6
    night(root, "new", f"sources.main.url={nights.new}", *FINE, *SHUFFLED)
    assert_same_tables(root, nights.clean)
