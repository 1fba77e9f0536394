"""Sessions that tests register and store."""

import json
from typing import Any

from redis import Redis

from sessions_store.types import AgentSession

ID = "agent-1795423973269-5iwhvn2en0a"
KEY = "elevenlabs:session:" + ID
URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a1&token=t%2Fok+en=="
OTHER_URL = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a1&token=another"
EVERYTHING: dict[str, Any] = {
    "sessionUrl": URL,
    "wsUrl": OTHER_URL,
    "sessionId": "conv_1",
    "transport": "websocket",
    "expiresAt": "2026-11-23T16:35:45Z",
    "metadata": {"tab": 1, "tags": []},
    "sessionPayload": {"config": {"wsUrl": URL, "agentId": "a1"}, "z": 1, "a": None},
}


def session(**fields: Any) -> AgentSession:
    return AgentSession.from_registration({"wsUrl": URL, **fields})


def write_raw(redis: Redis, record: object, ttl_seconds: int | None = 300) -> None:
    redis.set(KEY, json.dumps(record), ex=ttl_seconds)
