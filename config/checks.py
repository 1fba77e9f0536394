"""What ``manage.py check`` tells of a bad configuration."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from config.env import Environment
from config.logging import LOG_LEVELS


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
    return found
