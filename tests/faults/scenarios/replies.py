"""The command reaches Redis, its reply does not reach the service."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from redis import Redis

from agent_conversations.store import keys
from sessions_store.keys import CONVERSATION_PREFIX, session_key
from sessions_store.redis.deadline import COMMAND_TIMEOUT_SECONDS
from tests.faults.client import Api, Response
from tests.faults.relay import Fault, Matches, named
from tests.faults.result import RESPONSE_SECONDS, Advance, Result, ignore
from tests.faults.scenarios.outages import ALL, ROUTES, judge, prepare
from tests.faults.servers import Rig


def nothing(api: Api, name: str) -> None:
    """Prepare nothing."""


def _create(api: Api, name: str) -> None:
    api.create(name)


def _register(api: Api, name: str) -> None:
    api.register(name, "tab")


@dataclass(frozen=True)
class Operation:
    """A write that is sent once or more under one handle, ``name``.

    Args:
        loses: whose reply is lost.
        prepare: stores what the operation needs.
        success: the statuses that report that it was done now.
        success_again: those that report that an earlier request, whose response was a 503, did it.
        copies: how often the result is stored in Redis; 1 is right (for a deletion: gone).
        has_handle: whether a client can repeat it so that it counts once.
        repeated_by_service: whether the service itself sends it again when a connection breaks.
    """

    what: str
    loses: Matches
    send: Callable[[Api, str], Response]
    success: tuple[int, ...]
    copies: Callable[["Redis", str], int]
    prepare: Callable[[Api, str], None] = nothing
    success_again: tuple[int, ...] = ()
    has_handle: bool = True
    repeated_by_service: bool = True


def _messages(redis: "Redis", name: str) -> int:
    stored = redis.llen(keys.messages_key(name))
    # Doubled as well if the two records of it disagree.
    return stored if redis.hlen(keys.message_ids_key(name)) == stored else -1


def _conversations(redis: "Redis", name: str) -> int:
    records = sum(1 for _ in redis.scan_iter(f"{CONVERSATION_PREFIX}*"))
    listed = {redis.zcard(key) for key in keys.INDEX_KEYS}
    return records if listed == {records} else -1


def _sessions(redis: "Redis", name: str) -> int:
    return int(redis.exists(session_key(name)))


def _changed(redis: "Redis", name: str) -> int:
    return int(redis.hget(keys.conversation_key(name), "agentId") == b"changed")


def _no_session(redis: "Redis", name: str) -> int:
    return 1 - _sessions(redis, name)


def _no_conversation(redis: "Redis", name: str) -> int:
    left = redis.exists(*keys.record_keys(name))
    return int(not left and all(redis.zscore(key, name) is None for key in keys.INDEX_KEYS))


_SCRIPT = named("EVALSHA")
OPERATIONS = (
    Operation(
        "append with a messageId",
        _SCRIPT,
        lambda api, name: api.append(name, "message-1"),
        (201,),
        _messages,
        prepare=_create,
        success_again=(200,),
    ),
    Operation(
        "append without an id",
        _SCRIPT,
        lambda api, name: api.append(name),
        (201,),
        _messages,
        prepare=_create,
        has_handle=False,
    ),
    Operation(
        "create with a conversationId",
        _SCRIPT,
        lambda api, name: api.create(name),
        (201,),
        _conversations,
        success_again=(200,),
    ),
    Operation(
        "create with an Idempotency-Key",
        named("EVALSHA", "EXEC"),
        lambda api, name: api.create(key=name),
        (201,),
        _conversations,
        success_again=(200,),
    ),
    Operation(
        "create without a handle",
        _SCRIPT,
        lambda api, name: api.create(),
        (201,),
        _conversations,
        has_handle=False,
    ),
    Operation(
        "update",
        _SCRIPT,
        lambda api, name: api.update(name, {"agentId": "changed"}),
        (200,),
        _changed,
        prepare=_create,
    ),
    Operation(
        "register a session",
        named("SET"),
        lambda api, name: api.register(name, "tab"),
        (201,),
        _sessions,
    ),
    Operation(
        "delete a session",
        named("DEL"),
        lambda api, name: api.unregister(name),
        (204,),
        _no_session,
        prepare=_register,
    ),
    Operation(
        "delete a session by its id",
        _SCRIPT,
        lambda api, name: api.unregister(name, "tab"),
        (204,),
        _no_session,
        prepare=_register,
    ),
    Operation(
        "delete a conversation",
        _SCRIPT,
        lambda api, name: api.delete(name),
        (204,),
        _no_conversation,
        success_again=(404,),
        prepare=_create,
        repeated_by_service=False,
    ),
)


def lost_replies(
    rig: Rig,
    *,
    cuts: int = 1,
    fault: Fault = "cut",
    repeats: int = 1,
    operations: Sequence[Operation] = OPERATIONS,
    advance: Advance = ignore,
) -> Result:
    """Each write while the replies to its next ``cuts`` commands are lost, then once more.

    With one cut the service's own repeat must succeed; with several it returns a 503 and the client
    repeats the request under the same handle. ``repeats`` of the result counts lost replies.
    """
    assert rig.relay is not None
    how = "the relay breaks the connection" if fault == "cut" else "the relay keeps the reply"
    what = f"{cuts} replies in a row are lost" if cuts > 1 else "A reply is lost"
    result = Result(what if fault == "cut" else "A reply never comes", how)
    rig.reset()
    _warm_up(rig.api)
    for round_number in range(repeats):
        for number, operation in enumerate(operations):
            if operation.has_handle or (cuts == 1 and fault == "cut"):
                name = f"lost-{round_number}-{number}"
                _lose(rig, result, operation, name=name, cuts=cuts, fault=fault)
        advance()
    return result


def _warm_up(api: Api) -> None:
    """Have every script loaded: a reply that says it is unknown is not the one to lose."""
    for operation in OPERATIONS:
        operation.prepare(api, "warm")
        operation.send(api, "warm")


def _lose(
    rig: Rig, result: Result, operation: Operation, *, name: str, cuts: int, fault: Fault
) -> None:
    assert rig.relay is not None
    with rig.redis.client() as redis:
        redis.flushdb()
        operation.prepare(rig.api, name)
        responses: list[Response] = []
        with rig.relay.losing(fault, operation.loses, cuts) as rule:
            while not responses or (responses[-1].is_unavailable and len(responses) <= 10 * cuts):
                if fault == "swallow" and responses:
                    time.sleep(0.6)  # the service's pause after a timeout
                responses.append(operation.send(rig.api, name))
        result.repeats += rule.done
        result.attempted += len(responses)
        result.slowest_seconds = max(
            result.slowest_seconds, *(response.seconds for response in responses)
        )
        # Those that are left after the third need not be: two are one request's.
        if rule.done < min(cuts, 2):
            result.problems.append(f"{operation.what}: only {rule.done} replies were lost")
        success = operation.success
        if len(responses) > 1:
            success += operation.success_again
        if responses[-1].status not in success:
            result.problems.append(f"{operation.what}: {responses[-1]}")
            return
        if fault == "cut" and cuts == 1 and operation.repeated_by_service and len(responses) > 1:
            result.problems.append(f"{operation.what}: the service did not repeat it")
        if cuts > 1 and len(responses) == 1:
            result.problems.append(f"{operation.what}: {responses[0]} without a reply")
        if operation.has_handle:
            again = operation.send(rig.api, name)
            result.attempted += 1
            if again.status not in operation.success + operation.success_again:
                result.problems.append(f"{operation.what}, once more: {again}")
        copies = operation.copies(redis, name)
        result.acknowledged += 1
        result.found += int(copies == 1)
        result.lost += int(copies == 0)
        result.doubled += int(copies not in (0, 1))


JUST_IN_TIME_SECONDS = 0.9 * COMMAND_TIMEOUT_SECONDS


def slow_replies(
    rig: Rig,
    *,
    delay_seconds: float = JUST_IN_TIME_SECONDS,
    repeats: int = 1,
    advance: Advance = ignore,
) -> Result:
    """Every reply comes, but only just before the service would stop waiting for it.

    At first on connections that are open and with scripts that are loaded; then as it is after a
    restart, on new connections and without scripts.
    """
    assert rig.relay is not None
    result = Result("Redis is slow", f"the relay holds each reply for {delay_seconds:.2f} s")
    for _ in range(repeats):
        for restarted in (False, True):
            prepare(rig)
            if restarted:
                with rig.redis.client() as redis:
                    redis.script_flush()
                rig.relay.cut_all()
            with rig.relay.delaying(delay_seconds), ThreadPoolExecutor(len(ROUTES)) as pool:
                responses = list(pool.map(lambda route: route.send(rig.api), ROUTES))
            with rig.redis.client() as redis:
                for route, response in zip(ROUTES, responses, strict=True):
                    judge(result, route, response, redis, may_succeed=ALL)
                    if response.seconds > RESPONSE_SECONDS:
                        result.problems.append(f"{route.operation}: {response}")
        result.repeats += 1
        advance()
    return result
