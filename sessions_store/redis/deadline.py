"""The time that one request may spend on Redis, however many commands it sends."""

import threading
import time

from sessions_store.errors import StoreUnavailableError

LAST_COMMAND_SECONDS = 1.2
"""Later than this after its begin, a request sends no further command and repeats none. One command
takes 1.2 s at most: to connect, and to wait for the reply."""

_this_thread = threading.local()


def begin() -> None:
    """Start the clock for the commands that this thread sends from now on; ``end`` stops it."""
    _this_thread.began = time.monotonic()


def end() -> None:
    _this_thread.began = None


def check() -> None:
    """Raise ``StoreUnavailableError`` if it is too late to send another command."""
    began = getattr(_this_thread, "began", None)
    if began is not None and time.monotonic() - began > LAST_COMMAND_SECONDS:
        raise StoreUnavailableError("deadline of the request")
