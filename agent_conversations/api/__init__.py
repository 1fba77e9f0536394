"""The whole HTTP face: conversations, messages, sessions, health, and the OpenAPI schema."""

API_PREFIX = "/agent-conversations/api"
