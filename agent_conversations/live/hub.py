"""Who watches what: each conversation is read once for all of its viewers.

Subscribe first, then read: a conversation is read when its channel is subscribed to, when a change
of it is published, and when its revision turns out to be another one. Changes that come while it is
being read are joined. What is sent depends on what was read, and on what each viewer has; a
notification that was lost, doubled or late costs a reading, and nothing else.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from agent_conversations.envelope import error_response
from agent_conversations.errors import ConversationNotFoundError
from agent_conversations.frames import DeletedFrame, ErrorFrame
from agent_conversations.live.changes import Change, NotInPartError, Outcome, Version
from agent_conversations.live.pushes import Pushes
from agent_conversations.live.viewer import NORMAL_CLOSURE, Viewer, send
from agent_conversations.store.repository import ConversationRepository
from sessions_store.errors import CorruptRecordError, StoreUnavailableError
from sessions_store.keys import changes_channel, conversation_of
from sessions_store.pushes import PUSHED, PushRepository
from sessions_store.redis.client import StoreClient
from sessions_store.redis.subscriber import Subscriber

COMPARE_SECONDS = 5.0
"""How often the revisions of what is watched are compared, in case that a notification was lost."""

RETRY_SECONDS = 1.0
COMPARED_AT_ONCE = 500
MAX_CHANGES = 100
"""Notifications that are kept of a conversation while it is being read."""

THREADS = 8

_logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class _Watched:
    """A conversation with viewers, or with one that left a few seconds ago."""

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.viewers: set[Viewer] = set()
        self.version: Version | None = None
        """What was read last; ``None``: there is none, or nothing was read."""
        self.owner: str | None = None
        """The user whose conversation it was then."""
        self.failed = False
        self.changes: list[Change] = []
        self.is_subscribed = False
        self.is_stale = True
        self.was_idle = False
        self.reading: asyncio.Task[None] | None = None

    def reachable(self) -> list[Viewer]:
        return [viewer for viewer in self.viewers if not viewer.is_paused]

    def first_needed(self) -> int:
        """Return the position of the first message that a viewer lacks, as far as is known."""
        counts = [
            viewer.known.message_count
            if viewer.is_delta and viewer.known and not viewer.needs_whole
            else 0
            for viewer in self.reachable()
            if viewer.may_see(self.owner)
        ]
        return min(counts, default=0)


class Hub:
    """All that this process watches. To be used on its event loop.

    Args:
        compare_seconds: see ``COMPARE_SECONDS``.
    """

    def __init__(
        self,
        store: StoreClient,
        conversations: ConversationRepository,
        pushes: PushRepository,
        *,
        compare_seconds: float = COMPARE_SECONDS,
    ) -> None:
        self._conversations = conversations
        self._compare_seconds = compare_seconds
        self._watched: dict[str, _Watched] = {}
        self._threads = ThreadPoolExecutor(THREADS, "reader")
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._is_lost = False
        """Whether an outage was noticed; it is over as soon as ``is_connected`` says so."""
        self.pushes = Pushes(pushes, self._in_thread)
        self._subscriber = Subscriber(
            store,
            on_message=self._on_loop(self._changed),
            on_subscribed=self._on_loop(self._subscribed),
            on_lost=self._on_loop(self._lost),
        )

    @property
    def is_connected(self) -> bool:
        """Whether changes are received."""
        return self._subscriber.is_connected

    async def run(self) -> None:
        """Watch until the task is cancelled."""
        self._subscriber.start()
        try:
            while True:
                await asyncio.sleep(self._compare_seconds)
                self._forget_idle()
                await self._compare()
                await self.pushes.check()
        finally:
            await self._in_thread(self._subscriber.stop)
            self._threads.shutdown(wait=False)

    def join(self, viewer: Viewer) -> None:
        """Send a viewer its conversation, and then what becomes of it."""
        conversation_id = viewer.query.conversation_id
        watched = self._watched.get(conversation_id)
        if watched is None:
            watched = self._watched[conversation_id] = _Watched(conversation_id)
            self._subscribe(watched)
        watched.viewers.add(viewer)
        viewer.on_resumed = lambda: self._refresh(watched)
        if viewer.user_id is None:  # the others are given pushes once the conversation is theirs
            self.pushes.join(viewer)
        if watched.is_subscribed:
            self._refresh(watched)
        elif self._is_lost and not self.is_connected:
            self._tell(watched, StoreUnavailableError("not subscribed"), watched.viewers)

    def leave(self, viewer: Viewer) -> None:
        watched = self._watched.get(viewer.query.conversation_id)
        if watched:
            watched.viewers.discard(viewer)
        viewer.on_resumed = None
        self.pushes.leave(viewer)

    # --- What the subscriber says -----------------------------------------------------------------

    def _on_loop(self, callback: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            self._loop.call_soon_threadsafe(callback, *arguments)

        return call

    def _subscribed(self, channel: str) -> None:
        self.pushes.look(conversation_of(channel))
        watched = self._watched.get(conversation_of(channel))
        if watched:
            watched.is_subscribed = True
            if watched.version:
                # After an interruption it may be another server, which lacks what the old one had:
                # that there are more messages does not say that the first of them are the same.
                for viewer in watched.viewers:
                    viewer.needs_whole |= viewer.is_delta
            self._refresh(watched)

    def _changed(self, channel: str, published: bytes) -> None:
        if published == PUSHED:
            self.pushes.look(conversation_of(channel))
            return
        watched = self._watched.get(conversation_of(channel))
        change = Change.parse(published)
        if watched is None:
            return
        if change and watched.version and change.revision == watched.version.revision:
            return  # it was read before this notification came
        if change:
            watched.changes = [*watched.changes[-MAX_CHANGES:], change]
        self._refresh(watched)

    def _lost(self, channels: Collection[str]) -> None:
        self._is_lost = True
        for channel in channels:
            watched = self._watched.get(conversation_of(channel))
            if watched:
                watched.is_subscribed = False
                self._tell(watched, StoreUnavailableError("not subscribed"), watched.viewers)

    # --- Subscribing and comparing ----------------------------------------------------------------

    def _subscribe(self, watched: _Watched) -> None:
        async def subscribe() -> None:
            try:
                channel = changes_channel(watched.conversation_id)
                await self._in_thread(self._subscriber.subscribe, channel)
            except StoreUnavailableError as error:
                self._tell(watched, error, watched.viewers)

        self._start(subscribe())

    def _forget_idle(self) -> None:
        """Forget what nobody has watched since the last time: many come back soon."""
        for watched in [*self._watched.values()]:
            if watched.viewers or not watched.was_idle:
                watched.was_idle = not watched.viewers
            else:
                del self._watched[watched.conversation_id]
                self._subscriber.unsubscribe(changes_channel(watched.conversation_id))

    async def _compare(self) -> None:
        """Read what has another revision than the one that was read."""
        if not self.is_connected:
            return
        for watched in self._watched.values():
            if not watched.is_subscribed:
                self._subscribe(watched)
        remaining = iter([*self._watched])
        while batch := [*islice(remaining, COMPARED_AT_ONCE)]:
            try:
                found = await self._in_thread(self._conversations.find_revisions, batch)
            except StoreUnavailableError:
                return
            for conversation_id, revision in zip(batch, found, strict=True):
                self._compare_one(self._watched.get(conversation_id), revision)

    def _compare_one(self, watched: _Watched | None, revision: str | None) -> None:
        if watched and watched.is_subscribed:
            read = watched.version.revision if watched.version else None
            if revision != read or watched.failed:
                self._refresh(watched)

    # --- Reading and sending ----------------------------------------------------------------------

    def _refresh(self, watched: _Watched) -> None:
        """Read a conversation and send its viewers what they lack, unless that is being done."""
        watched.is_stale = True
        if watched.reading is None and watched.is_subscribed and watched.viewers:
            watched.reading = self._start(self._read(watched))

    async def _read(self, watched: _Watched) -> None:
        needs_whole = False
        try:
            while watched.is_stale and watched.viewers:
                watched.is_stale = False
                needs_whole = not await self._read_once(watched, whole=needs_whole)
        except (StoreUnavailableError, CorruptRecordError) as error:
            self._fail(watched, error)
        except Exception as error:
            _logger.error(
                "A conversation could not be sent to its viewers",
                extra={
                    "conversation_id": watched.conversation_id,
                    "cause": type(error).__name__,
                },
                exc_info=True,
            )
            self._loop.call_later(RETRY_SECONDS, self._refresh, watched)
        finally:
            watched.reading = None

    async def _read_once(self, watched: _Watched, *, whole: bool) -> bool:
        """Read what viewers lack, and send it; return whether it was enough for each of them."""
        changes, watched.changes = watched.changes, []
        first = 0 if whole else watched.first_needed()
        replaced = {change.position for change in changes if change.position is not None}
        users = {viewer.user_id for viewer in watched.viewers}
        # What one user may not see is not read: how long that takes would tell of it.
        only = users.pop() if len(users) == 1 else None
        part = await self._in_thread(
            self._seen_by(only).find_part,
            watched.conversation_id,
            first=first,
            positions=[position for position in replaced if position < first],
        )
        watched.failed = False
        watched.version = None
        if part is None:
            missed = {one for one in watched.viewers if only in (None, one.user_id)}
            self._send_missing(watched, missed)
            return True
        outcome = Outcome(part, changes)
        watched.owner = part.conversation.user_id
        strangers = {one for one in watched.viewers if not one.may_see(watched.owner)}
        self._send_missing(watched, strangers)
        watched.version = outcome.version
        was_enough = self._send(watched, outcome)
        if not was_enough:
            watched.is_stale = True
            watched.changes = [*changes, *watched.changes]
        return was_enough

    def _seen_by(self, user_id: str | None) -> ConversationRepository:
        return self._conversations if user_id is None else self._conversations.of_user(user_id)

    def _send(self, watched: _Watched, outcome: Outcome) -> bool:
        """Send what was read; return whether it was enough for every viewer."""
        alike = defaultdict(list)
        for viewer in watched.reachable():
            if not viewer.may_see(watched.owner):
                continue
            known = None if viewer.needs_whole else viewer.known
            waited = viewer.told == _NOT_FOUND
            alike[known, viewer.is_delta, waited, viewer.resumes].append(viewer)
        was_enough = True
        for (known, delta, waited, resumes), viewers in alike.items():
            try:
                frames = outcome.frames(known, delta=delta, waited=waited, resumes=resumes)
            except NotInPartError:
                was_enough = False
                continue
            for frame in frames:
                send(viewers, frame)
            for viewer in viewers:
                viewer.known, viewer.needs_whole, viewer.told = outcome.version, False, ""
                viewer.resumes = False
                if viewer.user_id is not None:
                    self.pushes.join(viewer)
        return was_enough

    def _send_missing(self, watched: _Watched, viewers: Collection[Viewer]) -> None:
        """Tell viewers that there is no such conversation; those who had one are cut off."""
        for viewer in viewers:
            if viewer.user_id is not None:
                self.pushes.leave(viewer)
        had_it = [viewer for viewer in viewers if viewer.known and not viewer.is_paused]
        send(had_it, DeletedFrame(conversation_id=watched.conversation_id))
        for viewer in had_it:
            viewer.end(NORMAL_CLOSURE, "The conversation was deleted.")
        watched.viewers.difference_update(had_it)
        self._tell(watched, ConversationNotFoundError(), watched.viewers.intersection(viewers))

    def _fail(self, watched: _Watched, error: StoreUnavailableError | CorruptRecordError) -> None:
        if not watched.failed:
            cause = error.cause if isinstance(error, StoreUnavailableError) else error.reason
            _logger.warning(
                "A conversation that is watched cannot be read",
                extra={"conversation_id": watched.conversation_id, "cause": cause},
            )
        watched.failed = True
        if isinstance(error, CorruptRecordError):
            # Whose it is, nobody can say.
            bound = {one for one in watched.viewers if one.user_id is not None}
            self._tell(watched, ConversationNotFoundError(), bound)
            self._tell(watched, error, watched.viewers - bound)
        else:
            self._tell(watched, error, watched.viewers)
            self._loop.call_later(RETRY_SECONDS, self._refresh, watched)

    def _tell(self, watched: _Watched, error: Exception, viewers: Collection[Viewer]) -> None:
        """Tell viewers why there is nothing to see, once; those who had something get it anew."""
        row = error_response(error)
        untold = [viewer for viewer in viewers if viewer.told != row.code]
        frame = ErrorFrame(
            conversation_id=watched.conversation_id,
            error=row.sentence or str(error),
            code=row.code,
        )
        send([viewer for viewer in untold if not viewer.is_paused], frame)
        for viewer in untold:
            viewer.told, viewer.needs_whole = row.code, True

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._loop.run_in_executor(self._threads, partial(call, *args, **kwargs))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)  # the event loop itself keeps no reference
        task.add_done_callback(self._tasks.discard)
        return task


_NOT_FOUND = error_response(ConversationNotFoundError()).code
