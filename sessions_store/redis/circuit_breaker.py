"""Who may ask Redis now: keeps requests from piling up behind a store that hangs."""

import threading
import time

from sessions_store.errors import StoreUnavailableError

PAUSE_SECONDS = 0.5
"""How long a store that did not answer in time is left alone before it is asked again."""

PROBE_SECONDS = 1.2
"""The longest that the one request may take which asks again; a connection and a command."""

PATIENCE_SECONDS = 0.25
"""A store that has owed an answer for longer is taken to hang as soon as many wait for it."""


class CircuitBreaker:
    """Lets commands through, or refuses them at once.

    After a timeout, all are refused for ``PAUSE_SECONDS``; then one may ask while the others are
    still refused, until its answer settles it. Before the first timeout, when the store has just
    begun to hang, at most ``max_waiting`` wait for it, so that the process keeps threads for
    requests that need no store.

    Args:
        max_waiting: commands that may be on their way at the same time.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._started: dict[int, float] = {}
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._paused_until: float | None = None

    def enter(self) -> None:
        """Take a place for this thread's command; ``leave`` gives it back.

        Raises:
            StoreUnavailableError: the store is paused, or too many wait for it.
        """
        with self._lock:
            self._check_pause()
            self._wait_for_place()
            self._started[threading.get_ident()] = time.monotonic()

    def leave(self) -> None:
        with self._lock:
            self._started.pop(threading.get_ident(), None)
            self._change.notify()

    def timed_out(self) -> None:
        """Tell that the store did not answer in time."""
        with self._lock:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            self._change.notify_all()

    def answered(self) -> None:
        """Tell that the store answered, or refused at once."""
        if self._paused_until is not None:
            with self._lock:
                self._paused_until = None

    def _check_pause(self) -> None:
        if self._paused_until is None:
            return
        now = time.monotonic()
        if now < self._paused_until:
            raise StoreUnavailableError("paused after a timeout")
        self._paused_until = now + PROBE_SECONDS

    def _wait_for_place(self) -> None:
        """Wait as long as the store answers at all, however many others are served first."""
        while len(self._started) >= self._max_waiting:
            oldest = next(iter(self._started.values()))
            patience = oldest + PATIENCE_SECONDS - time.monotonic()
            if patience <= 0:
                raise StoreUnavailableError("too many wait")
            self._change.wait(patience)
            self._check_pause()
