"""Tokens, and the tickets that pages have in place of one."""

import re
import time

import pytest
import time_machine

from agent_conversations.access import TICKET_SECONDS, Client, Tokens, ticket_of

FIRST, SECOND = "a-long-enough-token", "another-long-token"
FRONTEND, CALLBACKS = Client("frontend"), Client("callbacks")
TOKENS = Tokens({FIRST: FRONTEND, SECOND: CALLBACKS})


def test_ticket_is_of_its_token_alone() -> None:
    ticket = ticket_of(SECOND)

    assert TOKENS.find(ticket) is CALLBACKS
    assert Tokens({FIRST: FRONTEND}).find(ticket) is None  # the other one was taken away
    assert Tokens({}).find(ticket) is None
    assert SECOND not in ticket


def test_ticket_ends() -> None:
    ticket = ticket_of(FIRST)

    with time_machine.travel(time.time() + TICKET_SECONDS - 60, tick=False):
        assert TOKENS.find(ticket) is FRONTEND
    with time_machine.travel(time.time() + TICKET_SECONDS + 60, tick=False):
        assert TOKENS.find(ticket) is None


@pytest.mark.parametrize("place", range(3))
def test_changed_ticket_is_none(place: int) -> None:
    parts = ticket_of(FIRST).split(".")
    parts[place] = parts[place][:-1] + ("A" if parts[place][-1] != "A" else "B")

    assert TOKENS.find(".".join(parts)) is None


@pytest.mark.parametrize(
    "sent", ["", ".", "page", "page.", "page..", "ü", "\x00.a.b", "x" * 10_000]
)
def test_nonsense_is_no_ticket(sent: str) -> None:
    assert TOKENS.find(sent) is None


def test_ticket_of_a_ticket_is_none() -> None:
    assert TOKENS.find(ticket_of(ticket_of(FIRST))) is None


def test_ticket_may_stand_in_the_name_of_a_subprotocol() -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+", ticket_of("a token of any ü characters"))
