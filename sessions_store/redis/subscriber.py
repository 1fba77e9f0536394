"""Messages of channels, received on a thread of its own that survives whatever Redis does."""

import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import redis

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient

SILENCE_SECONDS = 0.5
"""Without a message for this long, the subscriber sends itself one; without that one for as long
again, the connection is taken for dead: the server hangs, was replaced, or is no longer the one
that is written to."""

CONFIRM_SECONDS = 1.0
RETRY_SECONDS = 0.25

_logger = logging.getLogger(__name__)


class Subscriber:
    """Subscribes to channels, again after each interruption.

    Only its thread uses the connection; ``subscribe`` and ``unsubscribe`` wake it by a message on a
    channel of its own. The callbacks are called on that thread.

    Args:
        on_message: with a channel and what was published there.
        on_subscribed: with a channel whose messages come from now on: after ``subscribe``, and
            after each interruption, in which messages may have been lost.
        on_lost: no messages come. Not called where a new connection replaces the old one at once.
    """

    def __init__(
        self,
        store: StoreClient,
        *,
        on_message: Callable[[str, bytes], None],
        on_subscribed: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._store = store
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._on_lost = on_lost
        self._own_channel = f"elevenlabs:subscriber:{secrets.token_hex(8)}"
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._added: set[str] = set()
        self._removed: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self.is_connected = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def subscribe(self, channel: str) -> None:
        """Have the messages of a channel received; once more, to have it confirmed again.

        Raises:
            StoreUnavailableError: it will be subscribed to when Redis is back.
        """
        with self._lock:
            self._wanted.add(channel)
            self._added.add(channel)
            self._removed.discard(channel)
        self._wake()

    def unsubscribe(self, channel: str) -> None:
        """Have no more messages of a channel; some may be on their way still."""
        with self._lock:
            self._wanted.discard(channel)
            self._added.discard(channel)
            self._removed.add(channel)

    def _wake(self) -> None:
        self._store.call(
            lambda client: client.publish(self._own_channel, ""),
            operation="wake_subscriber",
            repeatable=True,
        )

    def _run(self) -> None:
        is_told = False
        while not self._stopped.is_set():
            try:
                self._listen()
            except (redis.RedisError, StoreUnavailableError, OSError) as error:
                if self.is_connected:
                    is_told = self.is_connected = False
                    continue  # at once: most often, another server has taken over
                if not is_told:
                    is_told = True
                    cause = getattr(error, "cause", type(error).__name__)
                    _logger.warning("No messages are received", extra={"cause": cause})
                    self._on_lost()
                self._stopped.wait(RETRY_SECONDS)

    def _listen(self) -> None:
        make_connection: Callable[[redis.Redis], Any] = redis.Redis.pubsub
        with closing(self._store.bare(make_connection)) as connection:
            with self._lock:
                channels = [*self._wanted]
                self._added.clear()
                self._removed.clear()
            connection.subscribe(self._own_channel, *channels)
            is_quiet = False
            while not self._stopped.is_set():
                wait_seconds = SILENCE_SECONDS if self.is_connected else CONFIRM_SECONDS
                message = connection.get_message(timeout=wait_seconds)
                if message is not None:
                    is_quiet = False
                    self._handle(connection, message)
                elif is_quiet or not self.is_connected:
                    raise redis.TimeoutError
                else:
                    is_quiet = True
                    self._wake()

    def _handle(self, connection: Any, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        is_message = message["type"] == "message"
        if channel == self._own_channel:
            self.is_connected = True
            self._change_subscriptions(connection)
        elif is_message:
            self._on_message(channel, message["data"])
        elif message["type"] == "subscribe":
            self._on_subscribed(channel)

    def _change_subscriptions(self, connection: Any) -> None:
        with self._lock:
            added, removed = [*self._added], [*self._removed]
            self._added.clear()
            self._removed.clear()
        if removed:
            connection.unsubscribe(*removed)
        if added:
            connection.subscribe(*added)
