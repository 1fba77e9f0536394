"""The headers that every response of a viewset has, or has not."""

import pytest

from tests.agent_conversations.api.conftest import PUSH_URL, Api, varying_headers
from tests.agent_conversations.api.routes import PREFIX, ROUTES


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("body", [b"", b"no json"])
def test_response_varies_by_accept(
    api: Api, conversation: str, method: str, path: str, body: bytes
) -> None:
    response = api.send(method, path.removeprefix(PREFIX), body)

    assert "accept" in varying_headers(response)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_response_to_an_allowed_method_has_no_allow(
    api: Api, conversation: str, method: str, path: str
) -> None:
    session = {"sessionUrl": PUSH_URL, "sessionId": "s-1"}
    api.post(f"{conversation}/session", session)
    push = {"text": "Hello", "pushId": "p-1"}
    api.post(f"{conversation}/push", push)
    message = {"role": "user", "content": "Hello", "messageId": "m-1"}
    api.post(f"{conversation}/message", message)
    body = {**message, "messages": [message], **session, **push}

    response = api.send(method, path.removeprefix(PREFIX), None if method == "GET" else body)

    assert response.status_code in (200, 201, 202, 204, 426)
    assert "Allow" not in response.headers
