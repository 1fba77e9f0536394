import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.template.defaultfilters import pluralize

from agent_conversations.management.commands._options import but_not, list_query
from agent_conversations.management.commands._output import say
from agent_conversations.management.commands._store_command import (
    StoreCommand,
    printable,
    progress,
)
from agent_conversations.services import conversations, maintenance, sessions
from agent_conversations.store.erasure import InvalidLedgerError, Ledger, Wanted, erase
from agent_conversations.store.records import Owners, StoredConversation
from sessions_store.wire.clock import ms_from_iso

ERASED_AT_ONCE = 500


class Command(StoreCommand):
    help = (
        "Deletes conversations and their sessions for good, while the service runs: those of a "
        "user, of an agent, not accessed since a time; of several, those that are all of it. What "
        "was erased is written to a ledger; --replay erases it again after a backup was restored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", metavar="ID", help="the userId")
        parser.add_argument("--agent", metavar="ID", help="the agentId")
        parser.add_argument(
            "--before", metavar="TIME", help="last accessed before it: 2026-11-23T00:00Z"
        )
        parser.add_argument("--replay", action="store_true", help="what the ledger has")
        parser.add_argument(
            "--ledger", metavar="FILE", help="default: erased.ledger in the folder DATA_DIR"
        )
        parser.add_argument("--dry-run", action="store_true", help="list them, delete nothing")
        parser.add_argument("--no-input", action="store_true", help="do not ask before deleting")

    def handle(self, *args: Any, **options: Any) -> None:
        ledger = Ledger(Path(options["ledger"] or settings.ENVIRONMENT.data_dir / "erased.ledger"))
        wanted = _wanted(ledger, options)
        unreadable: dict[str, str] = {}
        with progress("Conversations", conversations().list(limit=1).total) as advance:
            stored = maintenance().read_all(advance, unreadable, with_messages=False)
            found = [one for one in stored if wanted(one)]
        out = self.stderr if options["dry_run"] else self.stdout  # which has their ids alone
        if options["dry_run"]:
            for conversation in found:
                self.stdout.write(conversation.conversation_id)
            say(out, f"{len(found)} would be deleted, {len(unreadable)} unreadable.")
        elif found and not options["no_input"] and not self._is_confirmed(len(found)):
            raise CommandError("Nothing was deleted.")
        else:
            self._erase(found, ledger)
            say(out, f"{len(found)} deleted, {len(unreadable)} unreadable.")
        for conversation_id, reason in unreadable.items():
            say(out, f"unreadable: {printable(conversation_id)}: {reason}")
        if unreadable:
            sys.exit(1)

    def _is_confirmed(self, count: int) -> bool:
        say(
            self.stdout,
            f"{count} conversation{pluralize(count)} will be deleted, which cannot be undone.",
        )
        try:
            return input("Type 'yes' to go on: ") == "yes"
        except EOFError:
            return False

    def _erase(self, found: Sequence[StoredConversation], ledger: Ledger) -> None:
        with progress("Deleting", len(found)) as advance:
            for start in range(0, len(found), ERASED_AT_ONCE):
                batch = found[start : start + ERASED_AT_ONCE]
                try:
                    erase(conversations(), sessions(), ledger, batch)
                except OSError as error:
                    raise CommandError(
                        f"The ledger {ledger.path} cannot be written, and no more is deleted: "
                        f"{error.strerror}."
                    ) from None
                advance(len(batch))


def _wanted(ledger: Ledger, options: dict[str, Any]) -> Wanted:
    query = list_query({name: options[name] for name in ("agent", "user")})
    owners = Owners(query.agent_id, query.user_id)
    before = _milliseconds(options["before"])
    is_selected = any(value is not None for value in (*owners, before))
    if is_selected == options["replay"]:
        raise CommandError("Say which: --user, --agent, --before, or else --replay.")
    if options["replay"]:
        try:
            return ledger.wanted()
        except InvalidLedgerError as error:
            raise CommandError(f"The ledger {ledger.path} cannot be read: {error}.") from None
        except OSError as error:
            raise CommandError(
                f"The ledger {ledger.path} cannot be read: {error.strerror}."
            ) from None

    def wanted(conversation: StoredConversation) -> bool:
        is_older = before is None or conversation.last_accessed_at_ms < before
        return is_older and conversation.is_of(owners)

    return wanted


def _milliseconds(time: str | None) -> int | None:
    if time is None:
        return None
    try:
        return ms_from_iso(time)
    except (ValueError, OverflowError):
        raise CommandError(
            f"--before must be ISO 8601 with an offset, such as 2026-11-23T00:00Z{but_not(time)}."
        ) from None
