"""Two accounts of one call: the messages recorded live, and ElevenLabs' transcript of it.

They become one: a turn that was recorded is that message, corrected; any other is appended.
"""

import re
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_conversations.transcripts import Transcript, call_of
from agent_conversations.types import AgentMessage
from sessions_store.wire.clock import ms_from_iso

CLOCKS_DIFFER_MS = 5 * 60 * 1000
"""A message without the call's id may be of it if its time is not longer than this before the call
began, or after its end: another clock may have stamped it."""

MOST_NEIGHBOURS = 50
"""Messages among which a turn that was cut off is looked for."""

_WITH_EVENT = re.compile(r"[^:]+:[0-9]+:(?:user|agent)").fullmatch


@dataclass(frozen=True)
class Merged:
    """What a merge changes: messages by their position, and those that come after all others."""

    replaced: Mapping[int, AgentMessage]
    appended: Sequence[AgentMessage]


def merge(
    stored: Sequence[AgentMessage], transcript: Transcript, *, after_others: bool = False
) -> Merged:
    """Return what makes one account out of both.

    A turn is the message with its id; a tool's, the one with its call's id. Where either lacks the
    ElevenLabs event, a turn is a message of the same role and words, or one that it cuts off, at
    the same place among the others. Each is matched once.

    Args:
        after_others: whether other calls' transcripts are there, and not this one's: a message
            without a call's id that has its second in a call is one of theirs.
    """
    pairs = _Matching(stored, transcript, after_others=after_others).pairs
    replaced: dict[int, AgentMessage] = {}
    appended: list[AgentMessage] = []
    for number, turn in enumerate(transcript.messages):
        position = pairs.get(number)
        if position is None:
            appended.append(turn.model_copy(update={"interrupted": turn.interrupted or None}))
            continue
        corrected = _corrected(stored[position], turn)
        if corrected != stored[position]:
            replaced[position] = corrected
    return Merged(replaced, appended)


def find_repeated(stored: Sequence[AgentMessage], late: AgentMessage) -> AgentMessage | None:
    """Return the stored message which a late one repeats, ``None`` if there is none.

    Args:
        stored: messages of a conversation that has the transcript of the late message's call.
        late: a message with a ``turn_id`` that no stored one has: as the transcript of its call is
            there, all of the call is. Where either lacks the event, role and words decide.
    """
    call = call_of(str(late.message_id))
    for message in stored:
        if late.tool_call_id is not None and message.tool_call_id == late.tool_call_id:
            return message
        if call_of(str(message.message_id)) != call or (_has_event(message) and _has_event(late)):
            continue
        if _said_by(message) == _said_by(late) or _is_cut_off(late, message):
            return message
    return None


_Key = Callable[[AgentMessage], object]


class _Matching:
    """Which turn is which message: ``pairs`` has the numbers of both."""

    def __init__(
        self, stored: Sequence[AgentMessage], transcript: Transcript, *, after_others: bool
    ) -> None:
        self._stored = stored
        self._turns = transcript.messages
        self.pairs: dict[int, int] = {}
        self._taken: set[int] = set()
        self._free = dict.fromkeys(
            position
            for position, message in enumerate(stored)
            if _may_be_of_call(message, transcript, after_others=after_others)
        )
        by_id = {str(message.message_id): position for position, message in enumerate(stored)}
        by_call = {
            stored[position].tool_call_id: position
            for position in reversed(self._free)
            if stored[position].tool_call_id is not None
        }
        for number, turn in enumerate(self._turns):
            self._pair(number, by_id.get(str(turn.message_id)))
        for number, turn in self._unmatched():
            if turn.tool_call_id is not None:
                self._pair(number, by_call.get(turn.tool_call_id))
        # Of those with the same words, first the ones that were cut off at the same place.
        self._pair_alike(_said_and_generated)
        self._pair_alike(_generated, _said_by)  # recorded whole, and then cut off
        self._pair_alike(_said_by)
        self._pair_cut_off()

    def _pair(self, number: int, position: int | None) -> None:
        if position is not None and position not in self._taken:
            self.pairs[number] = position
            self._taken.add(position)
            self._free.pop(position, None)

    def _unmatched(self) -> Sequence[tuple[int, AgentMessage]]:
        return [
            (number, turn) for number, turn in enumerate(self._turns) if number not in self.pairs
        ]

    def _pair_alike(self, key: _Key, key_of_stored: _Key | None = None) -> None:
        alike: dict[tuple[object, bool], deque[int]] = defaultdict(deque)
        for position in self._free:
            message = self._stored[position]
            alike[(key_of_stored or key)(message), _has_event(message)].append(position)
        # Those with an event first: they fit only messages that have none.
        for with_event in (True, False):
            for number, turn in self._unmatched():
                if _has_event(turn) is not with_event:
                    continue
                queues = [alike[key(turn), False]]
                if not with_event:
                    queues.append(alike[key(turn), True])
                waiting = [queue for queue in queues if queue]
                if waiting:
                    self._pair(number, min(waiting, key=lambda queue: queue[0]).popleft())

    def _pair_cut_off(self) -> None:
        first_after = len(self._stored)
        after = {}
        for number in reversed(range(len(self._turns))):
            after[number] = first_after
            first_after = min(first_after, self.pairs.get(number, first_after))
        free = sorted(self._free)
        before = -1
        for number, turn in enumerate(self._turns):
            if number not in self.pairs and turn.role == "assistant":
                self._pair(number, self._find_cut_off(turn, free, before, after[number]))
            before = max(before, self.pairs.get(number, before))

    def _find_cut_off(
        self, turn: AgentMessage, free: Sequence[int], before: int, after: int
    ) -> int | None:
        """Return a message between two positions that is the same turn, heard to another point."""
        first = bisect_right(free, before)
        for position in free[first : first + MOST_NEIGHBOURS]:
            if position >= after:
                break
            message = self._stored[position]
            is_possible = position not in self._taken and not (
                _has_event(turn) and _has_event(message)
            )
            if is_possible and _is_cut_off(turn, message):
                return position
        return None


def _may_be_of_call(message: AgentMessage, transcript: Transcript, *, after_others: bool) -> bool:
    call = call_of(str(message.message_id))
    if call is not None:
        return call == transcript.call_id
    if after_others and message.time_in_call_secs is not None:
        return False
    if transcript.began_ms is None or transcript.ended_ms is None:
        return True
    at_ms = ms_from_iso(str(message.timestamp))
    earliest = transcript.began_ms - CLOCKS_DIFFER_MS
    return earliest <= at_ms <= transcript.ended_ms + CLOCKS_DIFFER_MS


def _has_event(message: AgentMessage) -> bool:
    """Return whether its id, or that of a tool's call, says which turn it is."""
    if message.role == "tool":
        return message.tool_call_id is not None
    return _WITH_EVENT(str(message.message_id)) is not None


def _said_by(message: AgentMessage) -> tuple[str, str]:
    if message.role == "tool":
        return message.role, message.tool_name or ""
    return message.role, _words(message.content)


def _generated(message: AgentMessage) -> object:
    return message.original_content and (message.role, _words(message.original_content))


def _said_and_generated(message: AgentMessage) -> object:
    return _said_by(message), _generated(message)


def _words(text: str) -> str:
    """Return a text without what two accounts of the same words may differ in."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()


def _is_cut_off(turn: AgentMessage, message: AgentMessage) -> bool:
    """Return whether one is what was heard, and the other what was generated, of one turn."""
    if turn.role != message.role or turn.role != "assistant":
        return False
    ours, theirs = _texts(message), _texts(turn)
    if ours & theirs:
        return True
    if not (turn.interrupted or message.interrupted):
        return False
    return any(one.startswith(other) or other.startswith(one) for one in ours for other in theirs)


def _texts(message: AgentMessage) -> set[str]:
    texts: Iterable[str | None] = (message.content, message.original_content)
    return {_words(text) for text in texts if text and text.strip()}


def _corrected(message: AgentMessage, turn: AgentMessage) -> AgentMessage:
    """Return a message with what the transcript says of it; its id and its time stay."""
    changes: dict[str, Any] = {}
    if turn.time_in_call_secs is not None:
        changes["time_in_call_secs"] = turn.time_in_call_secs
    if turn.role == "tool":
        for name in ("tool_name", "tool_args", "tool_output", "tool_call_id"):
            if (value := getattr(turn, name)) is not None:
                changes[name] = value
        if turn.status != "pending":
            changes["status"] = turn.status
    else:
        if turn.interrupted is not None:
            changes["interrupted"] = turn.interrupted or None
        if _words(turn.content) != _words(message.content):
            changes["content"] = turn.content
            if turn.role == "assistant":
                changes["original_content"] = message.original_content or message.content or None
        if turn.original_content is not None:
            changes["original_content"] = turn.original_content
    return message.model_copy(update=changes)
