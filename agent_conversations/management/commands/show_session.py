from typing import Any

from django.core.management.base import CommandError, CommandParser

from agent_conversations.management.commands._options import refused
from agent_conversations.management.commands._output import add_json_argument, say, write_json
from agent_conversations.management.commands._store_command import StoreCommand, printable
from agent_conversations.services import sessions
from sessions_store.errors import CorruptRecordError, InvalidRequestError
from sessions_store.types import AgentSessionStatus
from sessions_store.wire import json_codec
from sessions_store.wire.clock import now_ms


class Command(StoreCommand):
    help = (
        "Shows the session of a conversation, and how long it still lives, which looking does not "
        "extend. Exits with 1 if there is none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("conversation_id", metavar="ID")
        parser.add_argument(
            "--reveal", action="store_true", help="its URLs and payload too, which are credentials"
        )
        add_json_argument(parser, "one document")

    def handle(self, *args: Any, **options: Any) -> None:
        conversation_id = options["conversation_id"]
        try:
            session = sessions().get(conversation_id)
        except InvalidRequestError as error:
            raise refused("ID", conversation_id, error) from None
        except CorruptRecordError as error:
            raise CommandError(str(error)) from None
        if session is None:
            raise CommandError(f"No session is registered for {conversation_id}.")
        found = AgentSessionStatus.of(conversation_id, session, now_ms()).to_wire()
        if options["reveal"]:
            found = {**session.to_wire(), **found}
        if options["json"]:
            write_json(self.stdout, found)
            return
        for name, value in found.items():
            text = value if isinstance(value, str) else json_codec.encode(value).decode()
            self.stdout.write(f"{name}: {printable(text)}")  # unbroken, to be copied
        if not options["reveal"]:
            say(self.stderr, "Its URLs and payload are credentials: --reveal shows them.")
