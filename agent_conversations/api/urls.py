"""The API's paths, under its prefix."""

from agent_conversations.api.routers import ContractRouter
from agent_conversations.api.views import AgentConversationViewSet, AgentSessionViewSet

router = ContractRouter()
router.register("", AgentConversationViewSet, basename="conversation")
router.register("", AgentSessionViewSet, basename="session")

urlpatterns = router.urls
