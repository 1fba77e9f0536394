"""The agent of a played call, and the transcript that is sent after it."""

import threading
import time
import urllib.error
import urllib.request
from typing import Any

from tests.agent_conversations.webhooks import delivery, encoded, signature, turn
from tests.elevenlabs_server import Call

TOOL_SECONDS = 1.5
GREETING = "Hello, what can I do for you?"
TOOL = "list_tasks"
TOOL_RESULT = "2 tasks: call Ada, write the report"


class Agent:
    """Plays one call: what is said to it, it answers; what the page asks for, it does."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._began = time.time()
        self._turns: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._answered: dict[str, Any] | None = None
        self._tools = 0
        self.say(GREETING)

    def hear(self, words: str) -> None:
        """Take what speech recognition made of the user's voice."""
        self._add("user", words, self._call.user_says(words), source_medium="audio")
        self.answer(words)

    def read(self, event: dict[str, Any]) -> None:
        """Take what the client sent: a text of the user's, or something to know."""
        if event["type"] == "user_message":
            self._add("user", event["text"], None, source_medium="text")
            self.answer(event["text"])
        elif event["type"] == "contextual_update":
            self.say(f"I know now: {event['text']}")

    def answer(self, words: str) -> None:
        self.say(
            f"You said “{words}”, which I have thought about for a while, and about which there "
            "is a lot to be said, if only nobody cuts in."
        )

    def say(self, words: str) -> None:
        self._answered = self._add("agent", words, self._call.agent_says(words))

    def is_cut_off(self) -> None:
        """Have the user cut off what was said last, after half of its words."""
        cut = self._answered
        if cut is None or cut.get("interrupted"):
            return
        generated = cut["message"]
        words = generated.split()
        heard = " ".join(words[: len(words) // 2])
        cut.update(message=heard, original_message=generated, interrupted=True)
        self._call.user_cuts_in(cut["source_event_id"], generated=generated, heard=heard)

    def call_tool(self) -> None:
        self._tools += 1
        request = {"request_id": f"tool-{self._tools}", "tool_name": TOOL}
        called = {**request, "params_as_json": '{"day": "today"}'}
        self._add("agent", None, None, tool_calls=[called])
        self._call.tool_is_requested(request["request_id"], TOOL)
        time.sleep(TOOL_SECONDS)
        self._call.tool_has_responded(request["request_id"], TOOL, TOOL_RESULT)
        result = {**request, "result_value": TOOL_RESULT, "is_error": False}
        self._add("agent", None, None, tool_results=[result])

    def hang_up(self, conversation_id: str) -> dict[str, Any]:
        """End the call; return the webhook that ElevenLabs would send of it."""
        self.say("Goodbye!")
        self._call.end()
        return delivery(
            *self._turns,
            call_id=self._call.id,
            timestamp=int(time.time()),
            named=conversation_id,
            metadata={
                "start_time_unix_secs": int(self._began),
                "call_duration_secs": round(time.time() - self._began),
                "termination_reason": "the agent hung up",
            },
        )

    def _add(self, role: str, words: str | None, event: int | None, **more: Any) -> dict[str, Any]:
        seconds = round(time.time() - self._began, 1)
        added = turn(role, words, event, time_in_call_secs=seconds, interrupted=False, **more)
        with self._lock:
            self._turns.append(added)
        return added


def send_webhook(service: str, body: dict[str, Any], secret: str) -> int:
    """Send a webhook as ElevenLabs does; return the status of the response."""
    raw = encoded(body)
    headers = {"ElevenLabs-Signature": signature(raw, secret), "Content-Type": "application/json"}
    return _post(f"{service}/webhooks/elevenlabs", raw, headers)


def send_push(api: str, conversation_id: str, text: str, token: str) -> int:
    """Push a text, as a callback service does; return the status of the response."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return _post(f"{api}/{conversation_id}/push", encoded({"text": text}), headers)


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310  # the service's address
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
