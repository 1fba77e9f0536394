"""The kinds of deployment: one server, the primary that sentinels name, and a cluster.

``REDIS_URL`` says which: ``redis://host:6379/0`` (or ``unix:///path``) is one server,
``redis+sentinel://host:26379,host:26379/service/0`` and ``redis+cluster://host:6379,host:6379`` are
the others; ``rediss`` in place of ``redis`` is each over TLS. No other module tells them apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import redis
from redis.connection import SSLConnection, parse_url

from sessions_store.redis.circuit_breaker import CircuitBreaker
from sessions_store.redis.cluster import Address, Cluster
from sessions_store.redis.connections import ConnectionPool
from sessions_store.redis.node import Node
from sessions_store.redis.sentinel import PrimaryConnection, PrimaryTlsConnection, Sentinels

URL_FORMS = (
    "redis://host:6379/0, rediss://… for TLS, or unix:///path/to.sock; for Sentinel "
    "redis+sentinel://host:26379,host:26379/service/0, for a Cluster "
    "redis+cluster://host:6379,host:6379"
)
"""What a URL may be, for people."""

_DEFAULT_PORTS = {"sentinel": 26_379, "cluster": 6_379}
_LOGIN = ("username", "password")
"""Before the ``@`` of a URL, they are for the servers; ``sentinel_username`` and
``sentinel_password``, in its query, are for sentinels."""


class Deployment(Protocol):
    """Where commands are sent to."""

    @property
    def is_cluster(self) -> bool:
        """Whether keys are in slots that several servers have."""

    def node_of(self, key: str | None) -> Node:
        """Return the server that has a key; without one, any."""

    def primaries(self) -> Sequence[Node]:
        """Return all servers that take writes."""

    def redirect(self, node: Node, error: Exception) -> Node | None:
        """Return the server that another one has named in its error, if it has."""

    def has_failed(self, error: Exception) -> None:
        """Be told of a command that failed."""


class OneServer:
    """A server, or the primary of several: whichever the client's connections lead to."""

    is_cluster = False

    def __init__(self, client: "redis.Redis", max_waiting: int) -> None:
        max_connections = client.connection_pool.max_connections
        self._node = Node(client, CircuitBreaker(max_waiting, max_connections))

    def node_of(self, key: str | None) -> Node:
        return self._node

    def primaries(self) -> Sequence[Node]:
        return [self._node]

    def redirect(self, node: Node, error: Exception) -> None:
        return None

    def has_failed(self, error: Exception) -> None:
        pass


def is_one_server(url: str) -> bool:
    """Return whether a URL names one server, which any Redis client can be given."""
    return "+" not in url.partition("://")[0]


def kind_of(url: str) -> str:
    """Return what a URL names: ``server``, ``sentinel`` or ``cluster``."""
    return url.partition("://")[0].partition("+")[2] or "server"


def without_credentials(url: str) -> str:
    """Return a Redis URL as it may be shown: without user name, password and options.

    Of one with an @ behind its host, the scheme alone: a ``/``, ``?`` or ``#`` in a password that
    is not percent-encoded makes its beginning look like the host.
    """
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        for host in hosts.split(","):
            urlsplit(f"//{host}").port  # noqa: B018  # which looks at it
    except ValueError:
        return "an invalid URL"  # where its password is, nobody knows
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme}://…"
    return f"{parts.scheme}://{hosts}{parts.path}"


def deployment_of(
    url: str, options: Mapping[str, Any], *, max_waiting: int, max_connections: int | None = None
) -> Deployment:
    """Return what a URL names; nothing is connected.

    Args:
        options: of redis-py's connections; those in the URL take precedence.
        max_connections: to each server; ``None`` for as many as are needed.

    Raises:
        ValueError: not the URL of a Redis deployment, or one whose options cannot be used.
    """
    if max_connections is not None:
        options = {**options, "max_connections": max_connections}
    if is_one_server(url):
        _check_one(url)
        pool = _usable(ConnectionPool.from_url(url, **options))
        return OneServer(redis.Redis(connection_pool=pool), max_waiting)
    scheme, _, rest = url.partition("://")
    tls_or_not, _, kind = scheme.partition("+")
    if tls_or_not not in ("redis", "rediss") or kind not in _DEFAULT_PORTS:
        raise ValueError("no such kind")
    parts = urlsplit(f"//{rest}")
    login, at, hosts = parts.netloc.rpartition("@")
    path = parts.path.removeprefix("/")
    names = [f"{tls_or_not}://{login}{at}{host}/?{parts.query}" for host in hosts.split(",")]
    addresses = [_address(name, _DEFAULT_PORTS[kind]) for name in names]
    found = {**options, **parse_url(names[0])}  # type: ignore[no-untyped-call]  # redis-py's
    found = {name: value for name, value in found.items() if name not in ("host", "port", "db")}
    if kind == "cluster":
        if path not in ("", "0"):
            raise ValueError("a cluster has no database but 0")
        _usable(ConnectionPool(**found))
        return Cluster(addresses, found, max_waiting=max_waiting)
    pool = _usable(ConnectionPool(**_of_primary(addresses, path, found)))
    return OneServer(redis.Redis(connection_pool=pool), max_waiting)


def _check_one(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("a path is missing")
        return
    database = parts.path.removeprefix("/")
    if parts.hostname:
        _address(url, 0)
    if database and not database.isdecimal():
        raise ValueError("a database is a number")


def _of_primary(addresses: Sequence[Address], path: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the options of connections to the primary that sentinels name."""
    service, slash, database = path.partition("/")
    if not service or (slash and not database.isdecimal()):
        raise ValueError("a service's name, and perhaps a database's number, are needed")
    logins = {name: found.pop(f"sentinel_{name}", None) for name in _LOGIN}
    to_sentinels = {
        name: value for name, value in found.items() if name not in (*_LOGIN, "max_connections")
    }
    to_sentinels |= {name: value for name, value in logins.items() if value is not None}
    _usable(redis.ConnectionPool(**to_sentinels))
    is_tls = found.get("connection_class") is SSLConnection
    return {
        **found,
        "db": int(database or 0),
        "connection_class": PrimaryTlsConnection if is_tls else PrimaryConnection,
        "sentinels": Sentinels(addresses, unquote(service), to_sentinels),
    }


def _address(url: str, default_port: int) -> Address:
    parts = urlsplit(url)
    host = unquote(parts.hostname or "")
    if not host or parts.port == 0:
        raise ValueError("a host is missing, or a port cannot be one")
    host.encode("idna")
    return host, default_port if parts.port is None else parts.port


def _usable(pool: Any) -> Any:
    """Return a pool whose options can be used. Only a connection looks at their values."""
    pool.connection_class(**pool.connection_kwargs)
    if pool.get_encoder().decode_responses:
        raise ValueError("replies are needed as bytes")
    return pool
