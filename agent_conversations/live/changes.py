"""What is published of a change, and what it takes to bring a viewer up to date."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Self

from agent_conversations.frames import (
    ChangedFrame,
    CreatedFrame,
    MessagesAddedFrame,
    MessageUpdatedFrame,
    Reason,
    SnapshotFrame,
    UpdatedFrame,
)
from agent_conversations.store.records import epoch
from agent_conversations.store.results import ConversationPart
from agent_conversations.types import AgentConversationWithoutMessages, AgentMessage
from sessions_store.wire.model import Encoded, WireModel


class Version(NamedTuple):
    """A state of a conversation: what a viewer has, or what is stored."""

    revision: str
    message_count: int

    def leads_by_appending_to(self, other: Self) -> bool:
        """Of as many messages, one was lost by the server, and another took its place."""
        is_same_epoch = epoch(self.revision) == epoch(other.revision)
        return is_same_epoch and self.message_count < other.message_count


@dataclass(frozen=True)
class Change:
    """A notification, as ``lua/includes/publish_change.lua`` writes it.

    ``before`` is the revision that was changed, ``position`` that of a message that was replaced.
    """

    kind: str
    before: str
    revision: str
    message_count: int
    position: int | None

    @classmethod
    def parse(cls, published: bytes) -> Self | None:
        """Return the change; ``None`` for what another release publishes."""
        try:
            kind, before, revision, count, position = published.decode("ascii").split(" ")
            return cls(kind, before, revision, int(count), int(position) if position else None)
        except ValueError:
            return None


class NotInPartError(Exception):
    """What was read of the conversation does not bring this viewer up to date: all is needed."""


@dataclass(frozen=True)
class Outcome:
    """What was read of a conversation, and the notifications that came since the last time."""

    part: ConversationPart
    changes: Sequence[Change]

    @property
    def version(self) -> Version:
        conversation = self.part.conversation
        return Version(conversation.revision, conversation.message_count)

    def frames(
        self, known: Version | None, *, delta: bool, waited: bool, resumes: bool
    ) -> Sequence[WireModel]:
        """Return what brings a viewer from ``known`` to this version; nothing if it has it.

        Args:
            known: ``None`` for a viewer that needs the whole conversation.
            delta: whether it takes parts of a conversation.
            waited: whether it was told that there is no such conversation.
            resumes: whether it came back, and was sent nothing since: it gets the messages that it
                lacks, or a snapshot.

        Raises:
            NotInPartError: the whole conversation is needed, and was not read.
        """
        if known == self.version:
            return ()
        if known is None or not delta:
            return (self._whole(known, waited=waited),)
        path = self._path_from(known, () if resumes else self.changes)
        return (self._whole(None, waited=False),) if path is None else self._steps(known, path)

    def _whole(self, known: Version | None, *, waited: bool) -> WireModel:
        if self.part.first > 0:
            raise NotInPartError
        conversation = self.part.conversation
        fields: dict[str, Any] = {
            "conversation_id": conversation.conversation_id,
            "conversation": Encoded(conversation.to_json()),
            "revision": conversation.revision,
        }
        if known is not None:
            return UpdatedFrame(**fields, reason=self._last_reason(known))
        return CreatedFrame(**fields) if waited else SnapshotFrame(**fields)

    def _last_reason(self, known: Version) -> Reason:
        for change in reversed(self.changes):
            if change.revision == self.version.revision and change.kind in _REASONS:
                return _REASONS[change.kind]
        return "message_added" if known.leads_by_appending_to(self.version) else "updated"

    def _path_from(self, known: Version, changes: Sequence[Change]) -> Sequence[Change] | None:
        """Return those of the changes that lead to this version, ``None`` if one is unknown.

        Appended messages need none: they are those after the ones that are known.
        """
        if known.leads_by_appending_to(self.version):
            return ()
        by_revision_before = {change.before: change for change in changes}
        path: list[Change] = []
        revision = known.revision
        while revision != self.version.revision:
            change = by_revision_before.pop(revision, None)
            if change is None or change.kind not in _REASONS:
                return None
            path.append(change)
            revision = change.revision
        return path if known.message_count <= self.version.message_count else None

    def _steps(self, known: Version, path: Sequence[Change]) -> Sequence[WireModel]:
        replaced = {change.position for change in path if change.position is not None}
        steps: list[Callable[..., WireModel]] = [
            partial(MessageUpdatedFrame, message=Encoded(self._message(position)), index=position)
            for position in sorted(replaced)
            if position < known.message_count
        ]
        if any(change.kind == "updated" for change in path):
            fields = self.part.conversation.fields_to_json()
            conversation = Encoded[AgentConversationWithoutMessages](fields)
            steps.append(partial(ChangedFrame, conversation=conversation))
        if known.message_count < self.version.message_count or not steps:
            added = b",".join(self._messages_from(known.message_count))
            count = self.version.message_count
            messages = Encoded[list[AgentMessage]](b"[" + added + b"]")
            steps.append(partial(MessagesAddedFrame, messages=messages, message_count=count))
        # The last one completes them: a viewer that missed it comes back with the old revision.
        revisions = [*[known.revision] * (len(steps) - 1), self.version.revision]
        conversation_id = self.part.conversation.conversation_id
        return [
            step(conversation_id=conversation_id, revision=revision)
            for step, revision in zip(steps, revisions, strict=True)
        ]

    def _messages_from(self, position: int) -> Sequence[bytes]:
        if position < self.part.first:
            raise NotInPartError
        return self.part.conversation.messages_json[position - self.part.first :]

    def _message(self, position: int) -> bytes:
        if position in self.part.single:
            return self.part.single[position]
        return self._messages_from(position)[0]


_REASONS: Mapping[str, Reason] = {
    "message_added": "message_added",
    "message_updated": "message_updated",
    "updated": "updated",
}
