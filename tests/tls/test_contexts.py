"""Contexts and the check after the handshake, over real handshakes in memory."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.errors import CertificateProfileViolation, ConfigInvalid, GatewayError, UnknownPartner
from gateway.service.tls import (
    SUITES,
    TlsFiles,
    client_context,
    peer_evidence,
    pin_check,
    reload,
    server_context,
)
from tests.tls.pki import (
    PATH_FLAWS,
    PROFILE_FLAWS,
    Pki,
    handshake,
    national_pki,
    unchecked_client,
    unchecked_server,
)


def test_both_ends_know_each_other(pki: Pki, other: Pki) -> None:
    """Two gateways under two authorities shake hands; each learns the other's organisation and pins."""
    server = server_context(pki.files("tls-server", other))
    client = client_context(other.files("tls-client", pki))
    ends = handshake(server, client)
    seen_by_server, seen_by_client = peer_evidence(ends.server), peer_evidence(ends.client)
    assert (seen_by_server.organisation, seen_by_client.organisation) == ("bel.ocam", "fra.police-demo")
    assert (seen_by_server.protocol, seen_by_server.chain_len) == ("TLSv1.3", 2)
    assert seen_by_server.cipher in SUITES
    assert seen_by_server.issuer_spki_sha256 != seen_by_client.issuer_spki_sha256
    assert pin_check(seen_by_server, {seen_by_server.spki_sha256}).evidence is seen_by_server
    assert pin_check(seen_by_server, [seen_by_server.issuer_spki_sha256]).evidence is seen_by_server


def test_pins(pki: Pki) -> None:
    """No pin, another's pin and the certificate's digest all mean no."""
    ends = handshake(server_context(pki.files("tls-server")), client_context(pki.files("tls-client")))
    evidence, server = peer_evidence(ends.server), peer_evidence(ends.client)
    for pinned in ([], [server.spki_sha256], [evidence.certificate_sha256], [evidence.spki_sha256.upper()]):
        with pytest.raises(UnknownPartner):
            pin_check(evidence, pinned)


@pytest.mark.parametrize("name", PATH_FLAWS)
def test_path_validation_refuses(pki: Pki, name: str) -> None:
    """A flaw in the path ends the handshake at either end, for the reason stated."""
    flaw, reason = PATH_FLAWS[name]
    pki.flawed("tls-client", flaw)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        handshake(server_context(pki.files("tls-server")), unchecked_client(pki.files("flawed")))
    pki.flawed("tls-server", flaw)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        handshake(unchecked_server(pki.files("flawed")), client_context(pki.files("tls-client")))


@pytest.mark.parametrize("name", PROFILE_FLAWS)
def test_our_own_check_refuses(pki: Pki, name: str) -> None:
    """OpenSSL completes the handshake; our own check refuses the peer at either end, by the rule stated."""
    flaw, rule = PROFILE_FLAWS[name]
    pki.flawed("tls-client", flaw)
    client = handshake(server_context(pki.files("tls-server")), unchecked_client(pki.files("flawed"))).server
    pki.flawed("tls-server", flaw)
    server = handshake(unchecked_server(pki.files("flawed")), client_context(pki.files("tls-client"))).client
    for peer in (client, server):
        with pytest.raises(UnknownPartner) as refusal:
            peer_evidence(peer)
        assert (refusal.value.code, refusal.value.diagnostic["rule"]) == ("unknown-partner", rule)


def test_the_unflawed_draft_gives_evidence(pki: Pki) -> None:
    """The control of the flaws: the same draft without any is accepted at either end."""
    pki.flawed("tls-client", lambda draft: draft)
    ends = handshake(server_context(pki.files("tls-server")), unchecked_client(pki.files("flawed")))
    assert peer_evidence(ends.server).organisation == "fra.police-demo"
    pki.flawed("tls-server", lambda draft: draft)
    ends = handshake(unchecked_server(pki.files("flawed")), client_context(pki.files("tls-client")))
    assert peer_evidence(ends.client).organisation == "fra.police-demo"


def test_an_unknown_authority(pki: Pki, other: Pki) -> None:
    """A certificate of an authority nobody told us to trust ends the handshake, also when no authority is."""
    for files in (pki.files("tls-server"), replace(pki.files("tls-server"), partner_cas=(), crls=())):
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
            handshake(server_context(files), client_context(other.files("tls-client", pki)))


def test_an_authority_without_revocation_list(pki: Pki) -> None:
    """No list, no trust: an authority that publishes none is blocked."""
    files = replace(pki.files("tls-server"), crls=())
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        handshake(server_context(files), client_context(pki.files("tls-client")))


def test_a_national_pki(pki: Pki, tmp_path: Path) -> None:
    """A chain of four is followed to its root; each authority needs its list; a fifth certificate is too many."""
    client = national_pki(tmp_path / "three", 3)
    theirs = unchecked_client(replace(client, partner_cas=pki.files("tls-server").partner_cas))
    files = replace(pki.files("tls-server"), partner_cas=client.partner_cas, crls=client.crls)
    evidence = peer_evidence(handshake(server_context(files), theirs).server)
    assert (evidence.organisation, evidence.chain_len) == ("deu.example", 4)
    for missing in range(3):
        crls = client.crls[:missing] + client.crls[missing + 1 :]
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
            handshake(server_context(replace(files, crls=crls)), theirs)
    client = national_pki(tmp_path / "four", 4)
    theirs = unchecked_client(replace(client, partner_cas=pki.files("tls-server").partner_cas))
    files = replace(files, partner_cas=client.partner_cas, crls=client.crls)
    ends = handshake(server_context(files), theirs)
    with pytest.raises(UnknownPartner) as refusal:
        peer_evidence(ends.server)
    assert refusal.value.diagnostic == {"rule": "chain"}


def test_a_weak_authority_in_the_chain(pki: Pki, tmp_path: Path) -> None:
    """An authority with a short key is not loaded, and gives no evidence when a context holds it all the same."""
    client = national_pki(tmp_path / "weak", 2, weak=True)
    theirs = unchecked_client(replace(client, partner_cas=pki.files("tls-server").partner_cas))
    files = replace(pki.files("tls-server"), partner_cas=client.partner_cas, crls=client.crls)
    with pytest.raises(CertificateProfileViolation):
        server_context(files)
    ends = handshake(unchecked_server(files), theirs)
    with pytest.raises(UnknownPartner) as refusal:
        peer_evidence(ends.server)
    assert refusal.value.diagnostic == {"rule": "key"}


def test_the_server_must_have_the_name(pki: Pki) -> None:
    """The client finds its partner by name, in the alternative names alone."""
    server, client = server_context(pki.files("tls-server")), client_context(pki.files("tls-client"))
    assert peer_evidence(handshake(server, client, "127.0.0.1").client).organisation == "fra.police-demo"
    for name in ("a.localhost", "fra.police-demo tls-server"):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server, client, name)


def test_settings(pki: Pki) -> None:
    """TLS 1.3 only, no ticket in either direction, and no common name in place of a host name."""
    server, client = server_context(pki.files("tls-server")), client_context(pki.files("tls-client"))
    for context in (server, client):
        assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_3
        assert context.options & ssl.OP_NO_TICKET
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert not context.hostname_checks_common_name
    assert server.num_tickets == 0
    ends = handshake(server, client)
    ends.server.write(b"after the handshake")
    assert ends.client.read() == b"after the handshake"
    assert ends.client.session is None or not ends.client.session.has_ticket
    assert not ends.client.session_reused


def test_an_older_version_is_refused(pki: Pki) -> None:
    """A peer that stops at TLS 1.2 gets no handshake, whichever end it is."""
    client = unchecked_client(pki.files("tls-client"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        handshake(server_context(pki.files("tls-server")), client)
    server = unchecked_server(pki.files("tls-server"))
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        handshake(server, client_context(pki.files("tls-client")))
    # The control: the same two, neither of them ours, agree on 1.2, and evidence is refused all the same.
    old = handshake(server, client)
    with pytest.raises(ConfigInvalid):
        peer_evidence(old.server)


def test_revocation_takes_effect_on_reload(tmp_path: Path) -> None:
    """After a reload the revoked certificate is refused and another still accepted, in the same context."""
    pki = Pki(tmp_path)
    pki.good("tls-server")
    revoked = pki.good("tls-client", name="first")
    pki.good("tls-client", name="second")
    server = server_context(pki.files("tls-server"))
    first, second = client_context(pki.files("first")), client_context(pki.files("second"))
    handshake(server, first)
    pki.revoke(revoked)
    handshake(server, first)  # not yet: the context holds the old list
    reload(server, pki.files("tls-server"))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(server, first)
    assert peer_evidence(handshake(server, second).server).organisation == "fra.police-demo"


def test_reload_takes_a_new_certificate_and_drops_an_authority(pki: Pki, other: Pki) -> None:
    """A reload shows the new certificate, and an authority that is gone from the files is gone."""
    pki.good("tls-server", name="before")
    server = server_context(pki.files("before", pki, other))
    ours = client_context(pki.files("tls-client"))
    theirs = client_context(other.files("tls-client", pki))
    before = peer_evidence(handshake(server, ours).client)
    assert peer_evidence(handshake(server, theirs).server).organisation == "bel.ocam"
    pki.good("tls-server", name="after")
    reload(server, pki.files("after", pki))
    after = peer_evidence(handshake(server, ours).client)
    assert after.certificate_sha256 != before.certificate_sha256
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, theirs)
    # A failed reload changes nothing.
    with pytest.raises(ConfigInvalid):
        reload(server, replace(pki.files("before"), key=pki.folder / "absent"))
    assert peer_evidence(handshake(server, ours).client) == after


def test_a_revocation_list_brings_no_authority(pki: Pki, other: Pki, tmp_path: Path) -> None:
    """Lists come from outside: a certificate hidden in the file of one does not become an authority."""
    smuggled = tmp_path / "crl.pem"
    theirs = other.certificate.public_bytes(Encoding.PEM)
    files = pki.files("tls-server")
    for text in (pki.crl.read_bytes() + theirs, theirs + pki.crl.read_bytes()):
        smuggled.write_bytes(text + other.crl.read_bytes())
        server = server_context(replace(files, crls=(smuggled,)))
        handshake(server, client_context(pki.files("tls-client")))
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server, client_context(other.files("tls-client", pki)))


def test_bad_files(pki: Pki, tmp_path: Path) -> None:
    """Each file that is absent, garbage or in the wrong place is a fault of ours with a code, and no prompt; lists
    are their issuers' affair (`test_revocation_lists`)."""
    good = pki.files("tls-server")
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    absent = tmp_path / "absent.pem"
    locked = tmp_path / "locked.key"
    key = load_pem_private_key(good.key.read_bytes(), password=None)
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    )
    faults: list[tuple[TlsFiles, type[GatewayError]]] = [
        (replace(good, certificate=absent), ConfigInvalid),
        (replace(good, certificate=garbage), CertificateProfileViolation),
        (replace(good, certificate=pki.folder / "tls-client.pem"), CertificateProfileViolation),
        (replace(good, key=absent), ConfigInvalid),
        (replace(good, key=garbage), ConfigInvalid),
        (replace(good, key=pki.folder / "tls-client.key"), ConfigInvalid),
        (replace(good, key=locked), ConfigInvalid),
        (replace(good, partner_cas=(absent,)), ConfigInvalid),
        (replace(good, partner_cas=(garbage,)), ConfigInvalid),
    ]
    for files, error in faults:
        with pytest.raises(error):
            server_context(files)
    assert server_context(good).verify_mode is ssl.CERT_REQUIRED


def test_a_weak_authority_is_not_loaded(pki: Pki, tmp_path: Path) -> None:
    """An authority with a P-521 key is refused before any of its certificates is."""
    pki.flawed("tls-client", PROFILE_FLAWS["p-521"][0])
    files = replace(pki.files("tls-server"), partner_cas=(pki.folder / "flawed.pem",), crls=())
    with pytest.raises(CertificateProfileViolation) as refusal:
        server_context(files)
    assert refusal.value.diagnostic == {"rule": "key"}
