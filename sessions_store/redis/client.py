"""The way to Redis: one client, our scripts, redis-py's errors turned into ours.

Timeouts and retries are explicit, because redis-py's own defaults (5 s, ten retries, timeouts
included) stall a request for a minute and repeat a write whose reply was only slow. Here a command
is repeated once, only where the connection broke, and only if it carries a handle under which it
counts once. docs/decisions/0003-timeouts-and-retries.md has the figures.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, Self, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from sessions_store.errors import StoreUnavailableError, WrongTypeError
from sessions_store.redis import deadline
from sessions_store.redis.circuit_breaker import CircuitBreaker

CONNECT_TIMEOUT_SECONDS = 0.5
COMMAND_TIMEOUT_SECONDS = 0.7
DEFAULT_MAX_WAITING = 64
SCAN_COUNT = 500
"""Keys that one step of a SCAN looks at: some tenths of a millisecond of the server's time."""

Argument = str | bytes | int
ScriptCall = Callable[[Sequence[str], Sequence[Argument]], Any]
T = TypeVar("T")


def connection_options() -> dict[str, Any]:
    """Return the keyword arguments of redis-py's connection pool that this project relies on."""
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": COMMAND_TIMEOUT_SECONDS,
        # StoreClient repeats what may be repeated.
        "retry": Retry(NoBackoff(), 0),
        # RESP2 and no introduction: a new connection costs no round trips of its own.
        "protocol": 2,
        "driver_info": None,
    }


def without_credentials(url: str) -> str:
    """Return a Redis URL as it may be shown: without user name, password and options."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


class _UnknownScriptError(Exception):
    """The server does not know the script, and has done nothing."""


class StoreClient:
    """A redis-py client whose every failure is a ``StoreUnavailableError``.

    Args:
        redis_client: made with ``connection_options()``.
        max_waiting: commands that may wait for Redis at the same time; fewer than the threads of
            the process, so that some are left for requests that need no store.
    """

    def __init__(self, redis_client: "redis.Redis", max_waiting: int = DEFAULT_MAX_WAITING) -> None:
        self._redis = redis_client
        self._breaker = CircuitBreaker(max_waiting)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return a client for ``redis://``, ``rediss://`` or ``unix://``, with our timeouts.

        Raises:
            ValueError: no such URL, or an option in it that there is not or that changes replies.
        """
        try:
            client = redis.Redis.from_url(url, **connection_options())
            # Made, not connected: only that looks at the options' values.
            pool = client.connection_pool
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, ValueError, redis.RedisError):
            raise ValueError("no URL of a Redis server") from None
        if client.get_encoder().decode_responses:
            raise ValueError("replies are needed as bytes")
        return cls(client)

    def call(self, command: Callable[["redis.Redis"], T], *, repeatable: bool = True) -> T:
        """Return what ``command`` returns when it is given the client.

        Args:
            repeatable: whether ``command`` may be sent again where the connection broke before its
                reply came, because a second time does not count.

        Raises:
            StoreUnavailableError: refused, timed out, broken off, loading, read-only, out of
                memory, or any other error that Redis answers.
            WrongTypeError: a key holds another type than the command is for.
        """
        # Errors of redis-py are raised anew without their context: its texts quote arguments, and
        # so people's words and credentials.
        deadline.check()
        self._breaker.acquire()
        try:
            try:
                result = command(self._redis)
            except redis.ConnectionError:
                if not repeatable:
                    raise
                deadline.check()
                result = command(self._redis)
        except redis.TimeoutError as error:
            self._breaker.record_timeout()
            raise StoreUnavailableError(type(error).__name__) from None
        except redis.RedisError as error:
            self._breaker.record_reply()
            if isinstance(error, NoScriptError):
                raise _UnknownScriptError from None
            if str(error).startswith("WRONGTYPE"):
                raise WrongTypeError from None
            raise StoreUnavailableError(type(error).__name__) from None
        finally:
            self._breaker.release()
        self._breaker.record_reply()
        return result

    def script(self, package: str, *names: str, repeatable: bool = True) -> ScriptCall:
        """Return a callable ``(keys, args)`` that runs ``lua/<name>.lua`` of ``package``.

        Several names are joined in their order into one script. It is sent by its digest, and
        whole where the server does not know it (a restart, ``SCRIPT FLUSH``), which makes it known.
        """
        source = "\n".join(
            files(package).joinpath("lua", f"{name}.lua").read_text("utf-8") for name in names
        )
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

        def run(keys: Sequence[str], args: Sequence[Argument]) -> Any:
            count = len(keys)
            try:
                return self.call(
                    lambda client: client.evalsha(digest, count, *keys, *args),
                    repeatable=repeatable,
                )
            except _UnknownScriptError:
                return self.call(
                    lambda client: client.eval(source, count, *keys, *args), repeatable=repeatable
                )

        return run

    def bare(self, make: Callable[["redis.Redis"], T]) -> T:
        """Return what ``make`` builds on the client, for a library that needs one.

        Nothing may be sent while it is built; what is sent later goes through ``call``.
        """
        return make(self._redis)

    def get(self, key: str) -> bytes | None:
        """Return the string at ``key``."""
        value: bytes | None = self.call(lambda client: client.get(key))  # type: ignore[assignment]  # bytes: nothing is decoded
        return value

    def exist(self, keys: Sequence[str]) -> Sequence[bool]:
        """Return for each key whether it exists, in one round trip."""

        def ask(client: "redis.Redis") -> Sequence[bool]:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.exists(key)
            return [bool(count) for count in pipeline.execute()]

        return self.call(ask)

    def scan(self, pattern: str) -> Iterator[Sequence[str]]:
        """Yield the keys that match, in batches; a key may come twice, as SCAN allows."""
        for batch in self._scan(lambda cursor, client: client.scan(cursor, pattern, SCAN_COUNT)):
            yield _readable(batch)

    def scan_set(self, key: str) -> Iterator[Sequence[str]]:
        """Yield the members of a set, in batches."""
        for batch in self._scan(lambda cursor, client: client.sscan(key, cursor, None, SCAN_COUNT)):
            yield _readable(batch)

    def scan_sorted_set(self, key: str) -> Iterator[Sequence[bytes]]:
        """Yield the members of a sorted set, in batches."""
        for batch in self._scan(lambda cursor, client: client.zscan(key, cursor, None, SCAN_COUNT)):
            yield [member for member, _ in batch]

    def _scan(self, step: Callable[[int, "redis.Redis"], Any]) -> Iterator[Sequence[Any]]:
        cursor = 0
        while True:
            cursor, found = self.call(partial(step, cursor))
            yield found
            if cursor == 0:
                return

    def info(self) -> dict[str, Any]:
        """Return what the server says of itself (INFO)."""
        answer: dict[str, Any] = self.call(lambda client: client.info())
        return answer

    def ping(self) -> None:
        """Raise ``StoreUnavailableError`` unless Redis answers."""
        self.call(lambda client: client.ping())


def _readable(names: Sequence[bytes]) -> Sequence[str]:
    # What is not UTF-8 is no key of ours, but it can stand among them and be told of.
    return [name.decode("utf-8", "backslashreplace") for name in names]
