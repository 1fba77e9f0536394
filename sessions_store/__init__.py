"""Live sessions, and how this project talks to Redis at all.

The lowest floor: it knows neither the conversations above it nor Django. Its prefix in Redis is
``elevenlabs:session:``.
"""
