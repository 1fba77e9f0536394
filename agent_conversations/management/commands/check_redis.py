import sys
from typing import Any

from agent_conversations.management.commands._store_command import StoreCommand
from agent_conversations.services import server_problems


class Command(StoreCommand):
    help = "Tells whether the Redis server is fit to keep conversations; exits with 1 if not."

    def handle(self, *args: Any, **options: Any) -> None:
        found = server_problems()
        for one in found:
            self.stdout.write(f"{one.code}: {one.message}")
        if found:
            sys.exit(1)
        self.stdout.write("The Redis server is fit to keep conversations.")
