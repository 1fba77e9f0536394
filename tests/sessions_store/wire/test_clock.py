"""Time on the wire and in Redis."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from time_machine import Traveller

from sessions_store.wire.clock import iso_from_ms, ms_from_iso, now_ms

FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999
MOMENTS = st.integers(min_value=FIRST_MS, max_value=LAST_MS)


@settings(deadline=None, database=None, max_examples=200)
@given(MOMENTS)
@example(FIRST_MS)
@example(LAST_MS)
@example(-1)
@example(0)
def test_given_any_moment_when_written_and_read_then_it_is_the_same(milliseconds: int) -> None:
    text = iso_from_ms(milliseconds)

    assert ms_from_iso(text) == milliseconds
    assert len(text) == len("2026-11-23T16:20:45.123Z")


@settings(deadline=None, database=None, max_examples=200)
@given(MOMENTS, MOMENTS)
def test_given_two_moments_when_written_then_their_texts_are_in_the_same_order(
    one: int, other: int
) -> None:
    assert (iso_from_ms(one) < iso_from_ms(other)) == (one < other)


def test_given_a_moment_when_written_then_it_has_milliseconds_and_z(clock: Traveller) -> None:
    assert now_ms() == 1795450845123
    assert iso_from_ms(now_ms()) == "2026-11-23T16:20:45.123Z"
    assert iso_from_ms(0) == "1970-01-01T00:00:00.000Z"
    assert iso_from_ms(-1) == "1969-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-23T16:20:45Z", "2026-11-23T16:20:45.000Z"),
        ("2026-11-23t16:20:45z", "2026-11-23T16:20:45.000Z"),
        ("2026-11-23 16:20:45+00:00", "2026-11-23T16:20:45.000Z"),
        ("2026-11-23T16:20:45.1Z", "2026-11-23T16:20:45.100Z"),
        ("2026-11-23T16:20:45.123999Z", "2026-11-23T16:20:45.123Z"),
        ("2026-11-23T16:20:45.123456789Z", "2026-11-23T16:20:45.123Z"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ("2026-11-24T01:50:45.5+09:30", "2026-11-23T16:20:45.500Z"),
        ("2026-11-23T08:20:45-08:00", "2026-11-23T16:20:45.000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
    ],
)
def test_given_iso_8601_when_read_then_it_is_that_moment_in_utc(text: str, written: str) -> None:
    assert iso_from_ms(ms_from_iso(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-23",
        "16:20:45Z",
        "2026-11-23T16:20Z",
        "2026-11-23_16:20:45Z",
        "2026-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-11-23T24:00:01Z",
        "2026-11-23T16:20:60Z",
        "2026-11-23T16:20:45Zulu",
        "1795450845123",
        "2026-11-23T16:20:45+25:00",
    ],
)
def test_given_what_is_no_moment_when_read_then_it_is_refused(text: str) -> None:
    for assume_utc in (False, True):
        with pytest.raises(ValueError, match=r".+"):
            ms_from_iso(text, assume_utc=assume_utc)


def test_given_no_offset_when_read_then_it_is_refused_unless_utc_is_assumed() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        ms_from_iso("2026-11-23T16:20:45")

    assert iso_from_ms(ms_from_iso("2026-11-23T16:20:45", assume_utc=True)) == (
        "2026-11-23T16:20:45.000Z"
    )


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_given_an_offset_that_leaves_the_years_1_to_9999_when_read_then_it_is_refused(
    text: str,
) -> None:
    with pytest.raises((ValueError, OverflowError)):
        ms_from_iso(text)
