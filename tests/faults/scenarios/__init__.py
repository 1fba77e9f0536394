"""The scenarios: each is a function that causes a fault, repeatedly, and returns a ``Result``."""
