"""The Redis client: timeouts, at most one retry, scripts, and our errors in place of redis-py's.

Timeouts and retries are explicit, because redis-py's own defaults (5 s, ten retries, timeouts
included) stall a request for a minute and repeat a write whose reply was only slow. Here a command
is sent again at most once, on a new connection: if it is known to have written nothing, or if the
connection broke and its caller says that it is ``repeatable``. Only a server that has no connection
for us is asked until there is one, or the request's time is over.
docs/decisions/0003-timeouts-and-retries.md has the figures.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AskError, NoScriptError, TryAgainError
from redis.retry import Retry

from sessions_store.errors import NotAcknowledgedError, StoreUnavailableError, WrongTypeError
from sessions_store.redis import deadline, failures
from sessions_store.redis.deployment import URL_FORMS, Deployment, OneServer, deployment_of
from sessions_store.redis.node import Node
from sessions_store.redis.script import Argument, Script

DEFAULT_MAX_WAITING = 64
SCAN_COUNT = 500
"""Keys that one step of a SCAN looks at: some tenths of a millisecond of the server's time."""

PAUSE_SECONDS = 0.02
"""The pause before a server is asked again that had no connection for us, or, in a cluster, while a
slot is on its way."""

_NOT_HERE = (AskError, TryAgainError)
"""MOVED too: the node has not the slot, or not all of the keys."""

ACK_SECONDS = 0.5
"""How long a write waits for replicas, within the time of its command."""

Command = Sequence[Argument]
"""A command as one types it, such as ``("ZADD", key, score, member)``."""

ScriptCall = Callable[..., Any]
Observer = Callable[[str, str, float], object]
"""Is told of each call its name, its outcome (``OK``, or the cause of the failure) and seconds."""

OK = "ok"
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
        hosts = parts.netloc.rpartition("@")[2]
        for host in hosts.split(","):
            urlsplit(f"//{host}").port  # noqa: B018  # which looks at it
    except ValueError:
        return "an invalid URL"  # where its password is, nobody knows
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme}://…"
    return f"{parts.scheme}://{hosts}{parts.path}"


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
        ask_until = None
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
                failed_before = ask_until is not None
                # Without a request whose clock runs, as much time as a request has.
                ask_until = ask_until or time.monotonic() + deadline.seconds_left()
                is_full = failures.is_full(error, failed_before=failed_before)
                is_split = isinstance(error, TryAgainError)
                following = self._servers.redirect(asked, error)
                if is_full or is_split or following:
                    goes_on = time.monotonic() < ask_until
                else:
                    self._servers.has_failed(error)
                    goes_on = not failed_before and failures.may_be_sent_again(error, repeatable)
                if not goes_on:
                    raise StoreUnavailableError(failures.cause(error)) from None
                if not (is_split or following):
                    asked.give_up_connections()
                if is_full:
                    asked.breaker.use_fewer_places()
            else:
                asked.breaker.record_reply()
                return result
            finally:
                asked.breaker.release()
            if is_full or is_split or (following and failed_before):
                time.sleep(PAUSE_SECONDS)
            asked = following or node or self._servers.node_of(key)

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
                send = partial(_acknowledged, by_digest, whole, self.write_acks)
                return self.call(send, key=str(values[0]), repeatable=repeatable)

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
                lambda client: _pipeline(client, commands, transaction=True).execute(False),
                key=_key_of(commands[0]),
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
            send = partial(_acknowledged, command, command, self.write_acks)
        else:
            send = _sent(command)
        return self.call(send, key=_key_of(command), operation=operation, repeatable=True)

    def transaction(self, commands: Sequence[Command], *, repeatable: bool = False) -> list[Any]:
        """Return the replies to commands that are run as one transaction, in one round trip.

        Their keys are on one server, and in one slot of a cluster.
        """
        return self.call(
            lambda client: _pipeline(client, commands, transaction=True).execute(),
            key=_key_of(commands[0]),
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
            send = partial(_send_all, part, script)
            found = self.call(send, key=_key_of(part[0]), operation=operation, repeatable=True)
            for position, reply in zip(positions, found, strict=True):
                replies[position] = reply
        for position, reply in enumerate(replies):
            if isinstance(reply, _NOT_HERE):
                send = partial(_send_alone, commands[position], script)
                replies[position] = self.call(
                    send, key=_key_of(commands[position]), operation=operation, repeatable=True
                )
        return replies

    def _by_node(self, commands: Sequence[Command]) -> Iterable[Sequence[int]]:
        """Return the positions of the commands that are sent together."""
        if not self.is_cluster:
            return [range(len(commands))] if commands else []
        found: dict[Node, list[int]] = {}
        for position, command in enumerate(commands):
            found.setdefault(self._servers.node_of(_key_of(command)), []).append(position)
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


def _key_of(command: Command) -> str:
    """Return a key of a command: its first argument, or that of a script."""
    return str(command[3 if command[0] in ("EVALSHA", "EVAL") else 1])


def _pipeline(client: "redis.Redis", commands: Sequence[Command], *, transaction: bool) -> Any:
    pipeline = client.pipeline(transaction=transaction)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's
    return pipeline


def _send_all(
    commands: Sequence[Command], script: Script | None, client: "redis.Redis"
) -> Sequence[Any]:
    """Return the replies; an error of ``_NOT_HERE`` is one too."""
    replies = _pipeline(client, commands, transaction=False).execute(False)
    if script and any(isinstance(one, NoScriptError) for one in replies):
        deadline.check()
        client.script_load(script.source)
        replies = _pipeline(client, commands, transaction=False).execute(False)
    return [
        one if isinstance(one, _NOT_HERE) else failures.reply_or_wrong_type(one) for one in replies
    ]


def _sent(command: Command) -> Callable[["redis.Redis"], Any]:
    return lambda client: client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's


def _acknowledged(command: Command, whole: Command, acks: int, client: "redis.Redis") -> Any:
    """Return the reply to a command that writes, once so many replicas have it.

    Args:
        whole: what is sent where the server does not know the command's script.

    Raises:
        NotAcknowledgedError: fewer have it.
    """
    # WAIT counts who has what its connection wrote last. A repetition finds its write done, and
    # writes nothing: so there is always something written after it.
    key = _key_of(command)
    tag = key[key.find("{") + 1 : key.find("}")] if "}" in key else key
    reply, _, acknowledged = _pipeline(
        client,
        [
            command,
            ("SET", f"{{{tag}}}:acknowledged", "", "PX", 1000),
            ("WAIT", acks, int(ACK_SECONDS * 1000)),
        ],
        transaction=False,
    ).execute(False)
    if isinstance(reply, NoScriptError):
        deadline.check()
        return _acknowledged(whole, whole, acks, client)
    for one in (reply, acknowledged):
        if isinstance(one, redis.RedisError):
            raise one
    if acknowledged < acks:
        raise NotAcknowledgedError
    return reply


def _send_alone(command: Command, script: Script | None, client: "redis.Redis") -> Any:
    (reply,) = _send_all([command], script, client)
    if isinstance(reply, _NOT_HERE):
        raise reply
    return reply


def _readable(names: Sequence[bytes]) -> Sequence[str]:
    # A key that is not UTF-8 is none of ours, but it can be found among them, and be reported.
    return [name.decode("utf-8", "backslashreplace") for name in names]
