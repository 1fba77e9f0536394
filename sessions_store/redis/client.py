"""The Redis client: timeouts, at most one retry, scripts, and our errors in place of redis-py's.

Timeouts and retries are explicit, because redis-py's own defaults (5 s, ten retries, timeouts
included) stall a request for a minute and repeat a write whose reply was only slow. Here a command
is sent again at most once, on a new connection: if it is known to have written nothing, or if the
connection broke and its caller says that it is ``repeatable``. Only a server that has no connection
for us is asked until there is one, or the request's time is over.
docs/decisions/0003-timeouts-and-retries.md has the figures.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from sessions_store.errors import StoreUnavailableError, WrongTypeError
from sessions_store.redis import deadline
from sessions_store.redis.circuit_breaker import CircuitBreaker
from sessions_store.redis.connections import ConnectionPool, NotConnectedError
from sessions_store.redis.script import Argument, Script

DEFAULT_MAX_WAITING = 64
SCAN_COUNT = 500
"""Keys that one step of a SCAN looks at: some tenths of a millisecond of the server's time."""

FULL_PAUSE_SECONDS = 0.02
"""The pause before a server that had no connection for us is asked again."""

# Redis has run nothing. (A replica refuses the first write of a script as well.)
_NOT_DONE = frozenset({"LOADING", "READONLY", "MASTERDOWN", "EXECABORT"})

Command = Sequence[Argument]
"""A command as one types it, such as ``("ZADD", key, score, member)``."""

_FIRST_WORD = re.compile(
    r"(?:Error running script \(call to \w+\): [@\w: ]*-)?"
    r"(MISCONF|NOREPLICAS|BUSY|OOM|READONLY|MASTERDOWN|NOPERM) "
)
"""For what redis-py has no class for, and for how servers before Redis 7 word it of a script."""

ScriptCall = Callable[..., Any]
T = TypeVar("T")


def connection_options() -> dict[str, Any]:
    """Return the keyword arguments of redis-py's connection pool that this project relies on."""
    return {
        "socket_connect_timeout": deadline.CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": deadline.COMMAND_TIMEOUT_SECONDS,
        # StoreClient repeats what may be repeated.
        "retry": Retry(NoBackoff(), 0),
        # RESP2 and no CLIENT SETINFO: a new connection costs no round trips of its own.
        "protocol": 2,
        "driver_info": None,
    }


def without_credentials(url: str) -> str:
    """Return a Redis URL as it may be shown: without user name, password and options.

    Of one with an @ behind its host, the scheme alone: a ``/``, ``?`` or ``#`` in a password that
    is not percent-encoded makes its beginning look like the host.
    """
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "an invalid URL"  # where its password is, nobody knows
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme}://…"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


class StoreClient:
    """A redis-py client whose every failure is a ``StoreUnavailableError``.

    Args:
        redis_client: made with ``connection_options()``.
        max_waiting: commands that may wait for Redis at the same time; fewer than the threads of
            the process, so that some are left for requests that need no Redis.
    """

    def __init__(self, redis_client: "redis.Redis", max_waiting: int = DEFAULT_MAX_WAITING) -> None:
        self._redis = redis_client
        self.max_waiting = max_waiting
        # The client of a Redis Cluster has a pool for each node, and gives connections up itself.
        self._pool = getattr(redis_client, "connection_pool", None)
        self._breaker = CircuitBreaker(max_waiting, getattr(self._pool, "max_connections", None))

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return a client for ``redis://``, ``rediss://`` or ``unix://``, with our timeouts.

        Raises:
            ValueError: another URL, or one with an option that is unknown or changes replies.
        """
        try:
            pool = ConnectionPool.from_url(url, **connection_options())
            # Made, not connected: only that looks at the options' values.
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, ValueError, redis.RedisError):
            raise ValueError("not the URL of a Redis server") from None
        if pool.get_encoder().decode_responses:
            raise ValueError("replies are needed as bytes")
        return cls(redis.Redis(connection_pool=pool))

    def call(self, command: Callable[["redis.Redis"], T], *, repeatable: bool = False) -> T:
        """Return what ``command`` returns when it is given the client.

        Args:
            command: sends one command or one transaction.
            repeatable: whether it may be sent again where the connection broke afterwards: it
                reads, or a second time has the effect and the result of the first. (What is known
                to have written nothing is sent once more in any case.)

        Raises:
            StoreUnavailableError: refused, timed out, broken off, loading, read-only, out of
                memory, or any other error that Redis replies.
            WrongTypeError: a key holds another type than the command is for.
        """
        # Errors of redis-py are replaced without their context: their texts quote arguments, and
        # so people's words and credentials.
        ask_until = None
        while True:
            deadline.check()
            self._breaker.acquire()
            try:
                result = command(self._redis)
            except redis.TimeoutError as error:
                self._breaker.record_timeout()
                self._give_up_connections()
                raise StoreUnavailableError(_cause(error)) from None
            except redis.RedisError as error:
                self._breaker.record_reply()
                if _is_wrong_type(error):
                    raise WrongTypeError from None
                failed_before = ask_until is not None
                # Without a request whose clock runs, as much time as a request has.
                ask_until = ask_until or time.monotonic() + deadline.seconds_left()
                is_full = _is_full(error, failed_before=failed_before)
                if is_full:
                    goes_on = time.monotonic() < ask_until
                else:
                    goes_on = not failed_before and _may_be_sent_again(error, repeatable)
                if not goes_on:
                    raise StoreUnavailableError(_cause(error)) from None
                self._give_up_connections()
                if is_full:
                    self._breaker.use_fewer_places()
            else:
                self._breaker.record_reply()
                return result
            finally:
                self._breaker.release()
            if is_full:
                time.sleep(FULL_PAUSE_SECONDS)

    def _give_up_connections(self) -> None:
        """Where one connection failed, others may: what comes next is sent on a new one."""
        if self._pool is not None:
            self._pool.disconnect(inuse_connections=False)

    def script(self, package: str, name: str, *, repeatable: bool = False) -> ScriptCall:
        """Return a function that runs the script ``lua/<name>.lua`` of ``package``.

        It takes the script's keys and arguments by their names (see ``script.py``). The script is
        sent by its digest, and whole where the server does not know it (a restart, ``SCRIPT
        FLUSH``), which makes it known.
        """
        script = Script(package, name)

        def run(**named: Argument | Sequence[Argument]) -> Any:
            key_count, values = script.arrange(named)

            def evaluate(client: "redis.Redis") -> Any:
                try:
                    return client.evalsha(script.digest, key_count, *values)
                except NoScriptError:  # nothing has been run
                    deadline.check()
                    return client.eval(script.source, key_count, *values)

            return self.call(evaluate, repeatable=repeatable)

        return run

    def pipelined_script(self, package: str, name: str) -> Callable[..., Sequence[Any]]:
        """Return a function that runs a script that only reads many times, in one round trip.

        It takes, for each time, a mapping of the script's keys and arguments by their names.
        """
        script = Script(package, name)

        def run(calls: Iterable[Mapping[str, Argument]]) -> Sequence[Any]:
            commands: list[Command] = [
                ("EVALSHA", script.digest, key_count, *values)
                for key_count, values in map(script.arrange, calls)
            ]

            def evaluate(client: "redis.Redis") -> Sequence[Any]:
                try:
                    return _execute(client, commands)
                except NoScriptError:
                    deadline.check()
                    client.script_load(script.source)
                    return _execute(client, commands)

            return self.call(evaluate, repeatable=True) if commands else []

        return run

    def bare(self, make: Callable[["redis.Redis"], T]) -> T:
        """Return what ``make`` builds on the client, for a library that needs one.

        Nothing may be sent while it is built; what is sent later goes through ``call``.
        """
        return make(self._redis)

    def get(self, key: str) -> bytes | None:
        """Return the string at ``key``."""
        value: bytes | None = self.call(lambda client: client.get(key), repeatable=True)  # type: ignore[assignment]  # bytes: nothing is decoded
        return value

    def exist(self, keys: Sequence[str]) -> Sequence[bool]:
        """Return for each key whether it exists."""
        return [bool(count) for count in self.read_many([("EXISTS", key) for key in keys])]

    def read_many(self, commands: Sequence[Command], *, one_moment: bool = False) -> Sequence[Any]:
        """Return the replies to commands that only read, in one round trip.

        A ``WrongTypeError`` takes the place of a reply where a key holds another type.

        Args:
            one_moment: whether to read as of the same moment; the keys must then be on one server.
        """

        def read(client: "redis.Redis") -> Sequence[Any]:
            replies = _pipeline(client, commands, transaction=one_moment).execute(False)
            return [_reply_or_wrong_type(one) for one in replies]

        return self.call(read, repeatable=True) if commands else []

    def set_many(self, commands: Sequence[Command]) -> None:
        """Send commands that set the same when they are sent again, in one round trip.

        Each is a step by itself; the keys need not be on one server.
        """
        self.call(lambda client: _execute(client, commands), repeatable=True)

    def transaction(self, commands: Sequence[Command], *, repeatable: bool = False) -> list[Any]:
        """Return the replies to commands that are run as one transaction, in one round trip."""
        return self.call(
            lambda client: _pipeline(client, commands, transaction=True).execute(),
            repeatable=repeatable,
        )

    def ping(self) -> None:
        """Raise ``StoreUnavailableError`` unless Redis replies."""
        self.call(lambda client: client.ping(), repeatable=True)

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
            cursor, found = self.call(partial(step, cursor), repeatable=True)
            yield found
            if cursor == 0:
                return


def _pipeline(client: "redis.Redis", commands: Sequence[Command], *, transaction: bool) -> Any:
    pipeline = client.pipeline(transaction=transaction)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's
    return pipeline


def _execute(client: "redis.Redis", commands: Sequence[Command]) -> Sequence[Any]:
    replies: Sequence[Any] = _pipeline(client, commands, transaction=False).execute()
    return replies


def _may_be_sent_again(error: redis.RedisError, repeatable: bool) -> bool:
    if isinstance(error, redis.ConnectionError) and (repeatable or _broke_while_written(error)):
        return True
    return isinstance(error, NotConnectedError) or _cause(error) in _NOT_DONE


def _is_full(error: redis.RedisError, *, failed_before: bool) -> bool:
    """Whether the server refused a connection because it has as many as it takes."""
    # It says so, and closes: where we write just after that, nobody reads what it said.
    closed_at_once = failed_before and _broke_while_written(error)
    return closed_at_once or str(error).startswith("max number of clients")


def _broke_while_written(error: redis.RedisError) -> bool:
    # Redis runs no command, and no transaction, that has not arrived whole.
    return isinstance(error.__context__, BrokenPipeError)


def _cause(error: redis.RedisError) -> str:
    """Return the first word of Redis's error reply, else the class's name; never an argument."""
    # A pipeline writes the command before it.
    found = _FIRST_WORD.match(str(error).rpartition("caused error: ")[2])
    word = found[1] if found else error.status_code
    return type(error).__name__ if word in (None, "ERR") else word


def _is_wrong_type(error: Exception) -> bool:
    return str(error).startswith("WRONGTYPE")


def _reply_or_wrong_type(reply: Any) -> Any:
    if not isinstance(reply, Exception):
        return reply
    if _is_wrong_type(reply):
        return WrongTypeError()
    raise reply


def _readable(names: Sequence[bytes]) -> Sequence[str]:
    # A key that is not UTF-8 is none of ours, but it can be found among them, and be reported.
    return [name.decode("utf-8", "backslashreplace") for name in names]
