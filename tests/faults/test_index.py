"""The list becomes true again, whatever interrupted those who write it."""

import pytest

from tests.faults.scenarios.index import reindex_under_writers, stopped_between_steps

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_a_process_that_ends_between_two_steps_leaves_a_list_that_heals() -> None:
    # Given conversations whose list lies on another server, so that writing takes several steps
    # When a process ends before each of the steps of each operation
    result = stopped_between_steps()

    # Then listing and touching, or reindex, make the list true; and the operation, repeated under
    # its handle, counts once
    assert result.faults == []
    assert result.repeats >= 2 * 12
    assert result.found == result.acknowledged


@pytest.mark.parametrize("index_in_same_step", [True, False], ids=["one server", "cluster"])
def test_reindex_repairs_everything_while_others_write(*, index_in_same_step: bool) -> None:
    # Given a list that is lost and has ghosts, and clients that create, append and delete
    # When it is rebuilt meanwhile
    result = reindex_under_writers(index_in_same_step=index_in_same_step)

    # Then it says exactly what the records say
    assert result.faults == []
    assert result.acknowledged > 100
