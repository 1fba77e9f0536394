"""The addresses of static files."""

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.urls import get_script_prefix


class PrefixedStaticFilesStorage(StaticFilesStorage):
    """Puts the path prefix of the request in front, as ``reverse`` does for pages.

    Django reads the prefix for ``STATIC_URL`` once, for the life of the process.
    """

    def url(self, name: str | None) -> str:
        return get_script_prefix().rstrip("/") + super().url(name)
