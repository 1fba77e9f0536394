"""The way to Redis: one client, our scripts, redis-py's errors turned into ours.

Timeouts and retries are explicit, because redis-py's own defaults (5 s, ten retries, timeouts
included) stall a request for a minute and repeat a write whose reply was only slow. Here a command
is repeated once, only where the connection broke, and only because every write carries a handle
under which it counts once; see docs/decisions/0003-timeouts-retries-and-the-pause.md.
"""

import threading
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from sessions_store.errors import StoreUnavailableError, WrongTypeError

CONNECT_TIMEOUT_SECONDS = 0.5
COMMAND_TIMEOUT_SECONDS = 1.0
PAUSE_SECONDS = 0.5
"""How long a store that did not answer in time is left alone before it is asked again."""

T = TypeVar("T")


def connection_options() -> dict[str, Any]:
    """Return the keyword arguments of redis-py's connection pool that this project relies on."""
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": COMMAND_TIMEOUT_SECONDS,
        # A timeout is not repeated: the store may be at work on the first attempt still.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        # RESP2: no HELLO on connecting, no push messages among the replies.
        "protocol": 2,
    }


class _Pause:
    """Keeps requests from queueing up behind a store that hangs.

    After a timeout, requests are refused at once for ``PAUSE_SECONDS``; then one of them may ask
    again while the others are still refused, until its answer settles it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: float | None = None

    @property
    def active(self) -> bool:
        return self._until is not None

    def check(self) -> None:
        """Raise ``StoreUnavailableError`` unless the store may be asked again."""
        with self._lock:
            now = time.monotonic()
            if self._until is not None and now < self._until:
                raise StoreUnavailableError("paused after a timeout")
            self._until = now + CONNECT_TIMEOUT_SECONDS + COMMAND_TIMEOUT_SECONDS

    def begin(self) -> None:
        with self._lock:
            self._until = time.monotonic() + PAUSE_SECONDS

    def end(self) -> None:
        with self._lock:
            self._until = None


class StoreClient:
    """A redis-py client whose every failure is a ``StoreUnavailableError``."""

    def __init__(self, redis_client: "redis.Redis") -> None:
        self._redis = redis_client
        self._pause = _Pause()

    @classmethod
    def from_url(cls, url: str) -> "StoreClient":
        """Return a client for ``redis://``, ``rediss://`` or ``unix://``, with our timeouts."""
        return cls(redis.Redis.from_url(url, **connection_options()))

    def call(self, command: Callable[["redis.Redis"], T]) -> T:
        """Return what ``command`` returns when it is given the client.

        Raises:
            StoreUnavailableError: refused, timed out, broken off, loading, read-only, out of
                memory, or any other error that Redis answers.
            WrongTypeError: the key holds another type than the command is for.
        """
        if self._pause.active:
            self._pause.check()
        try:
            result = command(self._redis)
        except redis.TimeoutError as error:
            self._pause.begin()
            raise StoreUnavailableError(type(error).__name__) from None
        except redis.ResponseError as error:
            self._pause.end()
            if str(error).startswith("WRONGTYPE"):
                raise WrongTypeError from None
            raise StoreUnavailableError(type(error).__name__) from None
        except redis.RedisError as error:
            # Without its context: redis-py's texts quote arguments, and so payloads.
            self._pause.end()
            raise StoreUnavailableError(type(error).__name__) from None
        if self._pause.active:
            self._pause.end()
        return result

    def script(self, package: str, *names: str) -> Callable[..., Any]:
        """Return a callable ``(keys, args)`` that runs ``lua/<name>.lua`` of ``package``.

        Several names are joined in their order into one script. It is sent by its digest and
        loaded again where the server does not know it (a restart, ``SCRIPT FLUSH``).
        """
        source = "\n".join(
            files(package).joinpath("lua", f"{name}.lua").read_text("utf-8") for name in names
        )
        script: Script = self._redis.register_script(source)

        def run(keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
            return self.call(lambda _: script(keys=keys, args=args))

        return run

    def get(self, key: str) -> bytes | None:
        """Return the string at ``key``."""
        value: bytes | None = self.call(lambda client: client.get(key))  # type: ignore[assignment]  # bytes: nothing is decoded
        return value

    def ping(self) -> None:
        """Raise ``StoreUnavailableError`` unless Redis answers."""
        self.call(lambda client: client.ping())
