"""A call is recorded while the service is killed and its page closed: each turn is there, once."""

import os
import shutil

import pytest

from tests.faults.scenarios.recording import recorded_calls
from tests.frontend import CLIENT

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.skipif(
        not (CLIENT.exists() and shutil.which("chromium")) and "CI" not in os.environ,
        reason="needs Chromium, and @elevenlabs/client, which make types brings",
    ),
]


def test_every_turn_told_is_stored_once_in_order() -> None:
    result = recorded_calls(repeats=2)

    assert result.faults == []
    assert result.found == result.acknowledged == 200
