"""Redis is unavailable, in eight ways: every route reports it in time, or returns the truth."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from statistics import median

from redis import Redis

from agent_conversations.store import keys
from config.environment import Environment
from sessions_store.keys import session_key
from tests.faults.client import Api, Response
from tests.faults.result import RECOVERY_SECONDS, RESPONSE_SECONDS, Advance, Result, ignore
from tests.faults.servers import RedisServer, Rig

LIVE_SECONDS = 1.0
"""``/health/live`` responds within this time, in whatever state Redis is."""


@dataclass(frozen=True)
class Route:
    """One of the ten, by its operation id.

    ``is_true`` compares a response that reports success with what is stored in Redis.
    """

    operation: str
    send: Callable[[Api], Response]
    success: tuple[int, ...]
    is_true: Callable[["Redis", Response], bool]
    writes: bool = False
    success_again: tuple[int, ...] = ()
    """The further statuses that report success when the request is sent once more."""


def _has_message(redis: "Redis", message_id: str) -> bool:
    return bool(redis.hexists(keys.message_ids_key("talk"), message_id))


ROUTES = (
    Route(
        "listAgentConversations",
        lambda api: api.list(),
        (200,),
        # With or without the one that is created and the one that is deleted meanwhile.
        lambda redis, response: 1 <= response.body["pagination"]["total"] <= 3,
    ),
    Route(
        "createAgentConversation",
        lambda api: api.create("created"),
        (200, 201),
        lambda redis, response: bool(redis.exists(keys.conversation_key("created"))),
        writes=True,
    ),
    Route(
        "getAgentConversation",
        lambda api: api.get("talk"),
        (200,),
        lambda redis, response: len(response.body["messages"]) in (1, 2),
    ),
    Route(
        "updateAgentConversation",
        lambda api: api.update("talk", {"agentId": "changed"}),
        (200,),
        lambda redis, response: redis.hget(keys.conversation_key("talk"), "agentId") == b"changed",
        writes=True,
    ),
    Route(
        "deleteAgentConversation",
        lambda api: api.delete("deleted"),
        (204,),
        lambda redis, response: not redis.exists(*keys.record_keys("deleted")),
        writes=True,
        success_again=(404,),
    ),
    Route(
        "addAgentMessage",
        lambda api: api.append("talk", "second"),
        (200, 201),
        lambda redis, response: _has_message(redis, "second"),
        writes=True,
    ),
    Route(
        "listAgentMessages",
        lambda api: api.messages("talk"),
        (200,),
        lambda redis, response: response.body["pagination"]["total"] in (1, 2),
    ),
    Route(
        "registerAgentSession",
        lambda api: api.register("created", "new-tab"),
        (201,),
        lambda redis, response: b"new-tab" in (redis.get(session_key("created")) or b""),
        writes=True,
    ),
    Route(
        "getAgentSession",
        lambda api: api.session("talk"),
        (200,),
        lambda redis, response: bool(response.body["sessionId"] == "tab"),
    ),
    Route(
        "deleteAgentSession",
        lambda api: api.unregister("deleted"),
        (204,),
        lambda redis, response: not redis.exists(session_key("deleted")),
        writes=True,
    ),
)

ALL = frozenset(route.operation for route in ROUTES)


@dataclass(frozen=True)
class Outage:
    """``may_succeed``: the routes that can succeed nevertheless, and then tell the truth."""

    fault: str
    caused_by: str
    cause: Callable[[RedisServer], AbstractContextManager[None]]
    may_succeed: frozenset[str] = frozenset()
    may_succeed_again: frozenset[str] = frozenset()
    """Further routes that can succeed when the same request is sent once more."""
    passes: int = 1
    """How often all ten are sent at the same moment."""
    is_slow: bool = False


OUTAGES = {
    "refused": Outage("Redis refuses connections", "SIGKILL", RedisServer.refusing),
    "hanging": Outage("Redis hangs", "SIGSTOP", RedisServer.hanging, is_slow=True),
    "restarting": Outage(
        "Redis restarts", "SIGKILL and a start", RedisServer.restarting, may_succeed=ALL, passes=8
    ),
    "loading": Outage("Redis loads its data", "`key-load-delay`", RedisServer.loading),
    "read_only": Outage(
        "Redis is a read-only replica",
        "`REPLICAOF`",
        RedisServer.read_only,
        may_succeed=frozenset({"listAgentConversations", "getAgentSession"}),
    ),
    "out_of_memory": Outage(
        "Redis is out of memory",
        "`maxmemory 1`, `noeviction`",
        RedisServer.out_of_memory,
        # What reads without writing needs no memory, and what deletes gives some back.
        may_succeed=frozenset(
            {
                "listAgentConversations",
                "getAgentSession",
                "deleteAgentSession",
                "deleteAgentConversation",
            }
        ),
    ),
    "failing_at_once": Outage(
        "A script fails at its first command", "ACL denies a command", RedisServer.failing_at_once
    ),
    "failing_scripts": Outage(
        "A script fails in its middle",
        "ACL denies a command",
        RedisServer.failing_scripts,
        # It fails at the list, the last of what it writes: the message has been stored.
        may_succeed_again=frozenset({"addAgentMessage"}),
    ),
}


def outage(
    rig: Rig,
    kind: Outage,
    *,
    repeats: int = 1,
    one_by_one: bool = False,
    advance: Advance = ignore,
) -> Result:
    """All ten routes during the outage; then the next request, and the writes once more.

    Args:
        one_by_one: call the routes one after the other as well, each after the service's pause.
    """
    result = Result(kind.fault, kind.caused_by)
    recovery = []
    for _ in range(repeats):
        prepare(rig)
        with kind.cause(rig.redis):
            responses = _send_at_once(rig.api, kind.passes)
            if one_by_one:
                responses += _send_one_by_one(rig.api, kind)
        recovery.append(_recover(rig.api, result))
        with rig.redis.client() as redis:
            for route, response in responses[: len(ROUTES)]:
                judge(result, route, response, redis, may_succeed=kind.may_succeed)
            for route, response in responses[len(ROUTES) :]:
                again = replace(route, success=route.success + route.success_again)
                may_succeed = kind.may_succeed | kind.may_succeed_again
                judge(result, again, response, redis, may_succeed=may_succeed)
            _write_again(rig.api, redis, result)
        result.repeats += 1
        advance()
    result.figures["slowest_recovery"] = max(recovery)
    return result


def prepare(rig: Rig) -> None:
    """Store what the routes are about."""
    rig.reset()
    for response in (
        rig.api.create("talk"),
        rig.api.append("talk", "first"),
        rig.api.register("talk", "tab"),
        rig.api.create("deleted"),
        rig.api.register("deleted", "tab"),
    ):
        assert response.succeeded, f"not ready for a fault: {response}"


def _send_at_once(api: Api, passes: int) -> list[tuple[Route, Response]]:
    responses: list[tuple[Route, Response]] = []
    with ThreadPoolExecutor(len(ROUTES)) as pool:
        for number in range(passes):
            time.sleep(0.02 if number else 0.0)
            responses += zip(ROUTES, pool.map(lambda route: route.send(api), ROUTES), strict=True)
    return responses


def _send_one_by_one(api: Api, kind: Outage) -> list[tuple[Route, Response]]:
    responses = []
    for route in ROUTES:
        if kind.is_slow:
            time.sleep(0.6)  # after its pause, the service tries Redis again
        responses.append((route, route.send(api)))
    return responses


def _recover(api: Api, result: Result) -> float:
    """Send requests until none is refused for a while; return the seconds until the last refusal.

    Each of the service's workers notices for itself that Redis is back.
    """
    back = noticed = time.monotonic()
    in_a_row = 0
    while in_a_row < 16 and time.monotonic() - back < 4 * RECOVERY_SECONDS:
        response = api.get("talk")
        if response.succeeded:
            in_a_row += 1
            continue
        if not response.is_unavailable:
            result.problems.append(f"after the fault: {response}")
        in_a_row, noticed = 0, time.monotonic()
        time.sleep(0.02)
    if noticed - back > RECOVERY_SECONDS:
        result.problems.append(f"{noticed - back:.2f} s after Redis was back: still refused")
    return noticed - back


def judge(
    result: Result, route: Route, response: Response, redis: "Redis", *, may_succeed: frozenset[str]
) -> None:
    """Count a response: it must be the 503 of an outage, or, of some routes, the truth."""
    result.attempted += 1
    result.slowest_seconds = max(result.slowest_seconds, response.seconds)
    if response.is_unavailable:
        return
    if route.operation not in may_succeed or response.status not in route.success:
        result.problems.append(f"{route.operation}: {response}")
        return
    result.acknowledged += 1
    if route.is_true(redis, response):
        result.found += 1
    else:
        result.lost += 1
        result.problems.append(f"{route.operation}: {response}, and it is not so")


def _write_again(api: Api, redis: "Redis", result: Result) -> None:
    """Repeat the writes with their handles: each counts once, however often it got through."""
    for route in ROUTES:
        if route.writes:
            response = route.send(api)
            # It may have been deleted by the request whose response was a 503.
            success = route.success + route.success_again
            if response.status not in success or not route.is_true(redis, response):
                result.problems.append(f"{route.operation}, once Redis was back: {response}")
    messages = api.messages("talk").body["messages"]
    ids = [message["messageId"] for message in messages]
    result.doubled += len(ids) - len(set(ids))
    if ids[:2] != ["first", "second"]:
        result.problems.append(f"the messages are {ids}")
    listed = api.list().body
    if sorted(one["conversationId"] for one in listed["conversations"]) != ["created", "talk"]:
        result.problems.append("the list is not what is stored in Redis")


# --- Many clients while Redis hangs ---------------------------------------------------------------

_CROWD: tuple[Callable[[Api, str], Response], ...] = (
    lambda api, name: api.append("talk", name),
    lambda api, _: api.list(),
    lambda api, _: api.session("talk"),
    lambda api, _: api.get("talk"),
)


@dataclass(frozen=True)
class _Timed:
    began: float
    response: Response


def crowd_while_hanging(
    rig: Rig,
    *,
    clients: int = 64,
    repeats: int = 1,
    hang_seconds: float = 3.0,
    advance: Advance = ignore,
) -> Result:
    """``clients`` send without pause while Redis hangs, and another requests ``/health/live``."""
    result = Result(f"Redis hangs under {clients} clients", "SIGSTOP")
    for _ in range(repeats):
        prepare(rig)
        _hang_once(rig, result, clients, hang_seconds)
        result.repeats += 1
        advance()
    return result


def _hang_once(rig: Rig, result: Result, clients: int, hang_seconds: float) -> None:
    over = threading.Event()
    timed_out_before = rig.service.logged('"cause":"TimeoutError"')

    def send_requests(number: int) -> list[_Timed]:
        timed: list[_Timed] = []
        while not over.is_set():
            send = _CROWD[(number + len(timed)) % len(_CROWD)]
            timed.append(_Timed(time.monotonic(), send(rig.api, f"{number}-{len(timed)}")))
            over.wait(0.05)
        return timed

    def check_health() -> list[_Timed]:
        timed: list[_Timed] = []
        while not over.is_set():
            timed.append(_Timed(time.monotonic(), rig.api.send("GET", "/health/live")))
            over.wait(0.02)
        return timed

    with ThreadPoolExecutor(clients + 1) as pool:
        alive = pool.submit(check_health)
        crowd = [pool.submit(send_requests, number) for number in range(clients)]
        try:
            time.sleep(0.5)
            with rig.redis.hanging():
                began = time.monotonic()
                time.sleep(hang_seconds)
                ended = time.monotonic()
            _recover(rig.api, result)
        finally:
            over.set()
        responses = [timed for client in crowd for timed in client.result()]
        checks = alive.result()

    during = [timed.response for timed in responses if began <= timed.began < ended]
    # The first wave has waited for its timeout of 1 s; a second may have had to wait for it.
    later = [timed.response for timed in responses if began + 1.5 <= timed.began < ended]
    for response in during:
        if not (response.is_unavailable or response.succeeded):
            result.problems.append(f"while Redis hung: {response}")
    for timed in checks:
        if timed.response.status != 200 or timed.response.seconds > LIVE_SECONDS:
            result.problems.append(f"/health/live: {timed.response}")
    # As many as there are places wait for the first timeout; then one at a time tries Redis, and
    # the others are refused at once. The service tells who waited: a busy machine is slow for all.
    timed_out = rig.service.logged('"cause":"TimeoutError"') - timed_out_before
    places = Environment.model_fields["threads"].default - 2
    if timed_out > len(rig.service.worker_pids()) * (places + 1 + hang_seconds):
        result.problems.append(f"{timed_out} requests waited for Redis until their time was over")
    if len(later) < clients:
        result.problems.append(f"only {len(later)} responses after the first timeouts: a pile-up")
    result.attempted += len(responses)
    result.slowest_seconds = max(
        [result.slowest_seconds, *(timed.response.seconds for timed in responses)]
    )
    _count_acknowledged(rig, result, responses)
    figures = {
        "slowest /health/live": max(timed.response.seconds for timed in checks),
        "median after the first timeouts": median(
            [response.seconds for response in later] or [0.0]
        ),
        "slowest after the first timeouts": max([response.seconds for response in later] or [0.0]),
        "responses after the first timeouts (count)": len(later),
        "waited for Redis until their time was over (count)": timed_out,
    }
    for name, value in figures.items():
        result.figures[name] = max(result.figures.get(name, 0.0), value)


def _count_acknowledged(rig: Rig, result: Result, responses: Sequence[_Timed]) -> None:
    acknowledged = {
        timed.response.body["messageId"]
        for timed in responses
        if timed.response.succeeded and "messageId" in timed.response.body
    }
    stored = read_message_ids(rig.api, "talk")
    result.acknowledged += len(acknowledged)
    result.found += len(acknowledged & set(stored))
    result.lost += len(acknowledged - set(stored))
    result.doubled += len(stored) - len(set(stored))


def read_message_ids(api: Api, conversation_id: str) -> list[str]:
    """Return the ids of all messages in their order, page by page; none of what is not there."""
    found: list[str] = []
    query: dict[str, object] = {"limit": 500}
    deadline = time.monotonic() + 4 * RESPONSE_SECONDS
    while True:
        response = api.messages(conversation_id, **query)
        if response.status == 200:
            found += [message["messageId"] for message in response.body["messages"]]
            if "next" not in response.body["pagination"]:
                return found
            query["after"] = response.body["pagination"]["next"]
        elif response.status == 404:
            return []
        elif not response.is_unavailable or time.monotonic() > deadline:
            raise RuntimeError(f"the messages cannot be read: {response}")
