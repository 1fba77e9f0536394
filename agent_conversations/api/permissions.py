"""The feature flag, as a permission."""

from typing import Any

from django.conf import settings
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from agent_conversations.errors import FeatureDisabledError


class _RefusedError(FeatureDisabledError, APIException):
    """The browsable API takes an ``APIException`` of a permission for "no form of this here"."""


class FeatureEnabled(BasePermission):
    """Lets a request through only while ``ELEVENLABS_AGENT_ENABLED`` is on.

    A default permission: a new route is behind the flag, unless it names its own permissions.

    Raises:
        FeatureDisabledError: a 503. (A permission that returned False would be a 403.)
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not settings.ELEVENLABS_AGENT_ENABLED:
            raise _RefusedError
        return True
