"""Transcripts come while something breaks: each call is there whole, and once."""

import pytest

from tests.faults.scenarios.webhooks import killed_redis, killed_worker, lost_replies
from tests.faults.servers import Rig

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_transcripts_survive_a_killed_redis(direct: Rig) -> None:
    result = killed_redis(direct)

    assert result.faults == []
    assert result.found == result.acknowledged > 50


def test_transcripts_survive_a_killed_worker(direct: Rig) -> None:
    result = killed_worker(direct)

    assert result.faults == []
    assert result.found == result.acknowledged > 30


def test_merge_whose_reply_is_lost_counts_once(relayed: Rig) -> None:
    result = lost_replies(relayed)

    assert result.faults == []
    assert result.found == result.acknowledged > 50
