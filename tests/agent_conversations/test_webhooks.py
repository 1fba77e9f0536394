"""Who signed a delivery, what it is, and which refused ones are remembered."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_conversations.errors import InvalidSignatureError
from agent_conversations.webhooks import (
    MOST_REMEMBERED,
    REMEMBERED_SECONDS,
    Delivery,
    RefusedDeliveries,
    signed_at,
)
from sessions_store.errors import InvalidRequestError
from tests.agent_conversations.webhooks import SECRET, delivery, encoded, signature

BODY = b'{"type": "x"}'


def parsed(**changes: Any) -> Delivery:
    return Delivery.parse(encoded(delivery() | changes))


@pytest.mark.parametrize("secrets", [[SECRET], ["another", SECRET], [SECRET, "another"]])
def test_signature_of_any_secret_is_valid(secrets: list[str]) -> None:
    assert abs(signed_at(signature(BODY), BODY, secrets) - time.time()) < 5


def test_signature_may_have_spaces_and_a_second_version() -> None:
    time_part, _, v0 = signature(BODY).partition(",")

    assert signed_at(f"{time_part}, v1=ab, v0=00, {v0}", BODY, [SECRET])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda _: "nonsense",
        lambda valid: valid.partition(",")[0],
        lambda valid: valid.partition(",")[2],
        lambda _: signature(BODY, "another secret"),
        lambda _: signature(BODY + b" "),
        lambda valid: valid + "0",
        lambda valid: valid.replace("t=", "t=1"),
        lambda valid: valid.replace("t=", "t=-"),
        lambda valid: valid.replace("t=", "t=1,t="),
        lambda valid: valid.replace("v0=", "v0=ü"),
        str.upper,
    ],
    ids=[
        "empty",
        "nonsense",
        "time alone",
        "no time",
        "another secret",
        "another body",
        "longer",
        "another time",
        "negative time",
        "two times",
        "not ASCII",
        "capitals",
    ],
)
def test_other_signature_is_refused(spoil: Callable[[str], str]) -> None:
    with pytest.raises(InvalidSignatureError):
        signed_at(spoil(signature(BODY)), BODY, [SECRET])


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"type": 1}', b"\xff", b"[" * 100_000])
def test_body_that_is_no_delivery_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        Delivery.parse(body)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": None},
        {"data": []},
        {"event_timestamp": "soon"},
        {"event_timestamp": -1},
        {"event_timestamp": 1e99},
        {"data": {"conversation_id": 5}},
        {"data": {"conversation_id": "../list"}},
        {"data": {"conversation_initiation_client_data": []}},
        {"further": {"fields": [None]}},
    ],
)
def test_what_is_unknown_in_a_delivery_does_no_harm(changes: dict[str, Any]) -> None:
    found = parsed(**changes)

    assert found.type == "post_call_transcription"
    assert found.named_conversation_id is None


@pytest.mark.parametrize("named", ["list", "", "a b", 5, None, {"a": 1}, "x" * 129])
def test_name_that_cannot_be_an_id_is_none(named: object) -> None:
    assert Delivery.parse(encoded(delivery(named=named))).named_conversation_id is None


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    found = Delivery.parse(json.dumps(delivery(status="\ud83d")).encode())

    assert found.data["status"] == "\ufffd"


def test_refused_delivery_is_remembered_for_an_hour(tmp_path: Path) -> None:
    refused = RefusedDeliveries(tmp_path / "refused")
    one, other = parsed(), parsed(event_timestamp=2_000)
    refused.add(one)

    assert RefusedDeliveries(tmp_path / "refused").has(one)
    assert not refused.has(other)

    (file,) = (tmp_path / "refused").iterdir()
    long_ago = time.time() - REMEMBERED_SECONDS - 1
    os.utime(file, (long_ago, long_ago))
    assert not refused.has(one)
    refused.add(other)
    assert [path.name for path in (tmp_path / "refused").iterdir()] == [other.digest]


def test_remembered_deliveries_are_bounded(tmp_path: Path) -> None:
    for number in range(MOST_REMEMBERED):
        (tmp_path / str(number)).touch()

    RefusedDeliveries(tmp_path).add(parsed())

    assert not RefusedDeliveries(tmp_path).has(parsed())
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    RefusedDeliveries(tmp_path).add(parsed())
    assert RefusedDeliveries(tmp_path).has(parsed())


def test_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    RefusedDeliveries(tmp_path / "file").add(parsed())

    assert not RefusedDeliveries(tmp_path / "file").has(parsed())
