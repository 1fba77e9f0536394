"""Rules that hold for every method of the repository."""

from collections.abc import Callable
from functools import partial

import pytest
from redis import Redis

from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.store import keys
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.records import ENCRYPTED_VERSION
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import (
    InvalidRequestError,
    StoreUnavailableError,
    UnsupportedRecordVersionError,
)
from sessions_store.redis.client import StoreClient
from tests.agent_conversations.store.records import listed_ids, new, said, uses


def test_missing_conversation_is_not_found_and_not_created(
    conversations: ConversationRepository, maintenance: ConversationMaintenance, raw_redis: Redis
) -> None:
    others = (partial(one, "missing") for one in (conversations.delete, maintenance.index))
    for use in uses(conversations, "missing", *others):
        with pytest.raises(ConversationNotFoundError, match=r"^Agent conversation not found$"):
            use()
    assert raw_redis.keys() == []


@pytest.mark.parametrize("conversation_id", ["", "new", "a b", "a:b", "-a", "a\n", "é", "a" * 129])
def test_invalid_conversation_id_is_refused(
    conversations: ConversationRepository, raw_redis: Redis, conversation_id: str
) -> None:
    delete = partial(conversations.delete, conversation_id)
    for use in uses(conversations, conversation_id, delete):
        with pytest.raises(InvalidRequestError):
            use()
    assert raw_redis.keys() == []


def test_outage_raises_store_unavailable_error(
    stoppable_server: EmbeddedServer, stoppable_store: StoreClient
) -> None:
    conversations = ConversationRepository(stoppable_store)
    conversations.create(new("mine"))
    stoppable_server.stop()

    others: list[Callable[[], object]] = [
        conversations.create,
        lambda: conversations.create(idempotency_key="k"),
        conversations.list,
        lambda: conversations.delete("mine"),
    ]
    for use in uses(conversations, "mine", *others):
        with pytest.raises(StoreUnavailableError):
            use()


def test_record_of_a_newer_version_is_refused_and_unchanged(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    for conversation_id in ("newer", "today"):
        conversations.create(new(conversation_id))
    raw_redis.hset(keys.conversation_key("newer"), "schemaVersion", ENCRYPTED_VERSION + 1)
    before = raw_redis.hgetall(keys.conversation_key("newer"))

    uses: list[Callable[[], object]] = [
        lambda: conversations.get("newer"),
        lambda: conversations.append_message("newer", said()),
        lambda: conversations.list_messages("newer"),
        lambda: conversations.update("newer", ConversationChanges(agent_id="a")),
        lambda: conversations.create(new("newer")),
    ]
    for use in uses:
        with pytest.raises(UnsupportedRecordVersionError, match="newer version"):
            use()
    assert listed_ids(conversations) == ["today"]
    assert raw_redis.hgetall(keys.conversation_key("newer")) == before
    assert raw_redis.exists(keys.messages_key("newer")) == 0


def test_scripts_are_loaded_again_after_a_flush(
    conversations: ConversationRepository, raw_redis: Redis
) -> None:
    conversations.create(new("mine"))
    uses: list[Callable[[], object]] = [
        lambda: conversations.append_message("mine", said()),
        lambda: conversations.get("mine"),
        lambda: conversations.list_messages("mine"),
        lambda: conversations.update("mine", ConversationChanges(agent_id="a")),
        conversations.list,
        conversations.create,
        lambda: conversations.delete("mine"),
    ]
    for use in uses:
        raw_redis.script_flush()
        use()
    assert conversations.list().total == 1
