"""TLS 1.3 in front of a Redis server, because the bundled one is built without."""

import asyncio
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis

from sessions_store.embedded.server import EmbeddedServer

HOST = "127.0.0.1"
TLS_KINDS = ("nothing", "password", "certificate")
_NONE: Mapping[int, int] = {}


@dataclass(frozen=True)
class Certificates:
    """Paths of a CA of our own, and of a server's and a client's certificate and key in one."""

    ca: Path
    server: Path
    client: Path


def make_certificates(folder: Path) -> Certificates:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of the tests")])

    def write(file_name: str, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> Path:
        now = datetime.now(UTC)
        is_ca = name == ca_name
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False
            )
            .sign(ca_key, hashes.SHA256())
        )
        path = folder / file_name
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path

    def issue(name: str) -> Path:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return write(f"{name}.pem", subject, ec.generate_private_key(ec.SECP256R1()))

    return Certificates(write("ca.pem", ca_name, ca_key), issue("server"), issue("client"))


@contextmanager
def tls_in_front_of(server: EmbeddedServer, certificates: Certificates, kind: str) -> Iterator[str]:
    """Pass what comes over TLS 1.3 on to a server; give the URL as an operator writes it.

    After the handshake the client is sent two session tickets, as OpenSSL does by default.

    Args:
        kind: what the client shows, one of ``TLS_KINDS``.
    """
    with _tls_port(str(server.socket), certificates, kind) as port:
        yield _url(server, port, certificates, kind)


@contextmanager
def tls_in_front_of_port(
    port: int, certificates: Certificates, renamed: Mapping[int, int] = _NONE
) -> Iterator[int]:
    """Pass what comes over TLS 1.3 on to a port of this host; give the port for it.

    Args:
        renamed: ports, of five digits, that replies name by others: those for TLS, which a sentinel
            with TLS knows the servers by.
    """
    with _tls_port(port, certificates, TLS_KINDS[0], renamed) as tls_port:
        yield tls_port


@contextmanager
def _tls_port(
    target: str | int, certificates: Certificates, kind: str, renamed: Mapping[int, int] = _NONE
) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificates.server)
    if kind == "certificate":
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(target, str):
                from_server, to_server = await asyncio.open_unix_connection(target)
            else:
                from_server, to_server = await asyncio.open_connection(HOST, target)
        except OSError:  # the server was killed
            writer.transport.abort()
            return
        passing = [
            asyncio.create_task(_pass_on(reader, to_server)),
            asyncio.create_task(_pass_on(from_server, writer, renamed)),
        ]
        with suppress(asyncio.CancelledError):  # at the end of the tests
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for task in passing:
            task.cancel()
        writer.transport.abort()
        to_server.transport.abort()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listener = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(accept, HOST, 0, ssl=context), loop
    ).result()
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(listener), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    renamed: Mapping[int, int] = _NONE,
) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            for port, other in renamed.items():
                data = data.replace(b"%d" % port, b"%d" % other)
            writer.write(data)
            await writer.drain()


async def _end(listener: asyncio.Server) -> None:
    listener.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.01)  # in which the aborted transports close


def _url(server: EmbeddedServer, port: int, certificates: Certificates, kind: str) -> str:
    login = ""
    if kind == "password":
        password = token_urlsafe() + "/#?@"
        login = f"app:{quote(password, safe='')}@"
        with Redis.from_url(server.url, protocol=2) as client:
            client.acl_setuser(
                "app",
                enabled=True,
                passwords=[f"+{password}"],
                keys=["*"],
                channels=["*"],
                categories=["+@all"],
            )
    url = f"rediss://{login}{HOST}:{port}/0?ssl_ca_certs={quote(str(certificates.ca))}"
    if kind == "certificate":
        path = quote(str(certificates.client))
        url += f"&ssl_certfile={path}&ssl_keyfile={path}"
    return url
