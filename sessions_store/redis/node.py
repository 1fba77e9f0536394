"""One server of a deployment: the client with its connections, and the breaker in front of them."""

from typing import Any

import redis

from sessions_store.redis.circuit_breaker import CircuitBreaker
from sessions_store.redis.connections import ConnectionPool


class Node:
    """A server that commands are sent to.

    Args:
        client: of this server alone; its connections are a ``ConnectionPool``.
    """

    def __init__(self, client: "redis.Redis", breaker: CircuitBreaker) -> None:
        self.client = client
        self.breaker = breaker
        self._pool = client.connection_pool
        if isinstance(self._pool, ConnectionPool):
            self._pool.on_last = self.leave_connections

    @property
    def host(self) -> str:
        return str(self._pool.connection_kwargs.get("host", "localhost"))

    @property
    def address(self) -> str:
        """Host and port, as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self._pool.connection_kwargs.get('port', 6379)}"

    @property
    def open_connections(self) -> int:
        """Of this process; 0 where the client has another pool than ours."""
        return getattr(self._pool, "open_count", 0)

    def give_up_connections(self) -> None:
        """Where one connection failed, others may: what comes next is sent on a new one."""
        self._pool.disconnect(inuse_connections=False)

    def leave_connections(self) -> None:
        """Leave half of the connections to others: the server has none for them."""
        self.give_up_connections()
        self.breaker.use_fewer_places()

    def asking(self) -> "Node":
        """Return the same server, asked for a slot that is on its way to it."""
        return Node(_AskingClient(connection_pool=self._pool), self.breaker)


class _AskingClient(redis.Redis):
    """Sends ``ASKING`` before each command, and before each pipeline, on the same connection."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with self.pipeline() as pipeline:
            return pipeline.immediate_execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        pipeline = super().pipeline(transaction, shard_hint)
        pipeline.immediate_execute_command("ASKING")  # type: ignore[no-untyped-call]  # redis-py's
        return pipeline
