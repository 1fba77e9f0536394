"""What commands take: how it is parsed, and what is said of a value that cannot be one."""

from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from agent_conversations.management.commands._store_command import printable
from agent_conversations.types import ConversationListQuery
from sessions_store.errors import InvalidRequestError

MOST_CHARACTERS = 60
"""Of a value, in the sentence that refuses it."""

OPTIONS = {
    "agentId": "agent",
    "userId": "user",
    "sortBy": "sort",
    "sortOrder": "order",
    "from": "from",
    "to": "to",
}
"""The options that are parameters of the API's list, by the names that they have there."""


def count(text: str) -> int:
    """Return a number of records, as an option's ``type``."""
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"must be a whole number, 0 or more{but_not(text)}")
    return int(text)


def list_query(options: Mapping[str, Any]) -> ConversationListQuery:
    """Return the query that the options ask for.

    Raises:
        CommandError: names the option as it was typed, and what it may be.
    """
    given = {name: options.get(option) for name, option in OPTIONS.items()}
    sent: dict[str, str] = {name: value for name, value in given.items() if value is not None}
    try:
        return ConversationListQuery.parse(sent)
    except InvalidRequestError as error:
        name = next(iter(error.details))
        raise refused(f"--{OPTIONS[name]}", sent[name], error) from None


def refused(typed: str, value: str, error: InvalidRequestError) -> CommandError:
    """Return the error of an option or argument whose value the API refuses."""
    ((name, (sentence, *_)), *_) = error.details.items()
    rule = sentence.removeprefix(f"{name} ").replace("where sortBy is", "with --sort")
    return CommandError(f"{typed} {rule}{but_not(value)}.")


def but_not(value: str) -> str:
    """Return the end of a sentence that says what the value was."""
    more = "…" if len(value) > MOST_CHARACTERS else ""
    return value and f", not '{printable(value[:MOST_CHARACTERS])}{more}'"
