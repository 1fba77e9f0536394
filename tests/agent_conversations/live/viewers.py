"""A live server in this process, and viewers that keep a copy of what they are sent."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from agent_conversations import API_PREFIX
from agent_conversations.live.server import LiveServer, Log
from tests.agent_conversations.live.document import validate
from tests.faults.servers import free_port

T = TypeVar("T")


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.begin(coroutine).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextmanager
def event_loop() -> Iterator[Loop]:
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()


@contextmanager
def live_server(loop: Loop, compare_seconds: float = 0.3, log: Log | None = None) -> Iterator[int]:
    """Run a live server with the services of this process; gives its port."""
    port = free_port()

    async def start() -> LiveServer:
        server = LiveServer("127.0.0.1", port, compare_seconds=compare_seconds, log=log)
        return await server.__aenter__()

    server = loop.run(start())
    try:
        yield port
    finally:
        loop.run(server.__aexit__())


class Viewer:
    """A client that keeps all frames, and a copy of the conversation made of them.

    Args:
        before: a viewer whose copy it goes on with, in delta mode.
    """

    def __init__(
        self,
        loop: Loop,
        port: int,
        conversation_id: str,
        before: "Viewer | None" = None,
        **query: Any,
    ) -> None:
        if before is not None:
            assert before.copy is not None
            query |= {"mode": "delta", "after": len(before.copy["messages"])}
            query |= {"revision": before.revision}
        self._loop = loop
        self.query = {"conversationId": conversation_id, **query}
        self.url = f"ws://127.0.0.1:{port}{API_PREFIX}/ws?{urlencode(self.query)}"
        self.frames: list[dict[str, Any]] = []
        self.copy: dict[str, Any] | None = before.copy if before else None
        self.revision: str = before.revision if before else ""
        self.close_code: int | None = None
        self._reads = asyncio.Event()
        self._connection: ClientConnection | None = None
        self._changed = threading.Condition()
        self._reading: Future[None] | None = None
        self._fault: Exception | None = None

    def connect(self, **options: Any) -> "Viewer":
        async def open_it() -> None:
            # A small buffer, so that a client that does not read is seen soon.
            self._connection = await connect(self.url, max_size=None, max_queue=1, **options)

        self._loop.run(open_it())
        assert self._connection is not None
        assert self._connection.response is not None
        self.handshake: Mapping[str, str] = self._connection.response.headers
        self._reading = self._loop.begin(self._read())
        self.read()
        return self

    def read(self) -> None:
        self._loop.loop.call_soon_threadsafe(self._reads.set)

    def stop_reading(self) -> None:
        self._loop.loop.call_soon_threadsafe(self._reads.clear)

    def close(self) -> None:
        assert self._connection is not None
        assert self._reading is not None
        self.read()
        self._loop.run(self._connection.close())
        self._reading.result(10)

    def send(self, message: str | bytes) -> None:
        assert self._connection is not None
        self._loop.run(self._connection.send(message))

    def wait_for(self, condition: Callable[["Viewer"], object], seconds: float = 15) -> "Viewer":
        """Wait until something is true of this viewer; raises what went wrong in reading."""
        with self._changed:
            in_time = self._changed.wait_for(lambda: self._fault or condition(self), seconds)
        if self._fault:
            raise self._fault
        assert in_time, f"{self.query}: {self.types}, closed with {self.close_code}"
        return self

    def wait_for_types(self, *types: str) -> "Viewer":
        return self.wait_for(lambda self: self.types == [*types])

    @property
    def types(self) -> list[str]:
        return [frame["type"].removeprefix("agent_conversation.") for frame in self.frames]

    async def _read(self) -> None:
        assert self._connection is not None
        try:
            while True:
                await self._reads.wait()
                frame = json.loads(await self._connection.recv())
                with self._changed:
                    self.frames.append(frame)
                    self._apply(frame)
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        except Exception as error:  # a frame that does not fit: the test's own thread raises it
            self._fault = error
        with self._changed:
            self.close_code = self._connection.close_code
            self._changed.notify_all()

    def _apply(self, frame: dict[str, Any]) -> None:
        validate(frame)
        assert frame["conversationId"] == self.query["conversationId"]
        self.revision = frame.get("revision", self.revision)
        kind = frame["type"].removeprefix("agent_conversation.")
        if kind in ("snapshot", "created", "updated"):
            self.copy = frame["conversation"]
        elif kind == "messages_added":
            assert self.copy is not None
            self.copy["messages"] += frame["messages"]
            self.copy["messageCount"] = frame["messageCount"]
            assert len(self.copy["messages"]) == frame["messageCount"]
        elif kind == "message_updated":
            assert self.copy is not None
            self.copy["messages"][frame["index"]] = frame["message"]
        elif kind == "changed":
            assert self.copy is not None
            assert "messages" not in frame["conversation"]
            self.copy = {"messages": self.copy["messages"], **frame["conversation"]}
        elif kind == "deleted":
            self.copy = None
