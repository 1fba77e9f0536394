import sys
from typing import Any

from django.core.management.commands import shell

from agent_conversations import types as conversation_types
from agent_conversations.services import conversations, sessions
from sessions_store.types import AgentSession


class Command(shell.Command):
    help = "Opens a Python shell with the repositories and their types."

    def get_namespace(self, **options: Any) -> dict[str, Any]:
        """Return the names that the shell defines."""
        if options.get("no_imports"):
            return {}
        if sys.stdin.isatty() and not options.get("command"):
            self.stdout.write(
                "sessions: get set touch delete    "
                "conversations: create get list append_message append_messages put_message "
                "get_message list_messages update delete\n"
                "types: AgentSession AgentMessage NewConversation ConversationChanges\n"
                "A session's repr leaves out its credentials: ask for them by name, "
                "sessions.get(id).ws_url or .session_payload"
            )
        return {
            "sessions": sessions(),
            "conversations": conversations(),
            "AgentSession": AgentSession,
            "AgentMessage": conversation_types.AgentMessage,
            "NewConversation": conversation_types.NewConversation,
            "ConversationChanges": conversation_types.ConversationChanges,
        }
