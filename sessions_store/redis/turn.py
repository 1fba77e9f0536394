"""Work that this process does once at a time, such as reading what takes much memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sessions_store.errors import StoreUnavailableError

LONGEST_WAIT_SECONDS = 5.0
"""Should Redis hang, those who wait find the circuit breaker open, one after the other."""


class Turn:
    """Lets one thread at a time through; others wait for it.

    Args:
        max_waiting: threads that may be in it or wait for it; further ones are refused at once.
    """

    def __init__(self, max_waiting: int) -> None:
        self._places = threading.Semaphore(max(1, max_waiting))
        self._turn = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for this thread's turn, which ends with the block.

        Raises:
            StoreUnavailableError: too many wait, or it did not come in time.
        """
        if not self._places.acquire(blocking=False):
            raise StoreUnavailableError("too many large reads")
        try:
            if not self._turn.acquire(timeout=LONGEST_WAIT_SECONDS):
                raise StoreUnavailableError("too many large reads")
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()
