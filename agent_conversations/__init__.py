"""Agent conversations: what a user and an ElevenLabs voice agent said, and the HTTP API.

These are *not* the note-taking conversations. Those belong to another service, cursor-runner,
under ``cursor:conversation:*``, a prefix that this package neither reads nor writes. This package
owns ``elevenlabs:conversation:*`` and ``{elevenlabs:conversation…``; its list is kept under
``{elevenlabs:conversations}:*``.
"""

API_PREFIX = "/agent-conversations/api"
"""The path of the HTTP API, and of the WebSocket beside it."""
