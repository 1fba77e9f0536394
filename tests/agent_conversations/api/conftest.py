"""A client of the ten routes, on the bundled server."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from tests.agent_conversations.api.routes import PREFIX
from tests.conftest import ServedClient

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response


class Api:
    """Sends JSON below the API's prefix, and checks what every response has in common."""

    def __init__(self, redis: Redis, client: ServedClient) -> None:
        self.redis = redis
        self._client = client

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> "Response":
        """Return the response; ``body`` is encoded as JSON unless it is bytes already."""
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
def api(real_service: Redis, client: ServedClient) -> Api:
    return Api(real_service, client)
