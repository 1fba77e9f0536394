"""How a request's body is read: JSON that can be kept as it is, and nothing else."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from agent_conversations.api.errors import RequestTooLargeError
from sessions_store import json_codec
from sessions_store.errors import InvalidRequestError


class JsonParser(BaseParser):
    """Reads ``application/json``: UTF-8, not compressed, an object, at most 1 MiB.

    Raises:
        RequestTooLargeError: over 1 MiB.
        UnsupportedMediaType: another charset, or a ``Content-Encoding``.
        InvalidRequestError: not JSON, or not an object; ``sessions_store.json_codec`` says what
            counts as JSON.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        request = (parser_context or {})["request"]
        charset = request._request.content_params.get("charset", "utf-8").strip("\"'").lower()
        encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").lower()
        if charset not in ("utf-8", "utf8") or encoding != "identity":
            raise UnsupportedMediaType(media_type or "")
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise RequestTooLargeError
        if not body:
            return {}
        try:
            value = json_codec.decode(body)
        except json_codec.InvalidJsonError as error:
            raise InvalidRequestError(f"The body cannot be read as JSON: {error}") from None
        if not isinstance(value, dict):
            raise InvalidRequestError("The body must be a JSON object")
        return value
