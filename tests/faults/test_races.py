"""Concurrent requests leave what one order of them would have left."""

from collections.abc import Callable

import pytest

from tests.faults.result import Result
from tests.faults.scenarios import races
from tests.faults.servers import Rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize(
    "race",
    [
        races.registrations,
        races.late_delete,
        races.against_delete,
        races.creations,
        races.conditional_updates,
        races.appends,
    ],
)
def test_concurrent_requests_leave_the_outcome_of_one_order(
    direct: Rig, race: Callable[..., Result]
) -> None:
    # Clients send at the same moment, many times.
    result = race(direct, repeats=30)

    # Each time the outcome is that of one order of their requests.
    assert result.faults == []
    assert result.repeats == 30
    assert result.found == result.acknowledged


def test_delayed_delete_keeps_the_new_session(relayed: Rig) -> None:
    # The delete of a closing tab has still seen its own session; another tab registers before that
    # delete is carried out.
    result = races.held_delete(relayed)

    # The other tab's session stays.
    assert result.faults == []
    assert result.found == result.acknowledged == 6
