from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import pluralize
from rich.console import Group, RenderableType
from rich.text import Text

from agent_conversations.management.commands._conversation import drawn, find, indented, shortened
from agent_conversations.management.commands._options import count
from agent_conversations.management.commands._output import (
    add_json_argument,
    show,
    write_json,
)
from agent_conversations.management.commands._store_command import StoreCommand
from agent_conversations.store.records import StoredConversation


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
            show(
                self.stdout,
                Text(f"… {first} older message{pluralize(first)}: --messages 0", style="dim"),
            )
        for message in messages[first:]:
            show(self.stdout, drawn(message))


def _head(conversation: StoredConversation) -> RenderableType:
    rows = {
        "agent": conversation.agent_id,
        "user": conversation.user_id,
        "created": conversation.created_at,
        "last accessed": conversation.last_accessed_at,
        "messages": conversation.message_count,
        "metadata": conversation.metadata_json and conversation.metadata_json.decode(),
    }
    facts = (indented(f"{name}: {shortened(str(value))}") for name, value in rows.items() if value)
    return Group(Text(conversation.conversation_id, style="bold", overflow="fold"), *facts)
