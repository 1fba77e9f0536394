"""JSON without loss: a client gets back what it sent.

Python's own ``json`` decodes, because it keeps integers of any size; orjson, several times faster,
turns large ones into floats. orjson encodes, where that makes no difference.

Decisions for what RFC 8259 leaves open, each an ``InvalidJsonError`` rather than a silent change:

* the same key twice in one object (most parsers drop the first);
* ``NaN``, ``Infinity`` and numbers beyond a double, such as ``1e999``;
* a lone surrogate (``"\\ud800"``), which has no UTF-8;
* text that is not UTF-8, or that starts with a byte order mark;
* more nesting than Python's parser can read (about 1,000 levels), integers over 4,300 digits.

Numbers with a fraction or an exponent are IEEE 754 doubles, as in every JavaScript client.
"""

import itertools
import json
import math
import re
from typing import Any

import orjson


class InvalidJsonError(ValueError):
    """Text that is not JSON, or JSON that cannot be kept unchanged. Never quotes the text."""


def decode(raw: bytes | str) -> Any:
    """Return the value of ``raw``.

    Raises:
        InvalidJsonError: for the reasons listed above.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
        value = _decoder.decode(text)
        if "\\u" in text:
            # Only an escape can bring in a lone surrogate: decoding UTF-8 refuses a bare one.
            encode(value)
    except InvalidJsonError:
        raise
    except UnicodeDecodeError:
        raise InvalidJsonError("it is not UTF-8") from None
    except RecursionError:
        raise InvalidJsonError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        if text.startswith("\ufeff"):
            raise InvalidJsonError("it begins with a byte order mark; leave that out") from None
        raise InvalidJsonError(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except ValueError:
        raise InvalidJsonError("an integer has more than 4,300 digits") from None
    return value


def decode_lossy(raw: bytes) -> Any:
    """Return the value of ``raw`` to check its shape; large integers become floats.

    Raises:
        InvalidJsonError: not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return decode(raw)  # a number that is too large for orjson, or not JSON


def without_lone_surrogates(raw: bytes) -> bytes:
    """Return JSON in which each half of a surrogate pair, escaped as such, is U+FFFD.

    It is what is left where a string was cut in two; other bytes stay as they are.

    Raises:
        InvalidJsonError: it has an escaped surrogate, and is not JSON.
    """
    if not _escaped_surrogate(raw):
        return raw
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False)
    except (ValueError, RecursionError):
        raise InvalidJsonError("it is not JSON") from None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def encode(value: Any) -> bytes:
    """Return ``value`` as compact UTF-8 JSON, keys in their order.

    Raises:
        InvalidJsonError: it cannot be JSON (NaN, a lone surrogate, a Python object).
    """
    try:
        raw = orjson.dumps(value, option=_NOTHING_BUT_JSON)
    except orjson.JSONEncodeError:
        return _encode(_encoder, value)  # an integer beyond 64 bits, or what cannot be JSON
    # orjson writes null for NaN, where json raises.
    return _encode(_encoder, value) if b"null" in raw else raw


def canonical(value: Any) -> bytes:
    """Return ``value`` as JSON with sorted keys: the same bytes for equal JSON values."""
    return _encode(_canonical_encoder, value)


def _encode(encoder: json.JSONEncoder, value: Any) -> bytes:
    try:
        return encoder.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidJsonError("a string holds a lone surrogate") from None
    except RecursionError:
        raise InvalidJsonError("it is nested too deeply") from None
    except (TypeError, ValueError) as error:
        # json's own texts name a Python type or quote a number.
        raise InvalidJsonError(f"a value has no JSON ({type(error).__name__})") from None


def excess(value: Any, max_bytes: int, max_depth: int) -> str:
    """Return the limit that ``value`` exceeds as JSON, as the end of a sentence; empty if none.

    Raises:
        InvalidJsonError: it cannot be JSON.
    """
    size = len(encode(value))
    if size > max_bytes:
        return f"must not be larger than {max_bytes // 1024} KiB as JSON"
    # A level takes two bytes at least: most values are too short to be too deep.
    if size > 2 * max_depth and depth(value) > max_depth:
        return f"must not be nested more than {max_depth} levels deep"
    return ""


def depth(value: Any) -> int:
    """Return how many levels of objects and arrays ``value`` has; a string or number has none."""
    levels = 0
    values = [value]
    while containers := [item for item in values if isinstance(item, dict | list)]:
        levels += 1
        children = [item.values() if isinstance(item, dict) else item for item in containers]
        values = list(itertools.chain.from_iterable(children))
    return levels


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InvalidJsonError("an object has the same key twice")
    return result


def _finite_float(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise InvalidJsonError("a number is too large for a double")
    return number


def _refuse_constant(literal: str) -> None:
    raise InvalidJsonError(f"{literal} is not JSON")


_NOTHING_BUT_JSON = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_escaped_surrogate = re.compile(rb"\\u[dD][89a-fA-F]").search
_decoder = json.JSONDecoder(
    object_pairs_hook=_object_of, parse_float=_finite_float, parse_constant=_refuse_constant
)
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_canonical_encoder = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True
)
