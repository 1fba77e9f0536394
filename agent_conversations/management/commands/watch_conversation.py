import queue
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.template.defaultfilters import pluralize

from agent_conversations.management.commands._conversation import drawn, find
from agent_conversations.management.commands._output import add_json_argument, say, show, write_json
from agent_conversations.management.commands._store_command import StoreCommand
from agent_conversations.services import conversations, store
from agent_conversations.store.records import StoredConversation
from sessions_store.errors import CorruptRecordError, StoreUnavailableError
from sessions_store.keys import changes_channel
from sessions_store.redis.subscriber import Subscriber

COMPARE_SECONDS = 5.0
"""How often it looks without being told, in case that a notification was lost."""


class Command(StoreCommand):
    help = (
        "Shows the messages of a conversation as they come, and those that are corrected, until "
        "Ctrl-C or the conversation's end; no access."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("conversation_id", metavar="ID")
        add_json_argument(parser, "a message a line, each time that it comes or is changed")

    def handle(self, *args: Any, **options: Any) -> None:
        conversation_id = options["conversation_id"]
        shown = find(conversation_id)  # or there is nothing to watch
        told: queue.SimpleQueue[None] = queue.SimpleQueue()
        subscriber = Subscriber(
            store(),
            on_message=lambda *_: told.put(None),
            on_subscribed=lambda _: told.put(None),
            on_lost=lambda _: None,  # it comes back by itself, and then tells
        )
        subscriber.start()
        try:
            subscriber.subscribe(changes_channel(conversation_id))
            count = shown.message_count
            messages = f"{count} message{pluralize(count)}"
            say(self.stderr, f"Waiting for what comes in {conversation_id} ({messages}).")
            while True:
                _wait(told)
                try:
                    part = conversations().find_part(conversation_id)
                except StoreUnavailableError:
                    continue  # what comes meanwhile is shown afterwards
                except CorruptRecordError as error:
                    raise CommandError(str(error)) from None
                if part is None:
                    say(self.stderr, "The conversation was deleted.")
                    return
                self._show_changes(shown, part.conversation, as_json=options["json"])
                shown = part.conversation
        except KeyboardInterrupt:
            return
        finally:
            subscriber.stop()

    def _show_changes(
        self, before: StoredConversation, after: StoredConversation, *, as_json: bool
    ) -> None:
        known = before.messages_json
        for position, raw in enumerate(after.messages_json):
            if position < len(known) and known[position] == raw:
                continue
            if as_json:
                write_json(self.stdout, raw)
            else:
                show(self.stdout, drawn(after.messages[position]))
        self.stdout.flush()


def _wait(told: "queue.SimpleQueue[None]") -> None:
    try:
        told.get(timeout=COMPARE_SECONDS)
        while True:  # all that came meanwhile is read at once
            told.get_nowait()
    except queue.Empty:
        pass
