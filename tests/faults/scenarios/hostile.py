"""Clients that speak HTTP badly, or not at all: mutated requests over raw sockets, by a seed."""

import json
import random
import socket
import time
from http.client import HTTPException, HTTPResponse, IncompleteRead
from io import BytesIO

from tests.faults.client import API
from tests.faults.result import RESPONSE_SECONDS, Advance, Result, ignore
from tests.faults.servers import Rig

REQUESTS_A_REPEAT = 50

_METHODS = [
    b"GET",
    b"POST",
    b"PATCH",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"PUT",
    b"TRACE",
    b"get",
    b"",
]
_PATHS = [
    *(API.encode() + path for path in (b"/list", b"/new", b"/c", b"/c/message", b"/c/session")),
    b"/health/live",
    b"/openapi.yaml?version=%0A",
    b"/docs",
    b"/%E2%82%AC",
    b"/%ff%00%2e%2e",
    b"*",
    b"//x",
    b"/" + b"a" * 20_000,
    API.encode() + b"/list?limit=%00&offset=-1",
    API.encode() + b"/list?" + b"a=&" * 1_001,
]
_VALUES = [
    b"application/json",
    b"application/json; charset=utf-8",
    b"application/json; charset=hex",
    b"a; b*=bogus''x",
    b"text/html;q*=bogus''1",
    b'a;x="' + b";" * 3_000,
    b"x" * 5_000,
    b"x" * 20_000,
    b"text/html",
    b"*/*",
    b"",
    "ü".encode(),
    b"\x00",
    b"Bearer \xff",
    b"Basic Og==",
    b"http://[",
    b"localhost:99999999",
    b"chunked",
    b"gzip",
    b"-1",
    b"1",
    b"99999999999999999999",
]
_NAMES = [
    b"Content-Type",
    b"Accept",
    b"Host",
    b"Origin",
    b"Authorization",
    b"Idempotency-Key",
    b"If-Match",
    b"Content-Encoding",
    b"Content-Length",
    b"Transfer-Encoding",
    b"Access-Control-Request-Method",
    b"Cookie",
    b"X-Forwarded-Prefix",
    b"Bad Name",
]
_BODIES = [
    b"",
    b"{}",
    b'{"role":"user","content":"a"}',
    b"[",
    b"\xff",
    b"2\r\n{}\r\n0\r\n\r\n",
    b"z\r\n",
]


def _request(chance: random.Random) -> bytes:
    body = chance.choice(_BODIES)
    headers = [(b"Host", b"localhost"), (b"Content-Length", b"%d" % len(body))]
    headers += [
        (chance.choice(_NAMES), chance.choice(_VALUES))
        for _ in range(chance.choice([0, 1, 1, 2, 4]))
    ]
    if chance.random() < 0.02:
        headers += [(b"X-%d" % number, b"") for number in range(120)]
    version = chance.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/9", b""])
    line = b" ".join((chance.choice(_METHODS), chance.choice(_PATHS), version))
    request = b"\r\n".join([line, *(b": ".join(header) for header in headers), b"", body])
    if chance.random() < 0.2:
        place = chance.randrange(len(request))
        request = request[:place] + chance.randbytes(chance.randrange(4)) + request[place + 1 :]
    return request


class _Received:
    """What came on a connection, as ``HTTPResponse`` wants to read it."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._received)


def _problem(request: bytes, received: bytes) -> str | None:
    """Return what is wrong with the first response, if anything is."""
    method = "HEAD" if request.startswith(b"HEAD ") else "GET"
    response = HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]  # as much of a socket as it uses
    try:
        response.begin()
        body = response.read()
    except IncompleteRead:
        return None  # the server closed before it had sent all
    except HTTPException:
        return f"no response but {received[:60]!r}" if received else None
    if response.status >= 500:
        return f"a {response.status}"
    # Of what is no request to it, the server says so without a body.
    if response.status < 400 or not body or response.headers.get_content_subtype() == "html":
        return None
    if response.headers.get_content_type() != "application/json":
        return f"a {response.status} that is no JSON"
    if not {"success", "error", "code"} <= set(json.loads(body)):
        return f"a {response.status} without envelope"
    return None


def hostile_requests(
    rig: Rig, *, seed: int = 11, repeats: int = 1, advance: Advance = ignore
) -> Result:
    """Send mutated requests, and say that no more will come; each seed has its own.

    Every response comes in time, is no 5xx, and has the envelope where it is an error that the
    server leaves to the service. Afterwards the service responds as before.
    """
    result = Result("Clients speak HTTP badly", f"mutated requests, seed {seed}", repeats)
    chance = random.Random(seed)
    for _ in range(repeats):
        for _ in range(REQUESTS_A_REPEAT):
            request = _request(chance)
            began = time.monotonic()
            received = b""
            with socket.create_connection(("127.0.0.1", rig.api.port), timeout=10) as client:
                try:
                    client.sendall(request)
                    client.shutdown(socket.SHUT_WR)
                    while part := client.recv(65_536):
                        received += part
                except TimeoutError:
                    result.problems.append(f"nothing came, or no end, for {request[:200]!r}")
                except OSError:
                    pass  # the server closed before all was sent
            seconds = time.monotonic() - began
            result.attempted += 1
            result.slowest_seconds = max(result.slowest_seconds, seconds)
            if problem := _problem(request, received):
                result.problems.append(f"{problem} for {request[:200]!r}")
        advance()
    if rig.api.send("GET", "/health/live").seconds > RESPONSE_SECONDS:
        result.problems.append("the service does not respond any more")
    return result
