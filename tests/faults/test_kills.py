"""Processes are killed while many write: what was acknowledged is there, once, in its order."""

import pytest

from tests.faults.scenarios.kills import kill_redis, kill_service, kill_worker
from tests.faults.servers import Rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class TestKilledWhileWriting:
    def test_redis(self, direct: Rig) -> None:
        # Given clients that append without pause, each message under its own id
        # When Redis is killed and started on its append-only file, several times
        result = kill_redis(direct, repeats=4)

        # Then every acknowledged message is there, once, in its writer's order
        assert result.faults == []
        assert result.found == result.acknowledged > 100

    def test_the_services_worker(self, direct: Rig) -> None:
        # Given the same
        # When the process that answers is killed
        result = kill_worker(direct)

        # Then another takes its place, and nothing is lost or doubled
        assert result.faults == []
        assert result.found == result.acknowledged > 100

    def test_the_whole_service_with_the_bundled_server(self) -> None:
        # Given a service that has started the bundled server itself
        # When it is killed and started again on the same data
        result = kill_service()

        # Then nothing is lost or doubled
        assert result.faults == []
        assert result.found == result.acknowledged > 50
