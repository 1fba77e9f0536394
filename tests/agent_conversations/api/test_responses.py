"""The response of an action."""

from tests.agent_conversations.api.conftest import Api


def test_response_without_a_body_has_no_content_type(api: Api, conversation: str) -> None:
    response = api.delete(conversation)

    assert response.status_code == 204
    assert "Content-Type" not in response.headers
