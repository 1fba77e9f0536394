"""Which command is sent again after a failure, and for how long.

Retries are explicit, because redis-py's own defaults (5 s, ten retries, timeouts included) stall a
request for a minute and repeat a write whose reply was only slow. Here a command is sent again at
most once, on a new connection: if it is known to have written nothing, or if the connection broke
and its caller says that it is ``repeatable``. Only a server that has no connection for us, and a
cluster where a slot is on its way, are asked until the request's time is over.
docs/decisions/0003-timeouts-and-retries.md has the figures.
"""

import time

import redis
from redis.exceptions import TryAgainError

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import deadline, failures
from sessions_store.redis.deployment import Deployment
from sessions_store.redis.node import Node

PAUSE_SECONDS = 0.02
"""The pause before a server is asked again that had no connection for us, or, in a cluster, while a
slot is on its way."""


class Attempts:
    """The attempts of one command, from its first failure on.

    Args:
        repeatable: see ``StoreClient.call``.
    """

    def __init__(self, servers: Deployment, *, repeatable: bool) -> None:
        self._servers = servers
        self._repeatable = repeatable
        self._failed_before = False
        # Without a request whose clock runs, as much time as a request has.
        self._until = time.monotonic() + deadline.seconds_left()

    def follow(self, node: Node, error: redis.RedisError) -> tuple[Node | None, float]:
        """Return what follows an attempt that failed: another node, if one was named, and a pause.

        Raises:
            StoreUnavailableError: nothing does.
        """
        failed_before, self._failed_before = self._failed_before, True
        other = self._servers.redirect(node, error)
        if other or isinstance(error, TryAgainError):
            self._go_on_until_late(error)
            return other, PAUSE_SECONDS if failed_before or not other else 0
        if failures.is_full(error, failed_before=failed_before):
            self._go_on_until_late(error)
            node.leave_connections()
            return None, PAUSE_SECONDS
        self._servers.has_failed(error)
        if failed_before or not failures.may_be_sent_again(error, self._repeatable):
            raise StoreUnavailableError(failures.cause(error)) from None
        node.give_up_connections()
        return None, 0

    def _go_on_until_late(self, error: redis.RedisError) -> None:
        if time.monotonic() >= self._until:
            raise StoreUnavailableError(failures.cause(error)) from None
