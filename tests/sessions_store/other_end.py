"""A WebSocket server on this machine, for what is sent past the tab."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve


class OtherEnd:
    """What a server on the same machine was sent."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.frames: list[Any] = []
        self.url = ""


@contextmanager
def serving(
    handle: Callable[[ServerConnection], None] | None = None, status: int | None = None
) -> Iterator[OtherEnd]:
    other = OtherEnd()

    def read(connection: ServerConnection) -> None:
        for frame in connection:
            other.frames.append(json.loads(frame))

    def look(connection: ServerConnection, request: Request) -> Response | None:
        other.requests.append(request)
        return None if status is None else connection.respond(HTTPStatus(status), "no")

    with serve(handle or read, "127.0.0.1", 0, process_request=look) as server:
        other.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield other
        server.shutdown()
        thread.join()
