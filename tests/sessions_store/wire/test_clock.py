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
def test_any_time_is_read_as_it_was_written(milliseconds: int) -> None:
    text = iso_from_ms(milliseconds)

    assert ms_from_iso(text) == milliseconds
    assert len(text) == len("2026-11-23T16:20:45.123Z")


@settings(deadline=None, database=None, max_examples=200)
@given(MOMENTS, MOMENTS)
def test_texts_sort_as_their_times_do(one: int, other: int) -> None:
    assert (iso_from_ms(one) < iso_from_ms(other)) == (one < other)


def test_time_is_written_with_milliseconds_and_z(clock: Traveller) -> None:
    assert now_ms() == 1795450845123
    assert iso_from_ms(now_ms()) == "2026-11-23T16:20:45.123Z"
    assert iso_from_ms(0) == "1970-01-01T00:00:00.000Z"
    assert iso_from_ms(-1) == "1969-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-23T16:20:45Z", "2026-11-23T16:20:45.000Z"),
        ("2026-11-23T16:20Z", "2026-11-23T16:20:00.000Z"),
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
def test_iso_8601_is_converted_to_utc(text: str, written: str) -> None:
    assert iso_from_ms(ms_from_iso(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-23",
        "16:20:45Z",
        "2026-11-23T16Z",
        "2026-11-23T1620Z",
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
def test_invalid_time_is_refused(text: str) -> None:
    for assume_utc in (False, True):
        with pytest.raises(ValueError, match=r".+"):
            ms_from_iso(text, assume_utc=assume_utc)


def test_time_without_offset_is_refused_unless_utc_is_assumed() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        ms_from_iso("2026-11-23T16:20:45")

    assert iso_from_ms(ms_from_iso("2026-11-23T16:20:45", assume_utc=True)) == (
        "2026-11-23T16:20:45.000Z"
    )


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_offset_that_leaves_the_years_1_to_9999_is_refused(
    text: str,
) -> None:
    with pytest.raises((ValueError, OverflowError)):
        ms_from_iso(text)
