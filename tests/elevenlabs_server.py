"""A server on this machine that speaks ElevenLabs' agent protocol, for the real client library.

What it says, and in which form, was read in ``@elevenlabs/client`` and ``@elevenlabs/types`` from
npm. It was not compared with ElevenLabs' own server: docs/elevenlabs.md says what is assumed.
"""

import json
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.faults.servers import free_port

WAIT_SECONDS = 20.0


class Call:
    """The server's end of one call: a test plays the agent, and what speech recognition heard.

    ``initiation`` is what the client began with. Events are numbered from 1; a method that says
    something returns its number.
    """

    def __init__(self, socket: ServerConnection, number: int) -> None:
        self.initiation: dict[str, Any] = json.loads(socket.recv(WAIT_SECONDS))
        assert self.initiation["type"] == "conversation_initiation_client_data"
        self.id = f"conv_{number:04}_{id(self):x}"
        self._socket = socket
        self._event_id = 0
        self._received: queue.Queue[dict[str, Any]] = queue.Queue()

    def send(self, kind: str, **event: Any) -> None:
        self._socket.send(json.dumps({"type": kind, **event}))

    def user_says(self, transcript: str) -> int:
        event = {"user_transcript": transcript, "event_id": self._next()}
        self.send("user_transcript", user_transcription_event=event)
        return self._event_id

    def agent_says(self, response: str, event_id: int | None = None) -> int:
        number = self._next() if event_id is None else event_id
        event = {"agent_response": response, "event_id": number}
        self.send("agent_response", agent_response_event=event)
        return number

    def user_cuts_in(self, event_id: int, *, generated: str, heard: str) -> None:
        """Interrupt the turn with this number, and say what was heard of it."""
        self.send("interruption", interruption_event={"event_id": event_id})
        event = {
            "original_agent_response": generated,
            "corrected_agent_response": heard,
            "event_id": event_id,
        }
        self.send("agent_response_correction", agent_response_correction_event=event)

    def tool_is_requested(self, call_id: str, name: str) -> None:
        event = {"tool_name": name, "tool_call_id": call_id, "tool_type": "webhook"}
        self.send("agent_tool_request", agent_tool_request={**event, "event_id": self._next()})

    def tool_has_responded(self, call_id: str, name: str, result: str, **flags: bool) -> None:
        event = {
            "tool_name": name,
            "tool_call_id": call_id,
            "tool_type": "webhook",
            "is_error": False,
            "is_called": True,
            "event_id": self._event_id,
            "full_tool_result": result,
            **flags,
        }
        kind = "agent_tool_response_full_payload"
        self.send(kind, agent_tool_response_full_payload=event)

    def call_client_tool(self, call_id: str, name: str, **parameters: Any) -> None:
        event = {"tool_name": name, "tool_call_id": call_id, "parameters": parameters}
        self.send("client_tool_call", client_tool_call={**event, "event_id": self._next()})

    def ping(self) -> None:
        self.send("ping", ping_event={"event_id": self._next(), "ping_ms": 20})

    def expect(self, kind: str) -> dict[str, Any]:
        """Return the next event of a kind that the client sends; what comes before is skipped."""
        while True:
            event = self._received.get(timeout=WAIT_SECONDS)
            if event["type"] == kind:
                return event

    def received(self) -> Iterator[dict[str, Any]]:
        """Yield what the client sends, until it hangs up."""
        while (event := self._received.get())["type"] != "hung_up":
            yield event

    def end(self) -> None:
        """Hang up, as the agent does."""
        self._socket.close()

    def _next(self) -> int:
        self._event_id += 1
        return self._event_id

    def serve(self) -> None:
        """Take what the client sends until it hangs up."""
        for frame in self._socket:
            event = json.loads(frame)
            # The user's audio has a key of its own, and no type.
            self._received.put({"type": "user_audio_chunk", **event})
        self._received.put({"type": "hung_up"})


class ElevenLabsServer:
    """Takes calls at ``signed_url``; each is handed to the test by ``next_call``."""

    def __init__(self, port: int) -> None:
        self.signed_url = (
            f"ws://127.0.0.1:{port}/v1/convai/conversation?agent_id=agent_7101&token=secret-token"
        )
        self._calls: queue.Queue[Call] = queue.Queue()
        self._count = 0

    def next_call(self) -> Call:
        return self._calls.get(timeout=WAIT_SECONDS)

    def take(self, socket: ServerConnection) -> None:
        self._count += 1
        call = Call(socket, self._count)
        metadata = {
            "conversation_id": call.id,
            "agent_output_audio_format": "pcm_16000",
            "user_input_audio_format": "pcm_16000",
        }
        call.send(
            "conversation_initiation_metadata", conversation_initiation_metadata_event=metadata
        )
        self._calls.put(call)
        call.serve()


def _convai(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Take what the client in the browser offers; the one for Python offers nothing."""
    return offered[0] if offered else None


@contextmanager
def elevenlabs_server() -> Iterator[ElevenLabsServer]:
    port = free_port()
    calls = ElevenLabsServer(port)
    with serve(calls.take, "127.0.0.1", port, select_subprotocol=_convai) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield calls
        finally:
            server.shutdown()
            thread.join()
