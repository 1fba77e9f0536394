"""System checks of settings that can be used but should not be.

What cannot be used is refused before any check runs: see config/environment.py.
"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as CheckWarning


@register()
def check_tokens(**_: Any) -> list[CheckMessage]:
    if not settings.API_TOKENS.has_shorter_than(16):
        return []
    return [
        CheckWarning(
            "A token of API_TOKENS or API_TOKENS_FILE has fewer than 16 characters, and can be "
            "guessed.",
            hint="Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            id="elevenlabs_agent.W003",
        )
    ]


@register(deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    if settings.API_TOKENS.are_needed:
        return []
    return [
        CheckWarning(
            "API_TOKENS is empty: anyone who reaches the service can read every conversation.",
            hint="Set API_TOKENS=name:token, or let only trusted clients reach it.",
            id="elevenlabs_agent.W004",
        )
    ]
