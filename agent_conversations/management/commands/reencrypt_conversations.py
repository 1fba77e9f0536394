import sys
from typing import Any

from django.core.management.base import CommandError
from django.template.defaultfilters import pluralize

from agent_conversations.management.commands._output import say
from agent_conversations.management.commands._store_command import (
    StoreCommand,
    printable,
    progress,
)
from agent_conversations.services import conversations, maintenance


class Command(StoreCommand):
    help = (
        "Rewrites what is not encrypted with the first of CONVERSATION_ENCRYPTION_KEYS, while the "
        "service runs: what is plain, and what another key has encrypted. With plain in place of "
        "the first key, it decrypts. Viewers notice nothing. Exits with 1 if anything is left; "
        "safe to repeat."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not maintenance().has_keys:
            raise CommandError("CONVERSATION_ENCRYPTION_KEYS must have a key.")
        with progress("Conversations", conversations().list(limit=1).total) as advance:
            result = maintenance().reencrypt_all(advance)
        for conversation_id, reason in result.left.items():
            say(self.stdout, f"left: conversation {printable(conversation_id)}, which {reason}")
        say(
            self.stdout,
            f"{result.rewritten} rewritten (messages and fields), in {result.conversations} "
            f"conversation{pluralize(result.conversations)}; {len(result.left)} left.",
        )
        if result.left:
            sys.exit(1)
