"""The index recovers, after an interruption of those who write it."""

import pytest

from tests.faults.scenarios.index import reindex_under_writers, stopped_between_steps

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_index_heals_after_a_process_ends_between_steps() -> None:
    # The index is in another slot, so that writing takes several steps. A process ends before each
    # of the steps of each operation.
    result = stopped_between_steps()

    # Listing and touching, or reindex, repair the index; and the operation, repeated under its
    # handle, counts once.
    assert result.faults == []
    assert result.repeats >= 2 * 12
    assert result.found == result.acknowledged


@pytest.mark.parametrize("index_in_same_step", [True, False], ids=["one server", "cluster"])
@pytest.mark.parametrize("shards", [1, 8])
def test_reindex_repairs_the_index_while_others_write(
    *, index_in_same_step: bool, shards: int
) -> None:
    # The index is lost, or was in one part, and has orphaned entries; clients create, append and
    # delete while it is rebuilt.
    result = reindex_under_writers(index_in_same_step=index_in_same_step, shards=shards)

    # It contains exactly what the records say.
    assert result.faults == []
    assert result.acknowledged > 100
