"""How commands are sent on one connection: alone, together, and until replicas have them."""

from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import AskError, NoScriptError, TryAgainError

from sessions_store.errors import NotAcknowledgedError
from sessions_store.redis import deadline, failures
from sessions_store.redis.script import Argument, Script

Command = Sequence[Argument]
"""A command as one types it, such as ``("ZADD", key, score, member)``."""

NOT_HERE = (AskError, TryAgainError)
"""MOVED too: the node has not the slot, or not all of the keys."""

ACK_SECONDS = 0.5
"""How long a write waits for replicas, within the time of its command."""


def key_of(command: Command) -> str:
    """Return a key of a command: its first argument, or that of a script."""
    return str(command[3 if command[0] in ("EVALSHA", "EVAL") else 1])


def pipeline_of(client: "redis.Redis", commands: Sequence[Command], *, transaction: bool) -> Any:
    pipeline = client.pipeline(transaction=transaction)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's
    return pipeline


def send_one(command: Command, client: "redis.Redis") -> Any:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's


def send_all(
    commands: Sequence[Command], script: Script | None, client: "redis.Redis"
) -> Sequence[Any]:
    """Return the replies; an error of ``NOT_HERE`` is one too."""
    replies = pipeline_of(client, commands, transaction=False).execute(False)
    if script and any(isinstance(one, NoScriptError) for one in replies):
        deadline.check()
        client.script_load(script.source)
        replies = pipeline_of(client, commands, transaction=False).execute(False)
    return [
        one if isinstance(one, NOT_HERE) else failures.reply_or_wrong_type(one) for one in replies
    ]


def send_alone(command: Command, script: Script | None, client: "redis.Redis") -> Any:
    (reply,) = send_all([command], script, client)
    if isinstance(reply, NOT_HERE):
        raise reply
    return reply


def send_acknowledged(command: Command, whole: Command, acks: int, client: "redis.Redis") -> Any:
    """Return the reply to a command that writes, once so many replicas have it.

    Args:
        whole: what is sent where the server does not know the command's script.

    Raises:
        NotAcknowledgedError: fewer have it.
    """
    # WAIT counts who has what its connection wrote last. A repetition finds its write done, and
    # writes nothing: so there is always something written after it.
    key = key_of(command)
    tag = key[key.find("{") + 1 : key.find("}")] if "}" in key else key
    reply, _, acknowledged = pipeline_of(
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
        return send_acknowledged(whole, whole, acks, client)
    for one in (reply, acknowledged):
        if isinstance(one, redis.RedisError):
            raise one
    if acknowledged < acks:
        raise NotAcknowledgedError
    return reply
