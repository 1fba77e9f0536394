"""Records of another service: what this one cannot keep is changed or left out, and told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from agent_conversations.store.legacy import EARLIEST
from agent_conversations.types import Role, Source, Status
from sessions_store.errors import CorruptRecordError
from sessions_store.wire import json_codec
from sessions_store.wire.fields import MAX_IDENTIFIER_CHARACTERS, stored_timestamp

Fix = Callable[[Any], tuple[Any, str]]
"""Returns what a field's value becomes (``None``: it is left out) and why; no reason: unchanged."""


@dataclass(frozen=True)
class Change:
    """What an import changed or left out: where and why, never a value."""

    message: int | None
    """Its position, from 0; ``None`` for a field of the conversation."""
    field: str
    why: str


def mend(conversation_id: str, raw: bytes) -> tuple[bytes, list[Change]]:
    """Return the record as ``legacy.convert`` takes it, and each change that this needed.

    Raises:
        CorruptRecordError: it is no conversation; the reason says what it lacks.
    """

    def unreadable(reason: str) -> CorruptRecordError:
        return CorruptRecordError("conversation", conversation_id, reason)

    try:
        record = json_codec.decode(json_codec.without_lone_surrogates(raw))
    except ValueError:
        raise unreadable("is not JSON") from None
    if not isinstance(record, dict) or not isinstance(record.get("messages"), list):
        raise unreadable("has no list of messages")
    changes: list[Change] = []
    mended = _mend_fields(record, _CONVERSATION, None, changes)
    mended["messages"] = []
    for position, message in enumerate(record["messages"]):
        if isinstance(message, dict):
            mended["messages"].append(_mend_fields(message, FIXES, position, changes))
        else:
            changes.append(Change(position, "message", "left out: not an object"))
    times = [mended.get("lastAccessedAt"), *(one.get("timestamp") for one in mended["messages"])]
    if mended.get("createdAt") is None:
        mended["createdAt"] = min((time for time in times if time is not None), default=None)
        if mended["createdAt"] is None:
            raise unreadable("has no time")
        changes.append(Change(None, "createdAt", "became the earliest time in the record"))
    for name in ("title", "status"):
        if mended.get(name) is not None:
            mended["metadata"] = {name: mended.pop(name), **(mended.get("metadata") or {})}
            changes.append(Change(None, name, "moved to metadata"))
    return json_codec.encode(mended), changes


def _mend_fields(
    source: dict[str, Any], fixes: Mapping[str, Fix], position: int | None, changes: list[Change]
) -> dict[str, Any]:
    mended = dict(source)
    for name, fix in fixes.items():
        if mended.get(name) is not None or name in ("role", "content"):
            mended[name], why = fix(mended.get(name))
            if why:
                changes.append(Change(position, name, why))
    return mended


def _text(value: Any) -> tuple[Any, str]:
    if isinstance(value, str):
        return value, ""
    return json_codec.encode(value).decode(), "became the text of its JSON: not a string"


def _content(value: Any) -> tuple[Any, str]:
    return ("", "became empty: there was none") if value is None else _text(value)


def _object(value: Any) -> tuple[Any, str]:
    if isinstance(value, dict):
        return value, ""
    return {"value": value}, "put into an object, as its value"


def _id(when_invalid: str) -> Fix:
    def fix(value: Any) -> tuple[Any, str]:
        if isinstance(value, str) and 1 <= len(value) <= MAX_IDENTIFIER_CHARACTERS:
            return value, ""
        if _is_number(value) and isinstance(value, int):
            return str(value), "became text: a number"
        return None, f"{when_invalid}: not a text of 1 to {MAX_IDENTIFIER_CHARACTERS} characters"

    return fix


def _boolean(value: Any) -> tuple[Any, str]:
    return (value, "") if isinstance(value, bool) else (None, "left out: not true or false")


def _seconds(value: Any) -> tuple[Any, str]:
    is_valid = _is_number(value) and value >= 0
    return (value, "") if is_valid else (None, "left out: not a number that is not negative")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _time(value: Any) -> tuple[Any, str]:
    # As milliseconds, smaller numbers were before 1973; as seconds, larger ones are after 5138.
    if isinstance(value, bool):
        return None, "left out: not a time"
    if _is_number(value) and abs(value) < 10**11:
        value *= 1000
    try:
        time = stored_timestamp(value)
    except ValueError:
        return None, "left out: not a time"
    if time is None or time < EARLIEST:
        return None, "left out: before 1970"
    return time, ""


def _word(allowed: Any, others: Mapping[str, str], default: str | None) -> Fix:
    words = get_args(allowed)

    def fix(value: Any) -> tuple[Any, str]:
        if value in words:
            return value, ""
        word = others.get(value.lower(), default) if isinstance(value, str) else default
        done = "left out" if word is None else f"became {word}"
        return word, f"{done}: not one of {', '.join(words)}"

    return fix


_ASSISTANTS = dict.fromkeys(("agent", "ai", "bot", "model"), "assistant")
FIXES: Mapping[str, Fix] = {
    "role": _word(Role, {**_ASSISTANTS, "human": "user", "function": "tool"}, "system"),
    "content": _content,
    "timestamp": _time,
    "source": _word(Source, {}, None),
    "messageId": _id("replaced"),
    "toolName": _text,
    "toolArgs": _object,
    "toolOutput": _text,
    "status": _word(Status, {"success": "completed", "done": "completed", "error": "failed"}, None),
    "toolCallId": _id("left out"),
    "interrupted": _boolean,
    "originalContent": _text,
    "timeInCallSecs": _seconds,
}
_CONVERSATION: Mapping[str, Fix] = {
    "createdAt": _time,
    "lastAccessedAt": _time,
    "agentId": _text,
    "userId": _text,
    "metadata": _object,
}
