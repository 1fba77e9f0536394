"""Encrypted conversations are rewritten, whatever dies meanwhile and whoever writes."""

from tests.faults.scenarios.encryption import reencrypt_under_writers


def test_interrupted_rotation_of_keys_loses_nothing() -> None:
    # The command is killed, then Redis while it runs again; it ends its work the third time.
    result = reencrypt_under_writers(changes=["rotate"])

    # The new key reads everything; what was appended and replaced meanwhile is there, once.
    assert result.faults == []
    assert result.found == result.acknowledged > 100
