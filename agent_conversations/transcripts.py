"""Two accounts of one call: the messages recorded live, and ElevenLabs' transcript of it.

They become one: a turn that was recorded is that message, corrected; any other is appended. What
cannot be read in a turn is left out of it, and never refuses the rest.
"""

import hashlib
import re
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_conversations.types import MAX_OUTCOME_BYTES, AgentMessage
from sessions_store.wire import json_codec
from sessions_store.wire.clock import LAST_MS, iso_from_ms, ms_from_iso
from sessions_store.wire.fields import MAX_OBJECT_DEPTH
from sessions_store.wire.model import STORED

MAX_OUTCOME_DEPTH = MAX_OBJECT_DEPTH - 1
"""Levels of one value of an outcome: the outcome is one more."""

_OF_METADATA = (
    "start_time_unix_secs",
    "call_duration_secs",
    "termination_reason",
    "cost",
    "main_language",
    "phone_call",
)
_OF_ANALYSIS = (
    "call_successful",
    "transcript_summary",
    "call_summary_title",
    "data_collection_results",
    "evaluation_criteria_results",
)
_OF_FAILURE = ("failure_reason",)

CLOCKS_DIFFER_MS = 5 * 60 * 1000
"""A message without the call's id may be of it if its time is not longer than this before the call
began, or after its end: another clock may have stamped it."""

MOST_NEIGHBOURS = 50
"""Messages among which a turn that was cut off is looked for."""

MAX_ID_CHARACTERS = 256


@dataclass(frozen=True)
class Transcript:
    """What ElevenLabs says of a call.

    ``handle`` and ``event_timestamp`` say which delivery it is of: one of a call that could not
    begin has a handle of its own. ``messages`` are its turns, each with an id of its own;
    ``outcome`` is what goes into ``metadata.elevenlabs``. ``began_ms`` and ``ended_ms`` are
    ``None`` where neither is said.
    """

    call_id: str
    handle: str
    event_timestamp: int
    began_ms: int | None
    ended_ms: int | None
    messages: Sequence[AgentMessage]
    outcome: Mapping[str, Any]
    agent_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True)
class Merged:
    """What a merge changes: messages by their position, and those that come after all others."""

    replaced: Mapping[int, AgentMessage]
    appended: Sequence[AgentMessage]


# --- From ElevenLabs' data ------------------------------------------------------------------------


def transcript_of(data: Mapping[str, Any], call_id: str, event_timestamp: int) -> Transcript:
    """Return the transcript in the ``data`` of a webhook; what cannot be read is left out."""
    metadata, analysis = _object(data.get("metadata")), _object(data.get("analysis"))
    turns = data.get("transcript")
    turns = [*map(_object, turns)] if isinstance(turns, list) else []
    seconds = [metadata.get("call_duration_secs"), *(one.get("time_in_call_secs") for one in turns)]
    lasted_ms = int(max((_number(one) or 0) for one in seconds) * 1000)
    start = _number(metadata.get("start_time_unix_secs"))
    began_ms: int | None = int(start * 1000) if start and start * 1000 <= LAST_MS else None
    if began_ms is None and event_timestamp:
        began_ms = max(0, event_timestamp * 1000 - lasted_ms)
    values = {
        "conversation_id": call_id,
        "agent_id": data.get("agent_id"),
        "status": data.get("status"),
        "event_timestamp": event_timestamp,
        **{name: data.get(name) for name in _OF_FAILURE},
        **{name: metadata.get(name) for name in _OF_METADATA},
        **{name: analysis.get(name) for name in _OF_ANALYSIS},
    }
    return Transcript(
        call_id=call_id,
        handle=f"{call_id}/failure" if "failure_reason" in data else call_id,
        event_timestamp=event_timestamp,
        began_ms=began_ms,
        ended_ms=None if began_ms is None else began_ms + lasted_ms,
        messages=_messages(call_id, turns, began_ms or 0),
        outcome=_bounded({name: value for name, value in values.items() if value is not None}),
        agent_id=_identifier(data.get("agent_id")),
        user_id=_identifier(data.get("user_id")),
    )


def turn_id(call_id: str, event: object, speaker: str) -> str:
    """Return the id of the message of a turn: that under which a recorder writes it live.

    Args:
        event: the ElevenLabs event, a tool call's id, or ``turn-<n>`` where a turn has none.
        speaker: ``user``, ``agent`` or ``tool``.
    """
    found = f"{call_id}:{event}:{speaker}"
    if len(found) <= MAX_ID_CHARACTERS:
        return found
    return f"{call_id}:{hashlib.sha256(str(event).encode()).hexdigest()}:{speaker}"


def call_of(message_id: str) -> str | None:
    """Return the call of a ``turn_id``, ``None`` for any other id."""
    matched = _TURN_ID(message_id)
    return matched and matched[1]


_TURN_ID = re.compile(r"([^:]+):(?:.+):(?:user|agent|tool)").fullmatch
_WITH_EVENT = re.compile(r"[^:]+:[0-9]+:(?:user|agent)").fullmatch


def _messages(
    call_id: str, turns: Sequence[Mapping[str, Any]], began_ms: int
) -> Sequence[AgentMessage]:
    """Return the messages of the turns: what was said, and one for each call of a tool."""
    found: dict[str, dict[str, Any]] = {}
    for number, turn in enumerate(turns):
        seconds = _number(turn.get("time_in_call_secs"))
        at_ms = min(LAST_MS, began_ms + int((seconds or 0) * 1000))
        common = {"timestamp": iso_from_ms(at_ms), "timeInCallSecs": seconds}
        said = _said(turn)
        if said:
            speaker = "user" if said["role"] == "user" else "agent"
            event = _event(turn.get("source_event_id"))
            message_id = turn_id(call_id, event, speaker)
            if event is None or message_id in found:
                message_id = turn_id(call_id, f"turn-{number}", speaker)
            found[message_id] = {**said, **common, "messageId": message_id}
        for index, call in enumerate(_objects(turn.get("tool_calls"))):
            request_id = _identifier(call.get("request_id")) or f"turn-{number}-{index}"
            message_id = turn_id(call_id, request_id, "tool")
            _add(found, message_id, {**_tool(call), **_arguments(call), **common})
        for index, result in enumerate(_objects(turn.get("tool_results"))):
            request_id = _identifier(result.get("request_id")) or f"turn-{number}-{index}"
            message_id = turn_id(call_id, request_id, "tool")
            _add(found, message_id, {**_tool(result), **_result(result), **common})
    return [_message(values) for values in found.values()]


def _add(found: dict[str, dict[str, Any]], message_id: str, values: dict[str, Any]) -> None:
    """Add what is said of a tool's call to what was said of it before: that has its time."""
    before = found.setdefault(message_id, {"status": "pending", "messageId": message_id})
    known = {name: value for name, value in values.items() if value is not None}
    found[message_id] = {**known, **before}
    for name in ("status", "toolOutput"):
        if name in known:
            found[message_id][name] = known[name]


def _message(values: Mapping[str, Any]) -> AgentMessage:
    return AgentMessage.model_validate(values, context=STORED, by_name=False)


def _said(turn: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what was said in a turn, ``None`` if nothing was (a tool's turn)."""
    content = _text(turn.get("message")) or ""
    original = _text(turn.get("original_message"))
    interrupted = turn.get("interrupted") if isinstance(turn.get("interrupted"), bool) else None
    if turn.get("role") == "user":
        medium = "text" if turn.get("source_medium") == "text" else "voice"
        return {"role": "user", "content": content, "source": medium} if content.strip() else None
    if turn.get("role") != "agent" or not (content.strip() or original or interrupted):
        return None
    return {
        "role": "assistant",
        "content": content,
        "source": "agent_response",
        "interrupted": interrupted,
        "originalContent": original,
    }


def _tool(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "role": "tool",
        "content": "",
        "source": "tool_output",
        "toolName": _text(values.get("tool_name")),
        "toolCallId": _identifier(values.get("request_id")),
    }


def _arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    text = _text(call.get("params_as_json"))
    if not text:
        return {}
    try:
        arguments = json_codec.decode(text)
    except json_codec.InvalidJsonError:
        arguments = text
    is_object = isinstance(arguments, dict) and json_codec.depth(arguments) <= MAX_OBJECT_DEPTH
    return {"toolArgs": arguments if is_object else {"params_as_json": text}}


def _result(result: Mapping[str, Any]) -> dict[str, Any]:
    value = result.get("result_value")
    output = value if isinstance(value, str) or value is None else _encoded(value)
    return {
        "toolOutput": output,
        "status": "failed" if result.get("is_error") is True else "completed",
    }


def _bounded(values: dict[str, Any]) -> dict[str, Any]:
    """Return an outcome within its limits: the largest values are left out, and named."""
    truncated = [
        name for name, value in values.items() if json_codec.depth(value) > MAX_OUTCOME_DEPTH
    ]
    kept = {name: value for name, value in values.items() if name not in truncated}
    sizes = {name: len(json_codec.encode(value)) for name, value in kept.items()}
    for name in sorted(kept, key=lambda name: -sizes[name]):
        bounded = {**kept, "truncated": sorted(truncated)} if truncated else kept
        if len(json_codec.encode(bounded)) <= MAX_OUTCOME_BYTES:
            break
        truncated.append(name)
        del kept[name]
    return {**kept, "truncated": sorted(truncated)} if truncated else kept


def _encoded(value: object) -> str:
    if json_codec.depth(value) > MAX_OBJECT_DEPTH:
        return "(nested too deeply)"
    return json_codec.encode(value).decode()


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    return filter(None, map(_object, value if isinstance(value, list) else []))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _identifier(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARACTERS else None


def _number(value: object) -> int | float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= LAST_MS else None  # type: ignore[operator,return-value]  # is_number


def _event(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


# --- One out of two -------------------------------------------------------------------------------


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
