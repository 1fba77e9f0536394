"""An HTTP client that never raises: a request without a response has the status 0."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sessions_store.errors import NotAcknowledgedError
from tests.faults.result import RESPONSE_SECONDS

API = "/agent-conversations/api"
NOT_ACKNOWLEDGED = str(NotAcknowledgedError())
UNAVAILABLE = "The store cannot be reached within the request's timeout. Try again shortly."


@dataclass(frozen=True)
class Response:
    """``status`` 0: the connection was refused, broke, or nothing came in time."""

    status: int
    seconds: float
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_unavailable(self) -> bool:
        """Whether it is the 503 of an outage, to the letter."""
        return (
            self.status == 503
            and self.headers.get("content-type") == "application/json"
            and self.headers.get("retry-after", "").isdigit()
            and self.body
            in [
                {"success": False, "error": sentence, "code": "store_unavailable"}
                for sentence in (UNAVAILABLE, NOT_ACKNOWLEDGED)
            ]
        )

    def __str__(self) -> str:
        code = self.body.get("code", "") if isinstance(self.body, dict) else ""
        return f"{self.status} {code} after {self.seconds:.2f} s"


class Api:
    """Requests to the service on ``port``, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 4 * RESPONSE_SECONDS,
    ) -> Response:
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        started = time.monotonic()
        try:
            connection.request(
                method, path, data, {"Content-Type": "application/json", **(headers or {})}
            )
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            return Response(0, time.monotonic() - started)
        finally:
            connection.close()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Response(
            response.status,
            time.monotonic() - started,
            json.loads(raw) if raw else None,
            received,
        )

    # --- The ten routes ---------------------------------------------------------------------------

    def list(self, **query: object) -> Response:
        return self.send("GET", f"{API}/list{_query(query)}")

    def create(
        self, conversation_id: str | None = None, key: str | None = None, **fields: object
    ) -> Response:
        if conversation_id is not None:
            fields["conversationId"] = conversation_id
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.send("POST", f"{API}/new", fields, headers)

    def get(self, conversation_id: str) -> Response:
        return self.send("GET", f"{API}/{conversation_id}")

    def update(
        self, conversation_id: str, changes: object, if_match: str | None = None
    ) -> Response:
        headers = {} if if_match is None else {"If-Match": if_match}
        return self.send("PATCH", f"{API}/{conversation_id}", changes, headers)

    def delete(self, conversation_id: str) -> Response:
        return self.send("DELETE", f"{API}/{conversation_id}")

    def append(
        self, conversation_id: str, message_id: str | None = None, content: str = "words"
    ) -> Response:
        message = {"role": "user", "content": content}
        if message_id is not None:
            message["messageId"] = message_id
        return self.send("POST", f"{API}/{conversation_id}/message", message)

    def messages(self, conversation_id: str, **query: object) -> Response:
        return self.send("GET", f"{API}/{conversation_id}/messages{_query(query)}")

    def register(self, conversation_id: str, session_id: str) -> Response:
        return self.send("POST", f"{API}/{conversation_id}/session", session_body(session_id))

    def session(self, conversation_id: str) -> Response:
        return self.send("GET", f"{API}/{conversation_id}/session")

    def push(self, conversation_id: str, push_id: str) -> Response:
        body = {"text": "words", "pushId": push_id}
        return self.send("POST", f"{API}/{conversation_id}/push", body)

    def unregister(self, conversation_id: str, session_id: str | None = None) -> Response:
        query = {} if session_id is None else {"sessionId": session_id}
        return self.send("DELETE", f"{API}/{conversation_id}/session{_query(query)}")


def session_body(session_id: str) -> dict[str, Any]:
    """Return a registration in which every value names the session that it belongs to."""
    return {
        "sessionUrl": f"wss://api.elevenlabs.io/v1/convai?token={session_id}",
        "sessionId": session_id,
        "metadata": {f"field-{number}": session_id for number in range(20)},
    }


def _query(query: Mapping[str, object]) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""
