"""Fixtures shared by the tests of the store of conversations."""

import re
from collections.abc import Sequence

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from sessions_store.redis.client import StoreClient


@pytest.fixture
def shards() -> int:
    """How many shards the index has; a module whose tests are about the list has more than one."""
    return 1


ENCRYPTED_TOO = (
    "test_(append|put|update|create|delete|idempotency|transcripts|legacy|imports|message_pages"
    "|last_access|large_conversations|life_of_a_conversation|maintenance|corrupt_records|of_user)$"
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is about content on the bundled server once more, with keys."""
    if "raw_redis" in metafunc.fixturenames:
        kinds = ["fake", "real", "tls", "sentinel", "cluster"]
        if re.search(ENCRYPTED_TOO, metafunc.module.__name__):
            kinds.append("encrypted")
        if metafunc.module.__name__.endswith("encryption"):
            kinds.remove("fake")  # its Lua has no sha1hex
        metafunc.parametrize("raw_redis", kinds, indirect=True)


@pytest.fixture
def raw_redis(request: pytest.FixtureRequest) -> Redis:
    kind = "real" if request.param == "encrypted" else request.param
    client: Redis = request.getfixturevalue(f"{kind}_redis")
    return client


@pytest.fixture
def encryption_keys(request: pytest.FixtureRequest) -> Sequence[str]:
    kind = request.node.callspec.params["raw_redis"]
    return [Fernet.generate_key().decode()] if kind == "encrypted" else []


@pytest.fixture
def conversations(
    store: StoreClient, shards: int, encryption_keys: Sequence[str]
) -> ConversationRepository:
    return ConversationRepository(store, index_shards=shards, encryption_keys=encryption_keys)


@pytest.fixture
def maintenance(conversations: ConversationRepository) -> ConversationMaintenance:
    return ConversationMaintenance(conversations)


@pytest.fixture
def real_conversations(real_store: StoreClient) -> ConversationRepository:
    """The repository on the bundled server alone, for what fakeredis cannot show."""
    return ConversationRepository(real_store)
