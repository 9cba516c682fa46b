"""TLS files that change under a running gateway, and the server's organisation."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from gateway.errors import UnknownPartner
from gateway.model.party import KeyRecord, Partner
from gateway.service.app import _check_server
from gateway.service.tls import TlsFiles, client_context, peer_evidence, server_context
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
    watched = Watched(own)
    revoked = own.good("tls-client", name="first")
    first = client_context(own.files("first"))
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
    """The old contexts serve on, in both directions; it is said once; mended, the files are taken."""
    watched = Watched(own)
    before, good = watched.watch.client(), own.crl.read_bytes()
    own.crl.write_bytes(b"half a li")
    with capture_logs() as said:
        assert not watched.watch.refresh(watched.context)
        assert not watched.watch.refresh(watched.context)
    assert [(one["event"], one["code"]) for one in said] == [("tls.not-reloaded", "config-invalid")]
    assert watched.watch.client() is before
    handshake(watched.context, before)
    own.crl.write_bytes(good)
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


def _partner(org: str, pinned: bytes) -> Partner:
    key = KeyRecord(
        kid=f"{org}/tls-server/x", use="tls-server", algorithm="X509-SPKI", public=b64url(pinned),
        not_before="2026-01-01T00:00:00Z", not_after="2036-01-01T00:00:00Z",
    )  # fmt: skip
    return replace_org(org, key)


def replace_org(org: str, key: KeyRecord) -> Partner:
    raise AssertionError
