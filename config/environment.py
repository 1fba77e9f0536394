"""The environment, read once and typed: nothing else in the project reads ``os.environ``."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROJECT_DIR = Path(__file__).resolve().parent.parent


def _text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def _list(name: str, default: str = "") -> list[str]:
    items = [item.strip() for item in _text(name).split(",") if item.strip()]
    return items or [item for item in default.split(",") if item]


def _integer(name: str, default: int) -> int:
    text = _text(name)
    # A word that is no number is told by a system check; see config/checks.py.
    return int(text) if text.isascii() and text.isdigit() else default


def _tokens(name: str) -> dict[str, str]:
    """Return ``token: name`` of ``name:token`` entries; a bare token is called by its place.

    An entry without a token stays, as an empty one: a system check refuses it, and no request can
    send it.
    """
    tokens = {}
    for position, item in enumerate(_list(name), start=1):
        holder, _, token = item.rpartition(":")
        tokens[token.strip()] = holder or f"token-{position}"
    return tokens


@dataclass(frozen=True)
class Environment:
    """Every variable of the README's table, under its lower-case name."""

    elevenlabs_agent_enabled: bool
    elevenlabs_agent_enabled_text: str
    redis_url: str
    """Empty: the bundled server under ``data_dir``."""
    data_dir: Path
    host: str
    port: int
    workers: int
    threads: int
    """Requests that one worker has in hand at the same time."""
    secret_key: str
    allowed_hosts: list[str]
    cors_allowed_origins: list[str]
    api_tokens: dict[str, str]
    """Token to the name of whoever has it."""
    allow_anonymous: bool
    allow_anonymous_text: str
    session_rate: str
    """Such as ``60/min``; empty for none."""
    session_encryption_keys: list[str]
    conversation_retention_seconds: int
    """0 keeps conversations for ever."""
    conversation_max_messages: int
    log_level: str
    integers: dict[str, str]
    """The variables that hold whole numbers, as they were written, for the system checks."""


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_DEFAULT_PORT = 8000
_MOST_WORKERS_BY_DEFAULT = 4
"""A container may see the processors of a whole machine; a worker takes 80 MB."""
INTEGERS = {
    "PORT": (1, 65_535),
    "WORKERS": (1, 1_000),
    "THREADS": (1, 1_000),
    "CONVERSATION_RETENTION_SECONDS": (0, 10**10),
    "CONVERSATION_MAX_MESSAGES": (1, 10**9),
}
"""The least and the most that each of these variables may be."""


def read_environment() -> Environment:
    flag = _text("ELEVENLABS_AGENT_ENABLED")
    return Environment(
        elevenlabs_agent_enabled=flag.lower() == "true",
        elevenlabs_agent_enabled_text=flag,
        redis_url=_text("REDIS_URL"),
        data_dir=Path(_text("DATA_DIR", str(PROJECT_DIR / ".data"))).absolute(),
        host=_text("HOST", "127.0.0.1"),
        port=_integer("PORT", _DEFAULT_PORT),
        workers=_integer("WORKERS", min(_processors(), _MOST_WORKERS_BY_DEFAULT)),
        threads=_integer("THREADS", 16),
        secret_key=_text("SECRET_KEY"),
        allowed_hosts=_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]"),
        cors_allowed_origins=_list("CORS_ALLOWED_ORIGINS"),
        api_tokens=_tokens("API_TOKENS"),
        allow_anonymous=_text("ALLOW_ANONYMOUS").lower() == "true",
        allow_anonymous_text=_text("ALLOW_ANONYMOUS"),
        session_rate=_text("SESSION_RATE"),
        session_encryption_keys=_list("SESSION_ENCRYPTION_KEYS"),
        conversation_retention_seconds=_integer("CONVERSATION_RETENTION_SECONDS", 0),
        conversation_max_messages=_integer("CONVERSATION_MAX_MESSAGES", 100_000),
        log_level=_text("LOG_LEVEL", "INFO").upper(),
        integers={name: _text(name) for name in INTEGERS},
    )


def is_origin(origin: str) -> bool:
    """Tell whether it is scheme, host and perhaps port, as a browser writes them (RFC 6454)."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if not parts.hostname or port == 0 or " " in origin or not origin.isprintable():
        return False
    return origin == f"{parts.scheme}://{parts.netloc}"
