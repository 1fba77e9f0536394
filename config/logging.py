"""Logs: one JSON object a line on standard error, or coloured text where a person looks on."""

import json
import sys
import traceback
from contextlib import suppress
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from agent_conversations.served_requests import current

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
ACCESS_LOGGER = "granian.access"
"""Has the level of the access log, and is its lines' ``logger``; see access_log.py."""


def _to_json(event: EventDict, **_: Any) -> str:
    """Return JSON of ASCII characters alone, which neither begins a line nor steers a terminal."""
    with suppress(TypeError):  # what orjson cannot encode, such as large integers
        line = orjson.dumps(event, default=repr)  # a tenth of the time
        if line.isascii() and b"\x7f" not in line:
            return line.decode()
    return json.dumps(event, default=repr)


def line_renderers() -> list[Processor]:
    """Return the processors that make a line of an event."""
    if sys.stderr.isatty():
        return [_escape, structlog.dev.ConsoleRenderer()]
    return [structlog.processors.JSONRenderer(_to_json)]


def logging_config(level: str) -> dict[str, Any]:
    """Return Django's ``LOGGING`` for ``level``, one of Python's level names."""
    shared: list[Any] = [
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso"),
        _name_exception,
    ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *line_renderers(),
                ],
                "keep_exc_info": False,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            name: {"level": level}
            for name in ("agent_conversations", "sessions_store", "config", ACCESS_LOGGER)
        }
        # Django logs every response of 500 and above; api/exceptions.py logs what went wrong.
        # Its security logger quotes requests; a refused host is a 400 in the access log.
        | {name: {"level": "CRITICAL"} for name in ("django.request", "django.security")},
    }


def _add_request_id(_: Any, __: str, event: EventDict) -> EventDict:
    if served := current.get():
        event["request_id"] = served.request_id
    return event


def _name_exception(_: Any, __: str, event: EventDict) -> EventDict:
    """Replace an exception by its class and where it was raised.

    Its text and its local variables are left out: they can hold messages, URLs and payloads.
    """
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, tuple) and exc_info[0] is not None:
        frames = traceback.extract_tb(exc_info[2])
        event["exception"] = exc_info[0].__name__
        event["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event


def _escape(_: Any, __: str, event: EventDict) -> EventDict:
    """Show what would steer a terminal or begin a line: a request's path can hold any of it."""
    return {
        key: "".join(one if one.isprintable() else ascii(one)[1:-1] for one in value)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }
