"""The nodes of a Redis Cluster, and which of them has the slot of a key.

redis-py's ``RedisCluster`` is not used: after a timeout it asks all nodes, so that a request waits
for many timeouts (docs/decisions/0015-sentinel-and-cluster.md). Here a command goes to one node,
under the rules for one server.
"""

import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import deadline
from sessions_store.redis.circuit_breaker import CircuitBreaker
from sessions_store.redis.connections import ConnectionPool
from sessions_store.redis.node import Node

SLOTS = 16_384
REFRESH_SECONDS = 0.25
"""The shortest time between two looks at which node has which slots."""

NOT_A_CLUSTER = "not a cluster"
"""The cause where what the URL names replies that it is in none."""

Address = tuple[str, int]


class Cluster:
    """All nodes that take writes, found by asking one that is reached.

    Args:
        addresses: host and port of some nodes.
        options: of the connections to each node.
        max_waiting: commands that may wait for all nodes together.
    """

    is_cluster = True

    def __init__(
        self,
        addresses: Sequence[Address],
        options: Mapping[str, Any],
        *,
        max_waiting: int,
    ) -> None:
        self._addresses = addresses
        self._options = options
        self._max_waiting = max_waiting
        self._places = CircuitBreaker(max_waiting)
        """For commands to all nodes; it opens while no node tells who has which slots."""
        self._nodes: dict[Address, Node] = {}
        self._primaries: Sequence[Node] = ()
        self._owners: list[Node | None] = [None] * SLOTS
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._looked_at = float("-inf")

    def node_of(self, key: str | None) -> Node:
        """Return the node that has the slot of a key; without one, any.

        Raises:
            StoreUnavailableError: no node has the slot, or none was reached.
        """
        if key is None:
            nodes = [one for one in self.primaries() if not one.breaker.is_open]
            return random.choice(nodes or self.primaries())  # noqa: S311  # to share the work
        self.primaries()
        node = self._owners[key_slot(key.encode())]
        if node is None:
            self._look_soon()
            raise StoreUnavailableError("CLUSTERDOWN")
        return node

    def primaries(self) -> Sequence[Node]:
        """Return the nodes that take writes.

        Raises:
            StoreUnavailableError: none was reached.
        """
        if not self._primaries:
            self._look_first()
        return self._primaries

    def redirect(self, node: Node, error: Exception) -> Node | None:
        """Return the node that another one has named in its error, if it has."""
        if not isinstance(error, AskError):
            return None
        # A node that does not know its own name leaves it out.
        host = error.host or node.host
        other = self._node_at((host, error.port))
        if not isinstance(error, MovedError):
            return other.asking()
        self._owners[error.slot_id] = other
        self._look_soon()  # a slot seldom moves alone
        return other

    def has_failed(self, error: Exception) -> None:
        """Find out soon whether other nodes have the slots by now."""
        if isinstance(error, redis.ConnectionError | redis.TimeoutError | ClusterDownError):
            self._look_soon()

    def _look_first(self) -> None:
        self._places.acquire()
        try:
            if not self._looking.acquire(timeout=max(0.0, deadline.seconds_left())):
                raise StoreUnavailableError("deadline of the request")
            try:
                if not self._primaries:
                    self._look()
            finally:
                self._looking.release()
        except StoreUnavailableError:
            self._places.record_timeout()
            raise
        else:
            self._places.record_reply()
        finally:
            self._places.release()

    def _look_soon(self) -> None:
        if time.monotonic() - self._looked_at > REFRESH_SECONDS and not self._looking.locked():
            threading.Thread(target=self._look_again, name="cluster slots", daemon=True).start()

    def _look_again(self) -> None:
        if self._looking.acquire(blocking=False):
            try:
                self._look()
            except StoreUnavailableError:
                pass  # commands say so
            finally:
                self._looking.release()

    def _look(self) -> None:
        """Ask nodes, one after the other, which of them has which slots, until one replies."""
        self._looked_at = time.monotonic()
        cause = "ConnectionError"
        known = [self._node_at(address) for address in self._addresses]
        found = [*self._primaries]
        random.shuffle(found)
        found.sort(key=lambda node: node.breaker.is_open)
        for node in dict.fromkeys([*found, *known]):
            deadline.check()
            try:
                rows: Any = node.client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]  # redis-py's
            except redis.ResponseError as error:
                is_single = "cluster support disabled" in str(error)
                cause = NOT_A_CLUSTER if is_single else (error.status_code or "ResponseError")
            except redis.RedisError as error:
                cause = type(error).__name__
            else:
                self._take(rows, node.host)
                return
        raise StoreUnavailableError(cause)

    def _take(self, rows: Iterable[Any], host: str) -> None:
        """Take what ``CLUSTER SLOTS`` replies: first and last slot, primary, replicas, a row."""
        owners: list[Node | None] = [None] * SLOTS
        primaries: dict[Node, None] = {}
        for first, last, (name, port, *_), *_replicas in rows:
            node = self._node_at((name.decode() if name else host, port))
            primaries[node] = None
            owners[first : last + 1] = [node] * (last + 1 - first)
        self._owners = owners
        self._primaries = list(primaries)
        with self._lock:
            gone = [one for one in self._nodes if self._nodes[one] not in primaries]
            for address in gone:
                self._nodes.pop(address).give_up_connections()

    def _node_at(self, address: Address) -> Node:
        with self._lock:
            node = self._nodes.get(address)
            if node is None:
                host, port = address
                pool = ConnectionPool(**{**self._options, "host": host, "port": port})
                breaker = _NodeBreaker(self._places, self._max_waiting, pool.max_connections)
                node = self._nodes[address] = Node(redis.Redis(connection_pool=pool), breaker)
            return node


class _NodeBreaker(CircuitBreaker):
    """Opens for one node, and counts its commands among those to all."""

    def __init__(self, places: CircuitBreaker, max_waiting: int, max_connections: int) -> None:
        super().__init__(max_waiting, max_connections)
        self._places_of_all = places

    def acquire(self) -> None:
        super().acquire()
        try:
            self._places_of_all.acquire()
        except BaseException:
            super().release()
            raise

    def release(self) -> None:
        self._places_of_all.release()
        super().release()
