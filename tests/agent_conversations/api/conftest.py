"""A client of the ten routes, on the bundled server."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test import Client
from redis import Redis

from config.wsgi import application
from tests.agent_conversations.api.routes import PREFIX

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response


class AsServed:
    """Answers Django's test client by the service's WSGI application, as a server calls it."""

    def __call__(self, environ: dict[str, Any]) -> HttpResponse:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body = application(environ, lambda status, headers: started.append((status, headers)))
        # A server sends no body after HEAD.
        content = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"".join(body)
        body.close()  # type: ignore[attr-defined]  # Django's have it
        status, headers = started[0]
        response = HttpResponse(content, status=int(status[:3]), headers=dict(headers))
        if "Content-Type" not in dict(headers):
            del response.headers["Content-Type"]
        response.wsgi_request = WSGIRequest(environ)  # type: ignore[attr-defined]  # as the client expects
        return response


class Api:
    """Sends JSON below the API's prefix, and checks what every answer has in common."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._client = Client(raise_request_exception=False)
        self._client.handler = AsServed()  # type: ignore[assignment]  # called like Django's own

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> "Response":
        """Return the answer; ``body`` is encoded as JSON unless it is bytes already."""
        if body is None:
            body = b""
        encoded = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        response: Response = self._client.generic(
            method, PREFIX + path, encoded, content_type, headers=headers
        )
        assert response.headers["Cache-Control"] == "no-store"
        if response.status_code != 204:
            assert response.headers["Content-Type"] == "application/json"
        return response

    def get(self, path: str, **options: Any) -> "Response":
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.send("POST", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.send("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> "Response":
        return self.send("DELETE", path, **options)


@pytest.fixture
def api(real_service: Redis) -> Api:
    return Api(real_service)
