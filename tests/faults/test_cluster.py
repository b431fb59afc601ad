"""A night on each kind of cluster that one machine can be; what is published is the same."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Nights
from tests.faults.rig import (
    COARSE,
    assert_same_tables,
    assert_whole,
    command,
    environment,
    job,
    outcome,
)
from tests.faults.standalone import Cluster


@pytest.mark.long
def test_a_night_on_a_standalone_cluster_publishes_the_same_tables(
    nights: Nights, idle: Cluster
) -> None:
    root = nights.store("standalone")
    surroundings = environment(nights.place / "standalone-conf")
    ended = job(idle.night(root, nights.new, *COARSE), surroundings)
    assert ended.code == 0, ended.out + ended.log
    assert outcome(root)["status"] == "published"
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


@pytest.mark.long
@pytest.mark.parametrize("master", ["local[2,4]", "local-cluster[2,1,1024]"])
def test_a_night_submitted_to_this_machine_alone_publishes_the_same_tables(
    nights: Nights, master: str
) -> None:
    name = master.partition("[")[0]
    root = nights.store(name)
    ended = job(command(root, nights.new, *COARSE, master=master), environment(nights.place / name))
    assert ended.code == 0, ended.out + ended.log
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)
