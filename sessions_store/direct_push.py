"""Two further ways to a running call, past its tab: each sends, and hears nothing back.

``pushes.py`` is the way that says what became of a text. These are for callback services that have
no tab, and know what is at the other end of the socket; opening a URL of ElevenLabs' own begins a
new call, and joins none.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from sessions_store.push_types import PushText
from sessions_store.types import AgentSession
from sessions_store.wire.model import WireModel, to_json

MONITOR_URL = "wss://api.elevenlabs.io"
TIMEOUT_SECONDS = 5.0
"""For opening the socket, and again for the other end to read what was sent."""

REFUSAL_SECONDS = 0.5
"""A server that refuses what it has read closes the connection within this time."""

_RECEIVED_BYTES = 1024 * 1024


class DirectPush(NamedTuple):
    """``sent``: the other end has read the frame; what it did with it, nobody says.

    ``reason`` is for ``failed``: a status, a code or a kind of error, and never a URL or a key.
    """

    state: Literal["sent", "failed"]
    reason: str = ""


class _Text(WireModel):
    text: PushText


def push_by_monitor(
    call_id: str, text: str, *, api_key: str, base_url: str = MONITOR_URL
) -> DirectPush:
    """Send a contextual update through ElevenLabs' monitor socket of a running call.

    It is for workspaces on ElevenLabs' Enterprise plan, knows no user message, and ignores in
    silence what it does not understand. This was tried against a server on the same machine, and
    never against ElevenLabs.

    Args:
        call_id: ElevenLabs' id of the call.
        text: 1 byte to 16 KiB.

    Raises:
        InvalidRequestError: the text is too short or too long.
    """
    checked = _Text.parse({"text": text}).text
    frame = {
        "command_type": "contextual_update",
        "parameters": {"contextual_update": checked},
    }
    url = f"{base_url}/v1/convai/conversations/{quote(call_id, safe='')}/monitor"
    return _send(url, frame, {"xi-api-key": api_key})


def push_to_gateway(session: AgentSession, frame: Mapping[str, Any]) -> DirectPush:
    """Send a frame to the URL of a session, as it was stored, whose gateway joins what is running.

    Args:
        frame: what the gateway understands, such as ``{"type": "input_text", "text": …}``,
            ``user_message`` or ``contextual_update``; ``session.session_payload`` has what the
            client handed out, whole.
    """
    return _send(session.ws_url, frame, {})


def _send(url: str, frame: Mapping[str, Any], headers: Mapping[str, str]) -> DirectPush:
    try:
        with connect(
            url,
            additional_headers=headers,
            open_timeout=TIMEOUT_SECONDS,
            close_timeout=TIMEOUT_SECONDS,
            max_size=_RECEIVED_BYTES,
            # What comes is not waited for, and must not keep the pong from coming.
            max_queue=None,
            # A credential is in the URL or in a header: no proxy of the environment sees it.
            proxy=None,
        ) as socket:
            socket.send(to_json(dict(frame)), text=True)
            # A pong comes after all that was sent before the ping was read (RFC 6455, 5.5.2).
            if not socket.ping(ack_on_close=True).wait(TIMEOUT_SECONDS):
                return DirectPush("failed", "not read in time")
            _expect_no_refusal(socket)
    except InvalidStatus as error:
        return DirectPush("failed", f"HTTP {error.response.status_code}")
    except ConnectionClosed as error:
        return DirectPush("failed", f"closed with {error.rcvd.code if error.rcvd else 1006}")
    except (OSError, ValueError, WebSocketException) as error:
        # A TimeoutError is an OSError; a host that cannot be one is a ValueError.
        return DirectPush("failed", type(error).__name__)
    return DirectPush("sent")


def _expect_no_refusal(socket: ClientConnection) -> None:
    """Raise ``ConnectionClosed`` if the other end closes the connection by itself."""
    until = time.monotonic() + REFUSAL_SECONDS
    with suppress(TimeoutError):
        while True:
            socket.recv(max(0.0, until - time.monotonic()))
