"""Writes the tables of docs/settings.md and docs/commands.md: ``make reference``.

The settings are those of the model in ``config/environment.py``, the commands those that
``manage.py`` lists, with what ``--help`` says of each.
"""

import functools
import os
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import django
from django.core.management import get_commands, load_command_class
from django.core.management.base import DjangoHelpFormatter

from config.command_line import OURS
from config.environment import PROJECT_DIR, Environment

DOCS = PROJECT_DIR / "docs"
_START, _END = "<!-- written -->\n", "<!-- end -->\n"
_HELP = "  -h, --help            show this help message and exit\n"
_DJANGOS = "  --version "
"""Where the options begin that Django gives every command: after the command's own."""


def settings_table() -> Iterator[str]:
    yield "| variable | default | |"
    yield "|---|---|---|"
    for name, schema in Environment.model_json_schema()["properties"].items():
        default = schema.get("default", "")
        text = ",".join(default) if isinstance(default, (list, dict)) else str(default)
        text = text.removeprefix(f"{PROJECT_DIR}/")
        text = text.lower() if isinstance(default, bool) else text
        yield f"| `{name}` | {text and f'`{text}`'} | {schema['description']} |"


def commands_sections() -> Iterator[str]:
    for name, application in sorted(get_commands().items()):
        if application in OURS:
            command = load_command_class(application, name)
            parser = command.create_parser(
                "manage.py",
                name,
                formatter_class=functools.partial(DjangoHelpFormatter, width=100),
            )
            _usage, _help, arguments = parser.format_help().split("\n\n", 2)
            arguments = arguments.partition(_DJANGOS)[0].replace(_HELP, "")
            yield f"## `{name}`\n\n{textwrap.fill(command.help, 110)}\n"
            if arguments != "options:\n":
                yield f"```text\n{arguments.rstrip()}\n```\n"


def with_reference(page: str, lines: Iterable[str]) -> str:
    """Return a page with these lines in the place of those that were written before."""
    before, _, rest = page.partition(_START)
    _, _, after = rest.partition(_END)
    written = "\n".join(lines).strip("\n")
    return f"{before}{_START}\n{written}\n\n{_END}{after}"


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page, and what it has to be."""
    for name, lines in (("settings.md", settings_table()), ("commands.md", commands_sections())):
        path = DOCS / name
        yield path, with_reference(path.read_text(), lines)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    for path, page in pages():
        path.write_text(page)
