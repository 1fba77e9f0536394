import logging

import pytest

from config.logging import logging_config


def test_a_terminal_is_not_steered_by_what_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    options = dict(logging_config("INFO")["formatters"]["line"])
    formatter = options.pop("()")(**options)
    text = "GET /caf\N{LATIN SMALL LETTER E WITH ACUTE}\n\x1b[31mFORGED\x07\u202e 404"
    record = logging.LogRecord("granian.access", logging.INFO, "", 0, text, None, None)

    line = formatter.format(record)

    assert "/caf\N{LATIN SMALL LETTER E WITH ACUTE}\\n\\x1b[31mFORGED\\x07\\u202e 404" in line
    assert "\n" not in line
    assert "\x1b[31mFORGED" not in line
