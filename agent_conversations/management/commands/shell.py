import builtins
import reprlib
import sys
from typing import Any

from django.core.management.commands import shell

from agent_conversations.management import shell_names

WELCOME = """\
conversations  get list create append_message append_messages put_message get_message
               list_messages update delete; find_part and list are no access
maintenance    verify repair index reencrypt: one conversation; commands do it with all
sessions       get set touch delete
pushes         push get
store          scan get read_many: Redis itself
types          AgentMessage NewConversation ConversationChanges AgentSession

The Tab key completes, help(conversations.get) explains. Long values are shortened: print(…) shows
them whole. URLs and payloads are credentials: ask for them by name, sessions.get(id).ws_url.
"""

_short = reprlib.Repr()
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxdict = 10
_short.maxstring = _short.maxother = 300
"""Characters, of one value or of one in a list."""


class Command(shell.Command):
    help = "Opens a Python shell with the repositories and their types."

    def get_auto_imports(self) -> list[str]:
        names = [*shell_names.SERVICES, *(one.__name__ for one in shell_names.TYPES)]
        return [f"{shell_names.__name__}.{name}" for name in names]

    def handle(self, **options: Any) -> None:
        if sys.stdin.isatty() and not options["command"]:
            sys.displayhook = _display
            if not options["no_imports"]:
                self.stdout.write(WELCOME)
        # Django would say how many names there are, also to a program that reads the output.
        super().handle(**{**options, "verbosity": 0})


def _display(value: object) -> None:
    """Show the value of a statement, shortened; ``_`` has it whole."""
    if value is not None:
        builtins._ = value  # type: ignore[attr-defined]  # Python's own displayhook sets it too
        print(_short.repr(value))  # noqa: T201  # where the shell prints
