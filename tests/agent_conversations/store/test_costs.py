"""What an operation costs: commands and round trips a request, bytes a message."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from agent_conversations.store import keys
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession
from tests.agent_conversations.store.records import new, said

SESSION = AgentSession(session_payload={"wsUrl": "wss://host"}, ws_url="wss://host")


@pytest.fixture
def round_trips(real_store: StoreClient, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one with each call that is sent to Redis and waited for."""
    made: list[int] = []
    call = real_store.call

    def counted(command: Callable[..., Any], **options: Any) -> Any:
        made.append(1)
        return call(command, **options)

    monkeypatch.setattr(real_store, "call", counted)
    return made


def commands_of(redis: Redis, action: Callable[[], object]) -> int:
    """Return how many commands a client sends in ``action``; not those inside of scripts."""
    with redis.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py's
        action()
        redis.echo("the end")
        seen: list[str] = []
        while True:
            command = monitor.next_command()
            if command["command"] == "ECHO the end":
                return len(seen)
            # A connection that is opened introduces itself once.
            introduction = command["command"].startswith("CLIENT SETINFO")
            if command["client_type"] != "lua" and not introduction:
                seen.append(command["command"])


@pytest.fixture
def repositories(real_store: StoreClient) -> tuple[ConversationRepository, SessionRepository]:
    conversations, sessions = ConversationRepository(real_store), SessionRepository(real_store)
    # Load the scripts, once and for all.
    conversations.create(new("c-1"))
    conversations.append_message("c-1", said("hello"))
    conversations.get("c-1")
    conversations.list_messages("c-1")
    conversations.update("c-1", ConversationChanges(agent_id="a"))
    conversations.list()
    sessions.set("c-1", SESSION)
    sessions.get("c-1")
    sessions.delete("c-1", "none")
    return conversations, sessions


@pytest.mark.parametrize(
    "action",
    [
        lambda conversations, _: conversations.get("c-1"),
        lambda conversations, _: conversations.create(),
        lambda conversations, _: conversations.append_message("c-1", said("hello")),
        lambda conversations, _: conversations.list_messages("c-1"),
        lambda conversations, _: conversations.update("c-1", ConversationChanges(agent_id="b")),
        lambda _, sessions: sessions.set("c-1", SESSION),
        lambda _, sessions: sessions.get("c-1"),
        lambda _, sessions: sessions.delete("c-1"),
        lambda _, sessions: sessions.touch("c-1"),
    ],
    ids=["read", "create", "append", "page", "update", "set", "get", "delete", "touch"],
)
def test_every_operation_but_list_sends_one_command(
    repositories: tuple[ConversationRepository, SessionRepository],
    real_redis: Redis,
    round_trips: list[int],
    action: Callable[[ConversationRepository, SessionRepository], object],
) -> None:
    sent = commands_of(real_redis, lambda: action(*repositories))

    assert sent == 1
    assert len(round_trips) <= 1


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("count", [1, 20, 200])
def test_page_of_any_size_takes_two_round_trips(
    real_store: StoreClient, round_trips: list[int], count: int, shards: int
) -> None:
    conversations = ConversationRepository(real_store, index_shards=shards)
    conversations.list()  # which loads the scripts
    for _ in range(count):
        conversations.create()
    round_trips.clear()

    page = conversations.list(limit=count)

    assert len(page.conversations) == count
    assert len(round_trips) == 2


def memory_of(redis: Redis, conversation_id: str) -> int:
    names = keys.record_keys(conversation_id)
    return sum(redis.memory_usage(name, samples=0) or 0 for name in names)


@pytest.mark.parametrize("count", [1_000, 5_000])
def test_message_of_200_bytes_takes_at_most_300_bytes(
    repositories: tuple[ConversationRepository, SessionRepository], real_redis: Redis, count: int
) -> None:
    conversations, _ = repositories
    conversations.append_message("c-1", said("x"))
    length = len(conversations.get("c-1").messages_json[-1])
    message = said("x" * (200 - length + 1))
    conversations.create(new("c-2"))
    before = memory_of(real_redis, "c-2")

    for _ in range(count):
        conversations.append_message("c-2", message)

    assert {len(raw) for raw in conversations.get("c-2").messages_json} == {200}
    assert (memory_of(real_redis, "c-2") - before) / count <= 1.5 * 200


def test_traffic_of_an_append_does_not_grow_with_the_conversation(
    repositories: tuple[ConversationRepository, SessionRepository], real_redis: Redis
) -> None:
    conversations, _ = repositories
    message = said("x" * 100)

    def sent_and_received() -> int:
        before = real_redis.info("stats")
        conversations.append_message("c-1", message)
        after = real_redis.info("stats")
        names = ("total_net_input_bytes", "total_net_output_bytes")
        return sum(after[name] - before[name] for name in names)

    short = sent_and_received()
    for _ in range(2_000):
        conversations.append_message("c-1", message)
    long = sent_and_received()

    # The figures of INFO itself, which both count, vary by some digits.
    assert abs(long - short) < 200


def test_traffic_of_a_list_does_not_grow_with_the_conversations(
    repositories: tuple[ConversationRepository, SessionRepository], real_redis: Redis
) -> None:
    conversations, _ = repositories
    conversations.create(new("c-2"))
    for _ in range(60):
        conversations.append_message("c-2", said("x" * 100))

    def received() -> int:
        before = real_redis.info("stats")
        assert len(conversations.list().conversations) == 2
        after = real_redis.info("stats")
        return int(after["total_net_output_bytes"] - before["total_net_output_bytes"])

    short = received()
    for _ in range(1_000):
        conversations.append_message("c-2", said("x" * 100))

    assert abs(received() - short) < 200
