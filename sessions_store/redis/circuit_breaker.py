"""A circuit breaker: requests do not pile up behind a Redis server that hangs."""

import threading
import time

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import deadline

OPEN_SECONDS = 0.5
"""How long the breaker stays open after a timeout."""

PATIENCE_SECONDS = 0.25
"""A server that takes and ends no command for this long, while all places are taken, is taken to
hang by those who would wait beyond ``max_waiting``."""

FEWER_SECONDS = 10.0
"""For how long fewer commands pass after the server refused a connection because it has too many:
other processes that share it get their part of them."""


class CircuitBreaker:
    """Lets commands through, or refuses them at once.

    *Closed*: commands pass, as many as there are places; others wait for one, within the time of
    their request. *Open*, after a timeout: all commands are refused for
    ``OPEN_SECONDS``. *Half-open*, after that: one command passes as a probe; the others are refused
    until its reply closes the breaker or its timeout opens it again.

    Args:
        max_waiting: commands that may wait for a server that has just begun to hang, with a place
            or for one: the threads that are left are for requests that need no Redis.
        max_places: fewer than ``max_waiting``, where there are not as many connections.
    """

    def __init__(self, max_waiting: int, max_places: int | None = None) -> None:
        self._max_waiting = max_waiting
        self._max_places = self._places = min(max_waiting, max_places or max_waiting)
        self._taken = 0
        self._waiting = 0
        self._moved = 0.0
        """When a command was last let through or ended."""
        self._fewer_until = 0.0
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._open_until: float | None = None
        """``None``: closed. In the past: half-open."""

    @property
    def is_open(self) -> bool:
        """Whether no reply has come since the last timeout."""
        return self._open_until is not None

    @property
    def waiting(self) -> int:
        """How many commands wait for a place."""
        return self._waiting

    def acquire(self) -> None:
        """Take a place for this thread's command; ``release`` gives it back.

        Raises:
            StoreUnavailableError: the breaker is open, or no place was free in time.
        """
        with self._lock:
            self._pass_unless_open()
            if self._taken >= self._places:
                self._waiting += 1
                try:
                    self._wait_for_place()
                finally:
                    self._waiting -= 1
            self._taken += 1
            self._moved = time.monotonic()

    def release(self) -> None:
        with self._lock:
            self._taken -= 1
            self._moved = time.monotonic()
            if self._waiting:
                self._change.notify()

    def use_fewer_places(self) -> None:
        """Leave half of the places that are taken: the server has no connection for more."""
        with self._lock:
            self._places = max(1, self._taken // 2)
            self._fewer_until = time.monotonic() + FEWER_SECONDS

    def record_timeout(self) -> None:
        """Open the breaker: no reply came in time."""
        with self._lock:
            self._open_until = time.monotonic() + OPEN_SECONDS
            self._change.notify_all()

    def record_reply(self) -> None:
        """Close the breaker: the server replied, or refused the connection at once."""
        if self._open_until is not None:
            with self._lock:
                self._open_until = None

    def _pass_unless_open(self) -> None:
        if self._open_until is None:
            return
        now = time.monotonic()
        if now < self._open_until:
            raise StoreUnavailableError("circuit breaker open")
        # Half-open: this command is the probe. Should it have no outcome, another is let through.
        self._open_until = now + deadline.LONGEST_COMMAND_SECONDS

    def _wait_for_place(self) -> None:
        while self._taken >= self._places:
            now = time.monotonic()
            if now > self._fewer_until and self._places < self._max_places:
                self._places = self._max_places
                continue
            patience = deadline.seconds_left()
            if self._taken + self._waiting > self._max_waiting:
                patience = min(patience, self._moved + PATIENCE_SECONDS - now)
            if patience <= 0:
                raise StoreUnavailableError("too many commands wait")
            self._change.wait(patience)
            self._pass_unless_open()
