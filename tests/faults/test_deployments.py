"""Primaries are killed, and slots move, while many write to a Cluster or under Sentinel."""

import pytest

from tests.faults.scenarios.deployments import kill_primary, move_slots
from tests.faults.scenarios.moving import become_a_cluster

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_writes_resume_by_themselves_after_a_killed_primary(kind: str) -> None:
    result = kill_primary(kind)

    # What is lost was on no replica yet: the killed primary alone has it.
    assert result.faults == []
    assert result.found > 50


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_failover_loses_nothing_that_replicas_acknowledged(kind: str) -> None:
    result = kill_primary(kind, acks=1)

    assert result.faults == []
    assert result.found == result.acknowledged > 50


@pytest.mark.parametrize("at_once", [False, True])
def test_moving_slots_lose_no_message(*, at_once: bool) -> None:
    result = move_slots(at_once=at_once)

    assert result.faults == []
    assert result.found == result.acknowledged > 50


def test_server_that_becomes_a_cluster_loses_no_message() -> None:
    result = become_a_cluster()

    assert result.faults == []
    assert result.found == result.acknowledged > 50
