"""Redis does not do its work: a 503 in time or the truth, and no restart to get over it."""

import pytest

from tests.faults.result import RECOVERY_SECONDS
from tests.faults.scenarios.outages import OUTAGES, Outage, crowd_while_hanging, outage
from tests.faults.scenarios.replies import slow_replies
from tests.faults.servers import Rig

# Starting a server forks, and newer Pythons warn of that beside the threads of a scenario.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("kind", OUTAGES.values(), ids=OUTAGES.keys())
class TestAnOutage:
    def test_every_route_says_so_in_time_and_recovers(self, direct: Rig, kind: Outage) -> None:
        # Given a service whose Redis fails in this way
        # When each of the ten routes is called, and once more when Redis is back
        result = outage(direct, kind)

        # Then each answered 503 with the fixed sentence, or the truth where it could do its work,
        # within 2.5 s; and within 1 s of Redis's return everything is as it should be
        assert result.faults == []
        assert result.attempted == 10 * kind.passes
        assert result.figures["slowest_recovery"] <= RECOVERY_SECONDS


class TestRedisHangsUnderManyClients:
    def test_requests_do_not_pile_up_and_the_service_stays_alive(self, direct: Rig) -> None:
        # Given 64 clients that ask without pause
        # When Redis hangs for some seconds
        result = crowd_while_hanging(direct, hang_seconds=2.5)

        # Then every answer comes in time, most of them at once, and /health/live always does
        assert result.faults == []
        assert result.figures["median after the first timeouts"] < 0.5


class TestRedisIsSlow:
    def test_answers_come_in_time_though_each_reply_takes_long(self, relayed: Rig) -> None:
        # Given a Redis whose every reply takes almost as long as the service waits for one
        # When each of the ten routes is called, also right after a restart of Redis
        result = slow_replies(relayed)

        # Then each answers the truth or 503 within 2.5 s
        assert result.faults == []
