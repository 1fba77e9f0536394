"""Real server processes, and how to hurt them: Redis, and the service itself."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError

from sessions_store.embedded.parent_process import end_with_parent
from sessions_store.embedded.server import EmbeddedServer, server_url, socket_path
from tests.agent_conversations.webhooks import SECRET as WEBHOOK_SECRET
from tests.faults.client import Api
from tests.faults.relay import Relay

PROJECT_DIR = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
_FILLERS = 1000
_SCRIPT_COMMANDS = ("zadd", "zrange", "pttl", "set", "del", "unlink")
"""Commands in the middle of the scripts: at least one that each of the ten routes needs."""

_FIRST_COMMANDS = ("hmget", "zcard", "get", "set", "del", "exists")
"""The commands that scripts, and what is no script, begin with."""


_ports = range(20_000, 30_000)  # Linux gives out those from 32,768 on
_given_ports: set[int] = set()


def free_port() -> int:
    """Return a port on which nothing listens, and which no outgoing connection will be given.

    Each is given once: nothing may listen yet on one that was given before.
    """
    while True:
        port = secrets.choice(_ports)
        if port in _given_ports:
            continue
        _given_ports.add(port)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """The bundled server on a folder of its own, which keeps what it has acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.url = server_url(folder)
        self.socket = socket_path(folder)
        self._folder = folder
        self._running: EmbeddedServer | None = None
        # A child ends with the thread that started it (PR_SET_PDEATHSIG), so one thread, which
        # lives as long as this object does, starts them all.
        self._starter = ThreadPoolExecutor(1, "redis-starter")

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    def begin_start(self, **options: str) -> "Future[None]":
        """Start the server; the future is done when it replies."""
        self._running = EmbeddedServer(self._folder, {"appendfsync": "always", **options})
        return self._starter.submit(self._running.start)

    def start(self) -> None:
        self.begin_start().result(START_SECONDS)

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, nothing is saved."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def close(self) -> None:
        self.stop()
        self._starter.shutdown()

    @contextmanager
    def client(self) -> Iterator["Redis"]:
        """A plain client, past the service and past any relay."""
        client = Redis.from_url(self.url, protocol=2, socket_timeout=5)
        try:
            yield client
        finally:
            client.close()

    # --- Outages: each lasts as long as its block -------------------------------------------------

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def restarting(self) -> Iterator[None]:
        self.kill()
        restart = self.begin_start()
        try:
            yield
        finally:
            restart.result(START_SECONDS)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Start it on a data set that it takes long to load, and speed it up at the end."""
        with self.client() as client:
            for number in range(_FILLERS):
                client.set(f"filler:{number}", os.urandom(1024))
            client.bgrewriteaof()
            _wait_for_rewrite(client)
        self.kill()
        # Microseconds for each key; and it looks for commands after each 1,024 bytes.
        loaded = self.begin_start(
            **{"key-load-delay": "10000", "loading-process-events-interval-bytes": "1024"}
        )
        try:
            with self.client() as client:
                _wait_for_loading(client)
                try:
                    yield
                finally:
                    client.config_set("key-load-delay", 0)
        finally:
            loaded.result(START_SECONDS)
            with self.client() as client:
                client.delete(*(f"filler:{number}" for number in range(_FILLERS)))

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Make it a replica of a server that is not there, so that it keeps its data."""
        with self.client() as client:
            client.replicaof("127.0.0.1", str(free_port()))
            try:
                yield
            finally:
                client.replicaof("NO", "ONE")

    @contextmanager
    def out_of_memory(self) -> Iterator[None]:
        with self.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)

    @contextmanager
    def denying(self, *commands: str) -> Iterator[None]:
        """Deny some commands to the service (ACL)."""
        with self.client() as client:
            client.acl_setuser("default", enabled=True, commands=[f"-{one}" for one in commands])
            try:
                yield
            finally:
                client.acl_setuser("default", enabled=True, categories=["+@all"])

    @contextmanager
    def failing_at_once(self) -> Iterator[None]:
        """Let every script, and the commands that are none, fail at its beginning."""
        with self.denying(*_FIRST_COMMANDS):
            yield

    @contextmanager
    def failing_scripts(self) -> Iterator[None]:
        """Let every script, and the commands that are none, fail in its middle."""
        with self.denying(*_SCRIPT_COMMANDS):
            yield


def _wait_for_rewrite(client: "Redis") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        info = client.info("persistence")
        if not (info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]):
            return
        time.sleep(0.02)
    raise TimeoutError("the append-only file was not rewritten")


def _wait_for_loading(client: "Redis") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            client.ping()
        except BusyLoadingError:
            return
        except RedisError:
            pass
        time.sleep(0.01)
    raise TimeoutError("the server was never seen loading")


class Service:
    """``manage.py serve`` on a port of its own.

    Args:
        redis_url: empty for the bundled server, which the service then starts itself.
        live: whether the live process is served too.
        variables: further environment variables.
    """

    def __init__(
        self, folder: Path, redis_url: str = "", *, live: bool = False, **variables: str
    ) -> None:
        self.port = free_port()
        self.live_port = free_port()
        self._has_live = live
        self._arguments = () if live else ("--only", "rest")
        self.api = Api(self.port)
        self._folder = folder
        self.redis_url = redis_url
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until all of it responds. To be called from the main thread."""
        self._folder.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", ""),
            "TMPDIR": tempfile.gettempdir(),
            "PORT": str(self.port),
            "LIVE_PORT": str(self.live_port),
            "DATA_DIR": str(self._folder),
            "REDIS_URL": self.redis_url,
            "ELEVENLABS_AGENT_ENABLED": "true",
            "LOG_LEVEL": "WARNING",
            **self._variables,
        }
        with (self._folder / "service.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", *self._arguments],
                cwd=PROJECT_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, os.getpid()),  # noqa: PLW1509  # one system call
            )
        deadline = time.monotonic() + START_SECONDS
        ports = [self.port, self.live_port] if self._has_live else [self.port]
        while self._process.poll() is None and time.monotonic() < deadline:
            if all(Api(port).send("GET", "/health/live").status == 200 for port in ports):
                return
            time.sleep(0.02)
        log_text = (self._folder / "service.log").read_text("utf-8", "replace")
        raise RuntimeError(f"the service did not start:\n{log_text}")

    def stop(self) -> None:
        """Stop it; return when it and its workers have ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would; return when its workers have noticed and ended."""
        self._end(signal.SIGKILL)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def worker_pids(self) -> list[int]:
        """Return the processes that handle requests: its children, but for Redis's."""
        others = ("valkey-server", "resource_tracker", "forkserver", "--only live")
        return [
            process.pid
            for process in living_processes()
            if process.parent == self.pid and not any(name in process.command for name in others)
        ]

    def live_pid(self) -> int:
        """Return the live process."""
        (found,) = [
            process.pid
            for process in living_processes()
            if process.parent == self.pid and "--only live" in process.command
        ]
        return found

    def logged(self, text: str) -> int:
        """Return how often its log has a text."""
        return (self._folder / "service.log").read_text("utf-8", "replace").count(text)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        group = self._process.pid
        self._process.send_signal(how)
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        # Its workers are in the group that it led.
        deadline = time.monotonic() + START_SECONDS
        while left := [process for process in living_processes() if process.group == group]:
            if time.monotonic() > deadline:
                for process in left:
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.02)


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    group: int
    command: str


def living_processes() -> list[_Process]:
    table = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = []
    for line in table.splitlines():
        pid, parent, group, state, command = (*line.split(None, 4), "")[:5]
        if "Z" not in state:
            found.append(_Process(int(pid), int(parent), int(group), command))
    return found


@dataclass(frozen=True)
class Rig:
    """A service on a Redis server; ``relay`` is between them where there is one."""

    redis: RedisServer
    service: Service
    relay: Relay | None = None

    @property
    def api(self) -> Api:
        return self.service.api

    def reset(self) -> None:
        """Empty Redis, and wait until the service has recovered from the last fault."""
        with self.redis.client() as client:
            client.flushall()
        deadline = time.monotonic() + START_SECONDS
        in_a_row = 0
        while in_a_row < 16:  # each of its workers has to
            if self.api.send("GET", "/health/ready").status == 200:
                in_a_row += 1
                continue
            if time.monotonic() > deadline:
                raise TimeoutError("the service did not recover")
            in_a_row = 0
            time.sleep(0.02)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder with a short path: a Unix socket's may have 103 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mounted_small_disk(folder: Path) -> Iterator[None]:
    """Make a folder a disk of its own, of 8 MiB, which only root may do."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        raise PermissionError("a small disk cannot be mounted")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Fill the disk of a folder with one file, and return it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


@contextmanager
def rig(*, relayed: bool = False, live: bool = False) -> Iterator[Rig]:
    """Start a Redis server and a service on it.

    Args:
        relayed: whether with a relay between them.
        live: whether the live process is served too.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        redis = RedisServer(folder / "redis")
        stack.callback(redis.close)
        redis.start()
        relay = None
        if relayed:
            relay = Relay(folder / "relay.sock", redis.socket)
            relay.start()
            stack.callback(relay.stop)
        url = relay.url if relay else redis.url
        service = Service(
            folder / "service", url, live=live, ELEVENLABS_WEBHOOK_SECRETS=WEBHOOK_SECRET
        )
        stack.callback(service.stop)
        service.start()
        yield Rig(redis, service, relay)
