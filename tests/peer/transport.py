"""Sections 5 and 6: mutual TLS 1.3, the checks of the other end's leaf, a client and a listener.

Python's `ssl` cannot restrict the cipher suites of TLS 1.3 before 3.15: the ones offered here are OpenSSL's three, and
the other end, which offers two, decides. Everything else of section 5 is enforced on both sides.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from tests.peer.certificates import read_leaf
from tests.peer.entry import Entry
from tests.peer.sender import Answer
from tests.peer.spelling import UUID4, Misspelt, Refused

MESSAGES = "/exchange/v1/messages"
HEAD = "/exchange/v1/head"
LOG = "/exchange/v1/log/"
BATCH, RECEIPT = "application/vnd.ecluse.sealed-batch", "application/vnd.ecluse.receipt+jose"
NOTE = "text/plain; charset=utf-8"

LARGEST_BODY = 16 * 1024 * 1024  # bytes
LARGEST_ANSWER = 262144  # bytes
WAIT = 60  # seconds for an answer
IDLE = 10  # seconds for the next byte from a client

STATUS = {
    "malformed": 400,
    "schema-violation": 400,
    "signature-invalid": 403,
    "unknown-partner": 403,
    "wrong-audience": 403,
    "replayed": 403,
    "outside-agreement": 403,
    "digest-conflict": 409,
    "out-of-order": 409,
    "too-slow": 408,
    "length-required": 411,
    "too-large": 413,
    "quota": 429,
    "unavailable": 503,
}


class NotThem(Exception):
    """The other end of the connection is not the partner."""


def context(side: int, folder: Path, trusted: Path) -> ssl.SSLContext:
    """TLS 1.3 alone, X25519, no tickets; the path to the partner's authority with revocation of all of it."""
    made = ssl.SSLContext(side)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN | ssl.VERIFY_X509_STRICT
    made.load_verify_locations(trusted)
    made.set_ecdh_curve("X25519")
    if side == ssl.PROTOCOL_TLS_SERVER:
        made.num_tickets = 0
        made.load_cert_chain(folder / "tls-server.pem")
    else:
        made.load_cert_chain(folder / "tls-client.pem")
    return made


def check_partner(connection: ssl.SSLSocket, partner: Entry, role: str, issuer: bytes) -> None:
    """Steps 3 to 5 of section 5; ``issuer`` is the authority's public key, which may be pinned instead."""
    try:
        leaf = read_leaf(connection.getpeercert(True) or b"", role)
    except (Misspelt, IndexError, ValueError):
        raise NotThem from None
    pins = {key.public for key in partner.keys if (key.use, key.revoked) == (role, False)}
    if leaf.org != partner.org or partner.stopped or not pins & {leaf.spki, issuer}:
        raise NotThem


class Client:
    """One connection to the partner's listener, made anew when it was closed."""

    def __init__(self, partner: Entry, folder: Path, trusted: Path, issuer: bytes) -> None:
        self._partner, self._issuer = partner, issuer
        self._context = context(ssl.PROTOCOL_TLS_CLIENT, folder, trusted)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, batch: bytes) -> Answer:
        return self.ask("POST", MESSAGES, batch, {"Content-Type": BATCH})

    def receipt(self, message: str) -> Answer:
        return self.ask("GET", f"{MESSAGES}/{message}/receipt")

    def head(self) -> Answer:
        return self.ask("GET", HEAD)

    def log(self, start: int) -> Answer:
        return self.ask("GET", f"{LOG}{start}")

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        try:
            return self._ask(method, path, body, headers or {})
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
            self.close()  # an idle connection that the other end closed
            return self._ask(method, path, body, headers or {})

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read(LARGEST_ANSWER + 1)
        if len(content) > LARGEST_ANSWER:
            raise NotThem
        if answer.length:
            raise ConnectionError  # less than was announced: no complete answer
        if answer.will_close:
            self.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def _connect(self) -> http.client.HTTPConnection:
        where = urlsplit(self._partner.endpoint)
        plain = socket.create_connection((where.hostname or "", where.port or 443), WAIT)
        try:
            secured = self._context.wrap_socket(plain, server_hostname=self._partner.tls_name)
            check_partner(secured, self._partner, "tls-server", self._issuer)
        except BaseException:
            plain.close()
            raise
        connection = http.client.HTTPConnection(where.hostname or "", where.port)
        connection.sock = secured
        return connection


class Service(Protocol):
    """What stands behind the listener."""

    def accept(self, sender: str, body: bytes) -> str: ...

    def receipt(self, sender: str, message: str) -> str | None: ...

    def head(self) -> str | None: ...

    def log(self, start: int) -> bytes | None: ...


class Listener:
    """The partner side of the peer, on a loopback port, in threads of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def start(self, partner: Entry, service: Service, trusted: Path, issuer: bytes) -> None:
        self._server.context = context(ssl.PROTOCOL_TLS_SERVER, self._folder, trusted)
        self._server.partner, self._server.service, self._server.issuer = partner, service, issuer
        self._thread.start()

    @property
    def bodies(self) -> list[bytes]:
        """Every batch that came."""
        return self._server.bodies

    def fail(self, *faults: str) -> None:
        """What happens to the next POSTs: ``unavailable`` (503), or ``silent`` (handled, and no answer)."""
        self._server.faults.extend(faults)

    def recover(self) -> None:
        self._server.faults.clear()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.end_connections()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # they are waited for, once their connections have ended
    context: ssl.SSLContext
    partner: Entry
    service: Service
    issuer: bytes

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[ssl.SSLSocket] = set()
        self.bodies: list[bytes] = []
        self.faults: list[str] = []

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: handshake, the partner's leaf, then HTTP."""
        request.settimeout(IDLE)
        with self.context.wrap_socket(request, server_side=True) as secured:
            check_partner(secured, self.partner, "tls-client", self.issuer)
            self._open.add(secured)
            try:
                super().finish_request(secured, client_address)
                _linger(secured)
            finally:
                self._open.discard(secured)

    def end_connections(self) -> None:
        for secured in tuple(self._open):
            with contextlib.suppress(OSError):
                secured.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that failed is over; there is nobody to tell."""


def _linger(secured: ssl.SSLSocket) -> None:
    """Let the client read its answer although it still sends: a close with unread bytes would take it away."""
    secured.settimeout(1)
    with contextlib.suppress(OSError):
        secured.shutdown(socket.SHUT_WR)
        for _ in range(LARGEST_BODY // 65536):
            if not secured.recv(65536):
                break


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    server: _Server

    def do_POST(self) -> None:
        if self.path != MESSAGES:
            self._empty(404 if not self.path.startswith(MESSAGES) else 405)
            return
        try:
            body = self._body()
            self.server.bodies.append(body)
            fault = self.server.faults.pop(0) if self.server.faults else ""
            if fault == "unavailable":
                raise Refused(fault)
            jws = self.server.service.accept(self.server.partner.org, body)
            if fault == "silent":
                self.close_connection = True
                return
        except Refused as refused:
            self._problem(refused.code)
        except Exception:
            self._problem("unavailable")
            raise
        else:
            self._answer(200, RECEIPT, jws.encode())

    def do_GET(self) -> None:
        message = self.path.removeprefix(f"{MESSAGES}/").removesuffix("/receipt")
        start = self.path.removeprefix(LOG) if self.path.startswith(LOG) else ""
        part = re.fullmatch("0|[1-9][0-9]{0,15}", start) is not None
        if self.path == MESSAGES or not (part or self.path in (HEAD, f"{MESSAGES}/{message}/receipt")):
            self._empty(405 if self.path == MESSAGES else 404)
            return
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            self._problem("malformed")
            return
        if self.path == HEAD:
            note = self.server.service.head()
            if note is None:
                self._empty(404)
            else:
                self._answer(200, NOTE, note.encode())
            return
        if part:
            shown = self.server.service.log(int(start))
            if shown is None:
                self._empty(404)
            else:
                self._answer(200, NOTE, shown)
            return
        known = re.fullmatch(UUID4, message) is not None
        jws = self.server.service.receipt(self.server.partner.org, message) if known else None
        if jws is None:
            self._empty(404)
        else:
            self._answer(200, RECEIPT, jws.encode())

    def _no_such_method(self) -> None:
        self._empty(405 if self.path.startswith(MESSAGES) else 404)

    do_PUT = do_DELETE = do_PATCH = _no_such_method

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers or "Content-Length" not in self.headers:
            raise Refused("length-required")
        length = self.headers["Content-Length"]
        if (
            self.headers.get("Content-Type") != BATCH
            or "Content-Encoding" in self.headers
            or not length.isdecimal()
        ):
            raise Refused("malformed")
        if int(length) > LARGEST_BODY:
            raise Refused("too-large")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise Refused("malformed")
        return body

    def handle_expect_100(self) -> bool:
        self._empty(417)
        return False

    def _problem(self, code: str) -> None:
        self.close_connection = True  # the body may not have been read
        status = STATUS[code]
        problem = {"type": f"urn:ecluse:problem:{code}", "title": code, "status": status}
        self._answer(status, "application/problem+json", json.dumps(problem, separators=(",", ":")).encode())

    def _empty(self, status: int) -> None:
        self.close_connection = True
        self._answer(status, "", b"")

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response_only(status)
        if media_type:
            self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""
