"""The environment variables, as one model: nothing else in the project reads ``os.environ``."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, LiteralString
from urllib.parse import urlsplit

from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent_conversations.access import (
    EntryError,
    Tokens,
    TokensFileError,
    TokensWithFile,
    parse_entry,
    read_tokens,
)
from agent_conversations.store.encryption import PLAIN
from agent_conversations.store.repository import DEFAULT_MAX_BYTES, DEFAULT_MAX_MESSAGES
from config.logging import LOG_LEVELS
from sessions_store.encryption import SessionCipher
from sessions_store.redis.client import StoreClient
from sessions_store.redis.deployment import URL_FORMS
from sessions_store.redis.rate_limit import parse_rate

PROJECT_DIR = Path(__file__).resolve().parent.parent


def _must(
    is_valid: Callable[[str], object], check_id: LiteralString, be: LiteralString, hint: str
) -> AfterValidator:
    """Return a validator whose error is what ``_problem`` reports: "NAME must ``be``, not …".

    Args:
        is_valid: returns something false, or raises ValueError, for what is not.
    """

    def validate(text: str) -> str:
        with suppress(ValueError):
            if is_valid(text):
                return text
        raise PydanticCustomError(check_id, be, {"hint": hint})

    return AfterValidator(validate)


def _has_raw_password(url: str) -> bool:
    """Return whether a ``/``, ``?`` or ``#`` cuts off what stands before the host's ``@``."""
    return re.search(r"#|(?<!unix)://[^/?]*/[^?]*@|^[^?]*\?([^&]*&)*[^&=]*@", url) is not None


def _is_host_name(name: str) -> bool:
    return "/" not in name and not re.search(r"(?<!\[)[^\[\]:]:[0-9]+$", name)


def _is_origin(origin: str) -> bool:
    """Whether it is scheme, host and perhaps port, as a browser writes them (RFC 6454)."""
    parts = urlsplit(origin)
    if not parts.hostname or parts.port == 0 or " " in origin or not origin.isprintable():
        return False
    return origin == f"{parts.scheme}://{parts.netloc}"


def _entries(text: str) -> list[str]:
    return [entry for item in text.split(",") if (entry := item.strip())]


def _usable_entry(entry: str) -> str:
    try:
        parse_entry(entry, "")
    except EntryError as error:
        raise PydanticCustomError(error.check_id, error.must, {"hint": error.hint}) from None
    return entry


def _usable_file(path: str) -> str:
    try:
        read_tokens(Path(path))
    except TokensFileError as error:
        context = {"must": str(error), "hint": error.hint}
        raise PydanticCustomError("E018", "{must}", context) from None
    return path


def _default_workers() -> int:
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    # A container may see the processors of a whole machine, and a worker takes 80 MB.
    return min(processors, 4)


RedisUrl = Annotated[
    str,
    _must(
        lambda url: not _has_raw_password(url),
        "E014",
        "have a percent-encoded password",
        "In a password, write %2F for /, %3F for ? and %23 for #.",
    ),
    _must(
        StoreClient.from_url,
        "E001",
        "be the URL of a Redis server",
        f"Write {URL_FORMS}.",
    ),
]
LiveUrl = Annotated[
    str,
    _must(
        lambda url: _is_origin(url) and urlsplit(url).scheme in ("ws", "wss"),
        "E013",
        "be a WebSocket's URL without a path",
        "Write it like wss://agent.example.com.",
    ),
]
Origin = Annotated[
    str, _must(_is_origin, "E003", "be an origin", "Write it like https://app.example.com.")
]
Rate = Annotated[
    str, _must(parse_rate, "E004", "be a count and a time", "Write it like 60/min or 1000/hour.")
]
FernetKey = Annotated[
    str,
    _must(
        lambda key: SessionCipher([key]),
        "E005",
        "be a Fernet key",
        "Make one: python -c 'from cryptography.fernet import Fernet; "
        "print(Fernet.generate_key().decode())'",
    ),
]
ConversationKey = Annotated[
    str,
    _must(
        lambda key: key == PLAIN or SessionCipher([key]),
        "E005",
        "be a Fernet key or plain",
        "Make one: python -c 'from cryptography.fernet import Fernet; "
        "print(Fernet.generate_key().decode())'",
    ),
]
HostName = Annotated[
    str,
    _must(
        _is_host_name,
        "E006",
        "be a host name",
        "Write it without scheme, port and path, such as api.example.com.",
    ),
]
HeaderName = Annotated[
    str,
    _must(
        lambda name: re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name),
        "E012",
        "be the name of a header",
        "Write it like x-request-id.",
    ),
]
_LEVELS = ", ".join(LOG_LEVELS)
LogLevel = Annotated[
    str,
    _must(
        lambda level: level.upper() in LOG_LEVELS,
        "E010",
        f"be one of {_LEVELS}",
        "Unset, it is INFO.",
    ),
    AfterValidator(str.upper),
]
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]


class Environment(BaseSettings):
    """Each field is the variable of its name in capitals; an empty variable counts as unset.

    ``make reference`` writes docs/settings.md from it. ``repr=False`` marks what is
    or may hold a secret: no error shows it.
    """

    model_config = SettingsConfigDict(
        alias_generator=str.upper,
        case_sensitive=True,
        # Lists are separated by commas; by default they would be JSON.
        enable_decoding=False,
        validate_default=False,
        hide_input_in_errors=True,
        frozen=True,
    )

    elevenlabs_agent_enabled: bool = Field(
        default=False,
        description="whether the API is on; off, it responds with 503 (`make run` sets `true`)",
    )
    redis_url: RedisUrl = Field(
        default="",
        repr=False,
        description="`redis://host:6379/0` or `unix:///path`, "
        "`redis+sentinel://host:26379,host:26379/service/0`, "
        "`redis+cluster://host:6379,host:6379`; `rediss…` over TLS; unset: the bundled server",
    )
    data_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default=PROJECT_DIR / ".data",
        description="folder of the bundled server and the generated secret key",
    )
    host: str = Field(
        default="127.0.0.1",
        description="an address or a name of this machine; beyond loopback it needs `API_TOKENS` "
        "or `ALLOW_ANONYMOUS`",
    )
    port: int = Field(default=8000, ge=1, le=65_535, description="TCP port")
    live_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="TCP port of the live process, for WebSockets; `0`: `PORT` + 1",
    )
    live_url: LiveUrl = Field(
        default="",
        description="where browsers find the live process, if that is not `LIVE_PORT` of the same "
        "host: `wss://agent.example.com`, without a path",
    )
    workers: int = Field(
        default_factory=_default_workers,
        ge=1,
        le=1_000,
        description="processes; unset: one per processor, at most 4",
    )
    threads: int = Field(
        default=16, ge=1, le=1_000, description="requests that one worker handles at the same time"
    )
    redis_max_connections: int = Field(
        default=100,
        ge=1,
        le=1_000,
        description="connections that one worker opens to a Redis server at most; it never needs "
        "more than `THREADS` - 2",
    )
    write_acks: int = Field(
        default=0,
        ge=0,
        le=100,
        description="replicas that must have a write before it is acknowledged, else it is a 503; "
        "as many as there are: a failover loses nothing that was acknowledged",
    )
    index_shards: int = Field(
        default=1,
        ge=1,
        le=256,
        description="in how many parts the list is kept, up to 256; on a Cluster, more than one "
        "spread its work over the nodes; after a change, run `manage.py reindex`",
    )
    keep_alive_seconds: int = Field(
        default=75,
        ge=1,
        le=3_600,
        description="how long an idle connection stays open; longer than your load balancer's, "
        "which is 60 mostly",
    )
    allowed_hosts: Annotated[
        list[HostName], BeforeValidator(lambda text: _entries(text) or LOCAL_HOSTS)
    ] = Field(
        default=LOCAL_HOSTS,
        description="host names that requests may be for; health and metrics are for any",
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=100,
        description="how many proxies a request comes through, whose `X-Forwarded-For` and "
        "`X-Forwarded-Prefix` are believed; `0`: neither is read",
    )
    cors_allowed_origins: Annotated[list[Origin], BeforeValidator(_entries)] = Field(
        default=[], description="origins of your frontend; unset: localhost, any port"
    )
    cors_allow_headers: Annotated[list[HeaderName], BeforeValidator(_entries)] = Field(
        default=[],
        description="request headers that your frontend may send, beyond those of this API and of "
        "Sentry and OpenTelemetry",
    )
    api_tokens: Annotated[
        list[Annotated[str, AfterValidator(_usable_entry)]], BeforeValidator(_entries)
    ] = Field(
        default=[],
        repr=False,
        description="`name:token,…`, or `name:token:scopes:userId,…`; a request needs "
        "`Authorization: Bearer <token>`, or the token as the password of a browser's login; "
        "unset: open",
    )
    api_tokens_file: Annotated[str, AfterValidator(_usable_file)] = Field(
        default="",
        description="a file with more of them, one a line; `#` begins a comment; a change counts "
        "within a second",
    )
    elevenlabs_webhook_secrets: Annotated[list[str], BeforeValidator(_entries)] = Field(
        default=[],
        repr=False,
        description="of the webhook at ElevenLabs, several while one replaces another; unset: "
        "`/webhooks/elevenlabs` is not there",
    )
    allow_anonymous: bool = Field(
        default=False, description="whether an open service may listen on any address"
    )
    session_rate: Rate = Field(
        default="",
        description="registrations for each token or address, such as `60/min`; unset: no limit",
    )
    session_encryption_keys: Annotated[list[FernetKey], BeforeValidator(_entries)] = Field(
        default=[],
        repr=False,
        description="Fernet keys; the first encrypts, all decrypt; unset: sessions are plain JSON",
    )
    conversation_encryption_keys: Annotated[list[ConversationKey], BeforeValidator(_entries)] = (
        Field(
            default=[],
            repr=False,
            description="Fernet keys; the first encrypts messages and metadata, all decrypt; "
            "`plain` in place of the first: nothing more is encrypted; unset: plain JSON",
        )
    )
    conversation_retention_seconds: int = Field(
        default=0,
        ge=0,
        le=10**10,
        description="after the last access; `0`: for ever; see `reindex`",
    )
    conversation_max_bytes: int = Field(
        default=DEFAULT_MAX_BYTES,
        ge=1,
        description="of a conversation's messages, as they are stored; more are a 409 "
        "`conversation_full`",
    )
    conversation_max_messages: int = Field(
        default=DEFAULT_MAX_MESSAGES,
        ge=1,
        le=10**9,
        description="more are a 409 `conversation_full`",
    )
    secret_key: str = Field(
        default="", repr=False, description="Django's; unset: generated, and kept in `DATA_DIR`"
    )
    log_level: LogLevel = Field(
        default="INFO",
        description="`DEBUG` to `CRITICAL`; on standard error, a JSON object a line (for people, "
        "where that is a terminal)",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, variables: dict[str, Any]) -> dict[str, Any]:
        return {name: text.strip() for name, text in variables.items() if text.strip()}

    @field_validator("*", mode="before")
    @classmethod
    def _is_utf8(cls, text: str) -> str:
        text.encode()
        return text

    @property
    def port_of_live(self) -> int:
        """``live_port``, or the one beside ``port``."""
        return self.live_port or self.port + (1 if self.port < 65_535 else -1)

    def tokens(self) -> Tokens:
        """Return all of them; one without a name has that of its position."""
        clients = dict(
            parse_entry(entry, f"token-{position}")
            for position, entry in enumerate(self.api_tokens, start=1)
        )
        if not self.api_tokens_file:
            return Tokens(clients)
        return TokensWithFile(clients, Path(self.api_tokens_file).absolute())


class InvalidEnvironmentError(ImproperlyConfigured):
    """Variables have values that cannot be used; without settings, nothing starts.

    It is raised while Django loads its settings, so that no command and no WSGI server goes on with
    defaults, also where system checks are skipped.
    """

    def __init__(self, problems: list[Error]) -> None:
        self.problems = problems
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        reports = [f"{found.msg} ({found.id})\n    {found.hint}" for found in problems]
        super().__init__("\n\n".join([f"The environment variables have {count}:", *reports]))


def read_environment() -> Environment:
    """Return the environment variables of this process.

    Raises:
        InvalidEnvironmentError: some cannot be used; it names them all.
    """
    try:
        return Environment()
    except ValidationError as error:
        raise InvalidEnvironmentError([_problem(details) for details in error.errors()]) from None


def _problem(details: ErrorDetails) -> Error:
    """Return pydantic's error as Django's system checks report theirs."""
    name = str(details["loc"][0])
    match details:
        case {"ctx": {"hint": hint}}:
            check_id, must = details["type"], details["msg"]
        case {"type": "value_error"}:
            check_id, must = "E011", "be UTF-8"
            hint = "Write it in UTF-8, or use ASCII characters alone."
        case {"type": "bool_parsing"}:
            check_id, must = "E009", "be true or false"
            hint = f"Write {name}=true or {name}=false."
        case _:
            schema = Environment.model_json_schema()["properties"][name]
            least, most = schema["minimum"], schema["maximum"]
            check_id, must = "E002", f"be a whole number from {least} to {most}"
            hint = f"Write it in digits, such as {name}={schema.get('default', least)}."
    match details["loc"]:
        case (_, int(index)):
            subject = f"Entry {index + 1} of {name}"
        case _:
            subject = name
    sentence = f"{subject} must {must}{_instead(name, details['input'])}."
    return Error(sentence, hint, id=f"elevenlabs_agent.{check_id}")


def _instead(name: str, value: str) -> str:
    if name == "REDIS_URL":
        # Scheme and host, unless an @ says that a password may be among them.
        shown = re.findall(r"^(?:[\w+]+://)?(?:(?!.*@)[^:?]*)?", value, re.DOTALL)[0]
        return f", not {shown if shown == value else shown + '…'!r}"
    return f", not {value!r}" if Environment.model_fields[name.lower()].repr else ""
