"""TLS and HTTP of section 5 and 6 against a real gateway, and the same demands of the peer's own listener."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.peer.entry import read_entry
from tests.peer.identity import Identity
from tests.peer.peer import Peer
from tests.peer.receiver import Receiver
from tests.peer.store import Store
from tests.peer.transport import BATCH, MESSAGES, Client, Listener, context
from tests.peer.world import MODE, World

pytestmark = pytest.mark.integration

QUESTION = f"GET {MESSAGES}/5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11/receipt HTTP/1.1\r\nHost: localhost\r\n\r\n"

Change = Callable[[ssl.SSLContext], None]


def heard(endpoint: str, made: ssl.SSLContext) -> bytes:
    """What a client hears that asks a question over a connection of its own."""
    where = urlsplit(endpoint)
    with socket.create_connection((where.hostname or "", where.port or 0), 10) as plain:
        try:
            with made.wrap_socket(plain, server_hostname="localhost") as secured:
                secured.sendall(QUESTION.encode())
                return secured.recv(4096)
        except (ssl.SSLError, ConnectionError):
            return b""


def client_context(folder: Path, trusted: Path, change: Change | None = None) -> ssl.SSLContext:
    made = context(ssl.PROTOCOL_TLS_CLIENT, folder, trusted)
    if change is not None:
        change(made)
    return made


def only_tls_1_2(made: ssl.SSLContext) -> None:
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2


def only_p521(made: ssl.SSLContext) -> None:
    made.set_ecdh_curve("secp521r1")


def test_a_good_client_is_answered(plain: Peer, tmp_path: Path) -> None:
    """The same question over our ordinary context gets its 404: what is refused below is refused for its flaw."""
    made = client_context(plain.folder, plain.folder / "partner.pem")
    assert heard(plain.partner.endpoint, made).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("change", [only_tls_1_2, only_p521])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_2")
def test_another_version_or_group_gets_no_answer(plain: Peer, change: Change) -> None:
    """TLS 1.2 and the group P-521 end before HTTP at the gateway and at the peer."""
    made = client_context(plain.folder, plain.folder / "partner.pem", change)
    assert heard(plain.partner.endpoint, made) == b""
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    assert heard(f"https://127.0.0.1:{plain.listener.port}", made) == b""


def test_no_certificate_gets_no_answer(plain: Peer) -> None:
    """A client that shows nothing hears nothing."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    assert heard(plain.partner.endpoint, made) == b""
    assert heard(f"https://127.0.0.1:{plain.listener.port}", made) == b""


def test_a_stranger_with_the_right_name_gets_no_answer(plain: Peer, tmp_path: Path) -> None:
    """A certificate of the same name by another authority is nobody's."""
    Identity.generate(plain.org).write_tls(tmp_path)
    assert heard(plain.partner.endpoint, client_context(tmp_path, plain.folder / "partner.pem")) == b""


@pytest.mark.parametrize("role", ["tls-server", "message"])
def test_a_certificate_for_another_purpose_gets_no_answer(plain: Peer, tmp_path: Path, role: str) -> None:
    """A good certificate of ours that is not for TLS clients gets no answer."""
    made = client_context(plain.folder, plain.folder / "partner.pem")
    made.load_cert_chain(plain.identity.write_pair(tmp_path, role))
    assert heard(plain.partner.endpoint, made) == b""


def test_an_unpinned_key_gets_no_answer(plain: Peer, tmp_path: Path) -> None:
    """A certificate of our own authority over a key that is in no key record gets no answer."""
    made = client_context(plain.folder, plain.folder / "partner.pem")
    made.load_cert_chain(plain.identity.write_new_pair(tmp_path, "tls-client"))
    assert heard(plain.partner.endpoint, made) == b""


def test_the_peers_listener_answers_its_partner_alone(world: World, plain: Peer) -> None:
    """Another organisation's client certificate, good in itself, is answered nothing by the peer's listener."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.load_cert_chain(world.peers["jwe-classic"].folder / "tls-client.pem")
    assert heard(f"https://127.0.0.1:{plain.listener.port}", stranger) == b""


REQUESTS: dict[str, tuple[str, str, dict[str, str], bytes | None, int, bytes]] = {
    "another path": ("GET", "/exchange/v2/messages", {}, None, 404, b""),
    "another method": ("PUT", MESSAGES, {"Content-Type": BATCH}, b"x", 405, b""),
    "a receipt of no message id": ("GET", f"{MESSAGES}/none/receipt", {}, None, 404, b""),
    "a question with a body": (
        "GET",
        f"{MESSAGES}/5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11/receipt",
        {},
        b"x",
        400,
        b"malformed",
    ),
    "an expectation": ("POST", MESSAGES, {"Content-Type": BATCH, "Expect": "100-continue"}, b"x", 417, b""),
    "another media type": ("POST", MESSAGES, {"Content-Type": "text/plain"}, b"x", 400, b"malformed"),
    "an encoding": ("POST", MESSAGES, {"Content-Type": BATCH, "Content-Encoding": "gzip"}, b"x", 400, b"malformed"),
    "chunks": (
        "POST",
        MESSAGES,
        {"Content-Type": BATCH, "Transfer-Encoding": "chunked"},
        b"0\r\n\r\n",
        411,
        b"length-required",
    ),
    "no batch": ("POST", MESSAGES, {"Content-Type": BATCH}, b"nothing", 400, b"malformed"),
    "an empty batch": ("POST", MESSAGES, {"Content-Type": BATCH}, b"", 400, b"malformed"),
}  # fmt: skip


@pytest.fixture(scope="module")
def ends(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """Connections to the gateway, and to a listener of the peer whose partner is another peer."""
    one, other = world.peers["hpke-classic"], world.peers["jwe-classic"]
    folder = tmp_path_factory.mktemp("listener")
    for identity in (one.identity, other.identity):
        (folder / identity.org).write_text(identity.authority_pem() + identity.revocation_pem())
    store, listener = Store(folder / "store"), Listener(one.folder)
    receiver = Receiver(one.identity, other.identity.own, one.agreement, store, mode=MODE)
    listener.start(other.identity.own, receiver, folder / other.org, b"")
    document = one.identity.entry_document(f"https://127.0.0.1:{listener.port}")
    client = Client(read_entry(document), other.folder, folder / one.org, b"")
    yield one.client, client
    client.close()
    listener.close()
    store.close()


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_that_are_refused(ends: tuple[Client, Client], name: str) -> None:
    """The gateway and the peer's listener answer each as the document says."""
    method, path, headers, body, status, code = REQUESTS[name]
    for client in ends:
        answer = client.ask(method, path, body, headers)
        client.close()
        assert answer.status == status
        assert code in answer.body
        assert (code == b"") == (answer.body == b"")


def test_too_large(plain: Peer) -> None:
    """An announced body beyond the limit is refused before it is sent."""
    where = urlsplit(plain.partner.endpoint)
    made = client_context(plain.folder, plain.folder / "partner.pem")
    head = (
        f"POST {MESSAGES} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {BATCH}",
        "Content-Length: 16777217",
    )
    with (
        socket.create_connection((where.hostname or "", where.port or 0), 10) as raw,
        made.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        secured.sendall("\r\n".join((*head, "", "")).encode())
        assert secured.recv(4096).startswith(b"HTTP/1.1 413 ")
