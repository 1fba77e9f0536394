"""Server checks, run against real servers."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from agent_conversations.store.keys import READINESS_KEYS
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.redis.server_checks import (
    CHECK_INTERVAL_SECONDS,
    ServerProblem,
    SharedCheck,
    check_server,
)
from tests.deployments import FAILURE_MS, PATIENCE_MS, cluster_servers
from tests.faults.servers import fill_disk, free_port
from tests.waiting import wait_until

DURABLE = {"appendonly": "yes"}


def codes(
    tmp_path: Path, options: dict[str, str], *, conversations_expire: bool = False
) -> list[str]:
    with EmbeddedServer(tmp_path, options) as server:
        store = StoreClient.from_url(server.url)
        found = check_server(store, READINESS_KEYS, conversations_expire=conversations_expire)
        return [one.code for one in found]


def test_bundled_server_passes_every_check(tmp_path: Path) -> None:
    assert codes(tmp_path, {}) == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_eviction_of_any_key_is_a_problem(tmp_path: Path, policy: str) -> None:
    assert codes(tmp_path, {"maxmemory-policy": policy}) == ["may_evict"]


def test_eviction_of_expiring_keys_matters_only_with_a_retention(tmp_path: Path) -> None:
    options = {"maxmemory-policy": "volatile-lru"}

    assert codes(tmp_path, options) == []
    assert codes(tmp_path, options, conversations_expire=True) == ["may_evict"]


def test_missing_persistence_is_a_problem(tmp_path: Path) -> None:
    assert codes(tmp_path, {"appendonly": "no"}) == ["no_persistence"]


def test_persistence_by_snapshots_only_is_a_problem(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path, {"appendonly": "no"}) as server:
        Redis.from_url(server.url).save()
        found = check_server(StoreClient.from_url(server.url), READINESS_KEYS)

    assert [one.code for one in found] == ["snapshots_only"]


def test_configured_snapshot_that_has_not_happened_yet_counts(tmp_path: Path) -> None:
    options = {"appendonly": "no", "save": "3600 1"}

    assert codes(tmp_path, options) == ["snapshots_only"]


@contextmanager
def failed_snapshot(server: EmbeddedServer, client: "Redis") -> Iterator[None]:
    """Make a snapshot fail: a folder is where its file should be."""
    folder = server.data_dir / "dump.rdb"
    folder.mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] != "ok")
    yield
    folder.rmdir()
    client.save()


@contextmanager
def setting(client: "Redis", name: str, value: int) -> Iterator[None]:
    before = client.config_get(name)
    client.config_set(name, value)
    yield
    client.config_set(name, str(before[name]))


@contextmanager
def replica(client: "Redis") -> Iterator[None]:
    client.replicaof("127.0.0.1", "1")
    yield
    client.replicaof("NO", "ONE")


@contextmanager
def permissions(client: "Redis", *commands: str) -> Iterator[None]:
    client.acl_setuser("default", enabled=True, commands=list(commands))
    yield
    client.acl_setuser("default", enabled=True, categories=["+@all"])


REFUSALS: dict[str, Callable[[EmbeddedServer, "Redis"], AbstractContextManager[None]]] = {
    "cannot_save: MISCONF: ": failed_snapshot,
    "too_few_replicas: NOREPLICAS: ": lambda _, client: setting(client, "min-replicas-to-write", 1),
    "out_of_memory: OOM: ": lambda _, client: setting(client, "maxmemory", 1),
    "read_only: READONLY: ": lambda _, client: replica(client),
    "not_permitted: NOPERM: ": lambda _, client: permissions(client, "-eval"),
}


@pytest.mark.parametrize(("told", "cause"), REFUSALS.items(), ids=REFUSALS)
def test_refused_write_is_told_with_its_cause(
    stoppable_server: EmbeddedServer,
    stoppable_store: StoreClient,
    told: str,
    cause: Callable[[EmbeddedServer, "Redis"], AbstractContextManager[None]],
) -> None:
    with Redis.from_url(stoppable_server.url, protocol=2) as client:
        with cause(stoppable_server, client):
            found = check_server(stoppable_store, READINESS_KEYS)

        assert found[0].refuses_writes
        assert f"{found[0].code}: {found[0].message}".startswith(told)
        assert found[0].message.endswith(".")
        assert check_server(stoppable_store, READINESS_KEYS) == []


@pytest.mark.parametrize("with_slots", [False, True])
def test_node_of_a_cluster_refuses_writes(tmp_path: Path, *, with_slots: bool) -> None:
    ports = {"port": str(free_port()), "cluster-port": str(free_port()), "bind": "127.0.0.1"}
    with EmbeddedServer(tmp_path, {"cluster-enabled": "yes", **ports}) as server:
        if with_slots:
            with Redis.from_url(server.url, protocol=2) as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        found = check_server(StoreClient.from_url(server.url), READINESS_KEYS)

    assert [(one.code, one.refuses_writes) for one in found] == [("cluster", True)]
    assert "single server" in found[0].message


def test_cluster_is_ready_while_one_of_its_nodes_takes_writes(tmp_path: Path) -> None:
    alone: dict[str, Any] = {"failure_ms": PATIENCE_MS, "primaries": 2, "replicas": 0}
    with cluster_servers(tmp_path, **alone, options=DURABLE) as cluster:
        store = StoreClient.from_url(cluster.url)
        first, second = cluster.servers
        assert check_server(store, READINESS_KEYS) == []

        first.running.stop()
        found = check_server(store, READINESS_KEYS)
        assert [(one.code, one.refuses_writes) for one in found] == [("node_unavailable", False)]
        assert found[0].message.startswith(first.address)

        second.running.stop()
        with pytest.raises(StoreUnavailableError):
            check_server(store, READINESS_KEYS)


def test_cluster_whose_slots_are_away_refuses_writes(tmp_path: Path) -> None:
    alone: dict[str, Any] = {"failure_ms": FAILURE_MS, "primaries": 2, "replicas": 0}
    with cluster_servers(tmp_path, **alone, options=DURABLE) as cluster:
        store = StoreClient.from_url(cluster.url)
        cluster.servers[0].running.stop()

        def refused() -> set[str]:
            found = check_server(store, READINESS_KEYS)
            return {one.code for one in found if one.refuses_writes}

        wait_until(lambda: refused() == {"cluster_down", "node_unavailable"})


def test_full_disk_is_told_as_one(small_disk: Path) -> None:
    with EmbeddedServer(small_disk / "data") as server:
        store = StoreClient.from_url(server.url)
        fill_disk(small_disk)
        with suppress(StoreUnavailableError):
            for _ in range(10):
                store.call(lambda client: client.set("key", "x" * 3_000))
        found = check_server(store, READINESS_KEYS)

    assert "MISCONF: The server's disk is full" in found[0].message


@pytest.mark.parametrize("save", ["", "3600 1"])
def test_what_may_not_be_asked_is_unknown(tmp_path: Path, save: str) -> None:
    with EmbeddedServer(tmp_path, {"appendonly": "no", "save": save}) as server:
        store = StoreClient.from_url(server.url)
        with Redis.from_url(server.url, protocol=2) as client:
            with permissions(client, "-info"):
                unknown = check_server(store, READINESS_KEYS)
            with permissions(client, "-config"):
                snapshots_perhaps = check_server(store, READINESS_KEYS)

    assert [(one.code, one.refuses_writes) for one in unknown] == [("unknown", False)]
    assert [one.code for one in snapshots_perhaps] == ["snapshots_only"]


def test_server_too_old_for_the_scripts_is_a_problem(real_redis: Redis) -> None:
    class Older(StoreClient):
        def call(self, command: Callable[[Redis], Any], **options: Any) -> Any:
            reply = super().call(command, **options)
            older = {"redis_version": "6.0.16", "aof_enabled": 1}
            return {**reply, **older} if isinstance(reply, dict) else reply

    assert [one.code for one in check_server(Older(real_redis), READINESS_KEYS)] == ["too_old"]


def test_probe_writes_nothing_that_stays(real_store: StoreClient, real_redis: Redis) -> None:
    check_server(real_store, READINESS_KEYS)

    assert real_redis.keys() == [READINESS_KEYS[0].encode()]
    assert 0 < int(real_redis.ttl(READINESS_KEYS[0])) <= 10


def test_many_who_ask_at_once_share_one_check() -> None:
    checks = []
    began = threading.Event()

    def check() -> list[ServerProblem]:
        checks.append(1)
        began.wait(0.2)
        return [ServerProblem("code", "Message.")]

    shared = SharedCheck(check)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: shared.problems(), range(64)))

    assert len(checks) == 1
    assert [one.code for one in found[-1]] == ["code"]
    assert all(one == found[0] for one in found)


def test_nobody_waits_for_a_check_after_a_recent_one() -> None:
    hang = threading.Event()
    hanging = threading.Event()
    outcomes: list[str | None] = [None, "TimeoutError"]

    def check() -> list[ServerProblem]:
        cause = outcomes.pop(0)
        if cause:
            hanging.set()
            hang.wait(10)
            raise StoreUnavailableError(cause)
        return []

    shared = SharedCheck(check)
    assert shared.problems() == []
    time.sleep(CHECK_INTERVAL_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(shared.problems)
        assert hanging.wait(10)

        assert shared.problems() == []

        hang.set()
        with pytest.raises(StoreUnavailableError):
            first.result()
    with pytest.raises(StoreUnavailableError) as caught:
        shared.problems()
    assert caught.value.cause == "TimeoutError"
