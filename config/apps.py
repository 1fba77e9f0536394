from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Registers the system checks of the configuration."""

    name = "config"

    def ready(self) -> None:
        from config import checks  # noqa: F401, PLC0415  # registers them, once the settings are there
