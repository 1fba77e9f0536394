"""How a response is written for programs: as JSON. Pages are in ``browsable.py``."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer

from sessions_store.wire.model import Encoded, to_json


class JsonRenderer(BaseRenderer):
    """Writes types as JSON; JSON that is stored is put into the response undecoded."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        if isinstance(data, Encoded):
            return data.json
        return to_json(data)
