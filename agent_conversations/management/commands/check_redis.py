import sys
from typing import Any

from agent_conversations.management.commands._output import say
from agent_conversations.management.commands._store_command import StoreCommand
from agent_conversations.services import server_problems
from sessions_store.redis.server_checks import UNKNOWN


class Command(StoreCommand):
    help = "Checks the Redis server for problems, such as eviction; exits with 1 if it has any."

    def handle(self, *args: Any, **options: Any) -> None:
        problems = server_problems()
        for problem in problems:
            say(self.stdout, f"{problem.code}: {problem.message}")
        if any(problem.code != UNKNOWN for problem in problems):
            sys.exit(1)
        say(self.stdout, f"The Redis server has no {'known ' if problems else ''}problems.")
