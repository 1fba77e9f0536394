"""ElevenLabs' transcript of a call, as messages and an outcome.

What cannot be read in it is left out, and never refuses the rest.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_conversations.types import MAX_OUTCOME_BYTES, AgentMessage
from sessions_store.wire import json_codec
from sessions_store.wire.clock import LAST_MS, iso_from_ms
from sessions_store.wire.fields import MAX_IDENTIFIER_CHARACTERS, MAX_OBJECT_DEPTH
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
    if len(found) <= MAX_IDENTIFIER_CHARACTERS:
        return found
    return f"{call_id}:{hashlib.sha256(str(event).encode()).hexdigest()}:{speaker}"


def call_of(message_id: str) -> str | None:
    """Return the call of a ``turn_id``, ``None`` for any other id."""
    matched = _TURN_ID(message_id)
    return matched and matched[1]


# As lua/includes/is_transcribed.lua has it.
_TURN_ID = re.compile(r"([^:]+):.+:(?:user|agent|tool)", re.DOTALL).fullmatch


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
    return value if isinstance(value, str) and 0 < len(value) <= MAX_IDENTIFIER_CHARACTERS else None


def _number(value: object) -> int | float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= LAST_MS else None  # type: ignore[operator,return-value]  # is_number


def _event(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
