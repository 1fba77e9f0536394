import sys
from typing import Any

from agent_conversations.management.commands._output import say
from agent_conversations.management.commands._store_command import (
    StoreCommand,
    printable,
    progress,
)
from agent_conversations.services import conversations, maintenance, sessions
from agent_conversations.store.maintenance import find_corrupt


class Command(StoreCommand):
    help = "Lists conversations and sessions that cannot be read; exits with 1 if there are any."

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("Records", conversations().list(limit=1).total) as advance:
            found = list(find_corrupt(maintenance(), sessions(), advance))
        for record in found:
            say(self.stdout, f"{record.kind} {printable(record.record_id)}: {record.reason}")
        say(self.stdout, f"{len(found)} unreadable.")
        if found:
            sys.exit(1)
