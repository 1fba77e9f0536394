"""The Redis client: scripts, timeouts, and our errors in place of redis-py's.

Which command is sent again, and for how long, is in ``attempts.py``.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import redis
from redis.exceptions import NoScriptError

from sessions_store.errors import StoreUnavailableError, WrongTypeError
from sessions_store.redis import deadline, failures
from sessions_store.redis.attempts import Attempts
from sessions_store.redis.commands import (
    NOT_HERE,
    Command,
    key_of,
    pipeline_of,
    send_acknowledged,
    send_all,
    send_alone,
    send_one,
)
from sessions_store.redis.connections import connection_options
from sessions_store.redis.deployment import URL_FORMS, Deployment, OneServer, deployment_of
from sessions_store.redis.node import Node
from sessions_store.redis.script import Argument, Script

DEFAULT_MAX_WAITING = 64
SCAN_COUNT = 500
"""Keys that one step of a SCAN looks at: some tenths of a millisecond of the server's time."""

ScriptCall = Callable[..., Any]
Observer = Callable[[str, str, float], object]
"""Is told of each call its name, its outcome (``OK``, or the cause of the failure) and seconds."""

OK = "ok"
T = TypeVar("T")


class StoreClient:
    """A redis-py client whose every failure is a ``StoreUnavailableError``.

    Args:
        redis_client: made with ``connection_options()``; or a deployment.
        max_waiting: commands that may wait for Redis at the same time; fewer than the threads of
            the process, so that some are left for requests that need no Redis.
        write_acks: how many replicas must have a write before it counts as done.
    """

    def __init__(
        self,
        redis_client: "redis.Redis | Deployment",
        max_waiting: int = DEFAULT_MAX_WAITING,
        write_acks: int = 0,
    ) -> None:
        self._servers: Deployment = (
            OneServer(redis_client, max_waiting)
            if isinstance(redis_client, redis.Redis)
            else redis_client
        )
        self.max_waiting = max_waiting
        self.write_acks = write_acks
        self.observe: Observer = _ignore

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        max_waiting: int = DEFAULT_MAX_WAITING,
        max_connections: int | None = None,
        write_acks: int = 0,
    ) -> Self:
        """Return a client for a server, sentinels or a cluster, with our timeouts.

        Args:
            url: as ``deployment.py`` has them.
            max_connections: to each server; ``None`` for as many as are needed.

        Raises:
            ValueError: another URL, or one with an option that is unknown or changes replies.
        """
        try:
            servers = deployment_of(
                url,
                connection_options(),
                max_waiting=max_waiting,
                max_connections=max_connections,
            )
        except (TypeError, ValueError, redis.RedisError):
            raise ValueError(f"url must be that of a Redis server, such as {URL_FORMS}") from None
        return cls(servers, max_waiting, write_acks)

    @property
    def is_cluster(self) -> bool:
        """Whether keys are in slots, so that a step has those of one slot only."""
        return self._servers.is_cluster

    @property
    def publish_command(self) -> str:
        """The command for a message that those hear who subscribed by a ``Subscriber``.

        A cluster passes what is published plainly on to each of its nodes.
        """
        return "SPUBLISH" if self.is_cluster else "PUBLISH"

    def node_of(self, key: str) -> Node:
        """Return the server that has a key."""
        return self._servers.node_of(key)

    def nodes(self) -> Sequence[Node]:
        """Return the servers that take writes, for ``call``; one, but for a cluster.

        Raises:
            StoreUnavailableError: no node of a cluster was reached.
        """
        return self._servers.primaries()

    def call(
        self,
        command: Callable[["redis.Redis"], T],
        *,
        key: str | None = None,
        node: Node | None = None,
        operation: str = "other",
        repeatable: bool = False,
    ) -> T:
        """Return what ``command`` returns when it is given the client of a server.

        Args:
            command: sends one command or one transaction.
            key: one of its keys, by which a cluster's node is found; without one, any is asked.
            node: the server, where it is the command that tells them apart.
            operation: the name of the call, for ``observe``.
            repeatable: whether it may be sent again where the connection broke afterwards: it
                reads, or a second time has the effect and the result of the first. (What is known
                to have written nothing is sent once more in any case.)

        Raises:
            StoreUnavailableError: refused, timed out, broken off, loading, read-only, out of
                memory, or any other error that Redis replies.
            WrongTypeError: a key holds another type than the command is for.
        """
        began = time.perf_counter()
        try:
            result = self._call(command, key=key, node=node, repeatable=repeatable)
        except StoreUnavailableError as error:
            self.observe(operation, error.cause, time.perf_counter() - began)
            raise
        except WrongTypeError:
            self.observe(operation, "WRONGTYPE", time.perf_counter() - began)
            raise
        self.observe(operation, OK, time.perf_counter() - began)
        return result

    def _call(
        self,
        command: Callable[["redis.Redis"], T],
        *,
        key: str | None,
        node: Node | None,
        repeatable: bool,
    ) -> T:
        # Errors of redis-py are replaced without their context: their texts quote arguments, and
        # so people's words and credentials.
        attempts = None
        asked = node or self._servers.node_of(key)
        while True:
            deadline.check()
            asked.breaker.acquire()
            try:
                result = command(asked.client)
            except redis.TimeoutError as error:
                asked.breaker.record_timeout()
                asked.give_up_connections()
                self._servers.has_failed(error)
                raise StoreUnavailableError(failures.cause(error)) from None
            except redis.RedisError as error:
                asked.breaker.record_reply()
                if failures.is_wrong_type(error):
                    raise WrongTypeError from None
                attempts = attempts or Attempts(self._servers, repeatable=repeatable)
                other, pause_seconds = attempts.follow(asked, error)
            else:
                asked.breaker.record_reply()
                return result
            finally:
                asked.breaker.release()
            if pause_seconds:
                time.sleep(pause_seconds)
            asked = other or node or self._servers.node_of(key)

    def script(
        self,
        package: str,
        name: str,
        *,
        repeatable: bool = False,
        is_write: bool = False,
        guard: str = "",
    ) -> ScriptCall:
        """Return a function that runs the script ``lua/<name>.lua`` of ``package``.

        It takes the script's keys and arguments by their names (see ``script.py``). The script is
        sent by its digest, and whole where the server does not know it (a restart, ``SCRIPT
        FLUSH``), which makes it known.

        Args:
            is_write: whether ``write_acks`` replicas must have what it wrote; else it is an
                ``NotAcknowledgedError``.
            guard: see ``Script``.
        """
        script = Script(package, name, guard)

        def run(**named: Argument | Sequence[Argument]) -> Any:
            key_count, values = script.arrange(named)
            if is_write and self.write_acks:
                by_digest, whole = (
                    (*start, key_count, *values)
                    for start in (("EVALSHA", script.digest), ("EVAL", script.source))
                )
                send = partial(send_acknowledged, by_digest, whole, self.write_acks)
                return self.call(send, key=str(values[0]), operation=name, repeatable=repeatable)

            def evaluate(client: "redis.Redis") -> Any:
                try:
                    return client.evalsha(script.digest, key_count, *values)
                except NoScriptError:  # nothing has been run
                    deadline.check()
                    return client.eval(script.source, key_count, *values)

            return self.call(evaluate, key=str(values[0]), operation=name, repeatable=repeatable)

        return run

    def pipelined_script(self, package: str, name: str) -> Callable[..., Sequence[Any]]:
        """Return a function that runs a script that only reads many times, in one round trip.

        It takes, for each time, a mapping of the script's keys and arguments by their names.
        """
        script = Script(package, name)

        def run(calls: Iterable[Mapping[str, Argument]]) -> Sequence[Any]:
            return self._send_each(
                [
                    ("EVALSHA", script.digest, key_count, *values)
                    for key_count, values in map(script.arrange, calls)
                ],
                name,
                script,
            )

        return run

    def bare(self, make: Callable[["redis.Redis"], T], node: Node | None = None) -> T:
        """Return what ``make`` builds on the client, for a library that needs one.

        Nothing may be sent while it is built; what is sent later goes through ``call``.

        Args:
            node: whose client; without one, that of any.
        """
        return make((node or self._servers.node_of(None)).client)

    def get(self, key: str) -> bytes | None:
        """Return the string at ``key``."""
        value: bytes | None = self.call(  # type: ignore[assignment]  # bytes: nothing is decoded
            lambda client: client.get(key), key=key, operation="get", repeatable=True
        )
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
        if one_moment:
            replies = self.call(
                lambda client: pipeline_of(client, commands, transaction=True).execute(False),
                key=key_of(commands[0]),
                operation="read_many",
                repeatable=True,
            )
            return [failures.reply_or_wrong_type(one) for one in replies]
        return self._send_each(commands, "read_many")

    def set_many(self, commands: Sequence[Command]) -> None:
        """Send commands that set the same when they are sent again, in one round trip.

        Each is a step by itself; the keys need not be on one server.
        """
        if self.write_acks:
            for command in commands:
                self.write(command, operation="set_many")
        else:
            self._send_each(commands, "set_many")

    def write(self, command: Command, *, operation: str) -> Any:
        """Return the reply to a command that writes the same when it is sent again."""
        send: Callable[[redis.Redis], Any]
        if self.write_acks:
            send = partial(send_acknowledged, command, command, self.write_acks)
        else:
            send = partial(send_one, command)
        return self.call(send, key=key_of(command), operation=operation, repeatable=True)

    def transaction(self, commands: Sequence[Command], *, repeatable: bool = False) -> list[Any]:
        """Return the replies to commands that are run as one transaction, in one round trip.

        Their keys are on one server, and in one slot of a cluster.
        """
        return self.call(
            lambda client: pipeline_of(client, commands, transaction=True).execute(),
            key=key_of(commands[0]),
            operation="transaction",
            repeatable=repeatable,
        )

    def _send_each(
        self, commands: Sequence[Command], operation: str, script: Script | None = None
    ) -> list[Any]:
        """Return the replies to commands that may be sent again, in one round trip to each node.

        Args:
            script: the one that they run.
        """
        replies: list[Any] = [None] * len(commands)
        for positions in self._by_node(commands):
            part = [commands[position] for position in positions]
            send = partial(send_all, part, script)
            found = self.call(send, key=key_of(part[0]), operation=operation, repeatable=True)
            for position, reply in zip(positions, found, strict=True):
                replies[position] = reply
        for position, reply in enumerate(replies):
            if isinstance(reply, NOT_HERE):
                send = partial(send_alone, commands[position], script)
                replies[position] = self.call(
                    send, key=key_of(commands[position]), operation=operation, repeatable=True
                )
        return replies

    def _by_node(self, commands: Sequence[Command]) -> Iterable[Sequence[int]]:
        """Return the positions of the commands that are sent together."""
        if not self.is_cluster:
            return [range(len(commands))] if commands else []
        found: dict[Node, list[int]] = {}
        for position, command in enumerate(commands):
            found.setdefault(self._servers.node_of(key_of(command)), []).append(position)
        return found.values()

    def ping(self) -> None:
        """Raise ``StoreUnavailableError`` unless Redis replies."""
        self.call(lambda client: client.ping(), operation="ping", repeatable=True)

    def scan(self, pattern: str) -> Iterator[Sequence[str]]:
        """Yield the keys that match, in batches; a key may come twice, as SCAN allows."""
        for node in self.nodes():
            for batch in self._scan(
                lambda cursor, client: client.scan(cursor, pattern, SCAN_COUNT), node=node
            ):
                yield _readable(batch)

    def scan_set(self, key: str) -> Iterator[Sequence[str]]:
        """Yield the members of a set, in batches."""
        for batch in self._scan(
            lambda cursor, client: client.sscan(key, cursor, None, SCAN_COUNT), key=key
        ):
            yield _readable(batch)

    def scan_sorted_set(self, key: str) -> Iterator[Sequence[bytes]]:
        """Yield the members of a sorted set, in batches."""
        for batch in self._scan(
            lambda cursor, client: client.zscan(key, cursor, None, SCAN_COUNT), key=key
        ):
            yield [member for member, _ in batch]

    def _scan(
        self,
        step: Callable[[int, "redis.Redis"], Any],
        *,
        key: str | None = None,
        node: Node | None = None,
    ) -> Iterator[Sequence[Any]]:
        cursor = 0
        while True:
            send = partial(step, cursor)
            cursor, found = self.call(send, key=key, node=node, operation="scan", repeatable=True)
            yield found
            if cursor == 0:
                return


def _ignore(_: str, __: str, ___: float) -> None:
    """Observe nothing."""


def _readable(names: Sequence[bytes]) -> Sequence[str]:
    # A key that is not UTF-8 is none of ours, but it can be found among them, and be reported.
    return [name.decode("utf-8", "backslashreplace") for name in names]
