"""Play a call: ``make play``, beside ``make run``.

The page has the real ``@elevenlabs/client`` and ``recorder.js``. What ElevenLabs does, this process
does: it takes the call, plays the agent, and sends the transcript when the call is over.
"""

import argparse
import json
import queue
import sys
import threading
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from config.environment import PROJECT_DIR
from tests.elevenlabs_server import Call, ElevenLabsServer, elevenlabs_server
from tests.played_call.agent import Agent, send_push, send_webhook

FOLDER = Path(__file__).parent
CLIENT = PROJECT_DIR / "tests/typescript/node_modules/@elevenlabs/client/dist/lib.iife.js"
FILES = {"/": FOLDER / "page.html", "/page.js": FOLDER / "page.js", "/client.js": CLIENT}
PREFIX = "/agent-conversations/api"


class PlayServer(ThreadingHTTPServer):
    """Serves the page, and does what its buttons ask for, in the call that began last."""

    def __init__(
        self,
        port: int,
        calls: ElevenLabsServer,
        *,
        service: str,
        live: str,
        secret: str,
        token: str,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.settings = {
            "service": service,
            "api": service + PREFIX,
            "live": f"{live}{PREFIX}/ws",
            "signedUrl": calls.signed_url,
            "token": token,
        }
        self._secret = secret
        self._calls = calls
        self._agent: Agent | None = None
        self._taking = threading.Thread(target=self._take_calls, daemon=True)
        self._taking.start()

    def act(self, action: str, asked: dict[str, str]) -> str:
        """Do what a button asks for; return a sentence for the page."""
        if action == "push":
            settings = self.settings
            status = send_push(
                settings["api"], asked["conversationId"], asked["text"], settings["token"]
            )
            return f"The push was answered with {status}."
        agent = self._agent
        if agent is None:
            return "There is no call."
        match action:
            case "speak":
                agent.hear(asked["text"])
            case "cut-in":
                agent.is_cut_off()
            case "tool":
                agent.call_tool()
            case "end":
                self._agent = None
                body = agent.hang_up(asked["conversationId"])
                status = send_webhook(self.settings["service"], body, self._secret)
                return f"The transcript was answered with {status}."
        return ""

    def _take_calls(self) -> None:
        while True:
            with suppress(queue.Empty):
                call = self._calls.next_call()
                self._agent = Agent(call)
                threading.Thread(target=_read, args=(call, self._agent), daemon=True).start()


def _read(call: Call, agent: Agent) -> None:
    for event in call.received():
        with suppress(OSError):  # the call may be over
            agent.read(event)


class _Handler(SimpleHTTPRequestHandler):
    server: PlayServer

    def do_GET(self) -> None:
        if self.path == "/settings.json":
            self._respond(json.dumps(self.server.settings).encode(), "application/json")
        elif self.path in FILES:
            path = FILES[self.path]
            self._respond(path.read_bytes(), self.guess_type(path))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sentence = self.server.act(self.path.removeprefix("/"), body)
        self._respond(json.dumps({"sentence": sentence}).encode(), "application/json")

    def _respond(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Leave out the access log."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.played_call", description=__doc__)
    parser.add_argument("--port", type=int, default=8100, help="of the page (%(default)s)")
    parser.add_argument("--service", default="http://127.0.0.1:8000", help="(%(default)s)")
    parser.add_argument("--live", default="ws://127.0.0.1:8001", help="(%(default)s)")
    parser.add_argument("--secret", default="played", help="that webhooks are signed with")
    parser.add_argument("--token", default="", help="one of the service's API_TOKENS")
    options = parser.parse_args()
    if not CLIENT.exists():
        sys.exit("@elevenlabs/client is missing: make types brings it.")
    with elevenlabs_server() as calls:
        server = PlayServer(
            options.port,
            calls,
            service=options.service,
            live=options.live,
            secret=options.secret,
            token=options.token,
        )
        sys.stdout.write(f"  A call to play: http://127.0.0.1:{server.server_port}\n")
        sys.stdout.flush()
        with server, suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
