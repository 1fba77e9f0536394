"""The plain way to keep conversations, for comparison: each one a JSON string.

An append reads the whole string, changes it and writes it back; a list reads every record and sorts
in memory. Nothing else of the service uses this.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import redis


class PlainConversations:
    """As most services of this kind do it."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def create(self, conversation_id: str, messages: list[dict[str, Any]], created_at: str) -> None:
        record = {
            "conversationId": conversation_id,
            "messages": messages,
            "createdAt": created_at,
            "lastAccessedAt": created_at,
        }
        self._redis.set(f"plain:{conversation_id}", json.dumps(record))
        self._redis.sadd("plain:list", conversation_id)

    def append(self, conversation_id: str, message: dict[str, Any]) -> int:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = json.loads(self._redis.get(f"plain:{conversation_id}") or "")
        record["messages"].append({**message, "timestamp": now, "messageId": str(uuid4())})
        record["lastAccessedAt"] = now
        self._redis.set(f"plain:{conversation_id}", json.dumps(record))
        return len(record["messages"])

    def page(self, limit: int) -> list[dict[str, Any]]:
        members: Any = self._redis.smembers("plain:list")
        ids = sorted(member.decode() for member in members)
        raw = self._redis.mget([f"plain:{conversation_id}" for conversation_id in ids])
        records = [json.loads(record) for record in raw if record]
        records.sort(key=lambda record: record["lastAccessedAt"], reverse=True)
        return records[:limit]
