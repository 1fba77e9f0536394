import sys
from typing import Any

from django.core.management.commands import shell

from agent_conversations import types as conversation_types
from agent_conversations.services import conversations, sessions
from sessions_store.types import AgentSession


class Command(shell.Command):
    help = "Python, with sessions, conversations and their types at hand."

    def get_namespace(self, **options: Any) -> dict[str, Any]:
        """Return the names that the shell opens with."""
        if options.get("no_imports"):
            return {}
        if sys.stdin.isatty() and not options.get("command"):
            self.stdout.write(
                "sessions: get set touch delete    "
                "conversations: create get list append_message list_messages update delete\n"
                "types: AgentSession AgentMessage NewConversation ConversationChanges\n"
                "A session's URL and payload are shown when asked for: "
                "sessions.get(id).ws_url, .session_payload"
            )
        return {
            "sessions": sessions(),
            "conversations": conversations(),
            "AgentSession": AgentSession,
            "AgentMessage": conversation_types.AgentMessage,
            "NewConversation": conversation_types.NewConversation,
            "ConversationChanges": conversation_types.ConversationChanges,
        }
