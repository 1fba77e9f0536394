"""The ways past the tab, to a server on this machine: what is sent, and what is claimed of it."""

import json
import socket

import pytest
from websockets.sync.server import ServerConnection

from sessions_store import direct_push
from sessions_store.direct_push import push_by_monitor, push_to_gateway
from sessions_store.errors import InvalidRequestError
from tests.sessions_store.other_end import serving
from tests.sessions_store.records import session
from tests.waiting import wait_until

KEY = "sk_a-secret"


def test_monitor_is_sent_a_contextual_update() -> None:
    with serving() as other:
        result = push_by_monitor("conv/1", "It is done.", api_key=KEY, base_url=other.url)

        assert result == ("sent", "")
        wait_until(lambda: other.frames)
        assert other.frames == [
            {
                "command_type": "contextual_update",
                "parameters": {"contextual_update": "It is done."},
            }
        ]
        (request,) = other.requests
        assert request.path == "/v1/convai/conversations/conv%2F1/monitor"
        assert request.headers["xi-api-key"] == KEY


def test_gateway_is_sent_the_frame_at_the_stored_url() -> None:
    with serving() as other:
        stored = session(wsUrl=f"{other.url}/join?b=2&a=%20&token=t")
        frame = {"type": "input_text", "text": "It is done."}

        assert push_to_gateway(stored, frame).state == "sent"

        wait_until(lambda: other.frames)
        assert other.frames == [frame]
        assert other.requests[0].path == "/join?b=2&a=%20&token=t"


def test_events_that_nobody_reads_do_no_harm() -> None:
    def talk(connection: ServerConnection) -> None:
        for number in range(100):
            connection.send(json.dumps({"event": number}))
        for _ in connection:
            pass

    with serving(talk) as other:
        assert push_by_monitor("c", "x", api_key=KEY, base_url=other.url).state == "sent"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusal_is_failed_with_its_status(status: int) -> None:
    with serving(status=status) as other:
        result = push_by_monitor("c", "x", api_key=KEY, base_url=other.url)

        assert result == ("failed", f"HTTP {status}")


def test_socket_that_is_closed_at_once_is_failed() -> None:
    with serving(lambda connection: connection.close(1008, "not on this plan")) as other:
        result = push_by_monitor("c", "x", api_key=KEY, base_url=other.url)

        assert result == ("failed", "closed with 1008")


def test_connection_that_breaks_is_failed() -> None:
    with serving(lambda connection: connection.socket.close()) as other:
        result = push_by_monitor("c", "x", api_key=KEY, base_url=other.url)

        assert result == ("failed", "closed with 1006")


def test_other_end_that_does_not_read_is_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_push, "TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"

        result = push_by_monitor("c", "x", api_key=KEY, base_url=url)

    assert result == ("failed", "TimeoutError")


def test_nobody_there_is_failed_without_the_url() -> None:
    with serving() as other:
        url = other.url
    stored = session(wsUrl=f"{url}/?token=a-secret")

    result = push_to_gateway(stored, {"type": "user_message"})

    assert result.state == "failed"
    assert "secret" not in result.reason
    assert "127" not in result.reason


@pytest.mark.parametrize("text", ["", "ü" * (8 * 1024 + 1)])
def test_text_of_a_wrong_length_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        push_by_monitor("c", text, api_key=KEY)
