"""How conversations are stored, and whose: what the parts of the repository share."""

from dataclasses import dataclass, replace
from typing import Self

from agent_conversations.errors import OtherUserError
from agent_conversations.store.encryption import Codec
from agent_conversations.store.index import ConversationIndex
from agent_conversations.store.reader import ConversationReader
from agent_conversations.store.scripts import ConversationScripts
from sessions_store.redis.client import StoreClient


@dataclass(frozen=True)
class ConversationStorage:
    """Made by ``ConversationRepository``, whose arguments say more; its parts are given all of it.

    Of one user (``user_id``), ``scripts`` and ``reader``, but for its ``find``, reach that user's
    conversations alone; ``store`` and ``index`` are of all.
    """

    store: StoreClient
    index: ConversationIndex
    codec: Codec
    scripts: ConversationScripts
    reader: ConversationReader
    max_messages: int
    max_bytes: int
    user_id: str | None = None

    def of_user(self, user_id: str) -> Self:
        """Return the same for one user, to whom others' conversations are missing."""
        scripts = self.scripts.of_user(user_id)
        reader = self.reader.of_user(user_id, scripts)
        return replace(self, scripts=scripts, reader=reader, user_id=user_id)

    def own_user_id(self, user_id: str | None) -> str | None:
        """Return the one user in place of none; others are an ``OtherUserError``."""
        if self.user_id is None:
            return user_id
        if user_id not in (None, self.user_id):
            raise OtherUserError
        return self.user_id
