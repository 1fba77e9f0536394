"""How a request's body is read: JSON that can be kept as it is, and nothing else."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from agent_conversations.api.exceptions import RequestTooLargeError
from sessions_store.errors import InvalidRequestError
from sessions_store.wire import json_codec

_UTF_8 = ("utf-8", "utf8")


class JsonParser(BaseParser):
    """Reads ``request.data``: the JSON object of a body; ``{}`` where there is no body.

    Raises:
        RequestTooLargeError: over 1 MiB.
        UnsupportedMediaType: not ``application/json`` in UTF-8, or a ``Content-Encoding``.
        InvalidRequestError: not JSON (``sessions_store.wire.json_codec`` says what counts as such),
            not an object, or shorter than announced.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        request: Request = (parser_context or {})["request"]
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise RequestTooLargeError
        # An empty rest of a body that was cut off would create a conversation.
        if len(body) < int(request.META["CONTENT_LENGTH"]):
            raise _invalid_body("The body ended before all of it had come")
        self._check_media_type(request)
        try:
            value = json_codec.decode(body)
        except json_codec.InvalidJsonError as error:
            raise _invalid_body(f"The body cannot be read as JSON: {error}") from None
        if not isinstance(value, dict):
            raise _invalid_body("The body must be a JSON object")
        return value

    def _check_media_type(self, request: Request) -> None:
        content_type = request.META.get("CONTENT_TYPE", "")
        media_type, parameters = parse_header_parameters(content_type)
        charset = parameters.get("charset", "utf-8").strip("'").lower()
        encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").lower()
        if (media_type, encoding) != (self.media_type, "identity") or charset not in _UTF_8:
            raise UnsupportedMediaType(content_type)


def _invalid_body(sentence: str) -> InvalidRequestError:
    return InvalidRequestError(sentence, {"body": [sentence]})
