"""Conversations in Redis: the repository, and below it one module for each of its concerns."""
