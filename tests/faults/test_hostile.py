"""Clients that speak HTTP badly, or not at all: they get a 4xx in time, and harm nobody."""

import pytest

from tests.faults.scenarios.hostile import hostile_requests
from tests.faults.servers import Rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_mutated_requests_get_no_5xx_and_the_envelope(direct: Rig) -> None:
    # Some hundred requests whose lines, headers, framings and bodies a fixed seed has damaged.
    result = hostile_requests(direct, repeats=8)

    # Each response is in time, no 5xx, and the envelope where it is an error of the service.
    assert result.faults == []
    assert result.attempted == 400
