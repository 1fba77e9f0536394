"""The routes of the API, as Django's URL configuration has them."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver

PREFIX = "/agent-conversations/api"


def _find_patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield every route with its whole path."""
    for pattern in resolver.url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _find_patterns(pattern, path)
        else:
            yield path, pattern


def _find_routes() -> Iterator[tuple[str, str]]:
    for route, pattern in _find_patterns(get_resolver()):
        path = "/" + route.lstrip("^/").rstrip("$")
        if path.startswith(PREFIX):
            for method in pattern.callback.actions:  # type: ignore[attr-defined]  # a viewset's view
                yield (
                    method.upper(),
                    path.replace("<str:conversation_id>", "c-1")
                    .replace("<clients_id:message_id>", "m-1")
                    .replace("<clients_id:push_id>", "p-1"),
                )


ROUTES = list(_find_routes())
"""Method and path, with ``c-1``, ``m-1``, ``p-1`` for a conversation's, message's, push's id."""
