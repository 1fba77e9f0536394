"""A transcript and what was recorded live become one account of a call."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from agent_conversations import merging
from agent_conversations.errors import ConversationFullError, MessageConflictError
from agent_conversations.store.maintenance import ConversationMaintenance
from agent_conversations.store.repository import ConversationRepository
from agent_conversations.transcripts import call_of, transcript_of, turn_id
from agent_conversations.types import AgentMessage, ConversationChanges, NewConversation
from sessions_store.redis.client import StoreClient
from sessions_store.wire import json_codec
from sessions_store.wire.clock import iso_from_ms, ms_from_iso, now_ms

CALL = "conv_7101"


def turn(role: str, words: str | None, event: int | None = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "message": words, "source_event_id": event, **more}


def now() -> int:
    return now_ms() // 1000


def call(*turns: Mapping[str, Any], timestamp: int = 1_000, **data: Any) -> Any:
    start = now() - 60
    seconds = [{"time_in_call_secs": 2 * number, **one} for number, one in enumerate(turns)]
    metadata = {"start_time_unix_secs": start, **data.pop("metadata", {})}
    return transcript_of(
        {"status": "done", "transcript": seconds, "metadata": metadata, **data}, CALL, timestamp
    )


def live(role: str, words: str, event: object, **fields: Any) -> AgentMessage:
    speaker = "user" if role == "user" else "agent"
    return AgentMessage.parse(
        {"role": role, "content": words, "messageId": turn_id(CALL, event, speaker), **fields}
    )


def contents(conversations: ConversationRepository) -> list[str]:
    return [message.content for message in conversations.get("c").messages]


@pytest.fixture
def recorded(conversations: ConversationRepository) -> ConversationRepository:
    """A conversation in which two turns were recorded live."""
    conversations.create(NewConversation(conversation_id="c"))
    conversations.append_messages(
        "c", [live("user", "What is left?", 1), live("agent", "Two tasks are left.", 2)]
    )
    return conversations


def test_transcript_of_recorded_turns_adds_nothing(recorded: ConversationRepository) -> None:
    before = recorded.get("c").messages

    recorded.merge_transcript(
        "c", call(turn("user", "What is left?", 1), turn("agent", "Two tasks are left.", 2))
    )

    after = recorded.get("c").messages
    assert [one.time_in_call_secs for one in after] == [0, 2]
    assert [one.model_copy(update={"time_in_call_secs": None}) for one in after] == before


def test_turns_that_were_not_recorded_come_last(recorded: ConversationRepository) -> None:
    recorded.merge_transcript(
        "c",
        call(
            turn("agent", "Hello", 0),
            turn("user", "What is left?", 1),
            turn("agent", "Two tasks are left.", 2),
            turn("user", "Thanks", 3),
        ),
    )

    assert contents(recorded) == ["What is left?", "Two tasks are left.", "Hello", "Thanks"]


def test_turn_has_the_time_of_the_call_plus_its_second(recorded: ConversationRepository) -> None:
    start = 1_795_000_000
    transcript = call(
        turn("user", "Thanks", 9, time_in_call_secs=2.5),
        metadata={"start_time_unix_secs": start},
    )

    recorded.merge_transcript("c", transcript)

    last = recorded.get("c").messages[-1]
    assert ms_from_iso(str(last.timestamp)) == start * 1000 + 2_500
    assert last.time_in_call_secs == 2.5


@pytest.mark.parametrize("event", [2, None])
def test_cut_off_turn_is_corrected_to_what_was_heard(
    recorded: ConversationRepository, event: int | None
) -> None:
    cut_off = turn("agent", "Two tasks", event, interrupted=True)

    recorded.merge_transcript("c", call(turn("user", "What is left?", 1), cut_off))

    message = recorded.get("c").messages[1]
    assert len(recorded.get("c").messages) == 2
    assert (message.content, message.interrupted) == ("Two tasks", True)
    assert message.original_content == "Two tasks are left."


def test_correction_that_was_recorded_stays(recorded: ConversationRepository) -> None:
    heard = live("agent", "Two", 2, interrupted=True, originalContent="Two tasks are left.")
    recorded.put_message("c", str(heard.message_id), heard)

    recorded.merge_transcript("c", call(turn("agent", "Two", 2, interrupted=True)))

    assert recorded.get("c").messages[1].original_content == "Two tasks are left."


def test_tool_call_and_result_are_one_message(recorded: ConversationRepository) -> None:
    arguments = '{"day": 12345678901234567890, "tags": []}'
    asked = turn(
        "agent",
        None,
        tool_calls=[{"request_id": "r1", "tool_name": "list_tasks", "params_as_json": arguments}],
    )
    answered = turn(
        "agent",
        None,
        tool_results=[
            {"request_id": "r1", "tool_name": "list_tasks", "result_value": "no", "is_error": True}
        ],
    )

    recorded.merge_transcript("c", call(asked, answered))

    *_, tool = recorded.get("c").messages
    assert len(recorded.get("c").messages) == 3
    assert tool.to_wire() | {"timestamp": None} == {
        "role": "tool",
        "content": "",
        "timestamp": None,
        "source": "tool_output",
        "messageId": f"{CALL}:r1:tool",
        "toolName": "list_tasks",
        "toolArgs": {"day": 12345678901234567890, "tags": []},
        "toolOutput": "no",
        "status": "failed",
        "toolCallId": "r1",
        "timeInCallSecs": 0,
    }


def test_tool_that_was_recorded_is_completed(recorded: ConversationRepository) -> None:
    pending = {"role": "tool", "content": "", "toolCallId": "r1", "status": "pending"}
    recorded.append_message("c", AgentMessage.parse(pending))
    result = {"request_id": "r1", "tool_name": "list_tasks", "result_value": "2 tasks"}

    recorded.merge_transcript("c", call(turn("agent", None, tool_results=[result])))

    (tool,) = [one for one in recorded.get("c").messages if one.role == "tool"]
    assert (tool.tool_name, tool.tool_output, tool.status) == ("list_tasks", "2 tasks", "completed")


def test_same_transcript_again_changes_nothing(recorded: ConversationRepository) -> None:
    transcript = call(turn("user", "Thanks", 3))
    assert recorded.merge_transcript("c", transcript)
    recorded.put_message("c", turn_id(CALL, 3, "user"), live("user", "Edited", 3), if_tag=["*"])
    before = recorded.get("c")

    assert not recorded.merge_transcript("c", transcript)
    assert not recorded.merge_transcript("c", replace(transcript, event_timestamp=999))

    assert recorded.get("c").revision == before.revision


def test_later_transcript_of_the_call_is_merged_too(recorded: ConversationRepository) -> None:
    recorded.merge_transcript("c", call(turn("user", "Thanks"), turn("user", "Thanks")))

    recorded.merge_transcript(
        "c",
        call(turn("user", "Thanks"), turn("user", "Thanks"), turn("agent", "Bye"), timestamp=2_000),
    )

    assert contents(recorded)[2:] == ["Thanks", "Thanks", "Bye"]


def test_words_of_an_earlier_call_are_not_this_ones(
    recorded: ConversationRepository,
) -> None:
    old = {"role": "user", "content": "Thanks", "timestamp": "2026-01-01T00:00:00.000Z"}
    recorded.append_message("c", AgentMessage.parse(old))

    recorded.merge_transcript("c", call(turn("user", "Thanks")))

    assert contents(recorded).count("Thanks") == 2


def test_greeting_of_the_second_call_is_its_own(recorded: ConversationRepository) -> None:
    greeting = "Hello, how can I help?"
    recorded.append_message("c", AgentMessage.parse({"role": "agent", "content": greeting}))
    recorded.merge_transcript("c", call(turn("agent", greeting)))
    second = transcript_of(
        {"transcript": [turn("agent", greeting)], "metadata": {"start_time_unix_secs": now()}},
        "conv_2",
        2_000,
    )

    recorded.merge_transcript("c", second)
    recorded.merge_transcript("c", replace(second, event_timestamp=3_000))

    assert contents(recorded).count(greeting) == 2


def test_words_after_the_end_of_a_call_are_others(recorded: ConversationRepository) -> None:
    hours_ago = now() - 3 * 3600
    recorded.append_message("c", AgentMessage.parse({"role": "user", "content": "Thanks"}))

    recorded.merge_transcript(
        "c", call(turn("user", "Thanks"), metadata={"start_time_unix_secs": hours_ago})
    )

    assert contents(recorded).count("Thanks") == 2


def test_turn_that_matches_nothing_is_compared_with_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = [turn("agent", f"a {n} and", None, interrupted=True) for n in range(1_000)]
    at = iso_from_ms(now_ms())
    stored = [live("agent", f"b {n}", f"n{n}", timestamp=at) for n in range(1_000)]
    compared: list[None] = []
    monkeypatch.setattr(merging, "_is_cut_off", lambda *_: compared.append(None))

    merged = merging.merge(stored, call(*turns))

    assert len(merged.appended) == 1_000
    assert 1_000 <= len(compared) <= 1_000 * merging.MOST_NEIGHBOURS


def test_outcome_is_beside_the_metadata_of_clients(recorded: ConversationRepository) -> None:
    recorded.update("c", ConversationChanges.parse({"metadata": {"big": 12345678901234567890}}))

    recorded.merge_transcript(
        "c",
        call(
            metadata={"cost": 296, "phone_call": None, "unknown": 1},
            analysis={"transcript_summary": "They spoke.", "call_successful": "success"},
        ),
    )

    metadata = recorded.get("c").metadata
    assert metadata is not None
    assert metadata["big"] == 12345678901234567890
    outcome = metadata["elevenlabs"]
    assert outcome["status"] == "done"
    assert (outcome["cost"], outcome["transcript_summary"]) == (296, "They spoke.")
    assert "phone_call" not in outcome
    assert "unknown" not in outcome


def test_outcome_over_its_limit_is_cut_by_the_largest(recorded: ConversationRepository) -> None:
    recorded.merge_transcript(
        "c", call(analysis={"transcript_summary": "x" * 300_000, "call_successful": "success"})
    )

    outcome = (recorded.get("c").metadata or {})["elevenlabs"]
    assert outcome["truncated"] == ["transcript_summary"]
    assert outcome["call_successful"] == "success"
    assert len(json_codec.encode(outcome)) < 256 * 1024


def test_late_write_of_a_turn_is_a_repetition(recorded: ConversationRepository) -> None:
    recorded.merge_transcript("c", call(turn("user", "Thanks", 3), turn("agent", "Good-bye!")))

    other_words = recorded.append_message("c", live("user", "Thanks a lot", 3))
    without_event = recorded.append_message("c", live("agent", "good bye", 4))
    put = recorded.put_message("c", turn_id(CALL, 3, "user"), live("user", "Thank you", 3))

    assert other_words.replayed
    assert without_event.replayed
    assert put.replayed
    assert contents(recorded)[2:] == ["Thanks", "Good-bye!"]


def test_late_write_of_another_turn_is_appended(recorded: ConversationRepository) -> None:
    recorded.merge_transcript("c", call(turn("user", "Thanks", 3)))
    one, other = live("user", "Thanks", 3), live("agent", "Bye", 4)

    first, second = recorded.append_messages("c", [one, other])
    again = recorded.append_messages("c", [one, other])

    assert (first.replayed, second.replayed) == (True, False)
    assert [result.replayed for result in again] == [True, True]
    assert contents(recorded)[2:] == ["Thanks", "Bye"]


def test_late_put_of_a_turn_without_event_is_a_repetition(
    recorded: ConversationRepository,
) -> None:
    recorded.merge_transcript("c", call(turn("agent", "Good-bye!"), turn("user", "Thanks", 3)))

    put = recorded.put_message("c", turn_id(CALL, 4, "agent"), live("agent", "Good bye", 4))
    other = recorded.put_message("c", turn_id(CALL, 5, "agent"), live("agent", "Well", 5))

    assert (put.replayed, put.message.content) == (True, "Good-bye!")
    assert (other.appended, other.replayed) == (True, False)
    assert contents(recorded)[2:] == ["Good-bye!", "Thanks", "Well"]


def test_same_words_of_other_events_are_other_turns(recorded: ConversationRepository) -> None:
    recorded.append_message("c", live("user", "Yes", 9))

    recorded.merge_transcript("c", call(turn("user", "Yes", 5)))

    assert contents(recorded).count("Yes") == 2


def test_turns_are_paired_so_that_most_have_a_message(recorded: ConversationRepository) -> None:
    recorded.append_messages("c", [live("user", "Yes", "n1"), live("user", "Yes", 9)])

    recorded.merge_transcript("c", call(turn("user", "Yes"), turn("user", "Yes", 5)))

    assert contents(recorded).count("Yes") == 2


def test_turn_that_was_recorded_whole_is_found_in_any_order(
    recorded: ConversationRepository,
) -> None:
    recorded.append_messages(
        "c", [live("user", "Stop", "n1"), live("agent", "Let me look at it", "n2")]
    )
    heard = turn("agent", "Let me", interrupted=True, original_message="Let me look at it")

    recorded.merge_transcript("c", call(heard, turn("user", "Stop")))

    assert contents(recorded)[2:] == ["Stop", "Let me"]


def test_conflict_in_a_late_batch_writes_none_of_it(recorded: ConversationRepository) -> None:
    own = AgentMessage.parse({"role": "user", "content": "one", "messageId": "own"})
    recorded.append_message("c", own)
    recorded.merge_transcript("c", call(turn("user", "Thanks", 3)))
    other = own.model_copy(update={"content": "another"})

    with pytest.raises(MessageConflictError):
        recorded.append_messages("c", [live("agent", "Bye", 4), other])

    assert contents(recorded)[2:] == ["one", "Thanks"]


def test_turns_for_which_there_is_no_room_are_left_out(store: StoreClient) -> None:
    conversations = ConversationRepository(store, max_messages=2)
    conversations.create(NewConversation(conversation_id="c"))
    conversations.append_message("c", live("user", "One", 1))

    conversations.merge_transcript(
        "c", call(turn("user", "One", 1), turn("user", "Two", 2), turn("user", "Three", 3))
    )

    assert contents(conversations) == ["One", "Two"]
    assert (conversations.get("c").metadata or {})["elevenlabs"]["truncated"] == ["transcript"]
    with pytest.raises(ConversationFullError):
        conversations.append_message("c", live("user", "Four", 4))


def test_write_in_between_is_not_lost(
    interrupted_store: Callable[[Callable[[], object]], StoreClient], store: StoreClient
) -> None:
    writer = ConversationRepository(store)
    writer.create(NewConversation(conversation_id="c"))
    writes = iter(range(3))

    def write() -> None:
        number = next(writes, None)
        if number is not None:
            writer.append_message("c", live("user", f"said {number}", number))

    conversations = ConversationRepository(interrupted_store(write))
    conversations.merge_transcript("c", call(*[turn("user", f"said {n}", n) for n in range(4)]))

    assert contents(writer) == ["said 0", "said 1", "said 2", "said 3"]


def test_long_transcript_is_one_step(real_conversations: ConversationRepository) -> None:
    real_conversations.create(NewConversation(conversation_id="c"))
    turns = [turn("user" if n % 2 else "agent", f"said {n}", n) for n in range(12_000)]

    real_conversations.merge_transcript("c", call(*turns))

    found = real_conversations.get("c")
    assert [message.content for message in found.messages] == [one["message"] for one in turns]
    ConversationMaintenance(real_conversations).verify("c")


# --- Any call, compared with a plain model --------------------------------------------------------

WORDS = st.sampled_from(["Yes", "No", "Well then", "Let me look", "Let me look again"])


@dataclass(frozen=True)
class Turn:
    """A turn of a call, and who has written it down."""

    role: str
    words: str
    generated: str | None
    event_in_transcript: bool
    event_in_live: bool
    tool: bool
    is_recorded: bool
    is_late: bool
    is_corrected_live: bool


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    role = draw(st.sampled_from(["user", "agent"]))
    words = draw(WORDS)
    is_cut_off = role == "agent" and draw(st.booleans())
    return Turn(
        role=role,
        words=words,
        generated=f"{words} and so on" if is_cut_off else None,
        event_in_transcript=draw(st.booleans()),
        event_in_live=draw(st.booleans()),
        tool=role == "agent" and draw(st.integers(0, 3)) == 0,
        is_recorded=draw(st.booleans()),
        is_late=draw(st.booleans()),
        is_corrected_live=draw(st.booleans()),
    )


def as_turn(number: int, one: Turn) -> dict[str, Any]:
    if one.tool:
        request = {"request_id": f"r{number}", "tool_name": one.words}
        return turn(
            "agent",
            None,
            tool_calls=[{**request, "params_as_json": "{}"}],
            tool_results=[{**request, "result_value": "done"}],
        )
    event = number if one.event_in_transcript else None
    return turn(
        one.role,
        one.words,
        event,
        interrupted=one.generated is not None,
        original_message=one.generated,
    )


def as_live(number: int, one: Turn) -> AgentMessage:
    if one.tool:
        fields = {"role": "tool", "content": "", "toolCallId": f"r{number}", "status": "pending"}
        return AgentMessage.parse({**fields, "messageId": turn_id(CALL, f"r{number}", "tool")})
    event: object = number if one.event_in_live else f"own-{number}"
    if one.generated is None:
        return live(one.role, one.words, event)
    if one.is_corrected_live:
        return live(one.role, one.words, event, interrupted=True, originalContent=one.generated)
    return live(one.role, one.generated, event)


def said(messages: Sequence[AgentMessage]) -> Counter[tuple[object, ...]]:
    return Counter(
        (
            one.role,
            one.content,
            one.original_content,
            one.interrupted,
            one.tool_call_id,
            one.tool_output,
        )
        for one in messages
    )


def expected(played: Sequence[Turn]) -> Counter[tuple[object, ...]]:
    return Counter(
        ("tool", "", None, None, f"r{number}", "done")
        if one.tool
        else (
            "user" if one.role == "user" else "assistant",
            one.words,
            one.generated,
            True if one.generated else None,
            None,
            None,
        )
        for number, one in enumerate(played)
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(played=st.lists(turns(), max_size=8), recorders=st.integers(1, 2))
def test_any_call_is_there_once(
    real_redis: Redis, real_store: StoreClient, played: Sequence[Turn], recorders: int
) -> None:
    real_redis.flushdb()
    conversations = ConversationRepository(real_store)
    conversations.create(NewConversation(conversation_id="c"))
    recorded = [(as_live(n, one), one) for n, one in enumerate(played) if one.is_recorded]

    def record(*, late: bool) -> None:
        messages = [message for message, one in recorded if one.is_late is late]
        for _ in range(recorders):
            if messages:
                conversations.append_messages("c", messages)

    transcript = call(*[as_turn(number, one) for number, one in enumerate(played)])
    record(late=False)
    before = conversations.get("c").messages
    assert conversations.merge_transcript("c", transcript)
    record(late=True)
    assert not conversations.merge_transcript("c", transcript)
    record(late=False)
    record(late=True)

    after = conversations.get("c").messages
    assert said(after) == expected(played)
    assert [one.message_id for one in after[: len(before)]] == [one.message_id for one in before]
    ConversationMaintenance(conversations).verify("c")


def test_script_and_python_know_the_same_turns(real_redis: Redis) -> None:
    parts = (CALL, ":", "user", "tool", "\n")
    ids = ["".join(found) for count in range(1, 6) for found in product(parts, repeat=count)]
    real_redis.hset("record", "transcripts", f"{CALL}=1")
    include = files("agent_conversations.store").joinpath("lua/includes/is_transcribed.lua")
    script = f"""
        local record_key = KEYS[1]
        {include.read_text("utf-8")}
        local known = {{}}
        for _, id in ipairs(ARGV) do
          if is_transcribed({{ id }}) then known[#known + 1] = id end
        end
        return known
    """

    known: Any = real_redis.eval(script, 1, "record", *ids)

    assert f"{CALL}:user:tool".encode() in known
    assert [one.decode() for one in known] == [one for one in ids if call_of(one) == CALL]
