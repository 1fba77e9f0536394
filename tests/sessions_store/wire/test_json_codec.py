"""JSON without loss: what goes in comes out, and what could not is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_store.wire.json_codec import (
    InvalidJsonError,
    canonical,
    decode,
    decode_lossy,
    depth,
    encode,
)

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**310)
    | st.floats(allow_nan=False, allow_infinity=False)
    | UNICODE
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(UNICODE, inner), max_leaves=20
)
BOUNDED = settings(deadline=None, database=None, max_examples=100)


def _exact(value: Any) -> str:
    """Return text that differs for 1, 1.0 and True, and for keys in another order."""
    return repr(value)


@BOUNDED
@given(VALUES)
def test_any_json_value_survives_encoding_and_decoding(value: Any) -> None:
    assert _exact(decode(encode(value))) == _exact(value)


@BOUNDED
@given(VALUES)
def test_text_of_another_encoder_is_decoded_without_loss(value: Any) -> None:
    assert _exact(decode(json.dumps(value, ensure_ascii=True, indent=1))) == _exact(value)


@BOUNDED
@given(VALUES)
def test_encoding_a_decoded_value_again_changes_nothing(value: Any) -> None:
    assert encode(decode(encode(value))) == encode(value)


@BOUNDED
@given(st.dictionaries(UNICODE, SCALARS))
def test_canonical_bytes_do_not_depend_on_key_order(
    value: dict[str, Any],
) -> None:
    turned = dict(reversed(value.items()))

    assert canonical(turned) == canonical(value)
    assert list(decode(encode(turned))) == list(turned)


@BOUNDED
@given(st.text() | st.binary())
def test_any_text_is_decoded_without_loss_or_refused(raw: str | bytes) -> None:
    try:
        value = decode(raw)
    except InvalidJsonError:
        return
    assert _exact(decode(encode(value))) == _exact(value)


def test_encoded_json_is_compact_utf_8() -> None:
    assert encode({"ü": ["😀", 1, None]}) == '{"ü":["😀",1,null]}'.encode()


def test_escaped_surrogate_pair_is_one_character() -> None:
    assert decode(rb'"\ud83d\ude00"') == "😀"


def test_integer_of_4300_digits_is_kept() -> None:
    digits = b"9" * 4300

    assert encode(decode(digits)) == digits


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(b'{"a":1,"a":2}', "same key twice", id="a key twice"),
        pytest.param(b'{"a":1,"\\u0061":1}', "same key twice", id="a key twice, once escaped"),
        pytest.param(b'[{"b":{"a":1,"a":1}}]', "same key twice", id="a key twice, further in"),
        pytest.param(b"NaN", "NaN is not JSON", id="NaN"),
        pytest.param(b"[Infinity]", "Infinity is not JSON", id="Infinity"),
        pytest.param(b'{"a":-Infinity}', "-Infinity is not JSON", id="-Infinity"),
        pytest.param(b"1e999", "too large for a double", id="beyond a double"),
        pytest.param(b"[-1.5e999]", "too large for a double", id="beyond a double, negative"),
        pytest.param(rb'"\ud800"', "lone surrogate", id="first half of a pair"),
        pytest.param(rb'["\udc00 x"]', "lone surrogate", id="second half of a pair"),
        pytest.param(rb'{"\ud800":1}', "lone surrogate", id="half of a pair in a key"),
        pytest.param(rb'"\ude00\ud83d"', "lone surrogate", id="a pair the wrong way round"),
        pytest.param(b'"\xed\xa0\x80"', "not UTF-8", id="a surrogate in UTF-8"),
        pytest.param(b'"\xff"', "not UTF-8", id="not UTF-8"),
        pytest.param('"ü"'.encode("latin-1"), "not UTF-8", id="Latin-1"),
        pytest.param("{}".encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="byte order mark"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="100,000 open arrays"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "nested too deeply", id="100,000 arrays"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested", id="100,000 objects"),
        pytest.param(b"1" * 4301, "more than 4,300 digits", id="4,301 digits"),
        pytest.param(b"-" + b"1" * 10_000, "more than 4,300 digits", id="10,000 digits"),
        pytest.param(b"", "line 1, column 1", id="nothing"),
        pytest.param(b"{} {}", "line 1, column 4", id="two values"),
        pytest.param(b"[1,]", "line 1", id="trailing comma"),
        pytest.param(b"{'a':1}", "line 1, column 2", id="single quotes"),
        pytest.param(b'"a\nb"', "line 1", id="bare line break in a string"),
        pytest.param(b"01", "line 1, column 2", id="leading zero"),
    ],
)
def test_json_that_cannot_be_kept_is_refused_with_the_reason(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidJsonError) as refusal:
        decode(raw)

    assert why in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_refusal_does_not_quote_the_text() -> None:
    with pytest.raises(InvalidJsonError) as refusal:
        decode(b'{"note": my secret words}')

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param(float("nan"), "no JSON", id="NaN"),
        pytest.param([float("inf")], "no JSON", id="Infinity"),
        pytest.param("\ud800", "lone surrogate", id="lone surrogate"),
        pytest.param({"\udfff": 1}, "lone surrogate", id="lone surrogate in a key"),
        pytest.param({1, 2}, "no JSON", id="a set"),
        pytest.param(b"bytes", "no JSON", id="bytes"),
        pytest.param(10**4301, "no JSON", id="too many digits"),
    ],
)
def test_value_that_json_cannot_express_is_refused(value: Any, why: str) -> None:
    for write in (encode, canonical):
        with pytest.raises(InvalidJsonError, match=why):
            write(value)


def test_encoding_refuses_deep_nesting() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(InvalidJsonError, match="nested too deeply"):
        encode(value)
    assert depth(value) == 100_001

    while value:  # taken apart from the outside, which needs no recursion
        value = value[0]


@pytest.mark.parametrize(
    ("value", "levels"),
    [
        (1, 0),
        ("[[]]", 0),
        ([], 1),
        ({}, 1),
        ([[], [[]]], 3),
        ({"a": {"b": [1]}, "c": 1}, 3),
    ],
)
def test_depth_counts_objects_and_arrays(value: Any, levels: int) -> None:
    assert depth(value) == levels


@BOUNDED
@given(VALUES)
def test_lossy_decoding_keeps_the_shape(value: Any) -> None:
    seen = decode_lossy(encode(value))

    assert depth(seen) == depth(value)
    if isinstance(value, dict | list):
        assert type(seen) is type(value)
        assert list(seen) == list(value) or isinstance(value, list)
        assert len(seen) == len(value)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[1,]", b"NaN", b"{} {}", b'"\xff"', b"\xef\xbb\xbf{}"]
)
def test_lossy_decoding_refuses_invalid_json(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        decode_lossy(raw)


def test_lossy_decoding_tolerates_an_integer_beyond_a_double() -> None:
    assert list(decode_lossy(b'{"a":' + b"9" * 400 + b',"b":1}')) == ["a", "b"]
