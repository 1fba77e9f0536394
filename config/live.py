"""The live process: a child of ``manage.py serve`` that is replaced when it dies."""

import logging
import os
import subprocess
import sys
import threading

from sessions_store.embedded import parent_process

STOP_SECONDS = 10.0
RESTART_SECONDS = 0.5
"""From an end to the next start, so that one that cannot start does not keep a processor busy."""

_logger = logging.getLogger(__name__)


class LiveProcess:
    """``manage.py serve --only live``, for use in a ``with`` statement."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._begun = threading.Event()
        # Linux ends a child with the thread that started it: this one starts them all.
        self._thread = threading.Thread(target=self._keep_running, name="live", daemon=True)

    def __enter__(self) -> "LiveProcess":
        self._thread.start()
        # The server forks its workers next: one that is forked while a child is started keeps the
        # pipe open by which the starting thread learns that it is done, and that waits for ever.
        self._begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            try:
                process = self._launch()
            finally:
                self._begun.set()
            while process.poll() is None and not self._stopping.wait(0.1):
                pass
            if not self._stopping.is_set():
                _logger.error("The live process ended and is started again")
                self._stopping.wait(RESTART_SECONDS)
        _end(process)

    @staticmethod
    def _launch() -> "subprocess.Popen[bytes]":
        end_with_us = [sys.executable, "-I", "-S", parent_process.__file__, str(os.getpid())]
        command = [sys.executable, sys.argv[0], "serve", "--only", "live", "--verbosity", "0"]
        return subprocess.Popen(  # noqa: S603  # itself
            [*end_with_us, *command],
            stdin=subprocess.DEVNULL,
            # Out of the terminal's process group: Ctrl-C reaches the service, which then stops it.
            start_new_session=True,
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
