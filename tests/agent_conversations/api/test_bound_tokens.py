"""Tokens that are bound to a user: others' conversations are as if there were none."""

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from agent_conversations.access import SCOPES, Client, Tokens
from agent_conversations.api import views
from tests.agent_conversations.api.conftest import PUSH_URL, Api, assert_error, bearer, message
from tests.agent_conversations.api.routes import PREFIX, ROUTES
from tests.agent_conversations.webhooks import SECRET, delivery, encoded, signature, turn

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

BOBS = "conversation-of-bob"
UNKNOWN = "conversation-of-eve"
ADA = bearer("the-token-of-ada")
BOB = bearer("the-token-of-bob")
ALL = bearer("the-token-of-all")
PUSH = {"text": "Done.", "pushId": "p-1"}
SESSION = {"sessionUrl": PUSH_URL, "sessionId": "s-1"}
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/c-1"): {"metadata": {"a": 1}},
    ("POST", "/c-1/message"): message(messageId="m-1"),
    ("POST", "/c-1/messages"): {"messages": [message(messageId="m-1")]},
    ("PUT", "/c-1/messages/m-1"): message(),
    ("POST", "/c-1/session"): SESSION,
    ("POST", "/c-1/push"): PUSH,
}
ON_ONE = [
    (method, path.removeprefix(PREFIX))
    for method, path in ROUTES
    if path.startswith(f"{PREFIX}/c-1")
]
HEADERS: list[dict[str, str]] = [
    {},
    {"If-Match": '"0"'},
    {"If-Match": "*"},
    {"Idempotency-Key": "m-1"},
    {"Accept": "text/html"},
]


@pytest.fixture(autouse=True, params=["real_service", "encrypted_service"])
def _tokens(settings: Settings, request: pytest.FixtureRequest) -> None:
    """Let the service take a token of Ada's, of Bob's, and one for all conversations.

    All of it holds for conversations that are encrypted, too.
    """
    request.getfixturevalue(request.param)
    clients = {"ada": Client("app", SCOPES, "ada"), "bob": Client("app", SCOPES, "bob")}
    settings.API_TOKENS = Tokens(
        {f"the-token-of-{name}": client for name, client in clients.items()}
        | {"the-token-of-all": Client("backend")}
    )


@pytest.fixture
def bobs(api: Api) -> Api:
    """The API, with a conversation of Bob's that has everything."""
    api.post("/new", {"conversationId": BOBS, "metadata": {"secret": 1}}, headers=BOB)
    for method, path in (
        ("POST", "/c-1/message"),
        ("POST", "/c-1/session"),
        ("POST", "/c-1/push"),
    ):
        made = api.send(method, path.replace("c-1", BOBS), BODIES[method, path], headers=BOB)
        assert made.status_code in {201, 202}
    return api


def told(response: "Response", conversation_id: str) -> tuple[int, bytes, dict[str, str]]:
    """Return all that a client gets, with another name for the conversation."""
    content = response.content.replace(conversation_id.encode(), b"c-1")
    content = re.sub(rb'"csrfToken": "\w+"', b"", content)  # a page's own, at random
    headers = {name: value for name, value in response.headers.items() if name != "X-Request-ID"}
    return response.status_code, content, headers


def send(api: Api, method: str, path: str, conversation_id: str, **headers: str) -> "Response":
    body = json.dumps(BODIES.get((method, path), {}))
    path = PREFIX + path.replace("c-1", conversation_id)
    return api.client.generic(method, path, body, "application/json", headers={**ADA, **headers})


@pytest.mark.parametrize("headers", HEADERS, ids=str)
@pytest.mark.parametrize(("method", "path"), ON_ONE)
def test_route_tells_of_another_users_as_of_none(
    bobs: Api, method: str, path: str, headers: dict[str, str]
) -> None:
    before = dump(bobs.redis)

    of_bobs, unknown = (
        told(send(bobs, method, path, one, **headers), one) for one in (BOBS, UNKNOWN)
    )

    assert of_bobs == unknown
    assert of_bobs[0] == 404
    assert dump(bobs.redis) == before


def dump(redis: Redis) -> dict[Any, Any]:
    return {key: redis.dump(key) for key in redis.scan_iter()}


@pytest.mark.parametrize(("method", "path"), ON_ONE)
def test_route_serves_the_owner_as_everyone_else(bobs: Api, method: str, path: str) -> None:
    body = BODIES.get((method, path))

    assert bobs.send(method, path.replace("c-1", BOBS), body, headers=BOB).status_code in {
        200,
        201,
        202,
        204,
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/c-2/session", {**SESSION, "sessionId": "call-of-bob"}),
        ("/new", {"conversationId": "call-of-bob"}),
    ],
)
def test_transcript_goes_to_the_user_of_the_call(
    bobs: Api, settings: Settings, path: str, body: dict[str, Any]
) -> None:
    settings.ELEVENLABS_WEBHOOK_SECRETS = [SECRET]
    bobs.post(f"/{BOBS}/session", {**SESSION, "sessionId": "call-of-bob"}, headers=BOB)
    bobs.post("/new", {"conversationId": "c-2"}, headers=ADA)

    bobs.post(path, body, headers=ADA)
    transcript = encoded(delivery(turn("user", "Secret"), call_id="call-of-bob"))
    signed = {"ElevenLabs-Signature": signature(transcript)}
    bobs.client.generic(
        "POST", "/webhooks/elevenlabs", transcript, "application/json", headers=signed
    )

    assert bobs.get(f"/{BOBS}", headers=BOB).json()["messageCount"] == 2


@pytest.mark.parametrize(("method", "path"), ON_ONE)
def test_unbound_token_has_all_conversations(bobs: Api, method: str, path: str) -> None:
    body = BODIES.get((method, path))

    assert bobs.send(method, path.replace("c-1", BOBS), body, headers=ALL).status_code in {
        200,
        201,
        202,
        204,
    }


def test_list_and_its_filter_are_the_users_own(bobs: Api) -> None:
    bobs.post("/new", {"conversationId": "c-2"}, headers=ADA)

    listed = bobs.get("/list", headers=ADA).json()
    refused = bobs.get("/list?userId=bob", headers=ADA)
    unknown = bobs.get("/list?userId=nobody", headers=ADA)

    assert [one["conversationId"] for one in listed["conversations"]] == ["c-2"]
    assert listed["pagination"]["total"] == 1
    assert bobs.get("/list?userId=ada", headers=ADA).json() == listed
    assert assert_error(refused, "permission_denied") == assert_error(unknown, "permission_denied")
    assert bobs.get("/list", headers=ALL).json()["pagination"]["total"] == 2


def test_cursor_of_another_users_list_is_refused(bobs: Api) -> None:
    for number in range(3):
        bobs.post("/new", {"conversationId": f"b-{number}"}, headers=BOB)
    following = bobs.get("/list?limit=1", headers=BOB).json()["pagination"]["next"]

    assert_error(bobs.get(f"/list?cursor={following}", headers=ADA), "invalid_request")


def test_new_conversation_is_the_users_own(api: Api) -> None:
    made = api.post("/new", {"agentId": "a-1"}, headers=ADA)
    named = api.post("/new", {"userId": "ada"}, headers=ADA)
    refused = api.post("/new", {"userId": "bob"}, headers=ADA)

    assert made.json()["conversation"]["userId"] == "ada"
    assert named.status_code == 201
    assert_error(refused, "permission_denied")


def test_id_that_is_taken_is_a_conflict_and_no_more(bobs: Api) -> None:
    bobs.post("/new", {"conversationId": "c-2", "metadata": {"own": 1}}, headers=ADA)

    of_bobs = bobs.post("/new", {"conversationId": BOBS}, headers=ADA)
    own = bobs.post("/new", {"conversationId": "c-2"}, headers=ADA)

    assert_error(of_bobs, "conversation_exists")
    assert of_bobs.content.replace(BOBS.encode(), b"c-2") == own.content


def test_creation_of_another_user_is_never_repeated(bobs: Api) -> None:
    key = {"Idempotency-Key": "the-same-key"}
    of_bob = bobs.post("/new", {}, headers={**BOB, **key})
    of_ada = bobs.post("/new", {}, headers={**ADA, **key})

    assert of_ada.status_code == of_bob.status_code == 201
    assert of_ada.json()["conversationId"] != of_bob.json()["conversationId"]


def test_creation_that_changed_hands_counts_as_deleted(api: Api) -> None:
    key = {"Idempotency-Key": "the-same-key"}
    first = api.post("/new", {}, headers={**BOB, **key}).json()["conversationId"]
    api.patch(f"/{first}", {"userId": "ada"}, headers=ALL)

    second = api.post("/new", {}, headers={**BOB, **key})
    third = api.post("/new", {}, headers={**BOB, **key})

    assert second.status_code == 201
    assert third.status_code == 200
    assert first != second.json()["conversationId"] == third.json()["conversationId"]


@pytest.mark.parametrize("user_id", ["bob", None])
def test_user_of_a_conversation_is_not_changed(api: Api, user_id: str | None) -> None:
    api.post("/new", {"conversationId": "c-2"}, headers=ADA)

    for path in ("/c-2", "/unknown"):
        response = api.patch(path, {"userId": user_id}, headers=ADA)
        assert_error(response, "permission_denied")
    assert api.patch("/c-2", {"userId": "ada", "agentId": "a"}, headers=ADA).status_code == 200


def test_conversation_that_changed_hands_is_gone(bobs: Api) -> None:
    bobs.patch(f"/{BOBS}", {"userId": "ada"}, headers=ALL)

    assert_error(bobs.get(f"/{BOBS}", headers=BOB), "conversation_not_found")
    assert_error(bobs.get(f"/{BOBS}/session", headers=BOB), "conversation_not_found")
    assert bobs.get(f"/{BOBS}", headers=ADA).json()["userId"] == "ada"


def test_session_needs_a_conversation_of_the_user(api: Api) -> None:
    refused = api.post("/c-2/session", SESSION, headers=ADA)
    assert_error(refused, "conversation_not_found")
    assert not api.redis.exists("elevenlabs:session:c-2")
    api.post("/new", {"conversationId": "c-2"}, headers=ADA)

    assert_error(api.get("/c-2/session", headers=ADA), "session_not_found")
    assert api.post("/c-2/session", SESSION, headers=ADA).status_code == 201
    assert api.delete("/c-2/session?sessionId=other", headers=ADA).status_code == 204
    assert api.get("/c-2/session", headers=ADA).json()["sessionId"] == "s-1"
    assert api.delete("/c-2/session", headers=ADA).status_code == 204
    assert_error(api.get("/c-2/session", headers=ADA), "session_not_found")


@pytest.mark.parametrize("stored", ["no session", "list"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unreadable_session_is_told_to_the_owner_alone(bobs: Api, stored: str, method: str) -> None:
    bobs.redis.delete(f"elevenlabs:session:{BOBS}")
    if stored == "list":
        bobs.redis.rpush(f"elevenlabs:session:{BOBS}", stored)
    else:
        bobs.redis.set(f"elevenlabs:session:{BOBS}", stored)
    path = f"/{BOBS}/session?sessionId=s-1"

    assert_error(bobs.send(method, path, headers=ADA), "conversation_not_found")
    assert_error(bobs.send(method, path, headers=BOB), "corrupt_record")


def test_watch_page_is_the_same_for_every_id(bobs: Api) -> None:
    pages = [
        bobs.client.get(f"/watch/{one}", headers=ADA).content.replace(one.encode(), b"")
        for one in (BOBS, UNKNOWN)
    ]

    # But for the ticket, which has the time.
    first, second = (
        [line for line in page.split(b"\n") if b"ticket" not in line] for page in pages
    )
    assert first == second


def test_views_get_at_no_other_repositories() -> None:
    for path in Path(views.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "agent_conversations.services":
                names = {alias.name for alias in node.names}
                assert not names & {"conversations", "sessions", "pushes"}, path.name


def test_others_session_ids_take_no_own_id(bobs: Api) -> None:
    new = {"conversationId": "c-2"}
    bobs.post("/new", new, headers=ADA)
    bobs.post(f"/{BOBS}/session", {**SESSION, "sessionId": "c-2"}, headers=BOB)
    bobs.post("/c-2/session", {**SESSION, "sessionId": "c-3"}, headers=ADA)

    assert bobs.post("/new", new, headers=ADA).status_code == 200
    assert bobs.post("/new", {"conversationId": "c-3"}, headers=ADA).status_code == 201
