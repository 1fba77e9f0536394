"""The bundled server's disk is full, or its file damaged: what was acknowledged is there."""

import pytest

from tests.faults.scenarios.disks import damaged_end, full_disk

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.usefixtures("small_disk")  # skipped where there can be none
def test_acknowledged_messages_survive_a_full_disk() -> None:
    # The service is stopped while its disk is full, and started when some space is free.
    result = full_disk()

    assert result.faults == []
    assert result.found == result.acknowledged > 0


def test_acknowledged_messages_survive_a_damaged_end() -> None:
    # The service is killed, and zeros follow the append-only file, as after a power cut.
    result = damaged_end()

    assert result.faults == []
    assert result.found == result.acknowledged > 100
