"""Fixtures shared by the tests of the store of conversations."""

import pytest

from agent_conversations.store.repository import ConversationRepository
from sessions_store.redis.client import StoreClient


@pytest.fixture
def shards() -> int:
    """How many shards the index has; a module whose tests are about the list has more than one."""
    return 1


@pytest.fixture
def conversations(store: StoreClient, shards: int) -> ConversationRepository:
    return ConversationRepository(store, index_shards=shards)


@pytest.fixture
def real_conversations(real_store: StoreClient) -> ConversationRepository:
    """The repository on the bundled server alone, for what fakeredis cannot show."""
    return ConversationRepository(real_store)
