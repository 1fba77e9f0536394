import sys
from typing import Any

from agent_conversations.management.commands._store_command import StoreCommand
from agent_conversations.services import server_problems


class Command(StoreCommand):
    help = "Checks the Redis server for problems, such as eviction; exits with 1 if it has any."

    def handle(self, *args: Any, **options: Any) -> None:
        problems = server_problems()
        for problem in problems:
            self.stdout.write(f"{problem.code}: {problem.message}")
        if problems:
            sys.exit(1)
        self.stdout.write("The Redis server has no problems.")
