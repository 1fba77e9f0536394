from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from agent_conversations.management.commands._output import (
    add_json_argument,
    say,
    write_json,
    write_table,
)
from agent_conversations.management.commands._store_command import StoreCommand
from agent_conversations.services import sessions
from sessions_store.errors import CorruptRecordError, InvalidRequestError
from sessions_store.types import AgentSessionStatus
from sessions_store.wire.clock import now_ms

COLUMNS = ("conversation", "session", "transport", "registered", "seconds left")


class Command(StoreCommand):
    help = (
        "Lists the sessions that are registered, and how long each still lives; looking at one "
        "does not extend it. URLs and payloads are not shown."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_json_argument(parser, "a session a line, as the API has it")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"]:
            for status in _statuses():
                write_json(self.stdout, status.to_wire())
            return
        rows = (
            (
                one.conversation_id,
                one.session_id,
                one.transport,
                one.created_at,
                one.expires_in_seconds,
            )
            for one in _statuses()
        )
        shown = write_table(self.stdout, COLUMNS, rows)
        if self.stdout.isatty():
            say(self.stdout, f"{shown} registered.")


def _statuses() -> Iterator[AgentSessionStatus]:
    seen: set[str] = set()
    for batch in sessions().scan_ids():
        for conversation_id in batch:
            if conversation_id in seen:
                continue
            seen.add(conversation_id)
            try:
                session = sessions().get(conversation_id)
            except (CorruptRecordError, InvalidRequestError):
                continue  # find_corrupt lists it
            if session is not None:
                yield AgentSessionStatus.of(conversation_id, session, now_ms())
