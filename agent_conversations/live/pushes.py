"""Gives pushes to the tabs that are connected here, and takes what they say of them.

A tab is a viewer that named its session. Each has a task of its own, which looks for what waits
when it is told to. Redis decides which tab gets a push, here or at another process: it is claimed
before it is sent, and whether it arrived is not known until the tab says so.
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from websockets.protocol import State

from agent_conversations.frames import PushFrame, PushResultFrame, type_of
from agent_conversations.live.viewer import Viewer, send
from sessions_store.errors import (
    CorruptRecordError,
    InvalidRequestError,
    PushNotFoundError,
    StoreUnavailableError,
)
from sessions_store.pushes import PushRepository
from sessions_store.wire import json_codec

RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 60.0
"""For this long, what a tab said before it left is kept in an outage."""

MAX_RESULTS = 100
"""Results of one tab that wait for Redis; with more, a tab sends what it was never asked for."""

CHECKED_AT_ONCE = 500

_logger = logging.getLogger(__name__)
T = TypeVar("T")


class Tab:
    """A viewer that named its session."""

    def __init__(self, viewer: Viewer, session_id: str) -> None:
        self.viewer = viewer
        self.conversation_id = viewer.query.conversation_id
        self.session_id = session_id
        self.claim = secrets.token_hex(16)
        self.claiming: dict[str, None] = {}
        """Pushes that it may have: the reply to the claim has not come."""
        self.given: set[str] = set()
        """Pushes of which it has not said what became of them."""
        self.results: dict[str, PushResultFrame] = {}
        """What it said, and is not stored yet."""
        self.is_wanted = asyncio.Event()
        self.gives_up_at: float | None = None
        """On the event loop's clock, after it left."""

    def can_take(self) -> bool:
        """Whether it is there, as far as is known, and reads what it is sent."""
        return self.viewer.state is State.OPEN and not self.viewer.is_paused


class Pushes:
    """The tabs of this process. To be used on its event loop.

    Args:
        in_thread: calls a function on a thread.
    """

    def __init__(
        self, repository: PushRepository, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._repository = repository
        self._in_thread = in_thread
        self._tabs: dict[str, dict[Viewer, Tab]] = defaultdict(dict)
        """By conversation id."""
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, viewer: Viewer) -> None:
        """Give a viewer what is pushed to the session that it named, from now on."""
        is_there = viewer in self._tabs.get(viewer.query.conversation_id, {})
        if viewer.query.session_id is None or is_there:
            return
        tab = Tab(viewer, viewer.query.session_id)
        self._tabs[tab.conversation_id][viewer] = tab
        tab.is_wanted.set()
        task = asyncio.create_task(self._serve(tab))
        self._tasks.add(task)  # the event loop itself keeps no reference
        task.add_done_callback(self._tasks.discard)

    def leave(self, viewer: Viewer) -> None:
        tabs = self._tabs.get(viewer.query.conversation_id, {})
        tab = tabs.pop(viewer, None)
        if not tabs:
            self._tabs.pop(viewer.query.conversation_id, None)
        if tab:
            tab.gives_up_at = asyncio.get_running_loop().time() + GIVE_UP_SECONDS
            tab.is_wanted.set()

    def take(self, viewer: Viewer, message: str | bytes) -> None:
        """Take what a tab says became of a push; anything else is ignored."""
        tab = self._tabs.get(viewer.query.conversation_id, {}).get(viewer)
        if tab is None or len(tab.results) >= MAX_RESULTS:
            return
        result = _parse_result(message)
        if result:
            tab.results.setdefault(result.push_id, result)
            tab.is_wanted.set()

    def look(self, conversation_id: str) -> None:
        """Have a conversation's tabs look for what waits.

        The newest first: an older one may be the same tab's, whose connection broke unnoticed.
        """
        for tab in reversed(self._tabs.get(conversation_id, {}).values()):
            tab.is_wanted.set()

    async def check(self) -> None:
        """Find what waits though nobody was told of it, and say which tabs are still there."""
        tabs = [tab for tabs in self._tabs.values() for tab in tabs.values()]
        remaining = iter(tabs)
        try:
            while batch := [*islice(remaining, CHECKED_AT_ONCE)]:
                queues = [(tab.conversation_id, tab.session_id) for tab in batch]
                found = await self._in_thread(self._repository.have_waiting, queues)
                for tab, has_waiting in zip(batch, found, strict=True):
                    if has_waiting or tab.claiming:
                        tab.is_wanted.set()
            for tab in tabs:
                await self._hold(tab)
        except StoreUnavailableError:
            return  # the next time, then

    async def _hold(self, tab: Tab) -> None:
        for push_id in [*tab.given]:
            if tab.gives_up_at is None:
                hold = partial(self._repository.hold, tab.conversation_id, push_id, tab.claim)
                if not await self._unless_corrupt(tab, hold):
                    tab.given.discard(push_id)

    async def _serve(self, tab: Tab) -> None:
        loop = asyncio.get_running_loop()
        while tab.gives_up_at is None or (tab.results and loop.time() < tab.gives_up_at):
            await tab.is_wanted.wait()
            tab.is_wanted.clear()
            try:
                await self._store_results(tab)
                await self._give(tab)
            except StoreUnavailableError:
                loop.call_later(RETRY_SECONDS, tab.is_wanted.set)

    async def _store_results(self, tab: Tab) -> None:
        for push_id, result in [*tab.results.items()]:
            store = partial(
                self._repository.set_result,
                tab.conversation_id,
                tab.session_id,
                push_id,
                ok=result.ok,
                reason=result.reason or "",
            )
            with suppress(PushNotFoundError):  # another session's, over, or never there
                await self._unless_corrupt(tab, store)
            del tab.results[push_id]
            tab.given.discard(push_id)

    async def _give(self, tab: Tab) -> None:
        if not tab.can_take():
            return
        ids = (tab.conversation_id, tab.session_id)
        list_waiting = partial(self._repository.list_waiting, *ids)
        waiting = await self._unless_corrupt(tab, list_waiting) or ()
        for push_id in dict.fromkeys([*tab.claiming, *waiting]):
            if not tab.can_take():
                return
            tab.claiming[push_id] = None
            claim = partial(self._repository.claim, *ids, push_id, tab.claim)
            content = await self._unless_corrupt(tab, claim)
            del tab.claiming[push_id]
            if content:
                tab.given.add(push_id)
                frame = PushFrame(
                    conversation_id=tab.conversation_id, push_id=push_id, **dict(content)
                )
                send([tab.viewer], frame)

    async def _unless_corrupt(self, tab: Tab, call: Callable[[], T]) -> T | None:
        """Return what a call of the repository returns; ``None`` for a record it cannot read."""
        try:
            result: T = await self._in_thread(call)
        except CorruptRecordError as error:
            _logger.warning(
                "A push cannot be read",
                extra={"conversation_id": tab.conversation_id, "cause": error.reason},
            )
            return None
        return result


def _parse_result(message: str | bytes) -> PushResultFrame | None:
    try:
        frame = json_codec.decode(message)
        if isinstance(frame, dict) and frame.get("type") == type_of(PushResultFrame):
            return PushResultFrame.parse(frame)
    except (json_codec.InvalidJsonError, InvalidRequestError):
        pass
    return None
