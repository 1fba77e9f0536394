"""The request that a thread, or a task, serves: what its lines in the log say of it."""

import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from random import getrandbits

from django.urls import Resolver404, ResolverMatch, resolve

from agent_conversations.metrics import METHODS, OTHER, requests, route_of
from sessions_store.wire.fields import is_conversation_id

REQUEST_ID_HEADER = "X-Request-ID"
SERVED = "elevenlabs_agent.served_request"
"""Where a WSGI environment has its ``ServedRequest``."""

Fields = Callable[[], dict[str, object]]
"""Returns what a line of the access log has beside its level, its logger and its time."""

_is_request_id = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}").fullmatch
# W3C's Trace Context: of a later version, more may follow.
_is_trace = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
).fullmatch
_MOST_CHARACTERS = 500
"""That are logged of a path: with all of them escaped, a line fits into ``PIPE_BUF``."""


class ServedRequest:
    """A request, and what becomes known of it while it is served.

    Args:
        request_id: what its ``X-Request-ID`` says.
        trace: its ``traceparent``.
        path: without the query, which may name a session.
    """

    match: ResolverMatch | None = None
    status = "500"  # which a server sends for an exception
    seconds = 0.0
    redis_seconds = 0.0

    def __init__(self, request_id: str | None, trace: str | None, method: str, path: str) -> None:
        self.request_id = _request_id(request_id, trace)
        self.method = method
        self.path = path
        self.began = time.perf_counter()

    def end(self) -> None:
        """Note for the metrics what was served, and how long it took."""
        self.seconds = time.perf_counter() - self.began
        pattern = self.match.route if self.match else None
        requests.append((pattern, self.method, self.status, self.seconds))

    def to_log(self) -> dict[str, object]:
        """Return its line in the access log: the path as its pattern, and the conversation's id."""
        method = self.method if self.method in METHODS else OTHER
        match = self.match or _match(self.path)
        place = {"route": route_of(match.route)} if match else {}
        shown = place.get("route") or _printable(self.path[:_MOST_CHARACTERS])
        line: dict[str, object] = {
            "event": f"{method} {shown} {self.status}",
            "request_id": self.request_id,
            "method": method,
            **place,
            "status": int(self.status),
            "ms": round(self.seconds * 1000, 2),
            "redis_ms": round(self.redis_seconds * 1000, 2),
        }
        conversation_id = match and match.kwargs.get("conversation_id")
        if conversation_id and is_conversation_id(conversation_id):
            line["conversation_id"] = conversation_id
        return line


current: ContextVar[ServedRequest | None] = ContextVar("served request", default=None)
"""Of this thread or task; ``None`` between requests."""


def _request_id(sent: str | None, trace: str | None) -> str:
    """Return the request's own id, else that of its trace, else a new one."""
    if sent and _is_request_id(sent):
        return sent
    if trace and (found := _is_trace(trace)):
        return found[1]
    # No secret; the system's random numbers took 5 µs more. Other ones in each worker: Python sees
    # to that after a fork.
    return f"{getrandbits(128):032x}"


def _match(path: str) -> ResolverMatch | None:
    """Return that of a request which was refused before Django looked for it."""
    try:
        return resolve(path)
    except Resolver404:
        return None


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
