"""Connections to a Redis that fails over, forgets connections, or takes few of them."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from redis import Redis

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import connections, deadline
from sessions_store.redis.circuit_breaker import OPEN_SECONDS
from sessions_store.redis.client import StoreClient
from sessions_store.redis.rate_limit import RateLimiter
from tests.faults.relay import Relay
from tests.faults.servers import free_port
from tests.tls import TLS_KINDS, Certificates, tls_in_front_of

POOLED = 4
T = TypeVar("T")


@pytest.fixture
def relay(stoppable_server: EmbeddedServer, tmp_path: Path) -> Iterator[Relay]:
    """The address of ``stoppable_server``, until it leads elsewhere."""
    running = Relay(tmp_path / "relay.sock", stoppable_server.socket)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def relayed(relay: Relay) -> Iterator[StoreClient]:
    """A client with ``POOLED`` idle connections through the relay."""
    client = StoreClient.from_url(relay.url)
    use_all_connections(client)
    yield client
    client.bare(lambda client: client.close())


def at_once(act: Callable[[], T]) -> list[T]:
    """Return what ``act`` returns to each of ``POOLED`` threads."""
    with ThreadPoolExecutor(POOLED) as threads:
        return list(threads.map(lambda _: act(), range(POOLED)))


def use_all_connections(store: StoreClient) -> None:
    together = threading.Barrier(POOLED)

    def hold(client: Redis) -> None:
        with client.pipeline() as pipeline:
            pipeline.watch("n")  # type: ignore[no-untyped-call]  # redis-py's
            together.wait(5)

    at_once(lambda: store.call(hold))


def become_replica(relay: Relay, old: Redis, new: Redis, new_port: int) -> None:
    old.replicaof("127.0.0.1", str(new_port))


def lose_its_primary(relay: Relay, old: Redis, new: Redis, new_port: int) -> None:
    old.config_set("replica-serve-stale-data", "no")
    old.replicaof("127.0.0.1", str(free_port()))


def load_from_its_primary(relay: Relay, old: Redis, new: Redis, new_port: int) -> None:
    """Load so slowly that it lasts for the rest of the test."""
    new.mset({f"filler:{number}": "x" * 1024 for number in range(1000)})
    new.config_set("repl-diskless-sync-delay", 0)
    old.config_set("key-load-delay", 20_000)
    old.config_set("loading-process-events-interval-bytes", 1024)
    old.replicaof("127.0.0.1", str(new_port))
    ends = time.monotonic() + 10
    while not old.info("persistence")["loading"] and time.monotonic() < ends:
        time.sleep(0.02)


def close_connections(relay: Relay, old: Redis, new: Redis, new_port: int) -> None:
    relay.cut_all()


@pytest.mark.parametrize(
    "demote",
    [become_replica, lose_its_primary, load_from_its_primary, close_connections],
    ids=["READONLY", "MASTERDOWN", "LOADING", "closed"],
)
def test_every_connection_leaves_a_demoted_primary(
    stoppable_server: EmbeddedServer,
    relay: Relay,
    relayed: StoreClient,
    tmp_path: Path,
    demote: Callable[[Relay, Redis, Redis, int], None],
) -> None:
    limit = RateLimiter(relayed, "sessions", "100/min")
    port = free_port()
    options = {"port": str(port), "appendonly": "no", "shutdown-timeout": "0"}
    with EmbeddedServer(tmp_path / "successor", options) as successor:
        old = Redis.from_url(stoppable_server.url, protocol=2)
        new = Redis.from_url(successor.url, protocol=2)
        demote(relay, old, new, port)
        relay.lead_to(successor.socket)

        # Neither the command nor the script is repeatable: each counts.
        counts = at_once(lambda: relayed.call(lambda client: client.incr("n")))
        waits = at_once(lambda: limit.seconds_to_wait("client"))

        assert sorted(counts) == [1, 2, 3, 4]
        assert waits == [0.0] * POOLED
        assert new.get("n") == b"4"
        old.close()
        new.close()


def test_connection_in_use_at_a_failover_is_not_used_again(
    stoppable_server: EmbeddedServer, relay: Relay, relayed: StoreClient, tmp_path: Path
) -> None:
    with EmbeddedServer(tmp_path / "successor", {"appendonly": "no"}) as successor:
        old = Redis.from_url(stoppable_server.url, protocol=2)

        def fail_over_meanwhile(client: Redis) -> None:
            with client.pipeline(transaction=True) as pipeline:
                pipeline.watch("n")  # type: ignore[no-untyped-call]  # redis-py's
                old.replicaof("127.0.0.1", str(free_port()))
                relay.lead_to(successor.socket)
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(relayed.call, lambda other: other.incr("n")).result()

        relayed.call(fail_over_meanwhile)

        assert relayed.call(lambda client: client.incr("n")) == 2
        assert old.info("errorstats")["errorstat_READONLY"] == {"count": 1}
        old.close()


def test_connection_idle_for_long_is_replaced(
    relay: Relay, relayed: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_IDLE_SECONDS", 0.1)
    relay.forget_all()
    time.sleep(0.15)

    use_all_connections(relayed)


def test_other_connections_are_given_up_after_a_timeout(relay: Relay, relayed: StoreClient) -> None:
    relay.forget_all()
    with pytest.raises(StoreUnavailableError):
        relayed.ping()
    time.sleep(OPEN_SECONDS)
    relayed.ping()

    use_all_connections(relayed)


@pytest.mark.parametrize("kind", TLS_KINDS)
def test_every_new_connection_over_tls_works(
    server: EmbeddedServer, certificates: Certificates, kind: str
) -> None:
    # Session tickets come after the handshake: they are no reply that was left unread.
    with tls_in_front_of(server, certificates, kind) as url:
        store = StoreClient.from_url(url)
        for _ in range(30):
            store.ping()
            store.ping()
            store.bare(lambda client: client.close())


def test_server_of_an_unknown_authority_is_not_trusted(
    server: EmbeddedServer, certificates: Certificates
) -> None:
    with tls_in_front_of(server, certificates, "nothing") as url:
        store = StoreClient.from_url(url.partition("?")[0])

        with pytest.raises(StoreUnavailableError):
            store.ping()


def test_connections_are_kept_alive(tmp_path: Path) -> None:
    port = free_port()
    with EmbeddedServer(tmp_path, {"port": str(port), "appendonly": "no"}):
        store = StoreClient.from_url(f"redis://127.0.0.1:{port}")
        store.ping()

        # The remote address, and the timer that runs: 02 is that of keep-alive.
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        timers = [row[5] for row in rows if row[2] == f"0100007F:{port:04X}"]

        assert [timer[:2] for timer in timers] == ["02"]
        store.bare(lambda client: client.close())


def test_commands_wait_for_one_of_few_connections(
    real_redis: Redis, server: EmbeddedServer
) -> None:
    store = StoreClient.from_url(f"{server.url}?max_connections=2&client_name=few")
    most = 0

    def count_connections(_: int) -> None:
        nonlocal most
        named = store.call(lambda client: client.client_list())
        most = max(most, sum(one["name"] == "few" for one in named))

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(count_connections, range(600)))

    assert most == 2
    store.bare(lambda client: client.close())


@pytest.mark.parametrize("over_tcp", [True, False])
def test_commands_wait_where_the_server_takes_few_connections(
    tmp_path: Path, *, over_tcp: bool
) -> None:
    port = free_port()
    with EmbeddedServer(tmp_path, {"port": str(port), "maxclients": "8"}) as server:
        url = f"redis://127.0.0.1:{port}" if over_tcp else server.url
        workers = [StoreClient.from_url(url) for _ in range(2)]

        def count(number: int) -> None:
            deadline.begin()
            workers[number % 2].call(lambda client: client.incr("n"))
            deadline.end()

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(count, range(300)))

        assert workers[0].get("n") == b"300"
        for store in workers:
            store.bare(lambda client: client.close())


def test_last_connections_are_not_kept_from_another_process(tmp_path: Path) -> None:
    # Nobody refuses the first one anything: it has as many as it needs, and the server no more.
    with EmbeddedServer(tmp_path, {"maxclients": "4"}) as server:
        first, second = (StoreClient.from_url(server.url) for _ in range(2))
        together = threading.Barrier(4)

        def hold(_: int) -> object:
            together.wait(10)
            return first.call(lambda client: client.blpop(["nothing"], 0.1))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(hold, range(4)))

        deadline.begin()
        second.ping()
        deadline.end()
        first.ping()


def test_proxy_whose_server_is_gone_is_asked_twice() -> None:
    # It takes what it is sent, and closes: no server that is full would read it.
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        asked: list[bytes] = []

        def take() -> None:
            with suppress(OSError):  # the end of the test
                while True:
                    connection, _ = proxy.accept()
                    with connection:
                        asked.append(connection.recv(1024))

        taking = threading.Thread(target=take, daemon=True)
        taking.start()
        store = StoreClient.from_url(f"redis://127.0.0.1:{proxy.getsockname()[1]}")

        with pytest.raises(StoreUnavailableError):
            store.ping()

        assert len(asked) == 2
        proxy.shutdown(socket.SHUT_RDWR)
        taking.join()


def test_full_server_is_not_asked_for_ever_without_a_request(tmp_path: Path) -> None:
    with (
        EmbeddedServer(tmp_path, {"maxclients": "1"}) as server,
        Redis(unix_socket_path=str(server.socket)) as only_client,
        ThreadPoolExecutor(1) as thread,
    ):
        only_client.ping()
        asked = thread.submit(StoreClient.from_url(server.url).ping)
        try:
            with pytest.raises(StoreUnavailableError):
                asked.result(timeout=10)
        finally:
            only_client.connection_pool.disconnect()  # so that the thread ends in any case
