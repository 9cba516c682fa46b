"""TLS files that change under a running gateway, and the server's organisation."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from adapters.partners.exchange import ExchangeTransport
from gateway.errors import PartnerUnreachable, UnknownPartner
from gateway.model.party import Assurance, KeyRecord, Partner
from gateway.service.app import _check_server
from gateway.service.tls import client_context, peer_evidence, server_context
from gateway.service.tls_watch import TlsWatch
from gateway.wire.strict import b64url
from tests.tls.pki import Pki, handshake


class Watched:
    """A listener's context and the watch over its files."""

    def __init__(self, pki: Pki) -> None:
        for profile in ("tls-server", "tls-client"):
            pki.good(profile)
        self.server_files, self.client_files = pki.files("tls-server"), pki.files("tls-client")
        self.watch = TlsWatch(lambda: self.server_files, lambda: self.client_files)
        self.context = server_context(self.server_files)


@pytest.fixture
def own(tmp_path: Path) -> Pki:
    """An authority of the test's own: it revokes."""
    return Pki(tmp_path / "fra")


def test_a_new_revocation_list_counts(own: Pki) -> None:
    """Nothing changed, nothing done; a new list: the revoked client is refused at the next look, the other stays."""
    revoked = own.good("tls-client", name="first")
    first = client_context(own.files("first"))
    watched = Watched(own)
    before = watched.watch.client()
    assert not watched.watch.refresh(watched.context)
    assert watched.watch.client() is before
    own.revoke(revoked)
    assert watched.watch.refresh(watched.context)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(watched.context, first)
    assert watched.watch.client() is not before
    handshake(watched.context, watched.watch.client())
    assert not watched.watch.refresh(watched.context)


def test_a_new_file_counts(own: Pki, other: Pki) -> None:
    """A partner's authority that comes as a new file is taken without a restart."""
    watched = Watched(own)
    theirs = client_context(other.files("tls-client", own))
    with pytest.raises(ssl.SSLError):
        handshake(watched.context, theirs)
    watched.server_files = own.files("tls-server", own, other)
    assert watched.watch.refresh(watched.context)
    assert peer_evidence(handshake(watched.context, theirs).server).organisation == "bel.ocam"


def test_an_unreadable_file_changes_nothing(own: Pki) -> None:
    """Our own certificate: the old contexts serve on, in both directions; it is said once; mended, it is taken."""
    watched = Watched(own)
    file = watched.server_files.certificate
    before, good = watched.watch.client(), file.read_bytes()
    file.write_bytes(b"half a certif")
    with capture_logs() as said:
        assert not watched.watch.refresh(watched.context)
        assert not watched.watch.refresh(watched.context)
    assert [(one["event"], one["code"]) for one in said] == [("tls.not-reloaded", "certificate-profile")]
    assert watched.watch.client() is before
    handshake(watched.context, before)
    file.write_bytes(good)
    assert watched.watch.refresh(watched.context)


async def test_the_watch_ends_what_older_files_let_in(own: Pki) -> None:
    """Running, it tells whoever holds connections, once for each change."""
    watched, told = Watched(own), asyncio.Event()

    async def changed() -> None:
        told.set()

    running = asyncio.create_task(watched.watch.run(watched.context, changed, every=0.005))
    await asyncio.sleep(0.02)
    assert not told.is_set()
    own.revoke(own.good("tls-client", name="first"))
    async with asyncio.timeout(5):
        await told.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def partner_of(pki: Pki, port: int = 443) -> Partner:
    """The directory entry that pins the authority itself, as an entry may."""
    issuer = pki.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Partner(
        org="fra.police-demo",
        nation="FRA",
        name="Demonstration police",
        recipient_kind="police",
        keys=(KeyRecord("fra.police-demo/tls/1", "tls-server", "ES256", b64url(issuer)),),
        endpoint=f"https://127.0.0.1:{port}",
        tls_name="localhost",
        formats=(),
        languages=(),
        assurance=Assurance(),
    )


def test_the_server_must_be_the_partner(own: Pki) -> None:
    """One authority certifies two organisations, and a partner's entry pins that authority: the other organisation's
    server is not the partner, although the pin holds."""
    own.good("tls-server")
    own.good("tls-client")
    own.good("tls-server", org="bel.ocam", name="bel")
    client, partner = client_context(own.files("tls-client")), partner_of(own)
    _check_server(handshake(server_context(own.files("tls-server")), client).client, partner)
    with pytest.raises(UnknownPartner) as refused:
        _check_server(handshake(server_context(own.files("bel")), client).client, partner)
    assert refused.value.diagnostic == {"rule": "organisation"}


@pytest.mark.integration
async def test_a_reset_ends_deliveries_and_asks_for_a_new_context(own: Pki) -> None:
    """What is under way is unreachable, to be repeated; a delivery after it goes out under the context of now."""
    watched, came = Watched(own), asyncio.Event()
    contexts: list[ssl.SSLContext] = []

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        came.set()
        await reader.read()
        writer.close()

    def context() -> ssl.SSLContext:
        contexts.append(watched.watch.client())
        return contexts[-1]

    server = await asyncio.start_server(never_answers, "127.0.0.1", 0, ssl=watched.context)
    transport = ExchangeTransport(context, _check_server, connect_s=5, answer_s=30)
    partner = partner_of(own, server.sockets[0].getsockname()[1])
    for _ in range(2):
        came.clear()
        delivery = asyncio.create_task(transport.deliver(b"synthetic", to=partner))
        async with asyncio.timeout(10):
            await came.wait()
            await transport.reset()
            with pytest.raises(PartnerUnreachable):
                await delivery
        own.revoke(own.good("tls-client", name="first"))
        assert watched.watch.refresh(watched.context)
    assert len(set(map(id, contexts))) == 2
    server.close()
    await server.wait_closed()
