"""Few connections: requests wait for one, and are not refused."""

import pytest

from tests.faults.scenarios.connections import few_connections

# Starting a server forks, and newer Pythons warn of that beside the threads of a scenario.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_service_works_where_redis_takes_few_connections() -> None:
    # 16 clients send 200 requests to two workers, while the live process runs beside them.
    result = few_connections(requests=200)

    # None is refused, and each message that was acknowledged is stored once.
    assert result.faults == []
    assert result.acknowledged == result.found == 100
