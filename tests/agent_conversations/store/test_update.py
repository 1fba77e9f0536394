"""Changing a conversation's fields, and its revision."""

import threading
from collections.abc import Callable

import pytest
from time_machine import Traveller

from agent_conversations.errors import PreconditionFailedError
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import ConversationChanges
from tests.agent_conversations.store.records import contents, new, said
from tests.agent_conversations.store.threads import run_together


def test_update_changes_only_the_given_fields(
    conversations: ConversationRepository,
) -> None:
    conversations.create(new("mine", agent_id="a", metadata={"k": 1}))
    conversations.append_message("mine", said())

    changed = conversations.update("mine", ConversationChanges(agent_id="b"))
    assert (changed.agent_id, changed.metadata) == ("b", {"k": 1})
    changed = conversations.update("mine", ConversationChanges(metadata={"other": []}))
    assert (changed.agent_id, changed.metadata) == ("b", {"other": []})
    changed = conversations.update("mine", ConversationChanges(agent_id=None))
    assert (changed.agent_id, changed.metadata) == (None, {"other": []})
    changed = conversations.update("mine", ConversationChanges(agent_id="c", metadata=None))
    assert (changed.agent_id, changed.metadata) == ("c", None)

    found = conversations.get("mine")
    assert (found.agent_id, found.metadata, contents(found)) == ("c", None, ["Hello"])
    assert found.created_at_ms == changed.created_at_ms


def test_every_change_of_content_changes_the_revision(
    conversations: ConversationRepository,
) -> None:
    revisions = [conversations.create(new("mine")).conversation.revision]
    changes: list[Callable[[], object]] = [
        lambda: conversations.append_message("mine", said("a", messageId="m1")),
        lambda: conversations.update("mine", ConversationChanges(agent_id="b")),
        lambda: conversations.append_message("mine", said("b")),
        lambda: conversations.update("mine", ConversationChanges(agent_id=None)),
    ]
    for change in changes:
        change()
        revisions.append(conversations.get("mine").revision)

    assert len(set(revisions)) == len(revisions)


def test_reads_and_repetitions_keep_the_revision(
    conversations: ConversationRepository, clock: Traveller
) -> None:
    conversations.create(new("mine"))
    conversations.append_message("mine", said(messageId="m1"))
    before = conversations.get("mine").revision
    clock.shift(1)

    conversations.list()
    conversations.list_messages("mine")
    conversations.append_message("mine", said(messageId="m1"))

    assert conversations.create(new("mine")).conversation.revision == before
    assert conversations.get("mine").revision == before


def test_update_with_the_current_revision_succeeds(
    conversations: ConversationRepository,
) -> None:
    revision = conversations.create(new("mine")).conversation.revision

    changed = conversations.update(
        "mine", ConversationChanges(agent_id="b"), if_revision=["0" * 16, revision]
    )

    assert changed.agent_id == "b"
    assert changed.revision != revision


@pytest.mark.parametrize("kind", ["older", "none", "unknown", "part", "longer", "empty", "star"])
def test_update_with_another_revision_changes_nothing(
    conversations: ConversationRepository, kind: str
) -> None:
    older = conversations.create(new("mine", agent_id="a")).conversation.revision
    conversations.append_message("mine", said())
    before = conversations.get("mine")
    wanted = {
        "older": [older],
        "none": [],
        "unknown": ["0" * 16],
        "part": [before.revision[:8]],
        "longer": [f"0{before.revision}", f"{before.revision}0"],
        "empty": [""],
        "star": ["**"],
    }[kind]

    with pytest.raises(PreconditionFailedError):
        conversations.update("mine", ConversationChanges(agent_id="b"), if_revision=wanted)

    found = conversations.get("mine")
    assert (found.agent_id, found.revision) == ("a", before.revision)


def test_only_one_of_concurrent_updates_of_a_revision_succeeds(
    real_conversations: ConversationRepository,
) -> None:
    revision = real_conversations.create(new("mine")).conversation.revision
    outcomes = []

    def change() -> None:
        agent_id = str(threading.get_ident())
        try:
            changed = real_conversations.update(
                "mine", ConversationChanges(agent_id=agent_id), if_revision=[revision]
            )
            outcomes.append(changed.agent_id)
        except PreconditionFailedError:
            outcomes.append(None)

    run_together(*[change] * 8)

    (winner,) = [one for one in outcomes if one]
    assert real_conversations.get("mine").agent_id == winner
