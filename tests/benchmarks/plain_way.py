"""The plain way to keep conversations, for comparison: each one a JSON string.

A read and an append take the whole string, change it and write it back; a list reads every record
and sorts in memory. Nothing else of the service uses this.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import redis

_LIST = "plain:list"


class PlainConversations:
    """As most services of this kind do it."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def create(self, conversation_id: str, messages: int) -> None:
        message = {"role": "user", "content": "x" * 90, "source": "voice"}
        record = {
            "conversationId": conversation_id,
            "messages": [self._complete(message) for _ in range(messages)],
            "createdAt": _now(),
            "lastAccessedAt": _now(),
        }
        self._redis.set(f"plain:{conversation_id}", json.dumps(record))
        self._redis.sadd(_LIST, conversation_id)

    def read(self, conversation_id: str) -> str:
        record = self._load(conversation_id)
        record["lastAccessedAt"] = _now()
        raw = json.dumps(record)
        self._redis.set(f"plain:{conversation_id}", raw)
        return raw

    def append(self, conversation_id: str, message: dict[str, Any]) -> int:
        record = self._load(conversation_id)
        record["messages"].append(self._complete(message))
        record["lastAccessedAt"] = _now()
        self._redis.set(f"plain:{conversation_id}", json.dumps(record))
        return len(record["messages"])

    def page(self, limit: int) -> str:
        members: Any = self._redis.smembers(_LIST)
        raw = self._redis.mget([f"plain:{member.decode()}" for member in members])
        records = [json.loads(record) for record in raw if record]
        records.sort(key=lambda record: record["lastAccessedAt"], reverse=True)
        return json.dumps(records[:limit])

    def _load(self, conversation_id: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self._redis.get(f"plain:{conversation_id}") or "")
        return record

    def _complete(self, message: dict[str, Any]) -> dict[str, Any]:
        return {**message, "timestamp": _now(), "messageId": str(uuid4())}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
