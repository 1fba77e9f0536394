"""How commands find one conversation, and draw what was said in it."""

from django.core.management.base import CommandError
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from agent_conversations.management.commands._options import refused
from agent_conversations.management.commands._output import INDENT
from agent_conversations.management.commands._store_command import printable
from agent_conversations.services import conversations
from agent_conversations.store.records import StoredConversation
from agent_conversations.types import AgentMessage
from sessions_store.errors import CorruptRecordError, InvalidRequestError
from sessions_store.wire import json_codec

STYLES = {"user": "cyan", "assistant": "green", "system": "yellow", "tool": "magenta"}
MOST_CHARACTERS = 2_000
"""Of one text; --json has all of it."""
JOINERS = "\u200c\u200d"
"""Without these, a family's emoji are its members, and Persian and Hindi are misspelled."""


def find(conversation_id: str) -> StoredConversation:
    """Return a conversation; raise ``CommandError`` if it is not there, or cannot be read."""
    try:
        part = conversations().find_part(conversation_id)
    except InvalidRequestError as error:
        raise refused("ID", conversation_id, error) from None
    except CorruptRecordError as error:
        raise CommandError(str(error)) from None
    if part is None:
        raise CommandError(f"There is no conversation {conversation_id}.")
    return part.conversation


def drawn(message: AgentMessage) -> RenderableType:
    """Return a message as a terminal shows it."""
    head = Text.assemble(
        (f"{message.timestamp}  ", "dim"), (message.role, f"bold {STYLES[message.role]}")
    )
    for word in (message.tool_name, message.status, "interrupted" if message.interrupted else None):
        if word:
            head.append(f"  {printable(word)}", style="dim")
    lines: list[RenderableType] = [head]
    arguments = message.tool_args and json_codec.encode(message.tool_args).decode()
    for label, text in (
        ("", message.content),
        ("generated: ", message.original_content),
        ("arguments: ", arguments),
        ("result: ", message.tool_output),
    ):
        if text:
            lines.append(indented(f"{label}{shortened(text)}"))
    return Group(*lines)


def indented(text: str) -> RenderableType:
    """Return text that belongs to the line above it, its own lines broken under one another."""
    return Padding(Text(text, overflow="fold"), (0, 0, 0, INDENT), expand=False)


def shortened(text: str) -> str:
    """Return the beginning of a long text, as a terminal may show it."""
    shown = printable(text[:MOST_CHARACTERS], and_also="\n" + JOINERS)
    return shown if len(text) <= MOST_CHARACTERS else f"{shown} … ({len(text):,} characters)"
