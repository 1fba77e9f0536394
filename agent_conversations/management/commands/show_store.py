import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.template.defaultfilters import pluralize
from pydantic.alias_generators import to_camel

from agent_conversations.management.commands._output import (
    add_json_argument,
    say,
    write_json,
    write_table,
)
from agent_conversations.management.commands._store_command import StoreCommand, progress
from agent_conversations.services import (
    conversations,
    maintenance,
    server_problems,
    sessions,
    store,
)
from agent_conversations.store.maintenance import Compared
from sessions_store.redis.deployment import kind_of, without_credentials
from sessions_store.redis.server_checks import UNKNOWN, ServerState, describe_servers

BATCHES = 200
"""That are looked at without ``--full``: 100,000 keys, in about a second."""

COLUMNS = ("server", "keys", "memory", "its limit", "replicas")


class Command(StoreCommand):
    help = (
        "Shows the state of the store: how many conversations and sessions, whether the list has "
        "them, the servers' memory and replicas, and what is wrong. Changes nothing. Exits with 1 "
        "if anything is wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--full",
            action="store_true",
            help="look at every key; else at the first 100,000 of each kind",
        )
        add_json_argument(parser, "one document")

    def handle(self, *args: Any, **options: Any) -> None:
        batches = None if options["full"] else BATCHES
        problems = server_problems()
        servers = describe_servers(store())
        kind = kind_of(settings.REDIS_URL)
        if kind == "server":  # which may be a socket, and knows itself by another address
            address = without_credentials(settings.REDIS_URL)
            servers = [replace(one, address=address) for one in servers]
        total = conversations().list(limit=0).total
        with progress("Entries and records", 2 * total) as advance:
            index = maintenance().compare_index(advance, batches=batches)
        session_count = sum(map(len, islice(sessions().scan_ids(), batches)))
        if options["json"]:
            document = {
                "kind": kind,
                "conversations": total,
                "sessions": session_count,
                "index": _to_wire(index),
                "servers": [_to_wire(one) for one in servers],
                "problems": [{"code": one.code, "message": one.message} for one in problems],
            }
            write_json(self.stdout, document)
        else:
            least = "" if index.is_whole else "at least "
            entries = f"entr{pluralize(index.entries, 'y,ies')}"
            rows = [
                ("kind", kind),
                ("conversations", total),
                ("sessions", f"{least}{session_count}"),
                ("list", f"{index.entries} {entries}, {index.entries_without_record} of no record"),
                ("records", f"{index.records}, {index.records_without_entry} not in the list"),
            ]
            write_table(self.stdout, ("store", ""), rows)
            write_table(self.stdout, COLUMNS, _rows(servers))
            for problem in problems:
                say(self.stdout, f"{problem.code}: {problem.message}")
            if not index.is_whole:
                say(self.stdout, "There are more keys than were looked at: --full.")
            if _is_wrong(index):
                say(self.stdout, "Run manage.py reindex, which mends the list.")
        if _is_wrong(index) or any(problem.code != UNKNOWN for problem in problems):
            sys.exit(1)


def _is_wrong(index: Compared) -> bool:
    return bool(index.entries_without_record or index.records_without_entry)


def _rows(servers: Iterable[ServerState]) -> Iterable[tuple[object, ...]]:
    for one in servers:
        limit = "none" if one.max_bytes == 0 else _size(one.max_bytes)
        yield one.address, one.keys, _size(one.used_bytes), limit, ", ".join(one.replicas)


def _size(count: int | None) -> str | None:
    return None if count is None else f"{count / 1024**2:,.1f} MiB"


def _to_wire(value: Any) -> dict[str, object]:
    return {to_camel(name): field for name, field in asdict(value).items()}
