"""Concurrent requests leave what one order of them would have left."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from redis import Redis

from agent_conversations.store import keys
from sessions_store.keys import session_key
from tests.faults.client import Response, session_body
from tests.faults.relay import named
from tests.faults.result import Advance, Result, ignore
from tests.faults.servers import Rig

Send = Callable[[], Response]


class _Crowd:
    """Threads that send at the same moment."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size)

    def together(self, *sends: Send) -> list[Response]:
        barrier = threading.Barrier(len(sends))

        def send(one: Send) -> Response:
            barrier.wait()
            return one()

        return list(self._pool.map(send, sends))

    def close(self) -> None:
        self._pool.shutdown()


def _race(
    rig: Rig,
    fault: str,
    once: Callable[[_Crowd, "Redis", Result, str], Sequence[Response]],
    repeats: int,
    advance: Advance,
) -> Result:
    """Run ``once`` under a new conversation id each time; record its responses."""
    rig.reset()
    result = Result(fault, "threads that send at the same moment")
    crowd = _Crowd(16)
    try:
        with rig.redis.client() as redis:
            for number in range(repeats):
                responses = once(crowd, redis, result, f"race-{number}")
                result.repeats += 1
                result.attempted += len(responses)
                for response in responses:
                    result.slowest_seconds = max(result.slowest_seconds, response.seconds)
                    result.acknowledged += int(response.succeeded)
                    if response.status == 0 or response.status >= 500:
                        result.problems.append(f"race {number}: {response}")
                advance()
    finally:
        crowd.close()
    return result


def _statuses(responses: Sequence[Response]) -> list[int]:
    return sorted(response.status for response in responses)


def _session_in(redis: "Redis", conversation_id: str) -> str | None:
    """Return whose session is stored, ``mixture`` if it is not one client's whole session."""
    raw = redis.get(session_key(conversation_id))
    if raw is None:
        return None
    stored = json.loads(raw)
    owner = str(stored["sessionId"])
    body = session_body(owner)
    whole = (
        stored["sessionPayload"] == body
        and stored["wsUrl"] == body["sessionUrl"]
        and stored["metadata"] == body["metadata"]
        and 0 < int(redis.ttl(session_key(conversation_id))) <= 600
    )
    return owner if whole else "mixture"


def registrations(
    rig: Rig, *, repeats: int = 20, clients: int = 8, advance: Advance = ignore
) -> Result:
    """Many tabs register at once: one whole session remains."""

    def once(crowd: _Crowd, redis: "Redis", result: Result, name: str) -> Sequence[Response]:
        tabs = [f"tab-{number}" for number in range(clients)]
        responses = crowd.together(*(partial(rig.api.register, name, tab) for tab in tabs))
        whole = _session_in(redis, name) in tabs
        result.found += clients if whole else 0
        result.lost += 0 if whole else 1
        if _statuses(responses) != [201] * clients:
            result.problems.append(f"{name}: {_statuses(responses)}")
        return responses

    return _race(rig, "Tabs register at the same time", once, repeats, advance)


def late_delete(rig: Rig, *, repeats: int = 20, advance: Advance = ignore) -> Result:
    """A tab that closes deletes its session while the next one registers: the new one stays."""

    def once(crowd: _Crowd, redis: "Redis", result: Result, name: str) -> Sequence[Response]:
        rig.api.register(name, "old")
        responses = crowd.together(
            lambda: rig.api.unregister(name, "old"),
            lambda: rig.api.unregister(name, "old"),
            lambda: rig.api.register(name, "new"),
            lambda: rig.api.unregister(name, "old"),
        )
        stays = _session_in(redis, name) == "new"
        result.found += sum(response.succeeded for response in responses) if stays else 0
        result.lost += int(not stays)
        return responses

    return _race(rig, "A closing tab deletes late", once, repeats, advance)


def held_delete(rig: Rig, *, repeats: int = 3, advance: Advance = ignore) -> Result:
    """The same, surely: the delete has seen the old session, and is held back until the new one."""
    assert rig.relay is not None
    relay = rig.relay

    def once(crowd: _Crowd, redis: "Redis", result: Result, name: str) -> Sequence[Response]:
        rig.api.register(name, "old")
        with relay.holding(named("EVALSHA", "EVAL", "DEL", "UNLINK")) as gate:

            def register_when_held() -> Response:
                if not gate.reached.wait(5):
                    result.problems.append("the delete was never seen")
                response = rig.api.register(name, "new")
                gate.opened.set()
                return response

            responses = crowd.together(lambda: rig.api.unregister(name, "old"), register_when_held)
        stays = _session_in(redis, name) == "new"
        result.found += sum(response.succeeded for response in responses) if stays else 0
        result.lost += int(not stays)
        return responses

    return _race(rig, "A closing tab deletes late, held back", once, repeats, advance)


def _what_is_left(redis: "Redis", conversation_id: str) -> list[str]:
    left = [key for key in keys.record_keys(conversation_id) if redis.exists(key)]
    return left + [key for key in keys.INDEX_KEYS if redis.zscore(key, conversation_id) is not None]


def against_delete(rig: Rig, *, repeats: int = 20, advance: Advance = ignore) -> Result:
    """Everything that touches a conversation while it is deleted: it never comes back."""

    def once(crowd: _Crowd, redis: "Redis", result: Result, name: str) -> Sequence[Response]:
        rig.api.create(name)
        delete, *others = responses = crowd.together(
            lambda: rig.api.delete(name),
            lambda: rig.api.update(name, {"agentId": "changed"}),
            lambda: rig.api.append(name, "message-1"),
            lambda: rig.api.append(name, "message-2"),
            lambda: rig.api.get(name),
            lambda: rig.api.messages(name),
            lambda: rig.api.list(limit=200),
        )
        left = _what_is_left(redis, name)
        result.found += sum(response.succeeded for response in responses) if not left else 0
        if left:
            result.problems.append(f"{name} was deleted, and there is {left}")
        wrong = [one for one in others if one.status not in (200, 201, 404)]
        if delete.status != 204 or wrong:
            result.problems.append(f"{name}: {_statuses(responses)}")
        return responses

    return _race(rig, "Updates and appends meet a delete", once, repeats, advance)


def creations(
    rig: Rig, *, repeats: int = 20, clients: int = 8, advance: Advance = ignore
) -> Result:
    """Many create one id, half of them with other content: one 201, then 200 or 409."""

    def once(crowd: _Crowd, redis: "Redis", result: Result, name: str) -> Sequence[Response]:
        contents = [f"agent-{number % 2}" for number in range(clients)]
        responses = crowd.together(
            *(partial(rig.api.create, name, agentId=agent) for agent in contents)
        )
        winner = redis.hget(keys.conversation_key(name), "agentId")
        for content, response in zip(contents, responses, strict=True):
            right = (
                response.status in (200, 201)
                if content.encode() == winner
                else response.status == 409
            )
            result.found += int(right and response.succeeded)
            result.lost += int(response.succeeded and not right)
            if not right:
                result.problems.append(f"{name}: {response}, though {winner!r} was first")
        created = _statuses(responses).count(201)
        result.doubled += max(0, created - 1)
        if created != 1:
            result.problems.append(f"{name}: {created} times 201")
        return responses

    return _race(rig, "One id is created by many", once, repeats, advance)


def conditional_updates(
    rig: Rig, *, repeats: int = 20, clients: int = 8, advance: Advance = ignore
) -> Result:
    """Many update the revision that all of them have read: one wins, the others get a 412."""

    def once(crowd: _Crowd, redis: "Redis", result: Result, name: str) -> Sequence[Response]:
        rig.api.create(name)
        tag = rig.api.get(name).headers["etag"]
        agents = [f"agent-{number}" for number in range(clients)]
        responses = crowd.together(
            *(partial(rig.api.update, name, {"agentId": agent}, if_match=tag) for agent in agents)
        )
        winners = [a for a, response in zip(agents, responses, strict=True) if response.succeeded]
        stored = redis.hget(keys.conversation_key(name), "agentId")
        result.found += int(len(winners) == 1 and stored == winners[0].encode())
        result.lost += max(0, len(winners) - 1)
        if _statuses(responses) != [200] + [412] * (clients - 1):
            result.problems.append(f"{name}: {_statuses(responses)}")
        return responses

    return _race(rig, "One revision is updated by many", once, repeats, advance)


def appends(rig: Rig, *, repeats: int = 20, clients: int = 8, advance: Advance = ignore) -> Result:
    """Many send the same message, and each one of its own: the same one counts once."""

    def once(crowd: _Crowd, redis: "Redis", result: Result, name: str) -> Sequence[Response]:
        rig.api.create(name)
        responses = crowd.together(
            *(partial(rig.api.append, name, "same") for _ in range(clients)),
            *(partial(rig.api.append, name, f"own-{number}") for number in range(clients)),
        )
        stored = [message["messageId"] for message in rig.api.get(name).body["messages"]]
        result.doubled += len(stored) - len(set(stored))
        result.lost += clients + 1 - len(set(stored))
        result.found += sum(response.body["messageId"] in stored for response in responses)
        if _statuses(responses) != [200] * (clients - 1) + [201] * (clients + 1):
            result.problems.append(f"{name}: {_statuses(responses)}")
        return responses

    return _race(rig, "One message is sent by many", once, repeats, advance)
