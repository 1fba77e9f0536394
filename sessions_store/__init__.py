"""Live sessions; in packages of their own, the Redis client and the wire format of this project.

The lowest layer: it imports neither ``agent_conversations`` nor Django. Its prefix in Redis is
``elevenlabs:session:``.
"""
