"""Who may use the API: a client with one of ``API_TOKENS``, or anyone where there are none."""

import base64
import binascii
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from agent_conversations.access import Client, Scope
from agent_conversations.api.origins import is_of_another_site
from agent_conversations.errors import ScopeMissingError


class _DeniedError(ScopeMissingError, APIException):
    """The browsable API takes an ``APIException`` of a permission for "no form of this here"."""


class TokenAuthentication(BaseAuthentication):
    """Reads ``Authorization: Bearer <token>``.

    A browser cannot be made to send that, so a token is also taken as the password of HTTP Basic
    authentication (the user name is ignored); but not from another site's page, because a browser
    sends such a password along by itself.
    """

    def authenticate(self, request: Request) -> tuple[Client, str] | None:
        token = _sent_token(request)
        client = settings.API_TOKENS.find(token)
        return None if client is None else (client, token)

    def authenticate_header(self, request: Request) -> str:
        """Return the ``WWW-Authenticate`` that lets this client log in."""
        if request.accepted_renderer.media_type == "text/html":
            return 'Basic realm="elevenlabs-agent: any name, a token as password", charset="UTF-8"'
        return 'Bearer realm="elevenlabs-agent"'


class HasScope(BasePermission):
    """Lets everyone through where no tokens are configured.

    A view has the ``scope`` that it needs; in a viewset, each action has its own (``@operation``).
    One without is a fault, also where a token may do everything.

    Raises:
        NotAuthenticated: tokens are configured, and the request has none of them.
        PermissionDeniedError: it has one without the scope.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not settings.API_TOKENS.are_needed:
            return True
        client = request.user
        if not isinstance(client, Client):
            raise NotAuthenticated
        if getattr(view, "action", None) == "":
            return True  # no action has the method: it is refused with those that there are
        scope = _needed_scope(view)
        if scope not in client.scopes:
            raise _DeniedError(scope)
        return True


def user_id_of(request: Request) -> str | None:
    """Return the one user whose conversations the client may see, ``None`` where it is all."""
    if not settings.API_TOKENS.are_needed:
        return None
    client: Any = request.user  # HasScope has let it in
    user_id: str | None = client.user_id
    return user_id


def _needed_scope(view: Any) -> Scope:
    action = getattr(view, "action", None)
    scope: Scope = (getattr(view, action) if action else view).scope
    return scope


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

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        return {self.name: [_needed_scope(auto_schema.view)]}

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "One of the server's API_TOKENS; not needed where it has none.",
        }
