"""Checks of a Redis server: whether it takes our writes, and may lose conversations."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import redis

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.redis.cluster import NOT_A_CLUSTER
from sessions_store.redis.node import Node
from sessions_store.redis.script import Script

UNKNOWN = "unknown"
MIN_VERSION = (6, 2)
CHECK_INTERVAL_SECONDS = 1.0
_PROBE_TTL_SECONDS = 10
_RECENT_SECONDS = 5.0
MOST_PROBES = 1_000

_NOT_TO_BE_ASKED = frozenset({"NOPERM", "ResponseError"})
"""The causes of a command that the user may not run, or that the server does not have."""


@dataclass(frozen=True)
class ServerProblem:
    """A problem, and what to do about it. ``code`` is for programs and never changes."""

    code: str
    message: str
    refuses_writes: bool = False

    def told(self, **facts: object) -> Self:
        """Return the same with the facts in its message."""
        return replace(self, message=self.message.format(**facts))


_CLUSTER = ServerProblem(
    "cluster",
    "The server is a node of a Redis Cluster, and REDIS_URL names it as a single server. Write "
    "redis+cluster://{address} (rediss+cluster://… over TLS).",
)
_NO_CLUSTER = ServerProblem(
    "not_a_cluster",
    "The server that REDIS_URL names as a node of a Redis Cluster is in none. Write redis:// in "
    "place of redis+cluster:// (rediss:// over TLS).",
    refuses_writes=True,
)
_SLOTS_AWAY = ServerProblem(
    "cluster_down",
    "The Cluster takes no writes, because some of its slots are with no node that is up "
    "(CLUSTER NODES says which). Bring their primary back, or a replica of it.",
)
OTHER_KIND = frozenset({_CLUSTER.code, _NO_CLUSTER.code})
"""Codes of problems that are over when REDIS_URL is written otherwise, and never before."""

REFUSALS: Mapping[str, ServerProblem] = {
    "MISCONF": ServerProblem(
        "cannot_save",
        "The server could not write to its disk and takes no writes; its log says why. Mend its "
        "disk or its folder; if a snapshot failed (INFO: rdb_last_bgsave_status), run BGSAVE then.",
    ),
    "NOREPLICAS": ServerProblem(
        "too_few_replicas",
        "The server has fewer replicas than it must have to take writes. Bring them back, or set "
        "min-replicas-to-write lower.",
    ),
    "OOM": ServerProblem(
        "out_of_memory",
        "The server's memory is full and it takes no writes. Raise maxmemory, or let "
        "conversations expire (CONVERSATION_RETENTION_SECONDS).",
    ),
    "READONLY": ServerProblem(
        "read_only",
        "The server is a replica and takes no writes. Point REDIS_URL at its primary.",
    ),
    "NOPERM": ServerProblem(
        "not_permitted",
        "The user of REDIS_URL may not run the service's scripts, or not on its keys. Allow it "
        "(ACL SETUSER): ~elevenlabs:* ~{elevenlabs:* +@all -@admin -@dangerous +info.",
    ),
    "CLUSTERDOWN": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
    "MOVED": _CLUSTER,
}
"""By the first word of the error with which the server refuses a write."""

_INFO_REFUSED = ServerProblem(
    UNKNOWN,
    "Whether the server may lose conversations is unknown: the user of REDIS_URL may not run INFO. "
    "Allow it (ACL SETUSER: +info), or see to it that appendonly is yes and maxmemory-policy "
    "noeviction.",
)
_TOO_FEW_REPLICAS = ServerProblem(
    "too_few_replicas",
    "The server has {replicas} replicas, and writes wait for {wanted} (WRITE_ACKS). Bring them "
    "back, or set WRITE_ACKS lower.",
    refuses_writes=True,
)
_MAY_EVICT = ServerProblem(
    "may_evict",
    "The server may evict conversations when its memory is full (maxmemory-policy {policy}). Set "
    "maxmemory-policy noeviction.",
)
_SNAPSHOTS_ONLY = ServerProblem(
    "snapshots_only",
    "The server keeps snapshots only: what was said since the last one is lost with it. Set "
    "appendonly yes.",
)
_NO_PERSISTENCE = ServerProblem(
    "no_persistence",
    "The server keeps nothing on disk: conversations are gone when it restarts. Set appendonly "
    "yes.",
)
_TOO_OLD = ServerProblem(
    "too_old", "The server is Redis {version}; {oldest} or newer is needed. Upgrade it."
)
_AWAY = ServerProblem(
    "node_unavailable",
    "The server does not reply ({cause}). Its share of the conversations is away until it, or a "
    "replica in its place, is back.",
    refuses_writes=True,
)
_DISK_FULL = ServerProblem(
    "cannot_save",
    "The server's disk is full and it takes no writes. Free some space; it then takes them again.",
)
_probe = Script("sessions_store", "probe_writes")


def check_server(
    store: StoreClient, probe_keys: Sequence[str], *, conversations_expire: bool = False
) -> list[ServerProblem]:
    """Return the problems of the server, or of all nodes of a cluster; an empty list if none.

    A cluster some of whose nodes take writes does so: what the others refuse is told, and does not
    count as a refusal.

    Args:
        probe_keys: two keys, to whose first a harmless write is made; in two slots of a Redis
            Cluster, none of whose nodes takes both in one script.
        conversations_expire: whether conversations have a retention, and so an expiry: a
            ``volatile-*`` eviction policy removes only keys that have one.

    Raises:
        StoreUnavailableError: Redis is unavailable, or all nodes of a cluster are.
    """
    if not store.is_cluster:
        return [*_check_node(store, store.nodes()[0], probe_keys, conversations_expire)]
    try:
        probes = _probes(store, probe_keys[0])
    except StoreUnavailableError as error:
        if error.cause != NOT_A_CLUSTER:
            raise
        return [_NO_CLUSTER]
    found: list[tuple[Node, list[ServerProblem]]] = []
    errors: list[StoreUnavailableError] = []
    for node, key in probes.items():
        try:
            found.append((node, [*_check_node(store, node, key and [key], conversations_expire)]))
        except StoreUnavailableError as error:
            errors.append(error)
            found.append((node, [_AWAY.told(cause=error.cause)]))
    if len(errors) == len(found):
        raise errors[0]
    is_refused = all(any(one.refuses_writes for one in problems) for _, problems in found)
    told: dict[str, ServerProblem] = {}
    for node, problems in found:
        for one in problems:
            refuses = one.refuses_writes and is_refused
            message = f"{node.address}: {one.message}"
            told.setdefault(one.code, ServerProblem(one.code, message, refuses))
    return list(told.values())


def _probes(store: StoreClient, key: str) -> Mapping[Node, str | None]:
    """Return a key for each node of a cluster, in one of its slots.

    None is found, most often, where a node has fewer than a hundredth of the slots.
    """
    probes: dict[Node, str | None] = dict.fromkeys(store.nodes())
    for number in range(MOST_PROBES):
        candidate = f"{key}:{number}"
        node = store.node_of(candidate)
        probes[node] = probes.get(node) or candidate
        if None not in probes.values():
            break
    return probes


def count_evicted_keys(store: StoreClient) -> int | None:
    """Return how many keys the servers have removed because their memory was full.

    ``None`` where the user of ``REDIS_URL`` may not run INFO.

    Raises:
        StoreUnavailableError: Redis is unavailable.
    """
    found = [_ask(store, node, lambda client: client.info("stats")) for node in store.nodes()]
    return None if None in found else sum(info["evicted_keys"] for info in found)


@dataclass(frozen=True)
class ServerState:
    """What a server says of itself; ``None`` for what the user of ``REDIS_URL`` may not ask.

    ``max_bytes`` is 0 without a limit.
    """

    address: str
    keys: int | None
    used_bytes: int | None
    max_bytes: int | None
    replicas: Sequence[str]


def describe_servers(store: StoreClient) -> list[ServerState]:
    """Return the state of each server that takes writes.

    Raises:
        StoreUnavailableError: Redis is unavailable.
    """
    return [_describe(store, node) for node in store.nodes()]


def _describe(store: StoreClient, node: Node) -> ServerState:
    info = _ask(store, node, lambda client: client.info()) or {}
    # The primary that sentinels name has no address before a connection is open.
    connection = _ask(store, node, lambda client: client.client_info()) or {}
    address = node.address if store.is_cluster else connection.get("laddr", node.address)
    replicas = (info[f"slave{number}"] for number in range(info.get("connected_slaves", 0)))
    return ServerState(
        address=str(address),
        keys=_ask(store, node, lambda client: client.dbsize()),
        used_bytes=info.get("used_memory"),
        max_bytes=info.get("maxmemory"),
        replicas=[f"{one['ip']}:{one['port']} {one['state']}" for one in replicas],
    )


def _check_node(
    store: StoreClient, node: Node, probe_keys: Sequence[str] | None, conversations_expire: bool
) -> Iterator[ServerProblem]:
    if probe_keys and (refusal := _refusal_of_write(store, node, probe_keys)):
        yield refusal
    info = _ask(store, node, lambda client: client.info())
    if info is None:
        yield _INFO_REFUSED
        return
    replicas = info.get("connected_slaves", 0)
    if replicas < store.write_acks:
        yield _TOO_FEW_REPLICAS.told(replicas=replicas, wanted=store.write_acks)
    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith("allkeys-") or (conversations_expire and policy.startswith("volatile-")):
        yield _MAY_EVICT.told(policy=policy)
    if info.get("aof_enabled") == 0:
        has_snapshots = info.get("rdb_saves") or _may_take_snapshots(store, node)
        yield _SNAPSHOTS_ONLY if has_snapshots else _NO_PERSISTENCE
    # Valkey reports the Redis version that it is compatible with, beside its own.
    version = str(info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        yield _TOO_OLD.told(version=version, oldest=".".join(map(str, MIN_VERSION)))


def _refusal_of_write(
    store: StoreClient, node: Node, probe_keys: Sequence[str]
) -> ServerProblem | None:
    text = ""

    def write(client: "redis.Redis") -> None:
        nonlocal text
        try:
            client.eval(_probe.source, len(probe_keys), *probe_keys, _PROBE_TTL_SECONDS)
        except redis.ResponseError as error:
            # Nobody's words are in it: the command has none.
            text = str(error)
            raise

    try:
        store.call(write, node=node, operation="check_server", repeatable=True)
    except StoreUnavailableError as error:
        if error.cause not in REFUSALS:
            raise
        problem = REFUSALS[error.cause]
        if "No space left on device" in text:
            problem = _DISK_FULL
        elif problem is _CLUSTER:
            problem = _SLOTS_AWAY if store.is_cluster else _CLUSTER.told(address=node.address)
        return replace(problem, message=f"{error.cause}: {problem.message}", refuses_writes=True)
    return None


def _ask(store: StoreClient, node: Node, command: Callable[["redis.Redis"], Any]) -> Any:
    """Return the reply; ``None`` if this may not be asked."""
    try:
        return store.call(command, node=node, operation="check_server", repeatable=True)
    except StoreUnavailableError as error:
        if error.cause not in _NOT_TO_BE_ASKED:
            raise
        return None


def _may_take_snapshots(store: StoreClient, node: Node) -> bool:
    settings = _ask(store, node, lambda client: client.config_get("save"))
    return settings is None or bool(settings.get("save"))


class SharedCheck:
    """One check of the server a second, whose outcome is shared by however many ask.

    Who asks while it is made gets the outcome before, if that is recent, so that a server that
    hangs does not hold all threads.
    """

    def __init__(self, check: Callable[[], Sequence[ServerProblem]]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._ended = float("-inf")
        self._problems: Sequence[ServerProblem] = ()
        self._cause: str | None = None

    def problems(self) -> Sequence[ServerProblem]:
        """Return the server's problems.

        Raises:
            StoreUnavailableError: Redis is unavailable.
        """
        is_recent = time.monotonic() - self._ended < _RECENT_SECONDS
        if self._lock.acquire(blocking=not is_recent):
            try:
                if time.monotonic() - self._ended >= CHECK_INTERVAL_SECONDS:
                    self._run()
            finally:
                self._lock.release()
        if self._cause is not None:
            raise StoreUnavailableError(self._cause)
        return self._problems

    def _run(self) -> None:
        try:
            self._problems, self._cause = self._check(), None
        except StoreUnavailableError as error:
            self._cause = error.cause
        self._ended = time.monotonic()
