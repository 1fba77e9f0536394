"""Who may use the API: anyone who knows one of ``API_TOKENS``, or anyone where there are none."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from agent_conversations.access import token_name
from agent_conversations.api.origins import is_of_another_site


@dataclass(frozen=True)
class Client:
    """Who sent a request: a token's name."""

    name: str


class TokenAuthentication(BaseAuthentication):
    """Reads ``Authorization: Bearer <token>``.

    A browser cannot be made to send that, so a token is also taken as the password of HTTP Basic
    authentication (the user name is ignored); but not from another site's page, because a browser
    sends such a password along by itself.
    """

    def authenticate(self, request: Request) -> tuple[Client, str] | None:
        token = _sent_token(request)
        name = token_name(token, settings.API_TOKENS)
        return None if name is None else (Client(name), token)

    def authenticate_header(self, request: Request) -> str:
        """Return the ``WWW-Authenticate`` that lets this client log in."""
        if request.accepted_renderer.media_type == "text/html":
            return 'Basic realm="elevenlabs-agent: any name, a token as password", charset="UTF-8"'
        return 'Bearer realm="elevenlabs-agent"'


class HasToken(BasePermission):
    """Lets everyone through where no tokens are configured.

    Raises:
        NotAuthenticated: tokens are configured, and the request has none of them.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if settings.API_TOKENS and not isinstance(request.user, Client):
            raise NotAuthenticated
        return True


def _sent_token(request: Request) -> str:
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(value.strip())
    if scheme.lower() == "basic" and not is_of_another_site(request):
        try:
            decoded = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return decoded.partition(":")[2]
    return ""


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass
    """Declares the bearer token in the schema, for Swagger UI's Authorize button."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "One of the server's API_TOKENS; not needed where it has none.",
        }
