"""The bundled Valkey server, which the service runs on where ``REDIS_URL`` names no other."""
