"""How a request's body is read: JSON that can be kept as it is, and nothing else."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from agent_conversations.api.exceptions import RequestTooLargeError
from sessions_store.errors import InvalidRequestError
from sessions_store.wire import json_codec

JSON = "application/json"


def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON object in a request's body; an empty one where it has no body.

    Raises:
        RequestTooLargeError: over 1 MiB.
        UnsupportedMediaType: not ``application/json`` in UTF-8, or a ``Content-Encoding``.
        InvalidRequestError: not JSON (``sessions_store.wire.json_codec`` says what counts), not an
            object, or announced and not sent.
    """
    http_request: HttpRequest = request._request
    headers = http_request.META
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body = http_request.read(limit + 1)
    if len(body) > limit:
        raise RequestTooLargeError
    _check_that_all_came(len(body), headers)
    if not body:
        return {}
    if headers.get("CONTENT_TYPE") != JSON or "HTTP_CONTENT_ENCODING" in headers:
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


def _check_that_all_came(size: int, headers: Mapping[str, str]) -> None:
    """Refuse a body that was cut off on its way: an empty rest would create a conversation.

    How long one that comes in chunks should have been, nobody said; but not that it is empty.
    """
    length = headers.get("CONTENT_LENGTH", "")
    announced = 1 if "HTTP_TRANSFER_ENCODING" in headers else int(length) if length.isdigit() else 0
    if size < announced:
        sentence = "The body ended before all of it had come"
        raise InvalidRequestError(sentence, {"body": [sentence]})


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
