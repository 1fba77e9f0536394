"""Messages of channels, received on threads of their own that survive whatever Redis does."""

import logging
import secrets
import threading
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from typing import Any

import redis
from redis.crc import key_slot
from redis.exceptions import MovedError

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.attempts import PAUSE_SECONDS
from sessions_store.redis.client import StoreClient
from sessions_store.redis.node import Node

SILENCE_SECONDS = 0.5
"""Without a message for this long, the subscriber sends itself one; without that one for as long
again, the connection is taken for dead: the server hangs, was replaced, or is no longer the one
that is written to."""

CONFIRM_SECONDS = 1.0
RETRY_SECONDS = 0.25

_logger = logging.getLogger(__name__)


class Subscriber:
    """Subscribes to channels, again after each interruption.

    On a cluster a channel is in a slot, as a key is: it is subscribed to at the node that has the
    slot, and anew at the next one that has it. Elsewhere one connection has all channels. The
    callbacks are called on the threads of the connections.

    Args:
        on_message: with a channel and what was published there, by ``store.publish_command``.
        on_subscribed: with a channel whose messages come from now on: after ``subscribe``, and
            after each interruption, in which messages may have been lost.
        on_lost: with the channels whose messages do not come. Not called where a new connection
            replaces the old one at once.
    """

    def __init__(
        self,
        store: StoreClient,
        *,
        on_message: Callable[[str, bytes], None],
        on_subscribed: Callable[[str], None],
        on_lost: Callable[[Collection[str]], None],
    ) -> None:
        self.store = store
        self.on_message = on_message
        self.on_subscribed = on_subscribed
        self.on_lost = on_lost
        self.is_sharded = store.is_cluster
        """Until a node replies that it knows no such channels (before Redis 7)."""
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self._links: dict[Node | None, _Link] = {}
        if not store.is_cluster:
            self._links[None] = _Link(self, None)

    @property
    def is_connected(self) -> bool:
        """Whether the messages of all channels come."""
        with self.lock:
            return all(link.is_connected for link in self._links.values())

    def start(self) -> None:
        for link in self._links.values():
            link.thread.start()

    def stop(self) -> None:
        self.stopped.set()
        with self.lock:
            links = [*self._links.values()]
        for link in links:
            link.thread.join()

    def subscribe(self, channel: str) -> None:
        """Have the messages of a channel received; once more, to have it confirmed again.

        Raises:
            StoreUnavailableError: it will be subscribed to when Redis is back, unless no node of a
                cluster is known to have its slot.
        """
        self._place(channel).wake()

    def _place(self, channel: str) -> "_Link":
        """Give a channel to the connection to its node, which has to be woken then."""
        node = self.store.node_of(channel) if self.store.is_cluster else None
        with self.lock:
            link = self._links.get(node)
            if link is None:
                link = self._links[node] = _Link(self, node, channel)
                link.thread.start()
            for one in self._links.values():
                if one is not link:
                    one.drop(channel)
            link.wanted.add(channel)
            link.added.add(channel)
            link.removed.discard(channel)
            return link

    def unsubscribe(self, channel: str) -> None:
        """Have no more messages of a channel; some may be on their way still."""
        with self.lock:
            for link in self._links.values():
                link.drop(channel)

    def place_again(self, link: "_Link", channels: Collection[str]) -> None:
        """Give channels of a connection to the nodes that have their slots by now.

        Raises:
            StoreUnavailableError: their nodes were not reached; those that are left stay.
        """
        self.store.exist([*channels])  # who has a slot is learned from a node that has it not
        # Those that were unsubscribed from meanwhile are wanted no more.
        others = {self._place(channel) for channel in channels if channel in link.wanted} - {link}
        with self.lock:
            link.removed.difference_update(channels)  # its node has ended these
        for other in others:
            with suppress(StoreUnavailableError):  # it tells of that itself
                other.wake()

    def forget(self, link: "_Link") -> bool:
        """Forget the connection to a node that has no channel any more; return whether it has."""
        with self.lock:
            if link.node is None or link.wanted:
                return False
            del self._links[link.node]
            return True


class _MovedAwayError(Exception):
    """The slot of the own channel is at another node."""


class _Link:
    """A connection to one server, and the thread that alone uses it.

    Other threads wake that one by a message on a channel of the link's own.

    Args:
        node: of a cluster.
        channel: one that the node has.
    """

    def __init__(self, subscriber: Subscriber, node: Node | None, channel: str = "") -> None:
        self.node = node
        self.wanted: set[str] = set()
        self.added: set[str] = set()
        self.removed: set[str] = set()
        self.is_connected = node is not None
        """Of a cluster's node, which is connected to when it is needed, until that has failed."""
        self.thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self._subscriber = subscriber
        self._own_name = f"subscriber:{secrets.token_hex(8)}"
        self._own_channel = self._name_beside(channel)

    def drop(self, channel: str) -> None:
        """Have no more messages of a channel; with the subscriber's lock."""
        if channel in self.wanted:
            self.wanted.discard(channel)
            self.added.discard(channel)
            self.removed.add(channel)

    def wake(self) -> None:
        channel = self._own_channel
        command = "SPUBLISH" if self._subscriber.is_sharded else "PUBLISH"
        self._subscriber.store.call(
            lambda client: client.execute_command(command, channel, ""),  # type: ignore[no-untyped-call]  # redis-py's
            key=channel,
            operation="wake_subscriber",
            repeatable=True,
        )

    def _name_beside(self, channel: str) -> str:
        """Return the own channel that is in the slot of another one."""
        tag, brace, _ = channel.partition("}")
        return f"{tag}}}:{self._own_name}" if brace else f"elevenlabs:{self._own_name}"

    def _run(self) -> None:
        is_told = has_failed = False
        while not self._subscriber.stopped.is_set():
            try:
                if has_failed and self.node:
                    self._subscriber.place_again(self, self._channels())
                    if self._subscriber.forget(self):
                        return
                self._listen()
            except _MovedAwayError:  # no outage: the nodes learn of it one after the other
                has_failed, self.is_connected = True, False
                self._subscriber.stopped.wait(PAUSE_SECONDS)
            except (redis.RedisError, StoreUnavailableError, OSError) as error:
                has_failed = True
                if isinstance(error, redis.ResponseError) and "unknown command" in str(error):
                    self._subscriber.is_sharded = False
                if self.is_connected:
                    is_told = self.is_connected = False
                    continue  # at once: most often, another server has taken over
                if not is_told:
                    is_told = True
                    cause = getattr(error, "cause", type(error).__name__)
                    _logger.warning("No messages are received", extra={"cause": cause})
                    self._subscriber.on_lost(self._channels())
                self._subscriber.stopped.wait(RETRY_SECONDS)

    def _listen(self) -> None:
        make_connection: Callable[[redis.Redis], Any] = redis.Redis.pubsub
        with closing(self._subscriber.store.bare(make_connection, self.node)) as connection:
            with self._subscriber.lock:
                channels = [*self.wanted]
                self.added.clear()
                self.removed.clear()
            if self.node and channels:
                self._own_channel = self._name_beside(channels[0])
            self._send(connection, "subscribe", [self._own_channel, *channels])
            is_quiet = False
            while not self._subscriber.stopped.is_set():
                wait_seconds = SILENCE_SECONDS if self.is_connected else CONFIRM_SECONDS
                try:
                    message = connection.get_message(timeout=wait_seconds)
                except MovedError as error:
                    self._leave(connection, error.slot_id)
                    continue
                if message is not None:
                    is_quiet = False
                    self._handle(connection, message)
                elif is_quiet or not self.is_connected:
                    raise redis.TimeoutError
                else:
                    is_quiet = True
                    self.wake()

    def _handle(self, connection: Any, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        kind = message["type"]
        if kind == "sunsubscribe":
            if channel == self._own_channel or channel in self.wanted:
                self._leave(connection, key_slot(message["channel"]))
        elif channel == self._own_channel:
            self.is_connected = True
            self._change_subscriptions(connection)
        elif kind in ("message", "smessage"):
            self._subscriber.on_message(channel, message["data"])
        elif kind in ("subscribe", "ssubscribe"):
            self._subscriber.on_subscribed(channel)

    def _leave(self, connection: Any, slot: int) -> None:
        """Leave a slot that the node has no more to the one that has it."""
        if key_slot(self._own_channel.encode()) == slot:
            raise _MovedAwayError  # the next connection has another own channel
        moved = [one for one in self._channels() if key_slot(one.encode()) == slot]
        self._subscriber.place_again(self, moved)
        self._change_subscriptions(connection)

    def _channels(self) -> list[str]:
        with self._subscriber.lock:
            return [*self.wanted]

    def _change_subscriptions(self, connection: Any) -> None:
        with self._subscriber.lock:
            added, removed = [*self.added], [*self.removed]
            self.added.clear()
            self.removed.clear()
        self._send(connection, "unsubscribe", removed)
        self._send(connection, "subscribe", added)

    def _send(self, connection: Any, command: str, channels: Collection[str]) -> None:
        if self._subscriber.is_sharded:
            for channel in channels:  # a command has those of one slot
                getattr(connection, f"s{command}")(channel)
        elif channels:
            getattr(connection, command)(*channels)
