"""A session's token is stored in Redis, and is shown nowhere else."""

from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command
from redis import Redis

from agent_conversations import services
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.types import AgentSession
from tests.agent_conversations.api.routes import PREFIX, ROUTES
from tests.conftest import ServedClient

MARK = "MARKEDTOKEN"
ID = "c-1"
SESSION = {
    "sessionPayload": {
        "config": {"wsUrl": f"wss://host/push?token={MARK}", "apiKey": MARK},
        "list": [MARK],
    },
    "sessionUrl": f"wss://host/push?token={MARK}",
    "sessionId": "sess-1",
    "metadata": {"secret": MARK},
}
# Each is refused at another step of the request.
REFUSED = [
    {**SESSION, "sessionPayload": {"wsUrl": f"https://{MARK}"}, "sessionUrl": f"https://{MARK}"},
    {"sessionId": MARK},
    {**SESSION, "transport": MARK},
    {**SESSION, "metadata": {"secret": MARK * 2000}},
    {**SESSION, "sessionPayload": {"wsUrl": f"wss://host/{MARK}", "more": MARK * 8000}},
    {**SESSION, "sessionId": [MARK]},
    {**SESSION, "expiresAt": {"when": MARK}},
]


def send_everything(client: ServedClient) -> Iterator[bytes]:
    """Yield the body of every response about a marked session, errors included."""
    path = f"{PREFIX}/{ID}/session"
    for body in [*REFUSED, SESSION]:
        yield client.post(path, body, "application/json").content
    yield client.post(path, str(SESSION).encode(), "application/json").content
    yield client.post(path, str(SESSION).encode(), "text/plain").content
    # Deletions last, and of the session only one with another id.
    routes = sorted([*ROUTES, ("PUT", path)], key=lambda route: route[0] == "DELETE")
    for accept in ("application/json", "text/html"):
        for method, route in routes:
            url = f"{route.replace('c-1', ID)}?sessionId=another"
            yield client.generic(method, url, headers={"Accept": accept}).content
    for page in (
        "/",
        "/docs",
        "/redoc",
        "/openapi.yaml",
        "/asyncapi.yaml",
        "/health",
        "/health/ready",
        "/metrics",
    ):
        yield client.get(page).content


def test_no_response_and_no_log_line_shows_the_token(
    real_service: Redis, client: ServedClient, log: pytest.LogCaptureFixture
) -> None:
    bodies = list(send_everything(client))

    assert MARK.encode() in real_service.get(f"elevenlabs:session:{ID}")  # type: ignore[operator]  # bytes
    assert not [body for body in bodies if MARK.encode() in body]
    assert MARK not in log.text


def test_token_stays_hidden_while_redis_is_unavailable(
    real_service: Redis,
    client: ServedClient,
    log: pytest.LogCaptureFixture,
    point_at: Callable[[str], None],
) -> None:
    client.post(f"{PREFIX}/{ID}/session", SESSION, "application/json")
    real_service.execute_command("ACL", "SETUSER", "default", "-evalsha", "-set", "-script")  # type: ignore[no-untyped-call]  # redis-py's
    denied = list(send_everything(client))
    real_service.execute_command("ACL", "SETUSER", "default", "+@all")  # type: ignore[no-untyped-call]  # redis-py's
    point_at("unix:///nowhere.sock")
    away = list(send_everything(client))

    assert not [body for body in denied + away if MARK.encode() in body]
    assert b"store_unavailable" in b"".join(denied)
    assert b"store_unavailable" in b"".join(away)
    assert MARK not in log.text


def test_token_stays_hidden_when_the_record_is_corrupt(
    real_service: Redis, client: ServedClient, log: pytest.LogCaptureFixture
) -> None:
    bodies = []
    for broken in (f'{{"wsUrl": "{MARK}', f'["{MARK}"]', f'{{"sessionPayload": "{MARK}"}}'):
        real_service.set(f"elevenlabs:session:{ID}", broken)
        bodies += list(send_everything(client))[-18:]

    assert not [body for body in bodies if MARK.encode() in body]
    assert MARK not in log.text


def test_token_stays_hidden_when_a_bug_raises_it(
    real_service: Redis,
    client: ServedClient,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError(MARK)

    monkeypatch.setattr(AgentSession, "from_registration", fail)

    response = client.post(f"{PREFIX}/{ID}/session", SESSION, "application/json")

    assert response.status_code == 500
    assert MARK.encode() not in response.content
    assert "RuntimeError" in log.text
    assert MARK not in log.text


def test_commands_do_not_print_the_token(
    real_service: Redis, client: ServedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.post(f"{PREFIX}/{ID}/session", SESSION, "application/json")
    real_service.set("elevenlabs:session:broken", f'{{"wsUrl": "{MARK}')

    call_command("reindex")
    with pytest.raises(SystemExit):
        call_command("find_corrupt")
    call_command("import_conversations")
    call_command("shell", command=f"print(sessions.get({ID!r}), repr(sessions.get({ID!r})))")

    shown = capsys.readouterr()
    assert "AgentSession(" in shown.out
    assert MARK not in shown.out + shown.err


def test_token_is_readable_by_its_fields_name(real_service: Redis, client: ServedClient) -> None:
    client.post(f"{PREFIX}/{ID}/session", SESSION, "application/json")

    session = services.sessions().get(ID)

    assert session is not None
    assert MARK in session.ws_url
    assert session.session_payload == SESSION["sessionPayload"]
    assert MARK not in f"{session} {session!r}"


def test_store_errors_do_not_quote_a_command(real_store: StoreClient) -> None:
    def fail(client: Redis) -> None:
        pipeline = client.pipeline()
        pipeline.set("key", MARK)
        pipeline.execute_command("NO-SUCH-COMMAND", MARK)  # type: ignore[no-untyped-call]  # redis-py's
        pipeline.execute()

    with pytest.raises(StoreUnavailableError) as caught:
        real_store.call(fail)

    assert MARK not in f"{caught.value} {caught.value!r} {caught.value.cause}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
