"""One viewer: its WebSocket connection, and what it has been sent."""

import asyncio
from collections.abc import Callable, Collection

from websockets.asyncio.server import ServerConnection, broadcast

from agent_conversations.access import Client
from agent_conversations.frames import type_of
from agent_conversations.live.changes import Version
from agent_conversations.metrics import LIVE_DROPS, LIVE_FRAMES
from agent_conversations.served_requests import ServedRequest
from agent_conversations.types import ViewerQuery
from sessions_store.wire.model import WireModel, to_json

WRITE_LIMIT_BYTES = 64 * 1024
"""Of frames that wait for a client to read: with more, it is sent nothing, and is brought up to
date once it has read them."""

STALLED_SECONDS = 10.0
"""A client that reads nothing at all for this long, while frames wait for it, is dropped."""

CLOSE_SECONDS = 3.0
TRY_AGAIN_LATER = 1013
NORMAL_CLOSURE = 1000
POLICY_VIOLATION = 1008


class Viewer(ServerConnection):
    """The connection of a viewer.

    ``pause_writing`` and ``resume_writing`` are asyncio's: they say whether the client reads what
    it is sent. (A ping does not: it would wait behind those frames.)
    """

    served: ServedRequest
    """Its opening handshake."""
    query: ViewerQuery
    client: Client | None = None
    """Whose token it has; ``None`` where nobody needs one."""
    known: Version | None = None
    """What it has, as far as it was sent; ``None``: nothing."""
    resumes = False
    """Whether it came back, and was sent nothing since."""
    needs_whole = False
    """Whether it gets a snapshot: after an outage, or an interruption that it was not told of."""
    told = ""
    """The code of the error that it was told last."""
    is_paused = False
    frames = 0
    """That it was sent."""
    on_resumed: Callable[[], object] | None = None
    _transport: asyncio.WriteTransport
    _check: asyncio.TimerHandle | None = None
    _closing: asyncio.Task[None] | None = None

    def may_see(self, owner: str | None) -> bool:
        """Whether it may see a conversation of this user."""
        return self.user_id in (None, owner)

    @property
    def user_id(self) -> str | None:
        """The one user whose conversations it may see; ``None``: all."""
        return self.client.user_id if self.client else None

    @property
    def is_delta(self) -> bool:
        return self.query.mode == "delta"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  # for mypy
        self._transport = transport
        super().connection_made(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_paused = True
        self._expect_less_than(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_paused = False
        self._stop_checking()
        if self.on_resumed:
            self.on_resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_checking()
        super().connection_lost(exc)

    def end(self, code: int, reason: str) -> None:
        """Close the connection, in a task of its own; a client that does not read loses it."""
        self._closing = self._closing or asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close(code, reason)
        except TimeoutError:
            self._transport.abort()

    def _expect_less_than(self, size: int) -> None:
        def check() -> None:
            now = self._transport.get_write_buffer_size()
            if now < size:
                self._expect_less_than(now)
            else:
                LIVE_DROPS.inc()
                self.end(TRY_AGAIN_LATER, "You read too slowly: connect again.")

        self._check = asyncio.get_running_loop().call_later(STALLED_SECONDS, check)

    def _stop_checking(self) -> None:
        if self._check:
            self._check.cancel()
            self._check = None


def send(viewers: Collection[Viewer], frame: WireModel) -> None:
    """Send a frame to viewers that are not paused; none of them is waited for."""
    LIVE_FRAMES.labels(type_of(type(frame))).inc(len(viewers))
    for viewer in viewers:
        viewer.frames += 1
    broadcast(viewers, to_json(frame), text=True)
