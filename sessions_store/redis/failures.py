"""What an error of redis-py means: what was run, and what may be sent again."""

import re
from typing import Any

import redis

from sessions_store.errors import WrongTypeError
from sessions_store.redis.connections import NotConnectedError, RefusedError

# Redis has run nothing. (A replica refuses the first write of a script as well.)
_NOT_DONE = frozenset({"LOADING", "READONLY", "MASTERDOWN", "EXECABORT"})

_FIRST_WORD = re.compile(
    r"(?:Error running script \(call to \w+\): [@\w: ]*-)?"
    r"(MISCONF|NOREPLICAS|BUSY|OOM|READONLY|MASTERDOWN|NOPERM) "
)
"""For what redis-py has no class for, and for how servers before Redis 7 word it of a script."""


def may_be_sent_again(error: redis.RedisError, repeatable: bool) -> bool:
    """Whether the command has done nothing, or may do it twice."""
    if isinstance(error, redis.ConnectionError) and (repeatable or _broke_while_written(error)):
        return True
    return isinstance(error, NotConnectedError) or cause(error) in _NOT_DONE


def is_full(error: redis.RedisError, *, failed_before: bool) -> bool:
    """Whether the server refused a connection because it has as many as it takes."""
    # It says so, and closes: where we write just after that, nobody reads what it said.
    closed_at_once = failed_before and _broke_while_written(error)
    return (
        closed_at_once
        or isinstance(error, RefusedError)
        or str(error).startswith("max number of clients")
    )


def _broke_while_written(error: redis.RedisError) -> bool:
    # Redis runs no command, and no transaction, that has not arrived whole.
    return isinstance(error.__context__, BrokenPipeError)


def cause(error: redis.RedisError) -> str:
    """Return the first word of Redis's error reply, else the class's name; never an argument."""
    # A pipeline writes the command before it.
    found = _FIRST_WORD.match(str(error).rpartition("caused error: ")[2])
    word = found[1] if found else error.status_code
    return type(error).__name__ if word in (None, "ERR") else word


def is_wrong_type(error: Exception) -> bool:
    """Whether a key holds another type than the command is for."""
    return str(error).startswith("WRONGTYPE")


def reply_or_wrong_type(reply: Any) -> Any:
    """Return a reply of a pipeline; raise it if it is another error than of a key's type."""
    if not isinstance(reply, Exception):
        return reply
    if is_wrong_type(reply):
        return WrongTypeError()
    raise reply
