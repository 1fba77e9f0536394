"""A circuit breaker: requests do not pile up behind a Redis server that hangs."""

import threading
import time

from sessions_store.errors import StoreUnavailableError

OPEN_SECONDS = 0.5
"""How long the breaker stays open after a timeout."""

PROBE_SECONDS = 1.2
"""The longest that the probe of a half-open breaker takes: to connect, and to wait for a reply."""

PATIENCE_SECONDS = 0.25
"""Once ``max_waiting`` commands wait, and the oldest for this long, the server is taken to hang."""


class CircuitBreaker:
    """Lets commands through, or refuses them at once.

    *Closed*: commands pass, at most ``max_waiting`` at the same time, so that a server that has
    just begun to hang leaves threads for requests that need no Redis. *Open*, after a timeout: all
    commands are refused for ``OPEN_SECONDS``. *Half-open*, after that: one command passes as a
    probe; the others are refused until its reply closes the breaker or its timeout opens it again.

    Args:
        max_waiting: commands that may wait for a reply at the same time.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._started: dict[int, float] = {}
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._open_until: float | None = None
        """``None``: closed. In the past: half-open."""

    def acquire(self) -> None:
        """Take a place for this thread's command; ``release`` gives it back.

        Raises:
            StoreUnavailableError: the breaker is open, or the places are taken by a server that
                hangs.
        """
        with self._lock:
            self._pass_unless_open()
            self._wait_for_place()
            self._started[threading.get_ident()] = time.monotonic()

    def release(self) -> None:
        with self._lock:
            self._started.pop(threading.get_ident(), None)
            self._change.notify()

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
        self._open_until = now + PROBE_SECONDS

    def _wait_for_place(self) -> None:
        """Wait for as long as the server replies at all, however many others are served first."""
        while len(self._started) >= self._max_waiting:
            oldest = next(iter(self._started.values()))
            patience = oldest + PATIENCE_SECONDS - time.monotonic()
            if patience <= 0:
                raise StoreUnavailableError("too many commands wait")
            self._change.wait(patience)
            self._pass_unless_open()
