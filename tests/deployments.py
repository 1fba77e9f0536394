"""Deployments of more than one server, on loopback ports of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from sessions_store.embedded import parent_process
from sessions_store.embedded.server import EmbeddedServer, server_binary
from tests.faults.servers import free_port
from tests.waiting import wait_until

HOST = "127.0.0.1"
SERVICE = "conversations"
SLOTS = 16_384
FAILURE_MS = 1_000
"""After which a node or a primary that does not reply is taken for gone, where that is tested."""

PATIENCE_MS = 60_000
"""The same for servers that many tests share: a busy machine may stop one for a second."""

_NONE: Mapping[str, str] = {}
_OPTIONS = {"bind": HOST, "repl-diskless-sync-delay": "0", "appendonly": "no"}


@dataclass
class Server:
    """A server with a TCP port, and a client of it that goes around all others."""

    running: EmbeddedServer
    port: int
    client: Any

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


@dataclass(frozen=True)
class ClusterServers:
    """The servers of a cluster; the first half of them began as primaries."""

    servers: Sequence[Server]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(server.address for server in self.servers)

    def primaries(self) -> Sequence[Server]:
        return [one for one in self.servers if one.client.role()[0] == b"master"]

    def flush(self) -> None:
        for server in self.primaries():
            server.client.flushall()


@dataclass(frozen=True)
class SentinelServers:
    """A primary with replicas, and the ports of its sentinels."""

    servers: Sequence[Server]
    sentinel_ports: Sequence[int]

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def primary(self) -> Server:
        with Redis(host=HOST, port=self.sentinel_ports[0], protocol=2) as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SERVICE)
        return next(one for one in self.servers if one.port == int(port))

    def primaries(self) -> Sequence[Server]:
        return [self.primary()]


def _start(stack: ExitStack, folder: Path, options: Mapping[str, str]) -> Server:
    port = free_port()
    running = EmbeddedServer(folder, {**_OPTIONS, "port": str(port), **options})
    stack.enter_context(running)
    client = Redis.from_url(running.url, protocol=2)
    stack.callback(client.close)
    return Server(running, port, client)


@contextmanager
def cluster_servers(
    folder: Path,
    *,
    failure_ms: int,
    primaries: int = 3,
    replicas: int = 3,
    options: Mapping[str, str] = _NONE,
) -> Iterator[ClusterServers]:
    """Start a cluster: some 2.5 s."""
    with ExitStack() as stack:
        bus_ports = [free_port() for _ in range(primaries + replicas)]
        servers = [
            _start(
                stack,
                folder / str(number),
                {
                    "cluster-enabled": "yes",
                    "cluster-port": str(bus_port),
                    "cluster-node-timeout": str(FAILURE_MS),
                    **options,
                },
            )
            for number, bus_port in enumerate(bus_ports)
        ]
        for number, server in enumerate(servers):
            server.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number < primaries:
                first, last = (SLOTS * one // primaries for one in (number, number + 1))
                server.client.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
        for server in servers:
            for other, bus_port in zip(servers, bus_ports, strict=True):
                if other is not server:
                    server.client.execute_command("CLUSTER MEET", HOST, other.port, bus_port)
        _until(servers, lambda info: info["cluster_known_nodes"] == str(len(servers)))
        for number, server in enumerate(servers[primaries:]):
            primary = servers[number % primaries].client.execute_command("CLUSTER MYID")
            wait_until(lambda: _replicates(server, primary))  # noqa: B023  # called at once
        _until(servers, lambda info: info["cluster_state"] == "ok")
        for server in servers[primaries:]:
            wait_until(lambda: server.client.info()["master_link_status"] == "up")  # noqa: B023
        for server in servers:  # a longer one from the beginning takes longer to begin
            server.client.config_set("cluster-node-timeout", failure_ms)
        yield ClusterServers(servers)


def _until(servers: Sequence[Server], condition: Callable[[Any], bool]) -> None:
    wait_until(
        lambda: all(condition(one.client.execute_command("CLUSTER INFO")) for one in servers)
    )


def _replicates(server: Server, primary: bytes) -> bool:
    try:
        server.client.execute_command("CLUSTER REPLICATE", primary)
    except RedisError:  # it has not heard of the other
        return False
    return True


@contextmanager
def sentinel_servers(
    folder: Path, *, failure_ms: int, replicas: int = 2, options: Mapping[str, str] = _NONE
) -> Iterator[SentinelServers]:
    """Start a primary, its replicas and three sentinels."""
    with ExitStack() as stack:
        primary = _start(stack, folder / "primary", options)
        following = {"replicaof": f"{HOST} {primary.port}", **options}
        servers = [primary] + [
            _start(stack, folder / f"replica-{number}", following) for number in range(replicas)
        ]
        wait_until(lambda: primary.client.info()["connected_slaves"] == replicas)
        ports = [free_port() for _ in range(3)]
        sentinels = [
            stack.enter_context(
                _sentinel(folder / f"sentinel-{port}", port, primary.port, failure_ms)
            )
            for port in ports
        ]
        for sentinel in sentinels:
            wait_until(lambda: _knows_all(sentinel, replicas))  # noqa: B023  # called at once
        yield SentinelServers(servers, ports)


def _knows_all(sentinel: Any, replicas: int) -> bool:
    try:
        state = sentinel.sentinel_master(SERVICE)
    except RedisError:  # it has not started
        return False
    return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == replicas)


@contextmanager
def _sentinel(folder: Path, port: int, primary_port: int, failure_ms: int) -> Iterator[Redis]:
    folder.mkdir()
    settings = folder / "sentinel.conf"  # to which it writes what it learns
    settings.write_text(
        f"port {port}\nbind {HOST}\ndir {folder}\nlogfile {folder / 'sentinel.log'}\n"
        f"sentinel monitor {SERVICE} {HOST} {primary_port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {failure_ms}\n"
        f"sentinel failover-timeout {SERVICE} {4 * failure_ms}\n",
        "utf-8",
    )
    end_with_us = [sys.executable, "-I", "-S", parent_process.__file__, str(os.getpid())]
    process = subprocess.Popen(
        [*end_with_us, str(server_binary()), str(settings), "--sentinel"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = Redis(host=HOST, port=port, protocol=2)
    try:
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait()
