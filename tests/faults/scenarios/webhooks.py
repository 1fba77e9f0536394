"""ElevenLabs sends transcripts while something breaks: each call is there whole, and once."""

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sessions_store.redis.script import Script
from tests.agent_conversations.webhooks import delivery, encoded, signature, turn
from tests.faults.client import Api, Response
from tests.faults.relay import Command
from tests.faults.result import Advance, Result, ignore
from tests.faults.servers import Rig
from tests.waiting import wait_until

PATH = "/webhooks/elevenlabs"
PAUSES = (0.1, 0.3, 0.8, 10.0)
"""Between the five attempts, in seconds: much shorter than ElevenLabs' own."""

TURNS = 6
_SCRIPT = Script("agent_conversations.store", "rewrite_messages")
_MERGE = (_SCRIPT.digest.encode(), _SCRIPT.source.encode())


class _Call:
    """A call: a recorder writes some of its turns, ElevenLabs sends all of them."""

    def __init__(self, number: int) -> None:
        self.call_id = f"conv_{number}"
        self.conversation_id = f"talk-{number}"
        self.words = [f"{self.call_id} said {position}" for position in range(TURNS)]
        self.is_delivered = False
        self.attempts = 0
        self.slowest_seconds = 0.0
        self.problems: list[str] = []

    def deliver(self, api: Api) -> None:
        """Send the transcript as ElevenLabs does: the same bytes until there is a 200."""
        turns = [
            turn("user" if position % 2 else "agent", words, position)
            for position, words in enumerate(self.words)
        ]
        body = delivery(*turns, call_id=self.call_id, named=self.conversation_id)
        header = signature(encoded(body))
        for attempt, pause in enumerate((*PAUSES, None)):
            response = self._counted(
                api.send("POST", PATH, body, {"ElevenLabs-Signature": header}), is_delivery=True
            )
            if response.status == 200:
                self.is_delivered = True
                if attempt == 0 and response.body["outcome"] != "stored":
                    self.problems.append(f"{self.call_id} was stored by its first delivery")
                return
            if pause is not None:
                time.sleep(pause * random.uniform(1, 1.2))
                header = random.choice([header, signature(encoded(body))])

    def record(self, api: Api) -> None:
        """Write every other turn live, each until it is acknowledged; before and after the rest."""
        for position in range(0, TURNS, 2):
            message = {
                "role": "user" if position % 2 else "assistant",
                "content": self.words[position],
                "messageId": f"{self.call_id}:{position}:agent",
            }
            path = f"/agent-conversations/api/{self.conversation_id}/message"
            deadline = time.monotonic() + 20
            while not self._counted(api.send("POST", path, message)).succeeded:
                if self.problems or time.monotonic() > deadline:
                    self.problems.append(f"a turn of {self.call_id} was never acknowledged")
                    return
                time.sleep(0.02)
            time.sleep(random.uniform(0, 0.1))

    def _counted(self, response: Response, *, is_delivery: bool = False) -> Response:
        self.attempts += 1
        if response.status:
            self.slowest_seconds = max(self.slowest_seconds, response.seconds)
        if response.status and not (response.succeeded or response.is_unavailable):
            what = "a delivery" if is_delivery else "a turn"
            self.problems.append(f"{what} of {self.call_id}: {response}")
        return response


def _play(
    result: Result,
    rig: Rig,
    fault: Callable[[], None],
    *,
    repeats: int,
    calls_at_once: int,
    advance: Advance,
) -> Result:
    rig.reset()
    calls: list[_Call] = []
    with ThreadPoolExecutor(2 * calls_at_once) as threads:
        for _ in range(repeats):
            played = [_Call(len(calls) + number) for number in range(calls_at_once)]
            calls += played
            for call in played:
                assert rig.api.create(call.conversation_id).succeeded
            running = [threads.submit(call.record, rig.api) for call in played]
            running += [threads.submit(call.deliver, rig.api) for call in played]
            time.sleep(random.uniform(0, 0.1))
            fault()
            for one in running:
                one.result()
            result.repeats += 1
            advance()
    _count(result, rig.api, calls)
    return result


def _count(result: Result, api: Api, calls: Sequence[_Call]) -> None:
    """Count turns: of a delivered call all, of any other those that were recorded."""
    for call in calls:
        result.attempted += call.attempts
        result.problems += call.problems
        result.slowest_seconds = max(result.slowest_seconds, call.slowest_seconds)
        conversation: Any = api.get(call.conversation_id).body
        found = Counter(message["content"] for message in conversation["messages"])
        expected = call.words if call.is_delivered else call.words[::2]
        if not call.is_delivered:
            result.problems.append(f"{call.call_id} was not delivered in five attempts")
        elif conversation["metadata"]["elevenlabs"]["conversation_id"] != call.call_id:
            result.problems.append(f"{call.call_id} has no outcome")
        result.acknowledged += len(expected)
        result.found += sum(1 for words in expected if found[words])
        result.lost += sum(1 for words in expected if not found[words])
        result.doubled += sum(found.values()) - len(found)


def killed_redis(
    rig: Rig, *, repeats: int = 2, calls_at_once: int = 6, advance: Advance = ignore
) -> Result:
    """Redis is killed while transcripts and live turns come, and started on its file."""
    result = Result("Redis is killed under webhooks", "SIGKILL, then a start on the same file")

    def kill() -> None:
        rig.redis.kill()
        time.sleep(random.uniform(0.1, 0.6))
        rig.redis.start()

    return _play(result, rig, kill, repeats=repeats, calls_at_once=calls_at_once, advance=advance)


def killed_worker(
    rig: Rig, *, repeats: int = 1, calls_at_once: int = 6, advance: Advance = ignore
) -> Result:
    """The process that takes them is killed; ``serve`` starts another."""
    result = Result(
        "The service's worker is killed under webhooks", "SIGKILL", promised_seconds=None
    )

    def kill() -> None:
        for pid in rig.service.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: rig.api.send("GET", "/health/live").status == 200)
        if repeats > 1:
            time.sleep(6)  # granian gives up where a worker dies within 5.5 s of its start

    return _play(result, rig, kill, repeats=repeats, calls_at_once=calls_at_once, advance=advance)


def lost_replies(
    rig: Rig, *, repeats: int = 2, calls_at_once: int = 6, advance: Advance = ignore
) -> Result:
    """The step that merges a transcript is done, and its reply does not arrive."""
    result = Result("The reply to a merge is lost", "the relay breaks the connection")
    relay = rig.relay
    assert relay is not None

    others = itertools.cycle([True, True, False, True, False, False])

    def matches(command: Command) -> bool:
        return _is_merge(command) and next(others)

    with relay.losing("cut", matches, repeats * calls_at_once) as rule:
        _play(
            result,
            rig,
            lambda: None,
            repeats=repeats,
            calls_at_once=calls_at_once,
            advance=advance,
        )
    if not rule.done:
        result.problems.append("no reply was lost")
    result.repeats = rule.done
    return result


def _is_merge(command: Command) -> bool:
    return command[0].upper() in (b"EVALSHA", b"EVAL") and command[1] in _MERGE
