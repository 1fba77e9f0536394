"""The access log: one line a request on standard error, cheap enough to be left on.

A request only leaves a note, before its response is sent; so does a viewer of the live process who
comes or goes. A thread of the process makes lines of the notes and writes them every
``INTERVAL_SECONDS``, and once more when the process ends. A reader of standard error that is slow,
or has stopped, delays that thread and no request.

Lines are lost in these cases only:

- A worker is killed by SIGKILL: those not written yet, of its last ``INTERVAL_SECONDS``.
- Standard error does not take what is left in the five seconds that a worker is given to end.
- More than ``MAX_NOTES`` requests wait for a slow reader, or writing fails (a full disk, a reader
  that is gone). A warning gives the number of the lines that are missing.
"""

import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from agent_conversations.served_requests import SERVED, Fields
from config.logging import ACCESS_LOGGER, line_renderers

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

INTERVAL_SECONDS = 0.2
MAX_NOTES = 10_000

_logger = logging.getLogger(__name__)


class AccessLog:
    """Takes a note of each request from any thread; writes them as lines from one thread."""

    def __init__(self) -> None:
        # Appending and taking from the left are atomic: no request waits for a lock.
        self._notes: deque[tuple[float, Fields]] = deque()
        self._dropped = 0
        self._dropping = threading.Lock()
        self._renderers = line_renderers()

    def wrap(self, application: Wsgi) -> Wsgi:
        """Return ``config.wsgi``'s application with a note of each request, once it is served."""

        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            try:
                return application(environ, start_response)
            finally:
                self.add(environ[SERVED].to_log)

        return serve

    def add(self, fields: Fields) -> None:
        """Leave a note; ``fields`` is called later, by the thread that writes."""
        if len(self._notes) < MAX_NOTES:
            self._notes.append((time.time(), fields))
        else:
            self._drop(1)

    def _drop(self, lines: int) -> None:
        with self._dropping:
            self._dropped += lines

    def run(self) -> None:
        """Write until the main thread has ended, and what is left then."""
        main_thread = threading.main_thread()
        while main_thread.is_alive():
            main_thread.join(INTERVAL_SECONDS)
            self.write()
        self.write()  # what was noted while the last write waited for its reader

    def write(self) -> None:
        """Write the notes there are, as many whole lines at once as a pipe takes in one piece.

        POSIX keeps writes of up to ``PIPE_BUF`` bytes apart, so that no line is torn by those of
        another worker.
        """
        block = b""
        for _ in range(len(self._notes)):
            line = self._line(*self._notes.popleft())
            if len(block) + len(line) > select.PIPE_BUF:
                self._write(block)
                block = b""
            block += line
        self._write(block)
        with self._dropping:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            _logger.warning("Lines are missing in the access log", extra={"lines": dropped})

    def _write(self, block: bytes) -> None:
        try:
            while block:
                block = block[os.write(sys.stderr.fileno(), block) :]
        except OSError:
            self._drop(block.count(b"\n"))

    def _line(self, ended: float, fields: Fields) -> bytes:
        second, fraction = divmod(ended, 1)
        line: Any = {
            **fields(),
            "level": "info",
            "logger": ACCESS_LOGGER,
            "timestamp": f"{_to_second(second)}.{int(fraction * 1_000_000):06d}Z",
        }
        for render in self._renderers:
            line = render(None, "info", line)
        return f"{line}\n".encode()


@lru_cache(maxsize=2)
def _to_second(timestamp: float) -> str:
    """Return the time of many lines, which is a third of what one would take to make."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def start_access_log() -> AccessLog | None:
    """Start the thread that writes the access log, if its level is INFO or below.

    Not a daemon: Python waits for it when the process ends.
    """
    if not logging.getLogger(ACCESS_LOGGER).isEnabledFor(logging.INFO):
        return None
    log = AccessLog()
    threading.Thread(target=log.run, name="access log", daemon=False).start()
    return log
