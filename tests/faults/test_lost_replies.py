"""The command was carried out, its reply was lost: repeated under its handle, it counts once."""

import pytest

from tests.faults.scenarios.replies import OPERATIONS, lost_replies
from tests.faults.servers import Rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("cuts", [1, 2, 3])
def test_every_write_counts_once(relayed: Rig, cuts: int) -> None:
    # Given a relay that breaks the connection before the replies to each write's next commands
    # When each write is sent, and sent again until it is acknowledged, and once more after that
    result = lost_replies(relayed, cuts=cuts)

    # Then one cut is made good by the service itself, several are 503s that the client repeats;
    # what was written stands there exactly once, what was deleted is gone
    assert result.faults == []
    assert result.found == result.acknowledged >= 8
    assert result.repeats >= 8 * min(cuts, 2)


def test_a_write_whose_reply_never_comes_counts_once(relayed: Rig) -> None:
    # Given a relay that keeps the reply to a write for itself
    # When the write is sent, answered 503 after the timeout, and repeated
    writes = [one for one in OPERATIONS if one.has_handle][:3]
    result = lost_replies(relayed, fault="swallow", operations=writes)

    # Then it stands there exactly once
    assert result.faults == []
    assert result.found == result.acknowledged == result.repeats == 3
