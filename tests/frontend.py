"""A page at an origin of its own, in which ``@elevenlabs/client`` makes recorded calls."""

import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from config.environment import PROJECT_DIR

CLIENT = PROJECT_DIR / "tests/typescript/node_modules/@elevenlabs/client/dist/lib.iife.js"
NOTHING_LEFT = "!Object.keys(localStorage).length"
"""True in a page once the service has acknowledged everything."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve an empty page, and what else is in ``folder``; gives the page's address."""
    (folder / "index.html").write_text("<!doctype html><title>Frontend</title>")
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def bring_client(folder: Path) -> None:
    """Put the library beside the page of ``folder``."""
    shutil.copy(CLIENT, folder)


def bundle_react_page(folder: Path) -> None:
    """Put what ``react.js`` imports, and itself, into one script beside the page of ``folder``."""
    subprocess.run(
        ["node_modules/.bin/esbuild", "react.js", "--bundle", f"--outfile={folder / 'react.js'}"],
        cwd=PROJECT_DIR / "tests" / "typescript",
        capture_output=True,
        check=True,
    )


def open_page(page: Page, address: str) -> None:
    """Open the page with the library, where it is not open yet."""
    if page.url != address:
        page.goto(address)
        page.add_script_tag(url=CLIENT.name)


def module_of(port: int) -> str:
    """Return the address of ``recorder.js`` at the service on ``port``."""
    return f"http://127.0.0.1:{port}/static/agent_conversations/recorder.js"


def begin_call(
    page: Page, module: str, signed_url: str, options: Mapping[str, Any], recorders: int = 1
) -> None:
    """Start a call to which so many recorders are attached, with ``window.callbacks`` in them."""
    page.evaluate(
        """async ([module, options, count, signedUrl]) => {
            const { attach } = await import(module);
            let { callbacks = {} } = window;
            for (let i = 0; i < count; i++) callbacks = attach({ ...options, callbacks });
            window.conversation = await ElevenLabsClient.Conversation.startSession({
                signedUrl,
                textOnly: true,
                clientTools: window.clientTools ?? {},
                ...callbacks,
            });
        }""",
        [module, options, recorders, signed_url],
    )
