"""The API's paths: each is declared with its action in ``views``."""

from django.urls import register_converter
from rest_framework.routers import SimpleRouter

from agent_conversations import API_PREFIX
from agent_conversations.api.views.conversations import AgentConversationViewSet
from agent_conversations.api.views.live import LiveViewSet
from agent_conversations.api.views.messages import AgentMessageViewSet
from agent_conversations.api.views.pushes import AgentPushViewSet
from agent_conversations.api.views.sessions import AgentSessionViewSet


class ClientsIdConverter:
    """An id of a client's own, with whatever is in it: Django's ``path`` has no line break."""

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(ClientsIdConverter, "clients_id")

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
for basename, viewset in (
    # Before those whose paths begin with an id.
    ("live", LiveViewSet),
    ("agent-conversation", AgentConversationViewSet),
    ("agent-message", AgentMessageViewSet),
    ("agent-session", AgentSessionViewSet),
    ("agent-push", AgentPushViewSet),
):
    router.register(API_PREFIX.removeprefix("/"), viewset, basename)

urlpatterns = router.urls
