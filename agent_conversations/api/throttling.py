"""How often a client may register a session."""

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from agent_conversations.services import session_rate


class SessionRateThrottle(BaseThrottle):
    """Counts registrations by token, or by address where no tokens are configured.

    Behind ``TRUSTED_PROXIES``, that is the address which the outermost of them has seen.

    Django REST Framework's own throttles read, count and write in three steps: under concurrency
    they let more through than their limit.
    """

    def __init__(self) -> None:
        self._wait_seconds = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        limiter = session_rate()
        if limiter is None or request.method != "POST":
            return True
        client = getattr(request.user, "name", None) or self.get_ident(request)
        self._wait_seconds = limiter.seconds_to_wait(client)
        return self._wait_seconds == 0

    def wait(self) -> float:
        return self._wait_seconds
