from collections.abc import Iterator
from math import inf
from typing import Any, get_args

from django.core.management.base import CommandParser

from agent_conversations.management.commands._options import count, list_query
from agent_conversations.management.commands._output import (
    add_json_argument,
    say,
    write_json,
    write_table,
)
from agent_conversations.management.commands._store_command import StoreCommand
from agent_conversations.services import conversations
from agent_conversations.store.records import StoredConversation, decode_message
from agent_conversations.types import ConversationListQuery, SortBy, SortOrder
from sessions_store.errors import CorruptRecordError

PAGE = 200
COLUMNS = ("conversation", "agent", "user", "messages", "created", "last accessed")


class Command(StoreCommand):
    help = (
        "Lists conversations: the newest first, or those of an agent, a user, a time, with some "
        "words in their messages. Listing is no access. In a pipe: a line each, with tabs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--agent", metavar="ID", help="only this agentId")
        parser.add_argument("--user", metavar="ID", help="only this userId")
        parser.add_argument(
            "--from", metavar="VALUE", help="lowest value of --sort: a time, or a count"
        )
        parser.add_argument("--to", metavar="VALUE", help="highest value of --sort")
        parser.add_argument(
            "--min-messages", type=count, metavar="COUNT", help="only with so many, or more"
        )
        parser.add_argument(
            "--max-messages", type=count, metavar="COUNT", help="only with so many, or fewer"
        )
        parser.add_argument(
            "--text",
            metavar="WORDS",
            help="only with these words in a message, in capitals or not; reads every message of "
            "what the other options leave, one conversation after the other",
        )
        parser.add_argument(
            "--sort",
            choices=get_args(SortBy),
            default="lastAccessedAt",
            help="by what (default: %(default)s)",
        )
        parser.add_argument(
            "--order",
            choices=get_args(SortOrder),
            default="desc",
            help="the highest first, or the lowest (default: %(default)s)",
        )
        parser.add_argument(
            "--limit",
            type=count,
            metavar="COUNT",
            default=20,
            help="at most so many; 0: all (default: %(default)s)",
        )
        add_json_argument(parser, "a conversation a line, without its messages")

    def handle(self, *args: Any, **options: Any) -> None:
        query = list_query(options)
        found = _limited(_matching(query, options), options["limit"])
        if options["json"]:
            for conversation in found:
                write_json(self.stdout, conversation.fields_to_json())
            return
        shown = write_table(
            self.stdout,
            COLUMNS,
            (
                (
                    one.conversation_id,
                    one.agent_id,
                    one.user_id,
                    one.message_count,
                    one.created_at,
                    one.last_accessed_at,
                )
                for one in found
            ),
        )
        if self.stdout.isatty():
            is_cut = 0 < options["limit"] == shown
            say(self.stdout, f"{shown} shown{', there may be more: --limit 0' if is_cut else '.'}")


def _matching(
    query: ConversationListQuery, options: dict[str, Any]
) -> Iterator[StoredConversation]:
    least, words = options["min_messages"] or 0, options["text"]
    most = inf if options["max_messages"] is None else options["max_messages"]
    cursor: str | None = None
    while True:
        page = conversations().list(
            limit=PAGE,
            cursor=cursor,
            message_limit=0,
            sort_by=query.sort_by,
            sort_order=query.sort_order,
            agent_id=query.agent_id,
            user_id=query.user_id,
            lowest=query.lowest,
            highest=query.highest,
        )
        for conversation in page.conversations:
            if least <= conversation.message_count <= most and (
                words is None or _has_words(conversation.conversation_id, words.casefold())
            ):
                yield conversation
        cursor = page.next
        if cursor is None:
            return


def _has_words(conversation_id: str, words: str) -> bool:
    try:
        part = conversations().find_part(conversation_id)
        for raw in part.conversation.messages_json if part else ():
            message = decode_message(conversation_id, raw)
            for text in (message.content, message.original_content, message.tool_output):
                if text is not None and words in text.casefold():
                    return True
    except CorruptRecordError:
        pass  # find_corrupt lists it
    return False


def _limited(found: Iterator[StoredConversation], limit: int) -> Iterator[StoredConversation]:
    for number, conversation in enumerate(found, start=1):
        yield conversation
        if number == limit:
            return
