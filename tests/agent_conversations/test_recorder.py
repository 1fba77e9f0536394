"""``CallRecorder`` over Redis and over HTTP: what it is told is stored, also over an outage."""

import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.fernet import Fernet

from agent_conversations.recorder import CallRecorder
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.transcripts import transcript_of
from sessions_store.errors import CorruptRecordError
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.api.routes import PREFIX
from tests.agent_conversations.webhooks import delivery, turn
from tests.faults.client import Response
from tests.faults.servers import RedisServer, Service

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def service(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    service = Service(
        tmp_path_factory.mktemp("service"),
        redis_server.url,
        API_TOKENS="recorder:a-long-enough-token",
    )
    service.start()
    yield service
    service.stop()


@pytest.fixture(params=["redis", "http"])
def address(request: pytest.FixtureRequest, redis_server: RedisServer, service: Service) -> str:
    api = f"http://127.0.0.1:{service.port}{PREFIX}"
    return redis_server.url if request.param == "redis" else api


@pytest.fixture
def record(address: str, request: pytest.FixtureRequest) -> Iterator[CallRecorder]:
    name = "".join(letter if letter.isalnum() else "-" for letter in str(request.node.name))
    recorder = CallRecorder(address, name, token="a-long-enough-token")
    yield recorder
    recorder.close(0)


@pytest.fixture
def stored(service: Service, request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Give the words of what is stored."""
    name = "".join(letter if letter.isalnum() else "-" for letter in str(request.node.name))

    def read() -> Response:
        token = {"Authorization": "Bearer a-long-enough-token"}
        return service.api.send("GET", f"{PREFIX}/{name}", headers=token)

    return lambda: [one["content"] for one in read().body.get("messages", [])]


def test_call_of_the_sdk_is_recorded(record: CallRecorder, stored: Callable[[], list[str]]) -> None:
    told = record.callbacks()
    told["callback_agent_response"]("How can I help?")
    told["callback_user_transcript"]("What is left?")
    told["callback_agent_response"]("Two things are left: call Ada.")
    told["callback_agent_response_correction"]("Two things are left: call Ada.", "Two things")
    told["callback_user_transcript"]("Stop")

    assert record.close()
    assert stored() == ["How can I help?", "What is left?", "Two things", "Stop"]


def test_transcript_finds_the_turns_of_the_recorder(
    record: CallRecorder, stored: Callable[[], list[str]], redis_server: RedisServer
) -> None:
    record.agent_response("How can I help?")
    record.user_transcript("What is left?")
    record.agent_response("Two things are left.")
    assert record.close()
    turns = [
        turn("agent", "How can I help?", 1),
        turn("user", "What is left?", 2),
        turn("agent", "Two things", 3, interrupted=True),
        turn("user", "Thanks", 4),
    ]
    transcript = transcript_of(delivery(*turns)["data"], "conv_1", 1_000)

    conversations = ConversationRepository(StoreClient.from_url(redis_server.url))
    conversations.merge_transcript(record.conversation_id, transcript)

    assert stored() == ["How can I help?", "What is left?", "Two things", "Thanks"]


def test_recorder_with_keys_encrypts_what_it_records(redis_server: RedisServer) -> None:
    key = Fernet.generate_key().decode()
    record = CallRecorder(redis_server.url, "c-encrypted", encryption_keys=[key])
    record.agent_response("Two things are left.")
    record.agent_response_correction("Two things are left.", "Two things")
    assert record.close()

    store = StoreClient.from_url(redis_server.url)

    found = ConversationRepository(store, encryption_keys=[key]).get("c-encrypted")
    assert [message.content for message in found.messages] == ["Two things"]
    with pytest.raises(CorruptRecordError):
        ConversationRepository(store).get("c-encrypted")


def test_turns_wait_while_redis_is_away(
    record: CallRecorder, stored: Callable[[], list[str]], redis_server: RedisServer
) -> None:
    turns = [f"turn {number}" for number in range(20)]
    with redis_server.refusing():
        for turn in turns:
            record.agent_response(turn)
        time.sleep(1)  # attempts fail
    record.user_transcript("After")

    assert record.close(30)
    assert stored() == [*turns, "After"]


def test_close_says_that_something_is_not_written(
    record: CallRecorder, redis_server: RedisServer
) -> None:
    with redis_server.refusing():
        record.user_transcript("Too late")

        assert not record.close(0.2)


def test_refused_turn_is_logged_without_its_words(
    record: CallRecorder, stored: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    record.agent_response("Before")
    record.user_transcript("secret, and half a surrogate pair: \ud800")
    record.agent_response("After")

    assert record.close(30)
    assert stored() == ["Before", "After"]
    assert "Not recorded" in caplog.text
    assert "secret" not in caplog.text


def test_close_says_the_same_again(record: CallRecorder, redis_server: RedisServer) -> None:
    with redis_server.refusing():
        record.user_transcript("Too late")
        assert not record.close(0.2)

    assert not record.close()


@pytest.mark.parametrize("token", ["a-long-enough-token\n", "€"])
def test_token_that_no_header_carries_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="token must be of ASCII") as raised:
        CallRecorder("http://127.0.0.1:1", "c-1", token=token)

    assert token.strip() not in str(raised.value)
