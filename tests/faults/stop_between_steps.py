"""Processes that do one thing to a conversation and end, at once, before one of its steps.

    python -m tests.faults.stop_between_steps <redis url>

reads lines of an operation, a tab and a step (a round trip to Redis, counted from 1), has a process
of its own do each, and writes that process's exit status: ``STOPPED``, or 0 where the
operation has fewer steps and was done.
"""

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from redis import Redis

from agent_conversations.store.repository import ConversationRepository
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.redis.client import StoreClient
from sessions_store.redis.connections import connection_options

STOPPED = 9
NAME = "talk"
KEY = "idempotency-key-of-the-client"
MESSAGE = AgentMessage(role="user", content="words", message_id="message-1")

T = TypeVar("T")

OPERATIONS: Mapping[str, Callable[[ConversationRepository], object]] = {
    "create": lambda repository: repository.create(NewConversation(conversation_id=NAME)),
    "create with an Idempotency-Key": lambda repository: repository.create(idempotency_key=KEY),
    "append": lambda repository: repository.append_message(NAME, MESSAGE),
    "update": lambda repository: repository.update(
        NAME, ConversationChanges.parse({"agentId": "changed"})
    ),
    "read": lambda repository: repository.get(NAME),
    "delete": lambda repository: repository.delete(NAME),
}


class StoppingStore(StoreClient):
    """Ends the process instead of taking the ``stop_at``-th round trip."""

    stop_at = 0
    steps = 0

    def call(self, command: "Callable[[Redis], T]", **options: Any) -> T:
        self.steps += 1
        if self.steps == self.stop_at:
            os._exit(STOPPED)
        return super().call(command, **options)


def run(url: str, operation: str, step: int) -> None:
    store = StoppingStore(Redis.from_url(url, **connection_options()))
    store.stop_at = step
    # As on a Redis Cluster, where the index is in another slot than the conversation.
    OPERATIONS[operation](ConversationRepository(store, index_in_same_step=False))


def main() -> None:
    (url,) = sys.argv[1:]
    for line in sys.stdin:
        operation, step = line.rstrip("\n").split("\t")
        # Forked, because a process that has to import everything anew takes longer than its work.
        child = os.fork()
        if child == 0:
            try:
                run(url, operation, int(step))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  # read by the starter


if __name__ == "__main__":
    main()
