"""What ``manage.py check`` tells of a bad configuration."""

import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from config.env import INTEGERS, Environment, is_origin
from config.logging import LOG_LEVELS
from sessions_store.encryption import SessionCipher
from sessions_store.redis.client import StoreClient
from sessions_store.redis.rate_limit import parse_rate


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
    if environment.redis_url and not _is_redis_url(environment.redis_url):
        found.append(
            Error(
                "REDIS_URL is no URL of a Redis server.",
                hint="Write redis://host:6379/0, rediss://… for TLS, or unix:///path/to.sock.",
                id="elevenlabs_agent.E001",
            )
        )
    found += [
        Error(
            f"{name} is not a whole number from {least} to {most}.",
            hint=f"Write it in digits, such as {name}={max(1, least)}.",
            id="elevenlabs_agent.E002",
        )
        for name, (least, most) in INTEGERS.items()
        if (text := environment.integers[name])
        and not (text.isascii() and text.isdigit() and least <= int(text) <= most)
    ]
    found += [
        Error(
            "ALLOWED_HOSTS has an entry that is no host name.",
            hint="Write it without scheme, port and path, such as api.example.com.",
            id="elevenlabs_agent.E006",
        )
        for host in environment.allowed_hosts
        if "/" in host or re.search(r"(?<!\[)[^\[\]:]:[0-9]+$", host)
    ]
    found += [
        Error(
            "CORS_ALLOWED_ORIGINS has an entry that is no origin.",
            hint="Write scheme and host, such as https://app.example.com, without a path.",
            id="elevenlabs_agent.E003",
        )
        for origin in environment.cors_allowed_origins
        if not is_origin(origin)
    ]
    found += _check_access(environment)
    return found


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme not in ("redis", "rediss", "unix"):
        return False
    try:
        port = parts.port or 0
        StoreClient.from_url(url)
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    database = parts.path.removeprefix("/")
    return 0 <= port <= 65_535 and (not database or database.isdecimal())


def _check_access(environment: Environment) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if environment.allow_anonymous_text.lower() not in ("", "true", "false"):
        found.append(
            CheckWarning(
                "ALLOW_ANONYMOUS is neither true nor false, and counts as false.",
                hint="Set it to true or false.",
                id="elevenlabs_agent.W005",
            )
        )
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
    if "" in environment.api_tokens:
        found.append(
            Error(
                "API_TOKENS has an entry without a token.",
                hint="Write name:token, or the token alone.",
                id="elevenlabs_agent.E007",
            )
        )
    elif not all(re.fullmatch("[!-~]+", token) for token in environment.api_tokens):
        found.append(
            Error(
                "API_TOKENS has a token that cannot stand in a header.",
                hint="Use ASCII letters, digits and signs, without spaces.",
                id="elevenlabs_agent.E008",
            )
        )
    elif any(len(token) < 16 for token in environment.api_tokens):
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
