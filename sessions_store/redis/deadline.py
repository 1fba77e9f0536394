"""The time that one command, and one request, may spend on Redis."""

import threading
import time

from sessions_store.errors import StoreUnavailableError

CONNECT_TIMEOUT_SECONDS = 0.5
COMMAND_TIMEOUT_SECONDS = 0.7
LONGEST_COMMAND_SECONDS = CONNECT_TIMEOUT_SECONDS + COMMAND_TIMEOUT_SECONDS
"""Later than this after its begin, a request sends no further command and repeats none: twice this
is less than the 2.5 s within which its response comes."""

_this_thread = threading.local()


def begin() -> None:
    """Start the clock for the commands that this thread sends from now on; ``end`` stops it."""
    _this_thread.began = time.monotonic()


def end() -> None:
    _this_thread.began = None


def renew() -> None:
    """Start the clock anew, where it runs: Redis replies, but there is much to read."""
    if getattr(_this_thread, "began", None) is not None:
        begin()


def seconds_left() -> float:
    """Return for how long this thread may still send commands; it may be less than 0.

    Without a clock that runs, as in a management command, the time is always all there.
    """
    began = getattr(_this_thread, "began", None)
    return LONGEST_COMMAND_SECONDS - (time.monotonic() - began if began is not None else 0.0)


def check() -> None:
    """Raise ``StoreUnavailableError`` if it is too late to send another command."""
    if seconds_left() < 0:
        raise StoreUnavailableError("deadline of the request")
