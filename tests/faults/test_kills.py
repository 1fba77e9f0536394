"""Processes are killed while many write: what was acknowledged is there, once, in its order."""

import pytest

from tests.faults.scenarios.kills import fail_over, kill_redis, kill_service, kill_worker
from tests.faults.servers import Rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_acknowledged_messages_survive_a_killed_redis(direct: Rig) -> None:
    # It is started again on its append-only file while clients append without pause, each message
    # under its own id.
    result = kill_redis(direct, repeats=4)

    # Every acknowledged message is there, once, in its writer's order.
    assert result.faults == []
    assert result.found == result.acknowledged > 100


def test_acknowledged_messages_survive_a_failover_behind_one_address(relayed: Rig) -> None:
    # Twice the primary becomes the replica of its own, and the service's connections stay with it.
    result = fail_over(relayed, repeats=2)

    # The service leaves it within 1 s, by itself; every acknowledged message is there, once.
    assert result.faults == []
    assert result.found == result.acknowledged > 50


def test_acknowledged_messages_survive_a_killed_worker(direct: Rig) -> None:
    # Another worker takes the place of the process that responds.
    result = kill_worker(direct)

    assert result.faults == []
    assert result.found == result.acknowledged > 100


def test_acknowledged_messages_survive_a_killed_service() -> None:
    # The service has started the bundled server itself, and is started again on the same data.
    result = kill_service()

    assert result.faults == []
    assert result.found == result.acknowledged > 50
