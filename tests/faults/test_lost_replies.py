"""A command was carried out and its reply was lost: repeated under its handle, it counts once."""

import pytest

from tests.faults.scenarios.replies import OPERATIONS, lost_replies
from tests.faults.servers import Rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("cuts", [1, 2, 3])
def test_write_whose_replies_are_lost_counts_once(relayed: Rig, cuts: int) -> None:
    # A relay breaks the connection before the replies to each write's next commands. Each write is
    # sent until it is acknowledged, and once more after that.
    result = lost_replies(relayed, cuts=cuts)

    # The service itself retries after one cut; several are 503s that the client repeats. What was
    # written is stored exactly once, what was deleted is gone.
    assert result.faults == []
    assert result.found == result.acknowledged >= 8
    assert result.repeats >= 8 * min(cuts, 2)


def test_write_whose_reply_never_comes_counts_once(relayed: Rig) -> None:
    # A relay keeps the reply to a write for itself: the response is a 503 after the timeout, and
    # the client repeats the write.
    writes = [one for one in OPERATIONS if one.has_handle][:3]
    result = lost_replies(relayed, fault="swallow", operations=writes)

    # It is stored exactly once.
    assert result.faults == []
    assert result.found == result.acknowledged == result.repeats == 3
