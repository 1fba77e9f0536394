"""Encrypted conversations are rewritten, whatever dies meanwhile and whoever writes."""

import pytest

from tests.faults.scenarios.encryption import reencrypt_under_writers


@pytest.mark.parametrize("change", ["rotate", "decrypt"])
def test_interrupted_reencryption_loses_nothing_that_is_written(change: str) -> None:
    # The command is killed, then Redis while it runs again; it ends its work the third time.
    result = reencrypt_under_writers(changes=[change])

    # All is stored as the keys say; what was appended and replaced is there, once.
    assert result.faults == []
    assert result.found == result.acknowledged > 100
