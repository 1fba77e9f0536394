"""The client on a Cluster and under Sentinel: what it waits for, follows and survives."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.crc import key_slot

from agent_conversations.store.keys import READINESS_KEYS
from agent_conversations.store.repository import ConversationRepository
from sessions_store.errors import NotAcknowledgedError, StoreUnavailableError
from sessions_store.redis import deadline, sentinel
from sessions_store.redis.client import StoreClient
from sessions_store.redis.deployment import without_credentials
from sessions_store.redis.rate_limit import RateLimiter
from sessions_store.redis.server_checks import check_server
from sessions_store.repository import SessionRepository
from tests.agent_conversations.store.records import new, said
from tests.deployments import (
    FAILURE_MS,
    HOST,
    PATIENCE_MS,
    SERVICE,
    ClusterServers,
    SentinelServers,
    Server,
    cluster_servers,
    sentinel_servers,
)
from tests.sessions_store.records import session
from tests.tls import TLS_KINDS, Certificates, tls_in_front_of, tls_in_front_of_port
from tests.waiting import wait_until

KEYS = [f"key-{number}" for number in range(40)]


@pytest.fixture
def cluster_store(cluster: ClusterServers) -> StoreClient:
    cluster.flush()
    return StoreClient.from_url(cluster.url)


@contextmanager
def hanging(*servers: Server) -> Iterator[None]:
    for server in servers:
        os.kill(server.running.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for server in servers:
            os.kill(server.running.pid, signal.SIGCONT)


@contextmanager
def bounded() -> Iterator[None]:
    """A request, which ends within its time."""
    began = time.monotonic()
    deadline.begin()
    try:
        yield
    finally:
        deadline.end()
    assert time.monotonic() - began < 2.5


def keys_of(cluster: ClusterServers, server: Server) -> list[str]:
    """Return those of KEYS whose slot a server has."""
    ranges = [
        (first, last)
        for first, last, (_, port, *_), *_ in server.client.execute_command("CLUSTER SLOTS")
        if port == server.port
    ]
    return [
        key
        for key in KEYS
        if any(first <= key_slot(key.encode()) <= last for first, last in ranges)
    ]


def set_all(store: StoreClient) -> None:
    store.set_many([("SET", key, key) for key in KEYS])


def test_keys_of_all_nodes_are_written_read_and_scanned(
    cluster_store: StoreClient, cluster_client: Any
) -> None:
    set_all(cluster_store)

    assert [cluster_client.get(key) for key in KEYS] == [key.encode() for key in KEYS]
    found = cluster_store.read_many([("GET", key) for key in KEYS])
    assert found == [key.encode() for key in KEYS]
    assert sorted(key for batch in cluster_store.scan("key-*") for key in batch) == sorted(KEYS)
    assert all(cluster_store.exist(KEYS))


def test_node_that_hangs_leaves_the_others_alone(
    cluster: ClusterServers, cluster_store: StoreClient
) -> None:
    set_all(cluster_store)
    slow = cluster.primaries()[0]
    theirs = keys_of(cluster, slow)
    ours = next(key for key in KEYS if key not in theirs)

    with hanging(slow):
        with bounded(), pytest.raises(StoreUnavailableError) as caught:
            cluster_store.get(theirs[0])
        with pytest.raises(StoreUnavailableError) as refused:
            cluster_store.get(theirs[0])
        assert cluster_store.get(ours) == ours.encode()
        for _ in range(20):
            cluster_store.ping()  # any node is asked that replies

    assert (caught.value.cause, refused.value.cause) == ("TimeoutError", "circuit breaker open")
    wait_until(lambda: _get(cluster_store, theirs[0]) == theirs[0].encode())
    wait_until(lambda: len(cluster.primaries()) == 3)


def _get(store: StoreClient, key: str) -> bytes | None:
    try:
        return store.get(key)
    except StoreUnavailableError:
        return None


@pytest.mark.parametrize("is_known", [True, False])
def test_cluster_that_hangs_is_given_up_in_time(cluster: ClusterServers, *, is_known: bool) -> None:
    store = StoreClient.from_url(cluster.url)
    if is_known:
        store.get("key")

    with hanging(*cluster.servers), bounded(), pytest.raises(StoreUnavailableError):
        store.get("key")

    wait_until(lambda: len(cluster.primaries()) == 3)
    wait_until(lambda: all(_takes_writes(one) for one in cluster.primaries()))


def _takes_writes(server: Server) -> bool:
    return bool(server.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def test_slot_on_its_way_is_found_where_it_is(
    cluster: ClusterServers, cluster_store: StoreClient
) -> None:
    source, target, _ = cluster.primaries()
    key, *_ = keys_of(cluster, source)
    slot = key_slot(key.encode())
    ids = [one.client.execute_command("CLUSTER MYID") for one in (source, target)]
    cluster_store.set_many([("SET", key, "before")])
    target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
    source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
    try:
        assert cluster_store.get(key) == b"before"
        source.client.migrate("127.0.0.1", target.port, key, 0, 1000)
        assert cluster_store.get(key) == b"before"
        assert cluster_store.exist([key]) == [True]
        cluster_store.transaction([("SET", key, "asked"), ("EXPIRE", key, 60)])
        script = cluster_store.script("sessions_store", "get_session")
        target.client.script_flush()
        assert script(session_key=key, default_ttl_seconds=1)[0] == b"asked"
        # One of two keys has not come yet.
        both = [key, f"{{{key}}}:other"]
        with pytest.raises(StoreUnavailableError) as caught:
            cluster_store.call(lambda client: client.mget(both), key=key)
        assert caught.value.cause in ("TRYAGAIN", "ASK")
    finally:
        for server in (target, source):
            server.client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])

    assert cluster_store.get(key) == b"asked"
    assert cluster_store.get(key) == b"asked"


def test_script_is_sent_to_each_node_that_lacks_it(
    cluster: ClusterServers, cluster_store: StoreClient
) -> None:
    script = cluster_store.pipelined_script("sessions_store", "get_session")
    set_all(cluster_store)
    for server in cluster.servers:
        server.client.script_flush()

    replies = script({"session_key": key, "default_ttl_seconds": 60} for key in KEYS)

    assert [reply[0] for reply in replies] == [key.encode() for key in KEYS]


def test_uses_are_counted_on_each_kind_of_deployment(store: StoreClient) -> None:
    limiter = RateLimiter(store, "tests", "2/hour")

    waits = [[limiter.seconds_to_wait(f"client-{one}") for _ in range(3)] for one in range(5)]

    assert [[wait > 0 for wait in three] for three in waits] == [[False, False, True]] * 5


def test_problems_of_any_node_are_told(cluster: ClusterServers, cluster_store: StoreClient) -> None:
    third = cluster.primaries()[2]
    third.client.config_set("maxmemory", 1)
    try:
        found = check_server(cluster_store, READINESS_KEYS)
    finally:
        third.client.config_set("maxmemory", 0)

    assert [one.code for one in found] == ["no_persistence", "out_of_memory"]
    assert found[1].message.startswith(f"{third.address}: OOM: ")
    assert not any(one.refuses_writes for one in found), "the others take them"


def test_single_server_named_as_a_cluster_is_told(sentinels: SentinelServers) -> None:
    store = StoreClient.from_url(f"redis+cluster://{sentinels.primary().address}")

    (found,) = check_server(store, READINESS_KEYS)

    assert (found.code, found.refuses_writes) == ("not_a_cluster", True)
    assert "Write redis:// in place" in found.message


def test_node_named_as_a_single_server_is_told_the_url(cluster: ClusterServers) -> None:
    store = StoreClient.from_url(f"redis://{cluster.servers[0].address}")

    found = check_server(store, READINESS_KEYS)

    assert found[0].code == "cluster"
    assert f"Write redis+cluster://{cluster.servers[0].address} " in found[0].message


@pytest.fixture
def silent_ports() -> Iterator[list[int]]:
    """Ports on which connections are made, and nobody replies."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        yield [listener.getsockname()[1] for listener in listeners]


def test_sentinels_that_hang_are_given_up_in_time(silent_ports: list[int]) -> None:
    hosts = ",".join(f"127.0.0.1:{port}" for port in silent_ports)
    store = StoreClient.from_url(f"redis+sentinel://{hosts}/conversations")

    with bounded(), pytest.raises(StoreUnavailableError) as caught:
        store.ping()

    assert caught.value.cause == "NOPRIMARY"


def test_unknown_service_has_no_primary(sentinels: SentinelServers) -> None:
    store = StoreClient.from_url(sentinels.url.replace(SERVICE, "another"))

    with pytest.raises(StoreUnavailableError) as caught:
        store.ping()

    assert caught.value.cause == "NOPRIMARY"


def test_second_sentinel_is_asked_where_the_first_hangs(
    sentinels: SentinelServers, silent_ports: list[int]
) -> None:
    url = sentinels.url.replace("://", f"://127.0.0.1:{silent_ports[0]},")

    with bounded():
        StoreClient.from_url(url).ping()


def test_old_primary_that_stays_one_is_left(tmp_path: Path) -> None:
    # As in a network that is split, or where a failover follows on another before sentinels have
    # made a replica of the first one's primary.
    with sentinel_servers(tmp_path, failure_ms=PATIENCE_MS, replicas=1) as several:
        store = StoreClient.from_url(several.url)
        old, new = several.primary(), several.servers[1]
        store.set_many([("SET", "key", "before")])
        new.client.replicaof("NO", "ONE")
        for port in several.sentinel_ports:
            with Redis(port=port, protocol=2) as one:
                one.sentinel_remove(SERVICE)
                one.sentinel_monitor(SERVICE, HOST, new.port, 2)

        def is_written_to_new() -> bool:
            store.set_many([("SET", "key", "after")])
            return bool(new.client.get("key") == b"after")

        wait_until(is_written_to_new)
        old.client.delete("key")
        assert store.get("key") == b"after"


def test_primary_is_used_while_no_sentinel_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentinel, "RECHECK_SECONDS", 0)
    monkeypatch.setattr(sentinel, "_PAUSE_FACTOR", 0)
    with sentinel_servers(tmp_path, failure_ms=PATIENCE_MS, replicas=1) as several:
        store = StoreClient.from_url(several.url)
        store.ping()
        for port in several.sentinel_ports:
            with socket.create_connection((HOST, port)) as one:
                one.sendall(b"SHUTDOWN\r\n")
                assert one.recv(1) == b""

        store.set_many([("SET", "key", "after")])

        assert several.servers[0].client.get("key") == b"after"


@pytest.mark.parametrize("kind", ["sentinels", "cluster"])
def test_write_without_its_replicas_may_have_happened(
    request: pytest.FixtureRequest, kind: str
) -> None:
    servers: SentinelServers | ClusterServers = request.getfixturevalue(kind)
    for primary in servers.primaries():
        primary.client.flushall()
    replicas = [one for one in servers.servers if one.client.role()[0] == b"slave"]
    acks = len(replicas) // len(servers.primaries())
    store = StoreClient.from_url(servers.url, write_acks=acks)
    conversations, sessions = ConversationRepository(store), SessionRepository(store)
    append = partial(conversations.append_message, "c-1", said(messageId="m-1"))
    register = partial(sessions.set, "c-1", session())
    operations: set[str] = set()
    store.observe = lambda operation, *_: operations.add(operation)
    conversations.create(new("c-1"), idempotency_key="k")
    assert check_server(store, READINESS_KEYS)[0].code == "no_persistence"

    with hanging(*replicas):
        # Also where a repetition finds all done.
        for write in (append, append, register, partial(sessions.delete, "c-1")):
            with bounded(), pytest.raises(NotAcknowledgedError, match="may have happened"):
                write()
        assert conversations.get("c-1").message_count == 1

    assert append().replayed
    register()
    assert sessions.delete("c-1")
    assert {"create_conversation", "append_messages", "delete_session"} <= operations
    too_many = StoreClient.from_url(servers.url, write_acks=acks + 1)
    assert "too_few_replicas" in [one.code for one in check_server(too_many, READINESS_KEYS)]


def test_cluster_over_tls_is_used_as_any_other(tmp_path: Path, certificates: Certificates) -> None:
    with ExitStack() as stack:
        servers = stack.enter_context(
            cluster_servers(tmp_path, failure_ms=PATIENCE_MS, replicas=0)
        ).servers
        urls = [
            stack.enter_context(tls_in_front_of(one.running, certificates, TLS_KINDS[0]))
            for one in servers
        ]
        for server, url in zip(servers, urls, strict=True):
            # So that nodes name each other as clients have to know them.
            server.client.config_set("cluster-announce-port", urlsplit(url).port)
        ports = {urlsplit(url).port for url in urls}
        wait_until(
            lambda: (
                ports
                == {
                    port
                    for _, _, (_, port, *_) in servers[0].client.execute_command("CLUSTER SLOTS")
                }
            )
        )
        store = StoreClient.from_url(urls[0].replace("rediss://", "rediss+cluster://"))

        set_all(store)

        assert all(store.exist(KEYS))
        assert [one.client.dbsize() > 0 for one in servers] == [True] * 3
        for node in store.nodes():
            node.client.close()


def test_failover_under_sentinel_over_tls_leaves_the_sessions(
    tmp_path: Path, certificates: Certificates
) -> None:
    with ExitStack() as stack:
        several = stack.enter_context(sentinel_servers(tmp_path, failure_ms=FAILURE_MS))
        ports = {
            one.port: stack.enter_context(tls_in_front_of_port(one.port, certificates))
            for one in several.servers
        }
        sentinel_ports = [
            stack.enter_context(tls_in_front_of_port(port, certificates, ports))
            for port in several.sentinel_ports
        ]
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinel_ports)
        url = f"rediss+sentinel://{hosts}/{SERVICE}/0"
        store = StoreClient.from_url(f"{url}?ssl_ca_certs={certificates.ca}")
        sessions = SessionRepository(store)
        sessions.set("c-1", session())
        victim = several.primary()
        assert victim.client.exists("elevenlabs:session:c-1")
        acknowledged = StoreClient.from_url(f"{url}?ssl_ca_certs={certificates.ca}", write_acks=2)
        acknowledged.write(("SET", "c-1", "before"), operation="set")  # the replicas have it all

        os.kill(victim.running.pid, signal.SIGKILL)
        victim.running.stop()

        def is_written() -> bool:
            with suppress(StoreUnavailableError):
                sessions.set("c-2", session())
                return True
            return False

        wait_until(is_written)
        wait_until(lambda: several.primary() is not victim)
        assert sessions.get("c-1") is not None
        with pytest.raises(StoreUnavailableError):  # whoever does not trust the CA is let down
            StoreClient.from_url(url).ping()
        for one in (store, acknowledged):
            one.node_of("any").client.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://user:secret@redis.example:6380/1?timeout=2", "rediss://redis.example:6380/1"),
        ("redis://:p@secret@redis.example", "redis://redis.example"),
        ("redis://redis.example/0?password=secret", "redis://redis.example/0"),
        ("redis://redis.example/0?password=a@secret", "redis://…"),
        ("redis://secret#more@redis.example", "redis://…"),
        ("redis://secret?more@redis.example", "redis://…"),
        ("redis://:12/secret@redis.example", "redis://…"),
        ("redis://user:p?secret@redis.example", "an invalid URL"),
        ("redis+cluster://me:secret@a:1,[::1]:2", "redis+cluster://a:1,[::1]:2"),
        ("redis+sentinel://a:1,b/service/0?password=secret", "redis+sentinel://a:1,b/service/0"),
        ("unix:///var/run/valkey.sock?password=secret", "unix:///var/run/valkey.sock"),
    ],
)
def test_url_is_shown_without_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
