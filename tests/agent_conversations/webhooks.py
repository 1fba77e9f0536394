"""Deliveries as ElevenLabs makes them."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

SECRET = "wsec_of-a-test"


def delivery(
    *turns: Mapping[str, Any],
    call_id: str = "conv_7101",
    timestamp: int = 1_000,
    named: object = None,
    **data: Any,
) -> dict[str, Any]:
    """Return the body of a ``post_call_transcription``; ``named`` is our conversation's id."""
    variables = {} if named is None else {"agent_conversation_id": named}
    return {
        "type": "post_call_transcription",
        "event_timestamp": timestamp,
        "data": {
            "agent_id": "agent_7101",
            "conversation_id": call_id,
            "status": "done",
            "transcript": list(turns),
            "metadata": {"start_time_unix_secs": int(time.time()) - 60, "call_duration_secs": 22},
            "analysis": {"call_successful": "success", "transcript_summary": "They spoke."},
            "conversation_initiation_client_data": {"dynamic_variables": variables},
            "has_audio": True,
            **data,
        },
    }


def turn(role: str, words: str | None, event: int | None = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "message": words, "source_event_id": event, **more}


def encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def signature(body: bytes, secret: str = SECRET, seconds_ago: float = 0) -> str:
    at = int(time.time() - seconds_ago)
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v0={digest}"
