"""Whether a Redis server is fit to keep conversations."""

from dataclasses import dataclass
from typing import Any

from sessions_store.redis.client import StoreClient

READ_ONLY = "read_only"
OUT_OF_MEMORY = "out_of_memory"
REFUSES_WRITES = frozenset({READ_ONLY, OUT_OF_MEMORY})
OLDEST_VERSION = (6, 2)


@dataclass(frozen=True)
class ServerProblem:
    """What is unfit, and what to do about it. ``code`` is for programs and never changes."""

    code: str
    message: str


def check_server(store: StoreClient, *, conversations_expire: bool = False) -> list[ServerProblem]:
    """Return what speaks against the server; nothing where it is fit.

    Args:
        conversations_expire: whether conversations have a retention, and so an expiry, which makes
            them fair game for a ``volatile-*`` eviction policy.

    Raises:
        StoreUnavailableError: it does not answer.
    """
    info = store.info()
    found = []
    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith("allkeys-") or (conversations_expire and policy.startswith("volatile-")):
        found.append(
            ServerProblem(
                "may_evict",
                f"The server may evict conversations when its memory is full (maxmemory-policy "
                f"{policy}). Set maxmemory-policy noeviction.",
            )
        )
    if not info.get("aof_enabled"):
        found.append(_advice_on_persistence(info))
    if info.get("role") in ("slave", "replica"):
        found.append(
            ServerProblem(
                READ_ONLY,
                "The server is a replica and takes no writes. Point REDIS_URL at its primary.",
            )
        )
    if policy == "noeviction" and 0 < info.get("maxmemory", 0) <= info.get("used_memory", 0):
        found.append(
            ServerProblem(
                OUT_OF_MEMORY,
                "The server's memory is full and it takes no writes. Raise maxmemory, or let "
                "conversations expire (CONVERSATION_RETENTION_SECONDS).",
            )
        )
    # Valkey tells the Redis version that it is compatible with, beside its own.
    version = str(info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        found.append(
            ServerProblem(
                "too_old", f"The server is Redis {version}; 6.2 or newer is needed. Upgrade it."
            )
        )
    return found


def _advice_on_persistence(info: dict[str, Any]) -> ServerProblem:
    if info.get("rdb_last_save_time") and info.get("rdb_saves"):
        return ServerProblem(
            "snapshots_only",
            "The server keeps snapshots only: what was said since the last one is lost with it. "
            "Set appendonly yes.",
        )
    return ServerProblem(
        "no_persistence",
        "The server keeps nothing on disk: conversations are gone when it restarts. "
        "Set appendonly yes.",
    )
