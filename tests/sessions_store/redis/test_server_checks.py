"""Server checks, run against real servers."""

from pathlib import Path

import pytest
from redis import Redis

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.redis.client import StoreClient
from sessions_store.redis.server_checks import check_server

DURABLE = {"appendonly": "yes"}


def codes(
    tmp_path: Path, options: dict[str, str], *, conversations_expire: bool = False
) -> list[str]:
    with EmbeddedServer(tmp_path, options) as server:
        store = StoreClient.from_url(server.url)
        return [one.code for one in check_server(store, conversations_expire=conversations_expire)]


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
        found = check_server(StoreClient.from_url(server.url))

    assert [one.code for one in found] == ["snapshots_only"]


def test_replica_is_reported_as_read_only(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path, {"replicaof": "127.0.0.1 1"}) as server:
        found = check_server(StoreClient.from_url(server.url))

    assert "read_only" in [one.code for one in found]
    assert all(one.message.endswith(".") for one in found)


def test_server_too_old_for_the_scripts_is_a_problem(real_store: StoreClient) -> None:
    class Older(StoreClient):
        def info(self) -> dict[str, object]:
            return {**real_store.info(), "redis_version": "6.0.16", "aof_enabled": 1}

    older = Older.from_url("redis://unused")

    assert [one.code for one in check_server(older)] == ["too_old"]


def test_full_memory_is_a_problem(tmp_path: Path) -> None:
    assert codes(tmp_path, {"maxmemory": "100mb"}) == []
    assert codes(tmp_path, {"maxmemory": "1"}) == ["out_of_memory"]
