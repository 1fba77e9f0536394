"""What a registration must contain, and what of a session is never shown."""

from typing import Any

import pytest

from sessions_store.errors import InvalidRequestError
from sessions_store.repository import SessionRepository
from sessions_store.types import WHAT_TO_SEND, AgentSession, AgentSessionRegistration
from tests.sessions_store.records import ID, URL

NAMES = ("wsUrl", "sessionUrl", "signedUrl", "signed_url")
PLACES = [
    *((name,) for name in NAMES),
    ("sessionPayload", "config", "wsUrl"),
    *(("sessionPayload", name) for name in NAMES),
]
"""Where a URL is looked for, in the contract's order."""


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_first_url_in_the_order_of_the_contract_counts(first: int) -> None:
    body: dict[str, Any] = {}
    for place in PLACES[first:]:
        holder = body
        for key in place[:-1]:
            holder = holder.setdefault(key, {})
        holder[place[-1]] = "wss://host/" + ".".join(place)

    found = AgentSession.from_registration(body).ws_url

    assert found == "wss://host/" + ".".join(PLACES[first])


def test_url_of_another_scheme_is_passed_over() -> None:
    body = {"wsUrl": "https://api.elevenlabs.io/x", "sessionUrl": URL}

    assert AgentSession.from_registration(body).ws_url == URL


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param({"sessionId": "conv_1"}, "A session id alone", id="session id alone"),
        pytest.param({"agentSessionId": "conv_1"}, "A session id alone", id="agent session id"),
        pytest.param({}, "The body has no push-capable URL.", id="empty"),
        pytest.param(
            {"sessionPayload": {"config": {}}}, "The body has no push", id="empty payload"
        ),
        pytest.param(
            {"sessionPayload": {"config": "wss://x/"}}, "The body has no push", id="config"
        ),
        pytest.param({"wsUrl": ""}, "The body has no push-capable URL.", id="empty URL"),
        pytest.param({"sessionUrl": "https://x/?token=t"}, "The URL is not an abs", id="https"),
        pytest.param({"wsUrl": "//x/?token=t"}, "The URL is not an absolute", id="no scheme"),
        pytest.param({"wsUrl": "wss:///path"}, "The URL is not an absolute", id="no host"),
        pytest.param({"wsUrl": "wss://x/a b"}, "The URL is not an absolute", id="a space"),
        pytest.param({"wsUrl": "wss://x/\n"}, "The URL is not an absolute", id="a line break"),
        pytest.param({"wsUrl": "wss://[x/"}, "The URL is not an absolute", id="broken host"),
        pytest.param({"wsUrl": "wss://x:abc/"}, "The URL is not an absolute", id="port a word"),
        pytest.param({"wsUrl": "wss://x:65536/"}, "The URL is not an absolute", id="port too high"),
        pytest.param({"wsUrl": "wss://x:0/"}, "The URL is not an absolute", id="port 0"),
    ],
)
def test_refusal_without_a_push_url_says_what_to_send(body: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        AgentSession.from_registration(body)

    assert str(refusal.value).startswith(sentence)
    assert str(refusal.value).endswith(WHAT_TO_SEND)
    assert refusal.value.details == {"body": [str(refusal.value)]}
    assert "token=t" not in str(refusal.value)


@pytest.mark.parametrize("body", [None, [], "wss://x/", 1])
def test_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequestError, match="must be a JSON object"):
        AgentSession.from_registration(body)


def test_payload_over_64_kib_is_refused() -> None:
    room = 64 * 1024 - len('{"x":""}')
    AgentSession.from_registration({"wsUrl": URL, "sessionPayload": {"x": "x" * room}})

    with pytest.raises(InvalidRequestError, match="64 KiB"):
        AgentSession.from_registration({"wsUrl": URL, "sessionPayload": {"x": "x" * (room + 1)}})


def test_repr_of_a_session_hides_credentials(
    sessions: SessionRepository,
) -> None:
    secret = "s3cr3t"
    body = {
        "wsUrl": f"wss://host/?a={secret}",
        "sessionUrl": f"wss://host/?b={secret}",
        "sessionPayload": {"token": secret},
        "metadata": {"note": secret},
        "sessionId": "conv_1",
    }
    stored = sessions.set(ID, AgentSession.from_registration(body))

    for one in (stored, sessions.get(ID)):
        for text in (repr(one), str(one), f"{one}"):
            assert secret not in text
            assert "wss://" not in text
            assert "conv_1" in text


def test_repr_of_a_registration_shows_no_credential() -> None:
    url = "wss://host/MARK"
    places = dict.fromkeys(NAMES, url)
    body = {**places, "sessionPayload": places, "token": "MARK", "metadata": {"key": "MARK"}}

    registration = AgentSessionRegistration.parse({**body, "sessionId": "conv_1"})

    assert repr(registration) == "AgentSessionRegistration(session_id='conv_1')"
    assert "MARK" not in str(registration)
