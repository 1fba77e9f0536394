"""The feature flag, as the permission of every conversation and session route."""

from typing import Any

from django.conf import settings
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from agent_conversations.api.exceptions import FeatureDisabledError


class FeatureEnabled(BasePermission):
    """Lets a request through only while ``ELEVENLABS_AGENT_ENABLED`` is on.

    The default permission of the project, so that a new route is behind the flag without anyone
    thinking of it. Health, schema and documentation opt out by naming no permissions.

    Raises:
        FeatureDisabledError: the flag is off; a 503, before Redis is asked for anything. (A
            permission that returned False would be a 403.)
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not settings.ELEVENLABS_AGENT_ENABLED:
            raise FeatureDisabledError
        return True
