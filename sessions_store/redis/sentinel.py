"""Connections to the primary that the sentinels name, whichever it is by then."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import redis
from redis.connection import AbstractConnection, Connection, SSLConnection

from sessions_store.redis import deadline

ASK_TIMEOUT_SECONDS = 0.1
"""To connect to a sentinel, and for its reply: then the next one is asked."""

LEAST_CONNECT_SECONDS = 0.1
"""For the connection to the primary, however long the sentinels took."""

RECHECK_SECONDS = 1.0
"""After which the sentinels are asked again whether connections lead to the primary. Where another
has its place, an old one mostly breaks them off. One that was cut off from the sentinels, or that a
second failover followed on at once, takes writes meanwhile, and loses them."""

_PAUSE_FACTOR = 20
"""Sentinels that are slow to reply are asked less often: not for more than 5 % of the time."""


class Sentinels:
    """The sentinels of a service.

    Args:
        addresses: host and port of each.
        service: the name that they know the primary and its replicas by.
        options: of redis-py's connections to them.
    """

    def __init__(
        self, addresses: Sequence[tuple[str, int]], service: str, options: Mapping[str, Any]
    ) -> None:
        self._service = service
        self._sentinels = [
            redis.Redis(
                connection_pool=redis.ConnectionPool(
                    **{
                        **options,
                        "host": host,
                        "port": port,
                        "socket_connect_timeout": ASK_TIMEOUT_SECONDS,
                        "socket_timeout": ASK_TIMEOUT_SECONDS,
                    }
                )
            )
            for host, port in addresses
        ]
        self._primary: tuple[str, int] | None = None
        self._recheck_at = 0.0

    def find_primary(self) -> tuple[str, int]:
        """Return the primary's host and port.

        Raises:
            redis.ConnectionError: no sentinel that replies knows a primary that is there.
        """
        for sentinel in [*self._sentinels]:
            try:
                state: Any = sentinel.sentinel_master(self._service)
            except redis.RedisError:
                found = None
            else:
                is_down = state["is_sdown"] or state["is_odown"] or not state["is_master"]
                found = None if is_down else (state["ip"], state["port"])
            if found is not None:
                self._primary = found
                return found
            # The next connection asks the next one first. A new list: others go through the old.
            self._sentinels = [one for one in self._sentinels if one is not sentinel] + [sentinel]
        raise redis.ConnectionError("no sentinel knows a primary", status_code="NOPRIMARY")

    def is_primary(self, host: str, port: int) -> bool:
        """Return whether a server was the primary when the sentinels were last asked.

        They are asked once in ``RECHECK_SECONDS``, by one of the threads that want to know.
        """
        began = time.monotonic()
        if began >= self._recheck_at:
            self._recheck_at = began + RECHECK_SECONDS  # others do not ask meanwhile
            with suppress(redis.ConnectionError):
                self.find_primary()
            ended = time.monotonic()
            self._recheck_at = ended + max(RECHECK_SECONDS, _PAUSE_FACTOR * (ended - began))
        return (host, port) == self._primary


class _PrimaryConnection(AbstractConnection):
    """A connection that asks the sentinels when it is made, and whether it still leads there."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels

    def connect(self) -> None:
        began = time.monotonic()
        self.host, self.port = self._sentinels.find_primary()
        left = deadline.CONNECT_TIMEOUT_SECONDS - (time.monotonic() - began)
        self.socket_connect_timeout = max(left, LEAST_CONNECT_SECONDS)
        super().connect()  # type: ignore[no-untyped-call]  # redis-py's

    def can_read(self, timeout: float = 0) -> bool:
        """Return whether something waits to be read, as the pool asks of one that was idle.

        Raises:
            redis.ConnectionError: the server has closed it, or is the primary no more.
        """
        if not self._sentinels.is_primary(self.host, self.port):
            raise redis.ConnectionError("the server is no longer the primary")
        return super().can_read(timeout)


class PrimaryConnection(_PrimaryConnection, Connection):
    pass


class PrimaryTlsConnection(_PrimaryConnection, SSLConnection):
    pass
