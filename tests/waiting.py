"""Waiting for what comes about by itself."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], otherwise: str = "it did not come about") -> None:
    """Return once the condition holds; after 30 s without, fail with the words of ``otherwise``."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
