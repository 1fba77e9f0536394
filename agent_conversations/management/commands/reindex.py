import sys
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import pluralize

from agent_conversations.management.commands._output import say
from agent_conversations.management.commands._store_command import StoreCommand, progress
from agent_conversations.services import conversations, maintenance


class Command(StoreCommand):
    help = (
        "Rebuilds the list of conversations from their records, while the service runs. Also sets "
        "every record's expiry: run it after a change of CONVERSATION_RETENTION_SECONDS or of "
        "INDEX_SHARDS. Exits with 1 if a record stays unreadable, and so is not in the list."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--repair",
            action="store_true",
            help="where a conversation has lost messages or their ids, make what is left readable",
        )

        parser.add_argument(
            "--prepare",
            action="store_true",
            help="leave the list with another number of INDEX_SHARDS as it is, because the service "
            "is not started with this one yet",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("Conversations", conversations().list(limit=1).total) as advance:
            result = maintenance().reindex(
                advance, repair=options["repair"], keep_other_shards=options["prepare"]
            )
        for conversation_id, reason in result.repaired.items():
            say(self.stdout, f"repaired: conversation {conversation_id}, which {reason}")
        say(
            self.stdout,
            f"{result.listed} listed, {result.orphans} "
            f"entr{pluralize(result.orphans, 'y,ies')} without a record removed, "
            f"{len(result.unreadable)} unreadable.",
        )
        if result.unreadable:
            say(
                self.stdout,
                "Run manage.py find_corrupt for the reasons; --repair mends what can be mended.",
            )
            sys.exit(1)
