import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from django.core.management.base import CommandError, CommandParser

from agent_conversations.management.commands._output import say
from agent_conversations.management.commands._store_command import (
    StoreCommand,
    printable,
    progress,
)
from agent_conversations.services import conversations, maintenance
from agent_conversations.store.export import FORMATS


class Command(StoreCommand):
    help = (
        "Writes every conversation as a line of JSON, while the service runs. Reading them is no "
        "access. Exits with 1 if one cannot be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--output", metavar="FILE", default="-", help="a new file; standard output by default"
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default="conversations",
            help="conversations, as import_conversations takes them, or chat: messages as models "
            "are trained with (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        line = FORMATS[options["format"]]
        unreadable: dict[str, str] = {}
        written = 0
        total = conversations().list(limit=1).total
        with _opened(options["output"]) as file, progress("Conversations", total) as advance:
            for conversation in maintenance().read_all(advance, unreadable):
                file.write(line(conversation) + b"\n")
                written += 1
        say(self.stderr, f"{written} written, {len(unreadable)} unreadable.")
        for conversation_id, reason in unreadable.items():
            say(self.stderr, f"unreadable: {printable(conversation_id)}: {reason}")
        if unreadable:
            sys.exit(1)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdout.buffer
        return
    try:
        # People's words: only for the owner.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except OSError as error:
        raise CommandError(f"--output: {path}: {error.strerror}") from None
