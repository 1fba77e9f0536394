"""Viewers of conversations that are encrypted, and of their reencryption."""

from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet
from pytest_django.fixtures import Settings

from agent_conversations import services
from agent_conversations.store.encryption import PLAIN
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from tests.agent_conversations.live.viewers import Viewer


def said(content: str) -> AgentMessage:
    return AgentMessage(role="user", content=content)


@pytest.mark.usefixtures("encrypted_service")
def test_viewers_see_encrypted_conversations_and_nothing_of_a_reencryption(
    watch: Callable[..., Viewer], settings: Settings
) -> None:
    conversations = services.conversations()
    conversations.create(NewConversation(conversation_id="c-1", metadata={"a": 1}))
    conversations.put_message("c-1", "m-1", said("one"))
    whole = watch().wait_for_types("snapshot")
    delta = watch(mode="delta").wait_for_types("snapshot")

    conversations.append_message("c-1", said("two"))
    delta.wait_for_types("snapshot", "messages_added")
    conversations.put_message("c-1", "m-1", said("ONE"))
    delta.wait_for_types("snapshot", "messages_added", "message_updated")
    rotated = settings.CONVERSATION_ENCRYPTION_KEYS[::-1]
    repository = ConversationRepository(services.store(), encryption_keys=rotated)
    assert ConversationMaintenance(repository).reencrypt("c-1").count == 4
    conversations.update("c-1", ConversationChanges(metadata={"a": 2}))
    delta.wait_for_types("snapshot", "messages_added", "message_updated", "changed")
    whole.wait_for(lambda self: self.copy and self.copy["metadata"] == {"a": 2})

    resumed = watch(before=whole)
    conversations.append_message("c-1", said("three"))
    resumed.wait_for_types("messages_added")
    for viewer in (whole, delta, resumed):
        viewer.wait_for(lambda self: self.copy and self.copy["messageCount"] == 3)
        assert viewer.copy is not None
        assert [one["content"] for one in viewer.copy["messages"]] == ["ONE", "two", "three"]
        assert viewer.copy["metadata"] == {"a": 2}


@pytest.fixture(params=["real_service", "encrypted_service"])
def _service(request: pytest.FixtureRequest) -> None:
    """One without keys, and one with others than those of a conversation."""
    request.getfixturevalue(request.param)


@pytest.mark.parametrize("query", [{}, {"mode": "delta"}], ids=str)
@pytest.mark.usefixtures("_service")
def test_viewer_waits_for_what_can_be_decrypted(
    watch: Callable[..., Viewer], settings: Settings, query: dict[str, str]
) -> None:
    foreign = Fernet.generate_key().decode()
    theirs = ConversationRepository(services.store(), encryption_keys=[foreign])
    theirs.create(NewConversation(conversation_id="c-1", metadata={"a": 1}))
    theirs.append_message("c-1", said("one"))
    viewer = watch(**query).wait_for_types("error")
    theirs.append_message("c-1", said("two"))

    known = settings.CONVERSATION_ENCRYPTION_KEYS or [PLAIN]
    ours = ConversationRepository(services.store(), encryption_keys=[*known, foreign])
    ConversationMaintenance(ours).reencrypt("c-1")

    viewer.wait_for(lambda self: self.copy and self.copy["messageCount"] == 2)
    assert viewer.frames[0]["code"] == "corrupt_record"
    assert viewer.types == ["error", "snapshot"]
    assert "gAAAA" not in str(viewer.frames)
