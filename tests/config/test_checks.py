import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from agent_conversations.access import Client, Tokens


@pytest.mark.parametrize(
    ("tokens", "deploy", "expected"),
    [
        ({"short": Client("alice")}, False, ["elevenlabs_agent.W003"]),
        ({"a-long-enough-token": Client("alice")}, True, []),
        ({}, True, ["elevenlabs_agent.W004"]),
        ({}, False, []),
    ],
)
def test_risky_tokens_are_a_warning_with_a_hint(
    settings: Settings, tokens: dict[str, Client], deploy: bool, expected: list[str]
) -> None:
    settings.API_TOKENS = Tokens(tokens)

    found = [
        message
        for message in run_checks(include_deployment_checks=deploy)
        if str(message.id).startswith("elevenlabs_agent.")
    ]

    assert [message.id for message in found] == expected
    assert all(message.hint for message in found)
