import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from agent_conversations.management.commands._output import say
from agent_conversations.management.commands._store_command import (
    StoreCommand,
    printable,
    progress,
)
from agent_conversations.services import maintenance, store
from agent_conversations.store.imports import (
    NODE_LIST,
    NODE_PREFIX,
    Imported,
    import_from_node,
    import_lines,
)
from sessions_store.errors import StoreUnavailableError, WrongTypeError
from sessions_store.redis.client import StoreClient
from sessions_store.redis.deployment import URL_FORMS, without_credentials


class Command(StoreCommand):
    help = (
        "Imports the conversations of the earlier Node.js service, whose records stay, or with "
        "--file those of an export. A conversation that exists here already is not changed, so the "
        "command may be repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--file",
            metavar="FILE",
            help="what export_conversations has written, in place of Redis; - is standard input",
        )
        parser.add_argument(
            "--source", metavar="URL", help="the Redis to read from; this service's own by default"
        )
        parser.add_argument("--prefix", default=NODE_PREFIX, help="default: %(default)s")
        parser.add_argument("--list-key", default=NODE_LIST, help="default: %(default)s")
        parser.add_argument("--dry-run", action="store_true", help="read everything, write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        result = _from_file(options) if options["file"] else _from_node(options)
        verb = "would be imported" if options["dry_run"] else "imported"
        say(
            self.stdout,
            f"{result.imported} {verb}, {result.present} already there, "
            f"{result.missing} listed without a record, {len(result.unreadable)} unreadable.",
        )
        for conversation_id, changes in result.changes.items():
            for change in changes:
                place = "" if change.message is None else f"message {change.message}, "
                say(self.stdout, f"{conversation_id}: {place}{change.field}: {change.why}")
        for conversation_id, reason in result.unreadable.items():
            say(self.stdout, f"unreadable: {printable(conversation_id)}: {reason}")
        if result.unreadable:
            sys.exit(1)


def _from_file(options: dict[str, Any]) -> Imported:
    try:
        file = sys.stdin.buffer if options["file"] == "-" else Path(options["file"]).open("rb")  # noqa: SIM115  # closed below
        with file, progress("Conversations", None) as advance:
            return import_lines(file, maintenance(), advance, dry_run=options["dry_run"])
    except OSError as error:
        raise CommandError(f"--file: {options['file']}: {error.strerror}") from None


def _from_node(options: dict[str, Any]) -> Imported:
    try:
        source = StoreClient.from_url(options["source"]) if options["source"] else store()
    except ValueError:
        raise CommandError(
            f"--source must be the URL of a Redis server, such as {URL_FORMS}."
        ) from None
    try:
        source.ping()
    except StoreUnavailableError as error:
        where = without_credentials(options["source"] or settings.REDIS_URL)
        raise CommandError(f"Redis at {where} is unavailable ({error.cause}).") from None
    with progress("Conversations", None) as advance:
        try:
            return import_from_node(
                source,
                maintenance(),
                advance,
                prefix=options["prefix"],
                list_key=options["list_key"],
                dry_run=options["dry_run"],
            )
        except WrongTypeError:
            raise CommandError(
                f"--list-key must name a set; {options['list_key']} is not one"
            ) from None
