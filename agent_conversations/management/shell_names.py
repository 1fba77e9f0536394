"""What ``manage.py shell`` has at hand, under these names."""

from agent_conversations import services
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.types import AgentSession

TYPES = [AgentMessage, AgentSession, ConversationChanges, NewConversation]
SERVICES = ["conversations", "maintenance", "pushes", "sessions", "store"]


def __getattr__(name: str) -> object:
    # When a shell asks for it: `manage.py help` imports this module too.
    if name in SERVICES:
        return getattr(services, name)()
    raise AttributeError(name)
