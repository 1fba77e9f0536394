"""Tokens, and the tickets that pages have in place of one."""

import re
import time

import pytest
import time_machine

from agent_conversations.access import TICKET_SECONDS, ticket_of, token_name

TOKENS = {"a-long-enough-token": "frontend", "another-long-token": "callbacks"}
FIRST, SECOND = TOKENS


def test_ticket_is_of_its_token_alone() -> None:
    ticket = ticket_of(SECOND)

    assert token_name(ticket, TOKENS) == "callbacks"
    assert token_name(ticket, {FIRST: "frontend"}) is None  # the other one was taken away
    assert token_name(ticket, {}) is None
    assert SECOND not in ticket


def test_ticket_ends() -> None:
    ticket = ticket_of(FIRST)

    with time_machine.travel(time.time() + TICKET_SECONDS - 60, tick=False):
        assert token_name(ticket, TOKENS) == "frontend"
    with time_machine.travel(time.time() + TICKET_SECONDS + 60, tick=False):
        assert token_name(ticket, TOKENS) is None


@pytest.mark.parametrize("place", range(3))
def test_changed_ticket_is_none(place: int) -> None:
    parts = ticket_of(FIRST).split(".")
    parts[place] = parts[place][:-1] + ("A" if parts[place][-1] != "A" else "B")

    assert token_name(".".join(parts), TOKENS) is None


@pytest.mark.parametrize(
    "sent", ["", ".", "page", "page.", "page..", "ü", "\x00.a.b", "x" * 10_000]
)
def test_nonsense_is_no_ticket(sent: str) -> None:
    assert token_name(sent, TOKENS) is None


def test_ticket_of_a_ticket_is_none() -> None:
    assert token_name(ticket_of(ticket_of(FIRST)), TOKENS) is None


def test_ticket_may_stand_in_the_name_of_a_subprotocol() -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+", ticket_of("a token of any ü characters"))
