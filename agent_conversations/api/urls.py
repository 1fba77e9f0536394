"""The API's paths. With their prefix each: one resolver fewer to go through at every request."""

from agent_conversations.api.middleware import API_PREFIX
from agent_conversations.api.routers import ContractRouter
from agent_conversations.api.views import AgentConversationViewSet, AgentSessionViewSet

router = ContractRouter()
router.register(API_PREFIX[1:], AgentConversationViewSet, basename="conversation")
router.register(API_PREFIX[1:], AgentSessionViewSet, basename="session")

urlpatterns = router.urls
