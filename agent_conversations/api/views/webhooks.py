"""Where ElevenLabs tells of a call that is over."""

from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from agent_conversations.api.exceptions import WebhookTooLargeError
from agent_conversations.api.openapi.operations import operation
from agent_conversations.api.parsers import WebhookParser
from agent_conversations.api.permissions import FeatureEnabled
from agent_conversations.api.renderers import JsonRenderer
from agent_conversations.api.responses import respond
from agent_conversations.errors import InvalidSignatureError, UnknownPathError
from agent_conversations.services import webhooks
from agent_conversations.types import WebhookTaken
from sessions_store.errors import CorruptRecordError


class HasSecrets(BasePermission):
    """Without a secret nothing can be believed, and there is no such path."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not settings.ELEVENLABS_WEBHOOK_SECRETS:
            raise UnknownPathError
        return True


class WebhookView(APIView):
    """Takes what ElevenLabs signs; API tokens do not apply."""

    permission_classes = [HasSecrets, FeatureEnabled]
    authentication_classes = []
    parser_classes = [WebhookParser]
    renderer_classes = [JsonRenderer]
    http_method_names = ["post"]

    @operation(
        "receiveElevenLabsWebhook",
        tag="webhooks",
        summary="Complete a conversation by ElevenLabs' transcript of the call",
        responses={200: WebhookTaken},
        example={"success": True, "outcome": "stored"},
        errors=[
            InvalidSignatureError,
            UnknownPathError,
            WebhookTooLargeError,
            CorruptRecordError,
        ],
        invalid=("type", "type must be a string"),
        irreversible="The turns of the transcript are merged with what was recorded live.",
        scope=None,
    )
    def post(self, request: Request) -> HttpResponseBase:
        signature = request.META.get("HTTP_ELEVENLABS_SIGNATURE", "")
        sent = dict(request.data)  # nothing, where there is no body
        outcome = webhooks().take(signature, sent.get("body", b""))
        return respond(request, WebhookTaken(outcome=outcome))
