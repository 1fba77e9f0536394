import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_conversations.access import SCOPES, Client
from config.environment import (
    Environment,
    InvalidEnvironmentError,
    read_environment,
)

Read = Callable[..., Environment]
ANY_PROBLEM = {
    "ELEVENLABS_AGENT_ENABLED": "maybe",
    "REDIS_URL": "localhost",
    "PORT": "http",
    "LIVE_PORT": "ws",
    "LIVE_URL": "https://agent.example.com",
    "WORKERS": "0",
    "THREADS": "many",
    "ALLOWED_HOSTS": "localhost:8000",
    "TRUSTED_PROXIES": "all",
    "CORS_ALLOWED_ORIGINS": "app.example.com",
    "CORS_ALLOW_HEADERS": "x request id",
    "API_TOKENS": "alice:",
    "API_TOKENS_FILE": "/nowhere",
    "ALLOW_ANONYMOUS": "perhaps",
    "SESSION_RATE": "often",
    "SESSION_ENCRYPTION_KEYS": "word",
    "CONVERSATION_ENCRYPTION_KEYS": "word",
    "CONVERSATION_RETENTION_SECONDS": "1d",
    "CONVERSATION_MAX_MESSAGES": "-1",
    "LOG_LEVEL": "LOUD",
}
"""A value for each variable that has values which cannot be used."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read an environment in which just these of the model's variables are set."""

    def read(**variables: str) -> Environment:
        for name in Environment.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_environment()

    return read


def problems(read: Read, **variables: str) -> InvalidEnvironmentError:
    with pytest.raises(InvalidEnvironmentError) as caught:
        read(**variables)
    return caught.value


def test_defaults_are_valid_values(read: Read) -> None:
    defaults = read()

    for name, field in Environment.model_fields.items():
        value = getattr(defaults, name)
        assert value == field.get_default(call_default_factory=True, validated_data={})
        text = ",".join(value) if isinstance(value, (list, dict)) else str(value)
        assert getattr(read(**{name.upper(): text}), name) == value


def test_every_problem_is_reported_at_once(read: Read) -> None:
    error = problems(read, **ANY_PROBLEM)

    assert [found.msg.split(" must ")[0].split()[-1] for found in error.problems] == [*ANY_PROBLEM]
    assert all(
        found.msg in str(error) and str(found.hint) in str(error) for found in error.problems
    )
    assert "have 20 problems:" in str(error)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PORT": "http"}, "PORT must be a whole number from 1 to 65535, not 'http'."),
        ({"LOG_LEVEL": "Loud"}, "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, "),
        ({"LOG_LEVEL": "Loud"}, "not 'Loud'."),
        ({"ALLOW_ANONYMOUS": "maybe"}, "ALLOW_ANONYMOUS must be true or false, not 'maybe'."),
        ({"ALLOWED_HOSTS": "a,b:1"}, "Entry 2 of ALLOWED_HOSTS must be a host name, not 'b:1'."),
        (
            {"REDIS_URL": "localhost"},
            "REDIS_URL must be the URL of a Redis server, not 'localhost'.",
        ),
        ({"API_TOKENS": "a:b,alice:"}, "Entry 2 of API_TOKENS must have a token."),
    ],
    ids=str,
)
def test_problem_names_variable_value_and_what_it_may_be(
    read: Read, variables: dict[str, str], sentence: str
) -> None:
    (found,) = problems(read, **variables).problems

    assert sentence in found.msg
    assert found.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_TOKENS", "alice:MARK\u00e9"),
        ("API_TOKENS", "MARK MARK"),
        ("API_TOKENS", "alice:MARK:raed"),
        ("API_TOKENS", "alice:bob:MARK"),
        ("SESSION_ENCRYPTION_KEYS", "MARK"),
        ("CONVERSATION_ENCRYPTION_KEYS", "plain,MARK"),
        ("REDIS_URL", "redis://me:MARK@host/abc"),
        ("REDIS_URL", "redis://MARK@host:99999"),
        ("REDIS_URL", "redis://host:MARK"),
        ("REDIS_URL", "redis://:MA@RK@host:port"),
        ("REDIS_URL", "redis://host/?password=a@MARK&foo=bar"),
        ("REDIS_URL", "http://host/?password=MARK"),
        ("REDIS_URL", "me:MARK@host"),
        ("REDIS_URL", "host?password=MARK"),
        ("REDIS_URL", "redis://me:x://MARK@host"),
        ("REDIS_URL", "redis+cluster://me:MARK@host/1"),
        ("REDIS_URL", "redis+sentinel://host/service?sentinel_password=MARK&foo=bar"),
    ],
)
def test_problem_never_shows_a_secret(read: Read, name: str, value: str) -> None:
    error = problems(read, **{name: value})

    assert name in str(error)
    assert "MARK" not in str(error)
    assert "MARK" not in "".join(traceback.format_exception(error))
    assert "MARK" not in str(error.__context__), "what pydantic itself says"


def test_repr_of_the_environment_shows_no_secret(read: Read) -> None:
    key = "MARK" * 10 + "MAA="
    environment = read(
        API_TOKENS="alice:MARK",
        SECRET_KEY="MARK",
        SESSION_ENCRYPTION_KEYS=key,
        CONVERSATION_ENCRYPTION_KEYS=f"plain,{key}",
        REDIS_URL="redis://:MARK@h",
    )

    assert environment.session_encryption_keys == [key]
    assert environment.conversation_encryption_keys == ["plain", key]
    assert "MARK" not in repr(environment)


@pytest.mark.parametrize(
    ("variables", "check_id"),
    [
        ({"REDIS_URL": "localhost"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host:99999/0"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host:port/0"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://["}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": f"redis://{'h' * 64}"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host/abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host/0?foo=bar"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host/0?socket_timeout=abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "unix://"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "unix:///run/valkey.sock?db=abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "unix:///run/valkey.sock?timeout=abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "rediss://host?ssl_cert_reqs=foo"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis://host?decode_responses=true"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+ring://host"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+sentinel://host:26379"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+sentinel://host,/service"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+sentinel://host/service/abc"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+sentinel://host/service?foo=bar"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+cluster://host,other:99999"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+cluster://host/1"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+cluster://"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+cluster://host?decode_responses=true"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "unix+cluster:///run/valkey.sock"}, "elevenlabs_agent.E001"),
        ({"REDIS_URL": "redis+cluster://:pass/word@host"}, "elevenlabs_agent.E014"),
        ({"REDIS_URL": "redis://:pass#word@host/0"}, "elevenlabs_agent.E014"),
        ({"REDIS_URL": "redis://:12#word@host/0"}, "elevenlabs_agent.E014"),
        ({"REDIS_URL": "redis://:pass/word@host/0"}, "elevenlabs_agent.E014"),
        ({"REDIS_URL": "redis://me:pass?word@host/0"}, "elevenlabs_agent.E014"),
        ({"REDIS_URL": "redis://host/0?password=pass#word"}, "elevenlabs_agent.E014"),
        ({"REDIS_URL": "unix:///run/valkey.sock?password=pass#word"}, "elevenlabs_agent.E014"),
        ({"PORT": "http"}, "elevenlabs_agent.E002"),
        ({"PORT": "65536"}, "elevenlabs_agent.E002"),
        ({"PORT": "0"}, "elevenlabs_agent.E002"),
        ({"PORT": "9" * 5_000}, "elevenlabs_agent.E002"),
        ({"PORT": "\u0663"}, "elevenlabs_agent.E002"),
        ({"WORKERS": "0"}, "elevenlabs_agent.E002"),
        ({"WORKERS": "1.5"}, "elevenlabs_agent.E002"),
        ({"CONVERSATION_RETENTION_SECONDS": "1d"}, "elevenlabs_agent.E002"),
        ({"CORS_ALLOWED_ORIGINS": "app.example.com"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://ok,http://[a"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a:b"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a b"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a?b"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOWED_ORIGINS": "http://a/"}, "elevenlabs_agent.E003"),
        ({"CORS_ALLOW_HEADERS": "x-ok,x-request-id: 1"}, "elevenlabs_agent.E012"),
        ({"LIVE_PORT": "65536"}, "elevenlabs_agent.E002"),
        ({"LIVE_URL": "https://agent.example.com"}, "elevenlabs_agent.E013"),
        ({"LIVE_URL": "wss://agent.example.com/live"}, "elevenlabs_agent.E013"),
        ({"SESSION_RATE": "often"}, "elevenlabs_agent.E004"),
        ({"SESSION_RATE": "0/min"}, "elevenlabs_agent.E004"),
        ({"SESSION_RATE": "9999999999999/min"}, "elevenlabs_agent.E004"),
        ({"SESSION_RATE": "1/99999999999999year"}, "elevenlabs_agent.E004"),
        ({"SESSION_ENCRYPTION_KEYS": "word"}, "elevenlabs_agent.E005"),
        ({"SESSION_ENCRYPTION_KEYS": "plain"}, "elevenlabs_agent.E005"),
        ({"CONVERSATION_ENCRYPTION_KEYS": "plain,word"}, "elevenlabs_agent.E005"),
        ({"ALLOWED_HOSTS": "https://api.example.com"}, "elevenlabs_agent.E006"),
        ({"ALLOWED_HOSTS": "localhost:8000"}, "elevenlabs_agent.E006"),
        ({"API_TOKENS": "alice:"}, "elevenlabs_agent.E007"),
        ({"API_TOKENS": "bob:t\u00f6ken-that-is-long-enough"}, "elevenlabs_agent.E008"),
        ({"API_TOKENS": "bob:token that is long enough"}, "elevenlabs_agent.E008"),
        ({"API_TOKENS": "bob:a-long-enough-token:raed"}, "elevenlabs_agent.E015"),
        ({"API_TOKENS": "bob:a-long-enough-token:"}, "elevenlabs_agent.E015"),
        ({"API_TOKENS": "bob:a-long-enough-token:read+"}, "elevenlabs_agent.E015"),
        ({"API_TOKENS": "bob:a-long-enough-token::u-1"}, "elevenlabs_agent.E015"),
        ({"API_TOKENS": "bob:a-long-enough-token:read:"}, "elevenlabs_agent.E016"),
        ({"API_TOKENS": f"bob:a-long-enough-token:read:{'u' * 257}"}, "elevenlabs_agent.E016"),
        ({"API_TOKENS": "bob:a-long-enough-token:metrics:u-1"}, "elevenlabs_agent.E017"),
        ({"API_TOKENS_FILE": "/nowhere"}, "elevenlabs_agent.E018"),
        ({"API_TOKENS_FILE": "/"}, "elevenlabs_agent.E018"),
        ({"API_TOKENS": "x:y:a-long-enough-token"}, "elevenlabs_agent.E015"),
        ({"ELEVENLABS_AGENT_ENABLED": "true!"}, "elevenlabs_agent.E009"),
        ({"ALLOW_ANONYMOUS": "maybe"}, "elevenlabs_agent.E009"),
        ({"LOG_LEVEL": "LOUD"}, "elevenlabs_agent.E010"),
        ({"DATA_DIR": "\udcff"}, "elevenlabs_agent.E011"),
        ({"SECRET_KEY": "\udcff"}, "elevenlabs_agent.E011"),
    ],
)
def test_value_that_cannot_be_used_is_refused(
    read: Read, variables: dict[str, str], check_id: str
) -> None:
    assert [found.id for found in problems(read, **variables).problems] == [check_id]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"CONVERSATION_RETENTION_SECONDS": "0"},
        {"ALLOWED_HOSTS": "localhost,[::1],.example.com,*"},
        {"CORS_ALLOWED_ORIGINS": "https://app.example.com,http://localhost:3000,http://[::1]:80"},
        {"REDIS_URL": "redis://user:word@host:6380/3?socket_keepalive=true"},
        {"REDIS_URL": "rediss://host"},
        {"REDIS_URL": "redis://me:pa%23s%2Fs%3F@host/0"},
        {"REDIS_URL": "redis://host/0?password=a@b&username=c@d"},
        {"REDIS_URL": "unix:///run/valkey@1.sock"},
        {"REDIS_URL": "redis+sentinel://me:word@a:1,b,[::1]:2/service/3?sentinel_password=x"},
        {"REDIS_URL": "rediss+sentinel://a/service"},
        {"REDIS_URL": "redis+cluster://me:word@a:1,b,[::1]:2?socket_keepalive=true"},
        {"REDIS_URL": "rediss+cluster://a:1/0?max_connections=5"},
        {"REDIS_URL": "unix:///run/valkey.sock?db=1"},
        {"CORS_ALLOW_HEADERS": "x-tenant,X-Device"},
        {"SESSION_RATE": "60/min"},
        {"LOG_LEVEL": "debug"},
    ],
    ids=str,
)
def test_value_that_can_be_used_is_taken(read: Read, variables: dict[str, str]) -> None:
    read(**variables)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *[(word, True) for word in ("true", "TRUE", "True", " true ", "yes", "on", "1")],
        *[(word, False) for word in ("", " ", "false", "FALSE", "no", "off", "0")],
    ],
)
def test_flag_takes_these_words_in_any_case(read: Read, word: str, value: bool) -> None:
    assert read(ELEVENLABS_AGENT_ENABLED=word).elevenlabs_agent_enabled is value


@pytest.mark.parametrize("blank", ["", "  "])
def test_empty_variable_counts_as_unset(read: Read, blank: str) -> None:
    unset = read()

    assert read(**dict.fromkeys(map(str.upper, Environment.model_fields), blank)) == unset


def test_variable_in_lower_case_is_another_one(read: Read) -> None:
    assert read(port="9").port == 8000


def test_tokens_are_read_with_and_without_names(read: Read) -> None:
    tokens = read(API_TOKENS="frontend:aaa, bbb ,,:ccc").tokens()

    assert tokens.find("aaa") == Client("frontend")
    assert tokens.find("bbb") == Client("token-2")
    assert tokens.find("ccc") == Client("token-3")


def test_token_has_the_scopes_and_the_user_of_its_entry(read: Read) -> None:
    tokens = read(API_TOKENS="app:aaa:read+write, jobs : bbb : push ,all:ccc").tokens()

    assert tokens.find("aaa") == Client("app", frozenset({"read", "write"}))
    assert tokens.find("bbb") == Client("jobs", frozenset({"push"}))
    assert tokens.find("ccc") == Client("all", SCOPES)
    bound = read(API_TOKENS="ada:ddd:read+write:u-1:x").tokens().find("ddd")
    assert bound == Client("ada", frozenset({"read", "write"}), "u-1:x")
    assert {"read", "write", "push", "erase", "metrics"} == SCOPES


def test_fault_in_the_file_of_tokens_names_its_line(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("a:b\n# c\nalice:MARK:raed\n")

    (found,) = problems(read, API_TOKENS_FILE=str(path)).problems

    assert "(line 3 must have scopes among read, write, push, erase and metrics)" in found.msg
    assert found.hint
    assert "MARK" not in found.msg + found.hint


def test_tokens_of_the_file_come_beside_the_others(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("ada:aaa:read:u-1\n")

    tokens = read(API_TOKENS="bbb", API_TOKENS_FILE=str(path)).tokens()

    assert tokens.find("aaa") == Client("ada", frozenset({"read"}), "u-1")
    assert tokens.find("bbb") == Client("token-1")


def test_list_without_entries_is_the_default(read: Read) -> None:
    assert read(ALLOWED_HOSTS=" , ").allowed_hosts == ["localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize(("processors", "workers"), [(1, 1), (2, 2), (64, 4)])
def test_there_are_as_many_workers_as_processors_up_to_four(
    read: Read, monkeypatch: pytest.MonkeyPatch, processors: int, workers: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(processors), raising=False)

    assert read().workers == workers


def test_log_level_is_taken_in_any_case(read: Read) -> None:
    assert read(LOG_LEVEL="Warning").log_level == "WARNING"


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        ({}, 8001),
        ({"PORT": "9000"}, 9001),
        ({"PORT": "65535"}, 65534),
        ({"PORT": "9000", "LIVE_PORT": "80"}, 80),
    ],
)
def test_live_process_listens_beside_the_api(
    read: Read, variables: dict[str, str], port: int
) -> None:
    assert read(**variables).port_of_live == port
