"""What the repository returns, where it is more than a ``StoredConversation``."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_conversations.store.records import StoredConversation, decode_message
from agent_conversations.types import AgentMessage


@dataclass(frozen=True)
class Created:
    """``replayed``: an earlier request with the same handle created the conversation."""

    conversation: StoredConversation
    replayed: bool


@dataclass(frozen=True)
class Appended:
    """``replayed``: an earlier request with the same message id appended the message."""

    message_id: str
    message_count: int
    replayed: bool


@dataclass(frozen=True)
class StoredMessage:
    """A message as it is stored. ``tag`` changes with its content: the ETag."""

    conversation_id: str
    message_json: bytes

    @property
    def message(self) -> AgentMessage:
        return decode_message(self.conversation_id, self.message_json)

    @property
    def tag(self) -> str:
        # put_message.lua computes it too.
        return hashlib.sha1(self.message_json, usedforsecurity=False).hexdigest()[:16]


@dataclass(frozen=True)
class PutMessage(StoredMessage):
    """``appended``: no message had the id. ``replayed``: the one that is stored stays as it is."""

    appended: bool
    replayed: bool = False


@dataclass(frozen=True)
class ConversationPage:
    """Conversations with their newest messages; ``next`` is the cursor of the following page.

    ``total`` counts all conversations that were asked for, ``offset`` those before the page.
    """

    conversations: Sequence[StoredConversation]
    total: int
    offset: int
    next: str | None


@dataclass(frozen=True)
class MessagePage:
    """Encoded messages in the order asked for; ``next`` is the cursor of the following page."""

    conversation_id: str
    messages_json: Sequence[bytes]
    total: int
    next: str | None

    @property
    def messages(self) -> Sequence[AgentMessage]:
        return [decode_message(self.conversation_id, raw) for raw in self.messages_json]


@dataclass(frozen=True)
class ConversationPart:
    """A conversation with its messages from ``first`` on, and single ones by their position."""

    conversation: StoredConversation
    first: int
    single: Mapping[int, bytes]
