"""Revocation lists over time: in time, in their grace, beyond it; one issuer's list never blocks another's partners."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from certs.ca import DevCa
from gateway.errors import UnknownPartner
from gateway.service.tls import TlsFiles, client_context, crl_standings, peer_evidence, server_context
from gateway.service.tls_watch import TlsWatch
from tests.tls.pki import PATH_FLAWS, Pki, handshake, unchecked_client

HOUR = timedelta(hours=1)


def overtaken(pki: Pki, ago: timedelta, *, revoked: int | None = None) -> None:
    """Put a list in place that was due to be replaced so long ago."""
    ca = DevCa.load(pki.folder / "ca")
    if revoked is not None:
        ca.revoke(revoked, pki.now)
    pki.crl.write_bytes(ca.crl(datetime.now(UTC).replace(microsecond=0) - ago - timedelta(days=1), 1))


@pytest.fixture
def own(tmp_path: Path) -> Pki:
    """A French authority of the test's own."""
    pki = Pki(tmp_path / "own")
    for profile in ("tls-server", "tls-client"):
        pki.good(profile)
    return pki


def files(own: Pki, other: Pki, grace: timedelta) -> TlsFiles:
    return replace(own.files("tls-server", own, other), crl_grace=grace)


def test_in_its_grace_a_list_still_counts(own: Pki, other: Pki) -> None:
    """Both partners get in while one issuer's list is in its grace, and whom the list revokes stays out."""
    revoked = own.good("tls-client", name="revoked")
    overtaken(own, HOUR, revoked=revoked.serial_number)
    theirs = files(own, other, 2 * HOUR)
    assert crl_standings(theirs) == ("grace", "current")
    server = server_context(theirs)
    ours = unchecked_client(own.files("tls-client"))
    assert peer_evidence(handshake(server, ours).server).organisation == own.org
    handshake(server, unchecked_client(other.files("tls-client", own)))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(server, unchecked_client(own.files("revoked")))


@pytest.mark.parametrize("grace", [timedelta(), HOUR / 2])
def test_beyond_its_grace_only_that_issuer_is_blocked(own: Pki, other: Pki, grace: timedelta) -> None:
    """The issuer whose list is too old is refused as one that publishes none; the other one is served."""
    overtaken(own, HOUR)
    server = server_context(files(own, other, grace))
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        handshake(server, unchecked_client(own.files("tls-client")))
    theirs = handshake(server, unchecked_client(other.files("tls-client", own))).server
    assert peer_evidence(theirs).organisation == other.org


def test_one_in_grace_does_not_save_one_beyond(own: Pki, other: Pki) -> None:
    """While OpenSSL looks away from time for one list, another that is beyond its grace is left out."""
    overtaken(own, HOUR)
    overtaken(other, 3 * HOUR)
    server = server_context(files(own, other, 2 * HOUR))
    handshake(server, unchecked_client(own.files("tls-client")))
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        handshake(server, unchecked_client(other.files("tls-client", own)))


@pytest.mark.parametrize("name", ["expired", "not-yet-valid"])
def test_in_a_grace_certificates_keep_their_time(own: Pki, other: Pki, name: str) -> None:
    """OpenSSL looks away from time then, and our own check refuses what it would have."""
    overtaken(own, HOUR)
    own.flawed("tls-client", PATH_FLAWS[name][0])
    server = server_context(files(own, other, 2 * HOUR))
    ends = handshake(server, unchecked_client(own.files("flawed")))
    with pytest.raises(UnknownPartner) as refused:
        peer_evidence(ends.server)
    assert refused.value.diagnostic == {"rule": "expired"}


def test_time_alone_changes_the_contexts(own: Pki, other: Pki) -> None:
    """No file changes, but a list's grace begins or ends: the watch takes the new state at its next look."""
    overtaken(own, HOUR)
    current = files(own, other, 2 * HOUR)
    watch = TlsWatch(
        lambda: current,
        lambda: replace(
            current, certificate=own.folder / "tls-client.pem", key=own.folder / "tls-client.key"
        ),
    )
    context = server_context(current)
    assert not watch.refresh(context)
    handshake(context, unchecked_client(own.files("tls-client")))
    for grace in (HOUR / 2, 2 * HOUR, timedelta()):  # as if time had passed, and back
        current = replace(current, crl_grace=grace)
        assert watch.refresh(context)
        assert not watch.refresh(context)
        if grace > HOUR:
            handshake(context, unchecked_client(own.files("tls-client")))
            continue
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
            handshake(context, unchecked_client(own.files("tls-client")))


def test_a_client_keeps_the_same_rules(own: Pki, other: Pki) -> None:
    """On the way out the list of the server's issuer is held against the same grace."""
    overtaken(own, HOUR)
    ours = replace(own.files("tls-client", own), crl_grace=2 * HOUR)
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(own.folder / "tls-server.pem", own.folder / "tls-server.key")
    assert peer_evidence(handshake(listening, client_context(ours)).client).organisation == own.org
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        handshake(listening, client_context(replace(ours, crl_grace=timedelta())))


# --- lists that cannot be used -------------------------------------------------------------------------------------

#: What may lie there instead of a list; None is no file at all.
BAD: dict[str, Callable[[Pki, Pki], bytes | None]] = {
    "cut in half": lambda own, _: own.crl.read_bytes()[: own.crl.stat().st_size // 2],
    "empty": lambda _own, _other: b"",
    "garbage in the right frame": lambda _own, _other: (
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
    ),
    "absent": lambda _own, _other: None,
    "a certificate": lambda own, _: (own.folder / "ca" / "ca.pem").read_bytes(),
    "an unknown authority's": lambda own, _: Pki(own.folder / "stranger", "ita.example").crl.read_bytes(),
}


def spoil(pki: Pki, what: bytes | None) -> None:
    if what is None:
        pki.crl.unlink()
    else:
        pki.crl.write_bytes(what)


def admitted(server: ssl.SSLContext, whose: Pki, trusted: Pki, name: str = "tls-client") -> bool:
    """Whether our listener admits a client; for want of a usable list it does not."""
    try:
        ends = handshake(server, unchecked_client(whose.files(name, trusted)))
    except ssl.SSLCertVerificationError as refused:
        if refused.verify_message in ("unable to get certificate CRL", "CRL has expired"):
            return False
        raise
    return peer_evidence(ends.server).organisation == whose.org


def client_files(files: TlsFiles) -> TlsFiles:
    folder = files.certificate.parent
    return replace(files, certificate=folder / "tls-client.pem", key=folder / "tls-client.key")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_list_at_the_start_blocks_its_issuer_alone(own: Pki, other: Pki, name: str) -> None:
    """Both directions start and serve everybody else; what is wrong is said, and that partner stays out."""
    theirs = files(own, other, HOUR)
    before = client_context(client_files(theirs))
    spoil(other, BAD[name](other, own))
    with capture_logs() as said:
        server, client = server_context(theirs), client_context(client_files(theirs))
    assert [one["event"] for one in said] == ["tls.list-left-out"] * 2
    assert admitted(server, own, own)
    assert not admitted(server, other, own)
    theirs_listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs_listening.load_cert_chain(other.folder / "tls-server.pem", other.folder / "tls-server.key")
    handshake(theirs_listening, before)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        handshake(theirs_listening, client)


@pytest.mark.parametrize("name", ["cut in half", "absent"])
def test_a_bad_list_keeps_nobody_elses_from_counting(own: Pki, other: Pki, name: str) -> None:
    """One issuer's list goes bad while another's is in its grace: that grace ends in time, a new list revokes, and a
    third partner is served all along."""
    third = Pki(own.folder.parent / "third", "deu.example")
    third.good("tls-client")
    overtaken(own, HOUR)
    current = replace(own.files("tls-server", own, other, third), crl_grace=2 * HOUR)
    watch = TlsWatch(lambda: current, lambda: client_files(current))
    context = server_context(current)
    assert all(admitted(context, pki, own) for pki in (own, other, third))
    spoil(other, BAD[name](other, own))
    assert watch.refresh(context)
    assert [admitted(context, pki, own) for pki in (own, other, third)] == [True, False, True]
    current = replace(current, crl_grace=HOUR / 2)  # as if time had passed
    assert watch.refresh(context)
    assert [admitted(context, pki, own) for pki in (own, other, third)] == [False, False, True]
    own.revoke(own.good("tls-client", name="revoked"))
    assert watch.refresh(context)
    assert admitted(context, own, own)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(context, unchecked_client(own.files("revoked")))


@pytest.mark.parametrize("reloaded", [False, True])
def test_the_end_of_a_grace_counts_while_nothing_can_be_loaded(own: Pki, other: Pki, reloaded: bool) -> None:
    """Our own certificate is half there, and a list's grace ends: in neither direction does its issuer go on, once is
    said to whoever holds connections, and another partner is served. A new list revokes all the same. Mended, all is
    as the files say."""
    ours = own.folder / "tls-server.pem"
    overtaken(own, HOUR)
    overtaken(other, -HOUR)  # in time, and older than the one that revokes
    current = files(own, other, 2 * HOUR)
    watch = TlsWatch(lambda: current, lambda: client_files(current))
    context, good = server_context(current), ours.read_bytes()
    if reloaded:
        overtaken(own, HOUR - timedelta(minutes=1))
        assert watch.refresh(context)
    deliveries = watch.client()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(ours, own.folder / "tls-server.key")
    handshake(theirs, deliveries)
    ours.write_bytes(good[:99])
    assert not watch.refresh(context), "the lists stand as before"
    assert admitted(context, own, own)
    current = replace(current, crl_grace=HOUR / 2)  # as if time had passed
    assert watch.refresh(context)
    assert not watch.refresh(context)
    assert not admitted(context, own, own)
    assert admitted(context, other, own)
    assert watch.client() is deliveries
    with pytest.raises(ssl.SSLCertVerificationError, match="CRL has expired"):
        handshake(theirs, deliveries)
    other.revoke(other.good("tls-client", name="revoked"))
    assert watch.refresh(context)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(context, unchecked_client(other.files("revoked", own)))
    assert admitted(context, other, own)
    ours.write_bytes(good)
    current = replace(current, crl_grace=2 * HOUR)
    assert watch.refresh(context)
    assert admitted(context, own, own)
