"""Work that this process does once at a time, such as reading what takes much memory."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from sessions_store.errors import StoreUnavailableError

LONGEST_WAIT_SECONDS = 5.0
"""Should Redis hang, those who wait find the circuit breaker open, one after the other."""

Result = TypeVar("Result")


class Turn(Generic[Result]):
    """Does one piece of work at a time; those who wait for the same one share its result.

    Args:
        max_waiting: pieces of work that may be done or wait; further ones are refused at once.
    """

    def __init__(self, max_waiting: int) -> None:
        self._places = threading.Semaphore(max(1, max_waiting))
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: dict[Hashable, Future[Result]] = {}

    def share(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Return the result of ``work``, or of another thread's with the same key.

        That one has begun after this call, so that it finds all that was written before.

        Raises:
            StoreUnavailableError: too much waits, or its turn did not come in time.
        """
        with self._guard:
            future = self._waiting.get(key)
            is_own = future is None
            if future is None:
                future = self._waiting[key] = Future()
        if is_own:
            try:
                future.set_result(self._do(key, work))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def _do(self, key: Hashable, work: Callable[[], Result]) -> Result:
        has_place = has_turn = False
        try:
            has_place = self._places.acquire(blocking=False)
            has_turn = has_place and self._turn.acquire(timeout=LONGEST_WAIT_SECONDS)
        finally:
            with self._guard:
                del self._waiting[key]
        try:
            if not has_turn:
                raise StoreUnavailableError("too many large reads")
            return work()
        finally:
            if has_turn:
                self._turn.release()
            if has_place:
                self._places.release()
