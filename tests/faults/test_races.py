"""Requests that meet leave what one of them alone would have left."""

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
def test_one_order_is_what_is_left(direct: Rig, race: Callable[..., Result]) -> None:
    # Given clients that send at the same moment
    # When they do so many times
    result = race(direct, repeats=30)

    # Then each time the outcome is that of one order of their requests
    assert result.faults == []
    assert result.repeats == 30
    assert result.found == result.acknowledged


def test_a_delete_that_is_held_back_leaves_the_new_session(relayed: Rig) -> None:
    # Given a closing tab whose delete has seen its own session still
    # When another tab registers before that delete is carried out
    result = races.held_delete(relayed)

    # Then the other tab's session stays
    assert result.faults == []
    assert result.found == result.acknowledged == 6
