import tomllib

from django.conf import settings

from config.environment import PROJECT_DIR


def test_version_of_the_schema_is_pyprojects() -> None:
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text("utf-8"))["project"]

    assert settings.SPECTACULAR_SETTINGS["VERSION"] == project["version"]
    assert project["version"] not in (PROJECT_DIR / "config" / "settings.py").read_text("utf-8")
