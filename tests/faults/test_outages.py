"""Redis is unavailable: a 503 in time or the truth, and no restart to recover."""

import pytest

from tests.faults.result import RECOVERY_SECONDS
from tests.faults.scenarios.outages import OUTAGES, Outage, crowd_while_hanging, outage
from tests.faults.scenarios.replies import slow_replies
from tests.faults.servers import Rig

# Starting a server forks, and newer Pythons warn of that beside the threads of a scenario.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("kind", OUTAGES.values(), ids=OUTAGES.keys())
def test_every_route_reports_an_outage_in_time_and_recovers(direct: Rig, kind: Outage) -> None:
    # Each of the ten routes is called while Redis fails in this way, and once more when it is back.
    result = outage(direct, kind)

    # Each response is a 503 with the fixed sentence, or the truth where it was known, within 2.5 s;
    # within 1 s of Redis's return all of them succeed.
    assert result.faults == []
    assert result.attempted == 10 * kind.passes
    assert result.figures["slowest_recovery"] <= RECOVERY_SECONDS


def test_requests_do_not_pile_up_while_redis_hangs(direct: Rig) -> None:
    # 64 clients send requests without pause while Redis hangs for some seconds.
    result = crowd_while_hanging(direct, hang_seconds=2.5)

    # Every response comes in time, most of them at once, and that of /health/live always does.
    assert result.faults == []
    assert result.figures["median after the first timeouts"] < 0.5


def test_responses_come_in_time_while_redis_is_slow(relayed: Rig) -> None:
    # Every reply of Redis takes almost as long as the service waits for one. Each of the ten routes
    # is called, also right after a restart of Redis.
    result = slow_replies(relayed)

    # Each response is the truth or a 503 within 2.5 s.
    assert result.faults == []
