"""ElevenLabs' webhook over HTTP."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations.api.media_types import MAX_WEBHOOK_BYTES
from tests.agent_conversations.api.conftest import Api
from tests.agent_conversations.webhooks import SECRET, delivery, encoded, signature, turn
from tests.conftest import ServedClient
from tests.faults.servers import Service

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

PATH = "/webhooks/elevenlabs"
CALL = "conv_7101"
Send = Callable[..., "Response"]


@pytest.fixture
def send(real_service: Redis, client: ServedClient, settings: Settings, tmp_path: Path) -> Send:
    settings.ELEVENLABS_WEBHOOK_SECRETS = ["an old secret", SECRET]
    settings.REFUSED_WEBHOOKS_DIR = tmp_path / "refused"

    def send(body: object, *, signed: str | None = None, seconds_ago: float = 0) -> "Response":
        raw = encoded(body)
        header = signature(raw, seconds_ago=seconds_ago) if signed is None else signed
        response: Response = client.generic(
            "POST", PATH, raw, "application/json", headers={"ElevenLabs-Signature": header}
        )
        assert response.headers["Content-Type"] == "application/json"
        return response

    return send


def test_transcript_makes_a_conversation(send: Send, api: Api) -> None:
    response = send(delivery(turn("user", "Hello", 1), turn("agent", "Hi", 2), user_id="user_1"))

    assert (response.status_code, response.json()) == (200, {"success": True, "outcome": "stored"})
    found = api.get(f"/{CALL}").json()
    assert [message["content"] for message in found["messages"]] == ["Hello", "Hi"]
    assert (found["agentId"], found["userId"]) == ("agent_7101", "user_1")
    assert found["metadata"]["elevenlabs"]["call_duration_secs"] == 22


@pytest.mark.parametrize("signed_anew", [False, True])
def test_repeated_delivery_counts_once(send: Send, api: Api, signed_anew: bool) -> None:
    body = delivery(turn("user", "Hello"))
    signed = signature(encoded(body), seconds_ago=30)
    send(body, signed=signed)
    before = api.get(f"/{CALL}").headers["ETag"]

    again = send(body, signed=None if signed_anew else signed)

    assert (again.status_code, again.json()["outcome"]) == (200, "repeated")
    assert api.get(f"/{CALL}").headers["ETag"] == before


def test_conversation_is_the_one_that_the_frontend_named(send: Send, api: Api) -> None:
    api.post("/new", {"conversationId": "c-1"})

    send(delivery(turn("user", "Hello"), named="c-1"))
    send(delivery(timestamp=2_000))  # and without the name, later

    assert api.get("/c-1").json()["messageCount"] == 1
    assert api.get(f"/{CALL}").status_code == 404


def test_conversation_is_the_one_whose_session_has_the_id(send: Send, api: Api) -> None:
    api.post("/new", {"conversationId": "c-1"})
    url = "wss://api.elevenlabs.io/v1/convai/conversation?token=t"
    api.post("/c-1/session", {"sessionUrl": url, "sessionId": CALL})
    api.delete("/c-1/session")  # the call is over

    send(delivery(turn("user", "Hello")))

    assert api.get("/c-1").json()["messageCount"] == 1


def test_conversation_is_the_one_with_the_id_of_the_call(send: Send, api: Api) -> None:
    api.post("/new", {"conversationId": CALL, "metadata": {"a": 1}})

    send(delivery(turn("user", "Hello")))

    found = api.get(f"/{CALL}").json()
    assert found["metadata"]["a"] == 1
    assert found["messageCount"] == 1


def test_name_without_a_record_makes_one(send: Send, api: Api) -> None:
    send(delivery(turn("user", "Hello"), named="c-9"))

    assert api.get("/c-9").json()["messageCount"] == 1


def test_call_that_never_began_has_its_outcome(send: Send, api: Api) -> None:
    body = delivery(failure_reason="busy", status=None) | {"type": "call_initiation_failure"}
    del body["data"]["status"]

    assert send(body).status_code == 200

    found = api.get(f"/{CALL}").json()
    assert found["messages"] == []
    assert found["metadata"]["elevenlabs"]["failure_reason"] == "busy"
    assert found["metadata"]["elevenlabs"]["status"] == "failed"


@pytest.mark.parametrize(
    "body",
    [
        {"type": "post_call_audio", "event_timestamp": 1, "data": {"full_audio": "AAAA"}},
        {"type": "voice_removal_notice"},
        delivery(call_id="not an id"),
    ],
)
def test_what_is_of_no_use_is_a_success(send: Send, api: Api, body: Any) -> None:
    response = send(body)

    assert (response.status_code, response.json()["outcome"]) == (200, "ignored")
    assert api.get("/list").json()["pagination"]["total"] == 0


def test_wrong_signature_stores_nothing(send: Send, api: Api) -> None:
    body = delivery(turn("user", "Hello"))

    response = send(body, signed=signature(encoded(body), "another"))

    assert (response.status_code, response.json()["code"]) == (401, "invalid_signature")
    assert api.get(f"/{CALL}").status_code == 404


@pytest.mark.parametrize(
    ("seconds_ago", "status"),
    [(29 * 60, 200), (31 * 60, 401), (-4 * 60, 200), (-6 * 60, 401)],
)
def test_time_of_a_signature_is_bounded_at_both_ends(
    send: Send, seconds_ago: float, status: int
) -> None:
    assert send(delivery(), seconds_ago=seconds_ago).status_code == status


def test_retry_after_an_outage_may_be_old(
    send: Send, api: Api, point_at: Callable[[str], None], tmp_path: Path, real_service: Redis
) -> None:
    body = delivery(turn("user", "Hello"))
    signed = signature(encoded(body))
    path = tmp_path / "valkey.sock"
    with socket.socket(socket.AF_UNIX) as unheard:
        unheard.bind(str(path))
        point_at(f"unix://{path}")
        refused = send(body, signed=signed)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert refused.headers["Retry-After"] == "1"
    point_at(f"unix://{real_service.connection_pool.connection_kwargs['path']}")

    other = send(delivery(timestamp=2_000), seconds_ago=41 * 60)
    retried = send(body, seconds_ago=41 * 60)

    assert other.status_code == 401
    assert (retried.status_code, retried.json()["outcome"]) == (200, "stored")
    assert api.get(f"/{CALL}").json()["messageCount"] == 1


def test_without_secrets_there_is_no_such_path(send: Send, settings: Settings) -> None:
    settings.ELEVENLABS_WEBHOOK_SECRETS = []
    settings.ELEVENLABS_AGENT_ENABLED = False

    response = send(delivery())

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_webhook_is_behind_the_flag(send: Send, settings: Settings) -> None:
    settings.ELEVENLABS_AGENT_ENABLED = False

    response = send(delivery())

    assert (response.status_code, response.json()["code"]) == (503, "feature_disabled")


@pytest.mark.usefixtures("tokens")
def test_tokens_do_not_apply_to_the_webhook(send: Send) -> None:
    assert send(delivery()).status_code == 200


def test_other_methods_and_no_body_are_refused(send: Send, client: ServedClient) -> None:
    assert client.get(PATH).status_code == 405
    assert send(b"").status_code == 400
    assert send(b"", signed="").status_code == 401


@pytest.mark.parametrize(
    "field",
    [
        b'"unknown":NaN',
        b'"unknown":1e999',
        b'"unknown":' + b"9" * 5_000,
        b'"status":"done","status":"done"',
        b'"unknown":' + b"[" * 500 + b"]" * 500,
        b'"event_timestamp":true',
    ],
)
def test_field_that_nobody_reads_does_no_harm(send: Send, api: Api, field: bytes) -> None:
    body = encoded(delivery(turn("user", "Hello", 1))).replace(b'"has_audio": true', field)
    outer = body.replace(b'{"type"', b"{" + field + b',"type"', 1)

    assert send(body).json()["outcome"] == "stored"
    assert send(outer).status_code == 200
    assert api.get(f"/{CALL}").json()["messageCount"] == 1
    assert api.post(f"/{CALL}/message", {"role": "user", "content": "x"}).status_code == 201


def test_time_that_is_none_does_not_spoil_the_conversation(send: Send, api: Api) -> None:
    assert send(delivery(turn("user", "Hello")) | {"event_timestamp": True}).status_code == 200

    assert send(delivery(turn("user", "Hello"), turn("agent", "Hi"))).json()["outcome"] == "stored"
    assert api.get(f"/{CALL}").json()["messageCount"] == 2


def test_call_that_began_after_a_failure_is_taken(send: Send, api: Api) -> None:
    failure = delivery(failure_reason="busy") | {"type": "call_initiation_failure"}
    send(failure)
    assert send(failure).json()["outcome"] == "repeated"

    assert send(delivery(turn("user", "Hello"))).json()["outcome"] == "stored"
    assert api.get(f"/{CALL}").json()["messageCount"] == 1


def test_put_of_a_transcripts_turn_is_a_repetition(send: Send, api: Api) -> None:
    send(delivery(turn("user", "Hello", 1)))

    put = api.put(f"/{CALL}/messages/{CALL}:1:user", {"role": "user", "content": "Hullo"})

    assert put.headers["Idempotency-Replayed"] == "true"
    assert (put.status_code, put.json()["content"]) == (200, "Hello")
    other = f"/{CALL}/messages/{CALL}:5:summary"
    assert api.put(other, {"role": "system", "content": "One"}).status_code == 201
    changed = api.put(other, {"role": "system", "content": "Two"})
    assert (changed.status_code, changed.json()["content"]) == (200, "Two")


def test_outcome_that_was_read_may_be_sent_back(send: Send, api: Api) -> None:
    send(delivery(analysis={"transcript_summary": "x" * 100_000}))
    metadata = api.get(f"/{CALL}").json()["metadata"]

    assert api.patch(f"/{CALL}", {"metadata": {**metadata, "a": 1}}).status_code == 200
    too_large = {"elevenlabs": {"x": "x" * 256 * 1024}}
    assert api.patch(f"/{CALL}", {"metadata": too_large}).status_code == 400
    assert api.patch(f"/{CALL}", {"metadata": {**metadata, "a": "x" * 17_000}}).status_code == 400


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("webhooks"), ELEVENLABS_WEBHOOK_SECRETS=SECRET)
    service.start()
    yield service
    service.stop()


def post(service: Service, body: bytes, *, chunked: bool = False) -> tuple[int, bytes]:
    """Send a webhook as a client of its own, with a length or in chunks."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"ElevenLabs-Signature: {signature(body)}\r\nContent-Type: application/json\r\n"
    if chunked:
        pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        head += "Transfer-Encoding: chunked\r\n\r\n"
    else:
        sent = body
        head += f"Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
        client.sendall(head.encode())
        with suppress(OSError):  # the server may respond before it has read all
            client.sendall(sent)
        response = b"".join(iter(lambda: client.recv(65_536), b""))
    return int(response.split(b" ", 2)[1]), response.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("chunked", [False, True])
def test_running_service_takes_a_webhook_of_32_mib(service: Service, chunked: bool) -> None:
    call_id = f"conv_large_{chunked}"
    words = "word " * 200
    turns = [turn("user" if n % 2 else "agent", f"{n} {words}", n) for n in range(5_000)]
    rest = "A" * (MAX_WEBHOOK_BYTES - len(encoded(delivery(*turns, call_id=call_id, unknown=""))))
    body = encoded(delivery(*turns, call_id=call_id, unknown=rest))
    assert len(body) == MAX_WEBHOOK_BYTES

    status, response = post(service, body, chunked=chunked)

    assert (status, response) == (200, b'{"success":true,"outcome":"stored"}')
    page = service.api.send("GET", f"/agent-conversations/api/{call_id}/messages?limit=1")
    assert page.body["pagination"]["total"] == 5_000


@pytest.mark.parametrize("chunked", [False, True])
def test_running_service_refuses_a_longer_webhook(service: Service, chunked: bool) -> None:
    status, response = post(service, b" " * (MAX_WEBHOOK_BYTES + 1), chunked=chunked)

    assert status == 413
    assert b"32 MiB" in response
