"""Checks of a Redis server: whether it may lose conversations, or refuses writes."""

from dataclasses import dataclass

from sessions_store.redis.client import StoreClient

READ_ONLY = "read_only"
OUT_OF_MEMORY = "out_of_memory"
REFUSES_WRITES = frozenset({READ_ONLY, OUT_OF_MEMORY})
MIN_VERSION = (6, 2)


@dataclass(frozen=True)
class ServerProblem:
    """A problem, and what to do about it. ``code`` is for programs and never changes."""

    code: str
    message: str


def check_server(store: StoreClient, *, conversations_expire: bool = False) -> list[ServerProblem]:
    """Return the problems of the server; an empty list if it has none.

    Args:
        conversations_expire: whether conversations have a retention, and so an expiry: a
            ``volatile-*`` eviction policy removes only keys that have one.

    Raises:
        StoreUnavailableError: Redis is unavailable.
    """
    info = store.info()
    problems: list[ServerProblem] = []

    def add(code: str, message: str) -> None:
        problems.append(ServerProblem(code, message))

    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith("allkeys-") or (conversations_expire and policy.startswith("volatile-")):
        add(
            "may_evict",
            f"The server may evict conversations when its memory is full (maxmemory-policy "
            f"{policy}). Set maxmemory-policy noeviction.",
        )
    if not info.get("aof_enabled"):
        if info.get("rdb_last_save_time") and info.get("rdb_saves"):
            add(
                "snapshots_only",
                "The server keeps snapshots only: what was said since the last one is lost with "
                "it. Set appendonly yes.",
            )
        else:
            add(
                "no_persistence",
                "The server keeps nothing on disk: conversations are gone when it restarts. "
                "Set appendonly yes.",
            )
    if info.get("role") in ("slave", "replica"):
        add(
            READ_ONLY,
            "The server is a replica and takes no writes. Point REDIS_URL at its primary.",
        )
    if policy == "noeviction" and 0 < info.get("maxmemory", 0) <= info.get("used_memory", 0):
        add(
            OUT_OF_MEMORY,
            "The server's memory is full and it takes no writes. Raise maxmemory, or let "
            "conversations expire (CONVERSATION_RETENTION_SECONDS).",
        )
    # Valkey reports the Redis version that it is compatible with, beside its own.
    version = str(info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        oldest = ".".join(map(str, MIN_VERSION))
        add("too_old", f"The server is Redis {version}; {oldest} or newer is needed. Upgrade it.")
    return problems
