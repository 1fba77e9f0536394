"""The live process: who watches a conversation sees what is said, by WebSocket."""
