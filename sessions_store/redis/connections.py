"""The connections of one process to its Redis server."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sessions_store.redis import deadline

MAX_IDLE_SECONDS = 10.0
"""A connection that was idle for longer is closed, not trusted: what stands between may have
forgotten it, and swallows what is sent. The shortest that is common is a minute, of firewalls."""


def connection_options() -> dict[str, Any]:
    """Return the keyword arguments of redis-py's connection pool that this project relies on."""
    return {
        "socket_connect_timeout": deadline.CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": deadline.COMMAND_TIMEOUT_SECONDS,
        # StoreClient repeats what may be repeated.
        "retry": Retry(NoBackoff(), 0),
        # RESP2 and no CLIENT SETINFO: they would be round trips of each new connection.
        "protocol": 2,
        "driver_info": None,
    }


class NotConnectedError(redis.ConnectionError):
    """There is no connection, so nothing was sent. Text and status code are the cause's."""


class RefusedError(NotConnectedError):
    """The server reset a connection as soon as it was made: it has as many as it takes."""


class ConnectionPool(redis.ConnectionPool):
    """Lends connections, the last returned first, and opens another where none is idle.

    It does not bound their number: ``CircuitBreaker`` bounds the commands that use them. Each
    connection first asks whether it is the last that the server takes, and ``on_last`` is called:
    those that come after it, from other processes, are refused, and nobody but its owner can leave
    them some.
    """

    on_last: Callable[[], None] | None = None

    def reset(self) -> None:
        super().reset()
        self._guard = threading.Lock()
        self._idle: deque[tuple[float, Any]] = deque()
        self._lent: set[Any] = set()

    @property
    def open_count(self) -> int:
        """How many connections there are, lent or idle."""
        return len(self._lent) + len(self._idle)

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Return a connection that is open, and on which nothing waits to be read.

        Raises:
            NotConnectedError: the server cannot be reached, or refused the connection.
            redis.RedisError: it did not reply in time, or refused the user or the database.
        """
        if self.pid != os.getpid():  # a fork: connections are the parent's
            self.reset()
        is_new = False
        with self._guard:
            self._close_expired()
            if self._idle:
                connection = self._idle.pop()[1]
            else:
                connection = self.connection_class(**self.connection_kwargs)
                is_new = True
            self._lent.add(connection)
        try:
            if is_new or not _is_usable(connection):
                connection.disconnect()
                connection.connect()
                if self.on_last and _is_last(connection):
                    self.on_last()
        except RefusedError:
            self.release(connection)
            raise
        except redis.ConnectionError as error:
            self.release(connection)
            raise NotConnectedError(*error.args, status_code=error.status_code) from error
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back; it is closed if all were given up while it was lent."""
        with self._guard:
            if connection in self._lent:
                self._lent.remove(connection)
                if connection.is_connected:
                    self._idle.append((time.monotonic(), connection))
                return
        connection.disconnect()

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Give up all connections: what is idle at once, what is in use when it is returned."""
        with self._guard:
            given_up, self._idle = self._idle, deque()
            self._lent.clear()
        for _, connection in given_up:
            connection.disconnect()

    def _close_expired(self) -> None:
        oldest = time.monotonic() - MAX_IDLE_SECONDS
        while self._idle and self._idle[0][0] < oldest:
            self._idle.popleft()[1].disconnect()


def _is_last(connection: Any) -> bool:
    """Return whether the server takes no connection more; ``False`` where it does not say."""
    try:
        connection.send_command("INFO", "clients")
        lines = bytes(connection.read_response()).decode().splitlines()
    except redis.ConnectionError as error:
        # A full server replies so and closes, and the reply is lost where ours is on its way to it.
        # A proxy whose server is gone reads what it is sent, and then ends the connection.
        if isinstance(error.__context__, BrokenPipeError | ConnectionResetError):
            raise RefusedError(*error.args) from error
        raise
    except redis.ResponseError:  # a user who may not ask
        return False
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    # Servers before Redis 7 and proxies do not tell.
    return int(found.get("connected_clients", 0)) >= int(found.get("maxclients", sys.maxsize))


def _is_usable(connection: Any) -> bool:
    try:
        return not connection.can_read()
    except redis.ConnectionError:  # closed by the server
        return False
