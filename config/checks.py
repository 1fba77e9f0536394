"""What ``manage.py check`` tells of a bad configuration."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from config.env import Environment
from config.logging import LOG_LEVELS
from sessions_store.encryption import SessionCipher
from sessions_store.rate_limit import parse_rate


@register()
def check_environment(**_: Any) -> list[CheckMessage]:
    environment: Environment = settings.ENVIRONMENT
    found: list[CheckMessage] = []
    flag = environment.elevenlabs_agent_enabled_text
    if flag.lower() not in ("", "true", "false"):
        found.append(
            CheckWarning(
                "ELEVENLABS_AGENT_ENABLED is neither true nor false, so the feature is off.",
                hint="Set it to true or false.",
                id="elevenlabs_agent.W001",
            )
        )
    if environment.log_level not in LOG_LEVELS:
        found.append(
            CheckWarning(
                "LOG_LEVEL is no level, so INFO is used.",
                hint=f"Set it to one of {', '.join(LOG_LEVELS)}.",
                id="elevenlabs_agent.W002",
            )
        )
    schemes = ("redis://", "rediss://", "unix://")
    if environment.redis_url and not environment.redis_url.startswith(schemes):
        found.append(
            Error(
                "REDIS_URL is no URL of a Redis server.",
                hint="Write redis://host:6379/0, rediss://… for TLS, or unix:///path/to.sock.",
                id="elevenlabs_agent.E001",
            )
        )
    found += [
        Error(
            f"{name} is not a whole number.",
            hint="Write it in digits, such as 8000.",
            id="elevenlabs_agent.E002",
        )
        for name, text in environment.integers.items()
        if text and not (text.isascii() and text.isdigit() and int(text) > 0)
    ]
    found += [
        Error(
            "CORS_ALLOWED_ORIGINS has an entry that is no origin.",
            hint="Write scheme and host, such as https://app.example.com, without a path.",
            id="elevenlabs_agent.E003",
        )
        for origin in environment.cors_allowed_origins
        if "://" not in origin or origin.count("/") != 2
    ]
    found += _check_access(environment)
    return found


def _check_access(environment: Environment) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if environment.session_rate:
        try:
            parse_rate(environment.session_rate)
        except ValueError:
            found.append(
                Error(
                    "SESSION_RATE is no rate.",
                    hint="Write a count and a time, such as 60/min.",
                    id="elevenlabs_agent.E004",
                )
            )
    try:
        SessionCipher(environment.session_encryption_keys)
    except ValueError:
        found.append(
            Error(
                "SESSION_ENCRYPTION_KEYS has an entry that is no Fernet key.",
                hint="Make one: python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'",
                id="elevenlabs_agent.E005",
            )
        )
    if any(len(token) < 16 for token in environment.api_tokens):
        found.append(
            CheckWarning(
                "API_TOKENS has a token of fewer than 16 characters, which can be guessed.",
                hint="Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
                id="elevenlabs_agent.W003",
            )
        )
    return found


@register(deploy=True)
def check_deployment(**_: Any) -> list[CheckMessage]:
    environment: Environment = settings.ENVIRONMENT
    if environment.api_tokens:
        return []
    return [
        CheckWarning(
            "API_TOKENS is empty: whoever reaches the service reads every conversation.",
            hint="Set API_TOKENS=name:token, or let only trusted clients reach it.",
            id="elevenlabs_agent.W004",
        )
    ]
