from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Group, RenderableType
from rich.text import Text

from agent_conversations.management.commands._output import (
    add_json_argument,
    count,
    show,
    write_json,
)
from agent_conversations.management.commands._store_command import StoreCommand, printable
from agent_conversations.services import conversations
from agent_conversations.store.records import StoredConversation
from agent_conversations.types import AgentMessage
from sessions_store.errors import CorruptRecordError, InvalidRequestError
from sessions_store.wire import json_codec

STYLES = {"user": "cyan", "assistant": "green", "system": "yellow", "tool": "magenta"}
MOST_CHARACTERS = 2_000
"""Of one text; --json has all of it."""


class Command(StoreCommand):
    help = (
        "Shows a conversation and its newest messages; no access. Exits with 1 if there is none, "
        "or it cannot be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("conversation_id", metavar="ID")
        parser.add_argument(
            "--messages",
            type=count,
            metavar="COUNT",
            default=50,
            help="so many, the newest; 0: all (default: %(default)s)",
        )
        add_json_argument(parser, "one document, with all messages, as the API has it")

    def handle(self, *args: Any, **options: Any) -> None:
        conversation = find(options["conversation_id"])
        if options["json"]:
            write_json(self.stdout, conversation.to_json())
            return
        show(self.stdout, _head(conversation))
        messages = conversation.messages
        first = max(0, len(messages) - options["messages"]) if options["messages"] else 0
        if first:
            show(self.stdout, Text(f"… {first} older messages: --messages 0", style="dim"))
        for message in messages[first:]:
            show(self.stdout, drawn(message))


def find(conversation_id: str) -> StoredConversation:
    """Return a conversation; raise ``CommandError`` if it is not there, or cannot be read."""
    try:
        part = conversations().find_part(conversation_id)
    except (InvalidRequestError, CorruptRecordError) as error:
        raise CommandError(str(error)) from None
    if part is None:
        raise CommandError(f"There is no conversation {conversation_id}.")
    return part.conversation


def _head(conversation: StoredConversation) -> RenderableType:
    rows = {
        "agent": conversation.agent_id,
        "user": conversation.user_id,
        "created": conversation.created_at,
        "last accessed": conversation.last_accessed_at,
        "messages": conversation.message_count,
        "metadata": conversation.metadata_json and conversation.metadata_json.decode(),
    }
    lines = [Text(conversation.conversation_id, style="bold")]
    lines += [Text(f"  {name}: {_shortened(str(value))}") for name, value in rows.items() if value]
    return Group(*lines)


def drawn(message: AgentMessage) -> RenderableType:
    """Return a message as a terminal shows it."""
    head = Text.assemble(
        (f"{message.timestamp}  ", "dim"), (message.role, f"bold {STYLES[message.role]}")
    )
    for word in (message.tool_name, message.status, "interrupted" if message.interrupted else None):
        if word:
            head.append(f"  {printable(word)}", style="dim")
    lines = [head]
    arguments = message.tool_args and json_codec.encode(message.tool_args).decode()
    for label, text in (
        ("", message.content),
        ("generated: ", message.original_content),
        ("arguments: ", arguments),
        ("result: ", message.tool_output),
    ):
        if text:
            lines.append(Text(f"  {label}{_shortened(text)}"))
    return Group(*lines)


def _shortened(text: str) -> str:
    shown = "\n  ".join(printable(line) for line in text[:MOST_CHARACTERS].split("\n"))
    return shown if len(text) <= MOST_CHARACTERS else f"{shown} … ({len(text):,} characters)"
