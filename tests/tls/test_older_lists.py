"""A revocation list never goes back: neither by the command that installs it, nor by a file in its place."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from structlog.testing import capture_logs

from certs.profiles import CheckedCrl, check_successor
from gateway.errors import CertificateProfileViolation, Conflict, RequestInvalid
from gateway.service.home import Home
from gateway.service.provision import trust_authority
from gateway.service.tls import client_context, server_context
from gateway.service.tls_watch import TlsWatch
from tests.tls.pki import Pki, handshake

ORG = "fra.police-demo"


@pytest.fixture
def own(tmp_path: Path) -> Pki:
    """An authority of the test's own: it revokes."""
    return Pki(tmp_path / "fra")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home as far as TLS needs one."""
    (tmp_path / "home" / "tls" / "partners").mkdir(parents=True)
    return Home(tmp_path / "home")


def authority(pki: Pki) -> bytes:
    return (pki.folder / "ca" / "ca.pem").read_bytes()


def installed(home: Home) -> tuple[bytes, bytes]:
    place = home.tls / "partners"
    return (place / f"{ORG}.pem").read_bytes(), (place / f"{ORG}.crl").read_bytes()


def test_the_command_installs_no_older_list(own: Pki, home: Home) -> None:
    """An older list, which would revive a revoked certificate, is refused and leaves the newer one; the same again and
    a newer one are taken."""
    older = own.crl.read_bytes()
    own.revoke(own.good("tls-client"))
    newer = own.crl.read_bytes()
    trust_authority(home, ORG, authority(own), older)
    trust_authority(home, ORG, authority(own), newer)
    trust_authority(home, ORG, authority(own), newer)
    with pytest.raises(CertificateProfileViolation, match="older") as refused:
        trust_authority(home, ORG, authority(own), older, other_authority=True)
    assert refused.value.diagnostic == {"rule": "crl"}
    assert installed(home) == (authority(own), newer)


def test_another_authority_needs_a_word(own: Pki, other: Pki, home: Home) -> None:
    """An authority with another key is refused without that word, and taken with it, list and all; a list that the
    authority did not sign, and files that are none, are refused before anything is written."""
    trust_authority(home, ORG, authority(own), own.crl.read_bytes())
    before = installed(home)
    with pytest.raises(Conflict):
        trust_authority(home, ORG, authority(other), other.crl.read_bytes())
    with pytest.raises(CertificateProfileViolation):
        trust_authority(home, ORG, authority(own), other.crl.read_bytes())
    for wrong in (
        (b"", own.crl.read_bytes()),
        (authority(own), b"half a li"),
        (authority(own), authority(own)),
    ):
        with pytest.raises(RequestInvalid):
            trust_authority(home, ORG, *wrong)
    assert installed(home) == before
    trust_authority(home, ORG, authority(other), other.crl.read_bytes(), other_authority=True)
    assert installed(home) == (authority(other), other.crl.read_bytes())


def test_a_damaged_file_is_in_nobodys_place(own: Pki, home: Home) -> None:
    """What cannot be read was trusted by nobody: the command mends it."""
    for end in ("pem", "crl"):
        (home.tls / "partners" / f"{ORG}.{end}").write_bytes(b"half a fi")
    trust_authority(home, ORG, authority(own), own.crl.read_bytes())
    assert installed(home) == (authority(own), own.crl.read_bytes())


def test_a_file_in_its_place_does_not_count(own: Pki) -> None:
    """A running gateway whose list is replaced by an older file keeps to the newer, and says so; revoked stays revoked,
    the others come in."""
    for profile in ("tls-server", "tls-client"):
        own.good(profile)
    revoked = own.good("tls-client", name="first")
    first = client_context(own.files("first"))
    older = own.crl.read_bytes()
    own.revoke(revoked)
    server, client = own.files("tls-server"), own.files("tls-client")
    watch, context = TlsWatch(lambda: server, lambda: client), server_context(server)
    own.crl.write_bytes(older)
    with capture_logs() as said:
        assert watch.refresh(context)
    assert "tls.older-list" in {one["event"] for one in said}
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(context, first)
    handshake(context, watch.client())


@pytest.mark.parametrize(
    ("number", "hours", "taken"),
    [(7, 0, True), (8, 0, True), (7, 1, True), (6, 1, False), (8, -1, False), (None, 1, False)],
)
def test_what_is_older(own: Pki, number: int | None, hours: int, taken: bool) -> None:
    """Beside number 7: a lower number, or none, is older however new the list says it is, and so is an earlier time
    under a higher number (RFC 5280 §5.2.3, §5.1.2.4)."""

    def listed(number: int | None, hours: int) -> x509.CertificateRevocationList:
        at = own.now + timedelta(hours=hours)
        builder = x509.CertificateRevocationListBuilder().issuer_name(own.certificate.subject)
        builder = builder.last_update(at).next_update(at + timedelta(days=1))
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        return builder.sign(own.key, hashes.SHA256())

    new = CheckedCrl(listed(number, hours), own.certificate)
    if taken:
        assert check_successor(new, listed(7, 0)) is new
        return
    with pytest.raises(CertificateProfileViolation):
        check_successor(new, listed(7, 0))
