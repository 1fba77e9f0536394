"""How a request's body is read: JSON that can be kept as it is, and nothing else."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from agent_conversations.api.errors import RequestTooLargeError
from sessions_store import json_codec
from sessions_store.errors import InvalidRequestError

JSON = "application/json"


def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON object in a request's body; an empty one where it has no body.

    Raises:
        RequestTooLargeError: over 1 MiB.
        UnsupportedMediaType: not ``application/json`` in UTF-8, or a ``Content-Encoding``.
        InvalidRequestError: not JSON, or not an object; ``sessions_store.json_codec`` says what
            counts as JSON.
    """
    http_request: HttpRequest = request._request
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = http_request.read(limit + 1)
    if len(body) > limit:
        raise RequestTooLargeError
    if not body:
        return {}
    if (
        http_request.META.get("CONTENT_TYPE") != JSON
        or "HTTP_CONTENT_ENCODING" in http_request.META
    ):
        _check_media_type(http_request)
    try:
        value = json_codec.decode(body)
    except json_codec.InvalidJsonError as error:
        sentence = f"The body cannot be read as JSON: {error}"
        raise InvalidRequestError(sentence, {"body": [sentence]}) from None
    if not isinstance(value, dict):
        sentence = "The body must be a JSON object"
        raise InvalidRequestError(sentence, {"body": [sentence]})
    return value


def _check_media_type(request: HttpRequest) -> None:
    charset = (request.content_params or {}).get("charset", "utf-8").strip("\"'").lower()
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").lower()
    if (request.content_type, encoding) != (JSON, "identity") or charset not in _UTF_8:
        raise UnsupportedMediaType(request.content_type or "")


_UTF_8 = ("utf-8", "utf8")


class JsonParser(BaseParser):
    """``read_body`` for Django REST Framework, whose ``request.data`` and forms name a parser."""

    media_type = JSON

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return read_body((parser_context or {})["request"])
