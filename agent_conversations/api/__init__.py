"""The whole HTTP face: conversations, messages, sessions, health, and the OpenAPI schema."""
