"""The commands of ``manage.py``: this project's, and those of Django that make sense here."""

import re
import sys

from django.core.management import (
    BaseCommand,
    ManagementUtility,
    get_commands,
    load_command_class,
)

OURS = ("config", "agent_conversations")
OF_OTHERS = ("check", "runserver", "spectacular")
"""There is no database to migrate, dump or load, and nothing to collect."""


class CommandLine(ManagementUtility):
    """Django's command line, without the commands that have nothing to do here."""

    def main_help_text(self, commands_only: bool = False) -> str:
        """Return the commands, each with what it does."""
        known = get_commands()
        ours = sorted(name for name, app in known.items() if app in OURS)
        if commands_only:
            return "\n".join([*ours, *OF_OTHERS])
        width = max(map(len, ours)) + 2
        lines = ["", f"Type '{self.prog_name} help <command>' for help on one of them.", ""]
        for name in (*ours, *OF_OTHERS):
            help_text = load_command_class(str(known[name]), name).help
            lines.append(f"  {name:<{width}}{_first_words(help_text)}")
        return "\n".join(lines)

    def fetch_command(self, subcommand: str) -> BaseCommand:
        known = get_commands()
        if subcommand in known and known[subcommand] not in OURS and subcommand not in OF_OTHERS:
            sys.stderr.write(
                f"There is nothing to do here for Django's command {subcommand!r}.\n"
                f"Type '{self.prog_name} help' for the commands that there are.\n"
            )
            sys.exit(1)
        return super().fetch_command(subcommand)


def _first_words(text: str) -> str:
    """Return what fits into a line: the beginning of a help text, up to its first stop."""
    return re.split(r"[.,:;] ", " ".join(text.split()), maxsplit=1)[0].rstrip(".") + "."
