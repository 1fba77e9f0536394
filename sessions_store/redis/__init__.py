"""The Redis client, and all that depends on the kind of Redis deployment."""
