"""Which page a browser sends a request for: one of this service, or of another site."""

from django.http import HttpRequest


def is_of_another_site(request: HttpRequest) -> bool:
    """Return whether another site's page made a browser send the request; never of a program's.

    Over plain HTTP, but for localhost, browsers leave out ``Sec-Fetch-Site``; there ``Origin``
    decides, which they add to every request but a GET or HEAD.
    """
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.META.get("HTTP_ORIGIN")
    return origin is not None and origin.partition("://")[2] != request.get_host()
