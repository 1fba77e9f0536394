import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings


@pytest.mark.parametrize(
    ("tokens", "deploy", "expected"),
    [
        ({"short": "alice"}, False, ["elevenlabs_agent.W003"]),
        ({"a-long-enough-token": "alice"}, True, []),
        ({}, True, ["elevenlabs_agent.W004"]),
        ({}, False, []),
    ],
)
def test_risky_tokens_are_a_warning_with_a_hint(
    settings: Settings, tokens: dict[str, str], deploy: bool, expected: list[str]
) -> None:
    settings.API_TOKENS = tokens

    found = [
        message
        for message in run_checks(include_deployment_checks=deploy)
        if str(message.id).startswith("elevenlabs_agent.")
    ]

    assert [message.id for message in found] == expected
    assert all(message.hint for message in found)
