"""Any sequence of operations on a real server, compared with a model."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, get_args

import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from agent_conversations.errors import (
    ConversationExistsError,
    ConversationNotFoundError,
    MessageConflictError,
    PreconditionFailedError,
)
from agent_conversations.store import keys
from agent_conversations.store.records import StoredConversation
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import (
    AgentMessage,
    ConversationChanges,
    NewConversation,
    SortBy,
    SortOrder,
)
from sessions_store.redis.client import StoreClient
from sessions_store.wire.clock import iso_from_ms, now_ms
from tests.agent_conversations.store.records import server_ms

IDS = st.sampled_from(["a", "B", "b-1", "9"])
MESSAGE_IDS = st.sampled_from(["m1", "m2", "m3"]) | st.none()
CONTENTS = st.sampled_from(["Hello", "ü😀", '"},{"role":"user']) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5
)
# Ids whose colons could make the keys of two lists look alike.
AGENT_IDS = st.sampled_from(["a", "a:userId:u", "ü\0%*"]) | st.none()
USER_IDS = st.sampled_from(["u", "userId:u", "u:createdAt"]) | st.none()
METADATA: st.SearchStrategy[dict[str, Any] | None] = (
    st.none()
    | st.just({})
    | st.dictionaries(st.sampled_from(["z", "a", "ü"]), st.integers() | st.just([]), max_size=3)
)


@dataclass
class Expected:
    """A conversation as the model has it."""

    created_at: int
    accessed_at: int
    requested: dict[str, Any]
    agent_id: str | None
    user_id: str | None
    metadata: dict[str, Any] | None
    messages: list[dict[str, Any]] = field(default_factory=list)
    revision: str = ""


class Life(RuleBasedStateMachine):
    """The host's time moves in one rule only; the server's goes on."""

    redis: Redis
    shards: int

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self._travel = time_machine.travel(datetime(2026, 11, 23, 16, 20, tzinfo=UTC), tick=False)
        self._clock = self._travel.start()
        self.conversations = ConversationRepository(
            StoreClient(self.redis), index_shards=self.shards
        )
        self.expected: dict[str, Expected] = {}

    def teardown(self) -> None:
        self._travel.stop()

    @rule(milliseconds=st.integers(min_value=1, max_value=3))
    def time_passes(self, milliseconds: int) -> None:
        self._clock.shift(milliseconds / 1000)

    @rule(
        conversation_id=IDS,
        requested=st.fixed_dictionaries(
            {"agent_id": AGENT_IDS, "user_id": USER_IDS, "metadata": METADATA}
        ),
    )
    def create(self, conversation_id: str, requested: dict[str, Any]) -> None:
        new = NewConversation(conversation_id=conversation_id, **requested)
        there = self.expected.get(conversation_id)
        if there is not None and there.requested != requested:
            with pytest.raises(ConversationExistsError):
                self.conversations.create(new)
            return
        since = server_ms(self.redis)
        created = self.conversations.create(new)
        assert created.replayed == (there is not None)
        if there is None:
            now = self._written_time(conversation_id, "createdAt", since)
            there = Expected(now, now, requested, **requested)
            there.revision = created.conversation.revision
            self.expected[conversation_id] = there
        self._compare(conversation_id, created.conversation)

    @rule(conversation_id=IDS, message_id=MESSAGE_IDS, content=CONTENTS)
    def append(self, conversation_id: str, message_id: str | None, content: str) -> None:
        message = AgentMessage(role="user", content=content, message_id=message_id)
        there = self.expected.get(conversation_id)
        if there is None:
            with pytest.raises(ConversationNotFoundError):
                self.conversations.append_message(conversation_id, message)
            return
        by_id = {one["messageId"]: one for one in there.messages}
        before = by_id.get(message_id)
        if before is not None and before["content"] != content:
            with pytest.raises(MessageConflictError):
                self.conversations.append_message(conversation_id, message)
            return
        since = server_ms(self.redis)
        added = self.conversations.append_message(conversation_id, message)
        assert added.replayed == (before is not None)
        assert added.message_id not in by_id or before is not None
        if before is None:
            wire = {
                "role": "user",
                "content": content,
                "timestamp": iso_from_ms(now_ms()),
                "source": "text",
                "messageId": added.message_id,
            }
            there.messages.append(wire)
            there.accessed_at = self._written_time(conversation_id, "lastAccessedAt", since)
            there.revision = ""
        assert added.message_count == len(there.messages)

    @rule(conversation_id=IDS, number=st.integers(min_value=0, max_value=5))
    def append_again(self, conversation_id: str, number: int) -> None:
        there = self.expected.get(conversation_id)
        if there is None or not there.messages:
            return
        message = AgentMessage.parse(there.messages[number % len(there.messages)])
        added = self.conversations.append_message(conversation_id, message)
        assert (added.replayed, added.message_count) == (True, len(there.messages))

    @rule(
        conversation_id=IDS,
        fields=st.fixed_dictionaries(
            {}, optional={"agent_id": AGENT_IDS, "user_id": USER_IDS, "metadata": METADATA}
        ),
        condition=st.sampled_from(["none", "current", "outdated"]),
    )
    def update(self, conversation_id: str, fields: dict[str, Any], condition: str) -> None:
        changes = ConversationChanges(**fields)
        there = self.expected.get(conversation_id)
        if there is None:
            with pytest.raises(ConversationNotFoundError):
                self.conversations.update(conversation_id, changes)
            return
        if condition == "outdated":
            with pytest.raises(PreconditionFailedError):
                self.conversations.update(conversation_id, changes, if_revision=["0" * 16])
            return
        allowed = [there.revision] if condition == "current" and there.revision else None
        since = server_ms(self.redis)
        changed = self.conversations.update(conversation_id, changes, if_revision=allowed)
        there.agent_id = fields.get("agent_id", there.agent_id)
        there.user_id = fields.get("user_id", there.user_id)
        there.metadata = fields.get("metadata", there.metadata)
        there.accessed_at = self._written_time(conversation_id, "lastAccessedAt", since)
        assert changed.revision != there.revision
        there.revision = changed.revision
        self._compare(conversation_id, changed)

    @rule(conversation_id=IDS)
    def read(self, conversation_id: str) -> None:
        there = self.expected.get(conversation_id)
        if there is None:
            with pytest.raises(ConversationNotFoundError):
                self.conversations.get(conversation_id)
            return
        since = server_ms(self.redis)
        found = self.conversations.get(conversation_id)
        there.accessed_at = self._written_time(conversation_id, "lastAccessedAt", since)
        self._compare(conversation_id, found)
        there.revision = found.revision

    @rule(conversation_id=IDS)
    def delete(self, conversation_id: str) -> None:
        if self.expected.pop(conversation_id, None) is None:
            with pytest.raises(ConversationNotFoundError):
                self.conversations.delete(conversation_id)
            return
        self.conversations.delete(conversation_id)
        assert self.redis.exists(*keys.record_keys(conversation_id)) == 0

    @rule(
        conversation_id=IDS,
        limit=st.integers(min_value=1, max_value=3),
        order=st.sampled_from(get_args(SortOrder)),
    )
    def page_messages(self, conversation_id: str, limit: int, order: SortOrder) -> None:
        there = self.expected.get(conversation_id)
        if there is None:
            with pytest.raises(ConversationNotFoundError):
                self.conversations.list_messages(conversation_id)
            return
        since = server_ms(self.redis)
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = self.conversations.list_messages(
                conversation_id, limit=limit, after=after, order=order
            )
            assert page.total == len(there.messages)
            found += [message.to_wire() for message in page.messages]
            after = page.next
            if after is None:
                break
        there.accessed_at = self._written_time(conversation_id, "lastAccessedAt", since)
        assert found == (there.messages if order == "asc" else there.messages[::-1])

    @rule(
        sort_by=st.sampled_from(get_args(SortBy)),
        sort_order=st.sampled_from(get_args(SortOrder)),
        limit=st.integers(min_value=1, max_value=3),
        message_limit=st.integers(min_value=0, max_value=2),
        agent_id=AGENT_IDS,
        user_id=USER_IDS,
        ends=st.tuples(st.integers(0, 3) | st.none(), st.integers(0, 3) | st.none()),
        by_cursor=st.booleans(),
    )
    def list_some(
        self,
        *,
        sort_by: SortBy,
        sort_order: SortOrder,
        limit: int,
        message_limit: int,
        agent_id: str | None,
        user_id: str | None,
        ends: tuple[int | None, int | None],
        by_cursor: bool,
    ) -> None:
        def value(one: Expected) -> int:
            values = {
                "createdAt": one.created_at,
                "lastAccessedAt": one.accessed_at,
                "messageCount": len(one.messages),
            }
            return values[sort_by]

        values = sorted(map(value, self.expected.values()))
        lowest, highest = (
            None if end is None or not values else values[min(end, len(values) - 1)] for end in ends
        )
        wanted = {
            name: value(one)
            for name, one in self.expected.items()
            if agent_id in (None, one.agent_id)
            and user_id in (None, one.user_id)
            and (lowest is None or value(one) >= lowest)
            and (highest is None or value(one) <= highest)
        }
        in_order = sorted(
            wanted, key=lambda name: (wanted[name], name), reverse=sort_order == "desc"
        )
        found: list[StoredConversation] = []
        cursor = None
        for offset in range(0, len(wanted) + 1, limit):
            page = self.conversations.list(
                limit=limit,
                offset=0 if by_cursor else offset,
                cursor=cursor,
                message_limit=message_limit,
                sort_by=sort_by,
                sort_order=sort_order,
                agent_id=agent_id,
                user_id=user_id,
                lowest=lowest,
                highest=highest,
            )
            assert (page.total, page.offset) == (len(wanted), offset)
            found += page.conversations
            assert (page.next is not None) == (len(found) < len(wanted))
            cursor = page.next if by_cursor else None
            if by_cursor and cursor is None:
                break
        assert [one.conversation_id for one in found] == in_order
        for one in found:
            self._compare(one.conversation_id, one, message_limit)

    @invariant()
    def no_key_is_left_over(self) -> None:
        wanted = set()
        for conversation_id, there in self.expected.items():
            main, *others = keys.record_keys(conversation_id)
            wanted |= {main, *(others if there.messages else [])}
            lists = [
                chain.from_iterable(keys.lists_of(there.agent_id, there.user_id, tag))
                for tag in keys.index_tags(self.shards)
            ]
            for alike in zip(*lists, strict=True):
                scores = {key: self.redis.zscore(key, conversation_id) for key in alike}
                (in_its_shard,) = [key for key, score in scores.items() if score is not None]
                wanted.add(in_its_shard)
        assert {key.decode() for key in self.redis.scan_iter()} == wanted

    def _written_time(self, conversation_id: str, field: str, since: int) -> int:
        """Return a time that an operation has written, which began at the server's ``since``."""
        written = int(self.redis.hget(keys.conversation_key(conversation_id), field) or 0)
        assert since <= written <= server_ms(self.redis)
        return written

    def _compare(
        self, conversation_id: str, found: StoredConversation, message_limit: int | None = None
    ) -> None:
        there = self.expected[conversation_id]
        assert found.conversation_id == conversation_id
        assert found.created_at_ms == there.created_at
        assert found.last_accessed_at_ms == there.accessed_at
        assert (found.agent_id, found.user_id) == (there.agent_id, there.user_id)
        assert found.metadata == there.metadata
        assert list(found.metadata or {}) == list(there.metadata or {})
        older = 0 if message_limit is None else max(0, len(there.messages) - message_limit)
        assert [message.to_wire() for message in found.messages] == there.messages[older:]
        assert found.message_count == len(there.messages)
        if there.revision:
            assert found.revision == there.revision


@pytest.mark.parametrize("shard_count", [1, 3])
def test_store_matches_the_model_after_any_operations(real_redis: Redis, shard_count: int) -> None:
    class LifeOnTheServer(Life):
        redis = real_redis
        shards = shard_count

    run_state_machine_as_test(
        LifeOnTheServer,
        settings=settings(
            max_examples=150 if shard_count == 1 else 75,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
