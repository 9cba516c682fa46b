"""One certificate after the other at the real listener: who is refused, what the peer is told, what is counted.

Where path validation refuses, the alert is the one that OpenSSL sends for its verdict (X509_verify_cert). What only our
own check refuses comes after the handshake, where TLS 1.3 has no alert left to send: the connection ends.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.errors import UnknownPartner
from gateway.service.tls import TlsEvidence, pin_check, server_context
from gateway.service.tls_listener import VERDICTS
from tests.tls.pki import (
    PATH_FLAWS,
    PROFILE_FLAWS,
    Draft,
    Key,
    Pki,
    handshake,
    unchecked_client,
    write_identity,
)
from tests.tls.rewriting import ECDSA_SHA1, SERIAL, SIGNATURE, negative, pem, rewritten
from tests.tls.test_listener import World, end_of, serving

ENDS = "the connection ends"


def _flaw(flaw: Callable[[Draft], Draft]) -> Callable[[Pki], None]:
    def make(pki: Pki) -> None:
        pki.flawed("tls-client", flaw)

    return make


def _wrong_issuer(pki: Pki) -> None:
    """Names the authority as its issuer, and is signed by somebody else's key."""
    real, pki.key = pki.key, ec.generate_private_key(ec.SECP384R1())
    try:
        pki.flawed("tls-client", lambda draft: replace(draft, authority_key=True))
    finally:
        pki.key = real


def _wrong_signature(pki: Pki) -> None:
    """Of this authority in every respect but the signature, which another key made."""
    certificate = pki.flawed("tls-client", lambda draft: draft)
    stranger = ec.generate_private_key(ec.SECP384R1())
    raw = rewritten(certificate, stranger, SERIAL, lambda serial: serial)
    (pki.folder / "flawed.pem").write_bytes(raw)


def _negative_serial(pki: Pki) -> None:
    certificate = pki.flawed("tls-client", lambda draft: draft)
    (pki.folder / "flawed.pem").write_bytes(rewritten(certificate, pki.key, SERIAL, negative))


def _sha1(pki: Pki) -> None:
    certificate = pki.flawed("tls-client", lambda draft: draft)
    raw = rewritten(
        certificate,
        pki.key,
        SIGNATURE,
        lambda _: ECDSA_SHA1,
        algorithm=ECDSA_SHA1,
        digest=hashes.SHA1(),  # noqa: S303 - a flaw
    )
    (pki.folder / "flawed.pem").write_bytes(raw)


def _path_too_long(pki: Pki) -> None:
    """A leaf below a leaf that was made an authority, under one that may have none below it."""
    usages = ("key_cert_sign", "crl_sign")
    middle = pki.flawed("tls-client", lambda draft: replace(draft, ca=True, usages=usages, purposes=()))
    key = load_pem_private_key((pki.folder / "flawed.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    real = pki.key, pki.certificate
    pki.key, pki.certificate = key, middle
    try:
        leaf = pki.flawed("tls-client", lambda draft: draft)
    finally:
        pki.key, pki.certificate = real
    (pki.folder / "flawed.pem").write_bytes(pem(leaf) + pem(middle))


def _self_signed(pki: Pki) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = pki.certificate.subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(pki.now)
        .not_valid_after(pki.certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(True, 0), True)
        .sign(key, hashes.SHA256())
    )
    write_identity(pki.folder, "flawed", certificate, key)


def _revoked(pki: Pki) -> None:
    pki.revoke(pki.good("tls-client", name="flawed"))


#: Case -> how it is made, the alert the peer reads (or `ENDS`), and the reason counted.
CASES: dict[str, tuple[Callable[[Pki], None], str, str]] = {
    "wrong issuer": (_wrong_issuer, "UNKNOWN_CA", "certificate-issuer"),
    "self-signed under the authority's name": (_self_signed, "UNKNOWN_CA", "certificate-issuer"),
    "wrong signature": (_wrong_signature, "DECRYPT_ERROR", "certificate-signature"),
    "revoked": (_revoked, "CERTIFICATE_REVOKED", "certificate-revoked"),
    "expired": (_flaw(PATH_FLAWS["expired"][0]), "CERTIFICATE_EXPIRED", "certificate-expired"),
    "not yet valid": (_flaw(PATH_FLAWS["not-yet-valid"][0]), "BAD_CERTIFICATE", "certificate-not-yet-valid"),
    "for servers": (_flaw(PATH_FLAWS["other-purpose"][0]), "UNSUPPORTED_CERTIFICATE", "certificate-purpose"),
    "outside the name constraints": (
        _flaw(PATH_FLAWS["foreign-name"][0]), "CERTIFICATE_UNKNOWN", "certificate-names"),
    "path too long": (_path_too_long, "UNKNOWN_CA", "certificate-path"),
    "unknown critical extension": (
        _flaw(PATH_FLAWS["unknown-critical"][0]), "CERTIFICATE_UNKNOWN", "certificate"),
    "SHA-1": (_sha1, "BAD_CERTIFICATE", "certificate-signature"),
    "negative serial": (_negative_serial, ENDS, "certificate-profile"),
    # a client cannot even show it: TLS 1.3 has no signature algorithm for that curve
    "EC P-224": (
        _flaw(lambda draft: replace(draft, key=lambda: ec.generate_private_key(ec.SECP224R1()))),
        "CERTIFICATE_REQUIRED", "handshake",
    ),
    **{
        name: (_flaw(flaw), ENDS, "certificate-profile")
        for name, (flaw, _) in PROFILE_FLAWS.items()
        if name in ("over-long", "rsa-2048", "sha-224", "any-purpose", "second-purpose", "no-purpose", "ca-true",
                    "no-organisation", "two-organisations")
    },
}  # fmt: skip


async def told(world: World, files: Pki, name: str = "flawed") -> str:
    """What a peer with this certificate learns when it asks something."""
    reason = ENDS
    try:
        reader, writer = await world.connect(unchecked_client(files.files(name)))
        with suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await writer.drain()
        try:
            async with asyncio.timeout(3):
                assert await reader.read() == b"", "an answer"
        finally:
            writer.close()
    except ssl.SSLError as alert:
        reason = str(alert.reason)
    except ConnectionError:
        pass
    return reason


@pytest.mark.parametrize("name", CASES)
async def test_a_bad_certificate_is_refused_told_and_counted(tmp_path: Path, name: str) -> None:
    """Each flaw alone: no answer, the alert that stands in the table, one refusal of one reason."""
    pki = Pki(tmp_path / "fra")
    pki.good("tls-server")
    make, alert, reason = CASES[name]
    make(pki)
    async with serving(pki) as world:
        seen = await told(world, pki)
        assert seen == ENDS == alert or seen.endswith(f"_ALERT_{alert}"), seen
        assert world.refusals == [f"127.0.0.1 {reason}"]


async def test_the_same_draft_without_a_flaw_gets_in(tmp_path: Path) -> None:
    """The control of the table."""
    pki = Pki(tmp_path / "fra")
    pki.good("tls-server")
    pki.flawed("tls-client", lambda draft: draft)
    async with serving(pki) as world:
        reader, writer = await world.connect(unchecked_client(pki.files("flawed")))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"fra.police-demo" in await end_of(reader)
        writer.close()
        assert world.refusals == []


def _admission(directory: dict[str, set[str]]) -> Callable[[TlsEvidence], object]:
    """The directory's word, as the gateway asks for it."""

    def admit(evidence: TlsEvidence) -> object:
        if evidence.organisation not in directory:
            raise UnknownPartner("there is no such partner in force")
        return pin_check(evidence, directory[evidence.organisation])

    return admit


async def test_the_key_and_the_organisation_must_fit(tmp_path: Path) -> None:
    """The right certificate unpinned, the pinned key under another organisation's name, and that organisation's own key
    under the partner's name: all refused; only the pinned pair gets in."""
    pki = Pki(tmp_path / "fra")
    pki.good("tls-server")
    pki.good("tls-client", name="partner")
    pki.good("tls-client", name="unpinned")
    key = load_pem_private_key((pki.folder / "partner.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    other = (x509.DNSName("localhost"), x509.UniformResourceIdentifier("urn:ecluse:org:bel.ocam"))

    def same_key() -> Key:
        return key

    pki.flawed("tls-client", lambda draft: replace(draft, key=same_key, names=other))
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    pinned = {digest.finalize().hex()}
    async with serving(pki, pinned=_admission({"fra.police-demo": pinned, "bel.ocam": {"00"}})) as world:
        for name in ("unpinned", "flawed"):
            assert await told(world, pki, name) == ENDS
        assert world.refusals == ["127.0.0.1 partner"] * 2
        reader, writer = await world.connect(unchecked_client(pki.files("partner")))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"fra.police-demo" in await end_of(reader)
        writer.close()


async def test_revocation_known_from_a_responder_is_counted_as_such(tmp_path: Path) -> None:
    """The directory's refusal for a revoked or unknown standing has the reason that path validation would have."""
    pki = Pki(tmp_path / "fra")
    pki.good("tls-server")
    pki.good("tls-client")
    rules = iter(("revoked", "revocation-unknown", "expired"))

    def admit(_: TlsEvidence) -> object:
        raise UnknownPartner("refused", diagnostic={"rule": next(rules)})

    async with serving(pki, pinned=admit) as world:
        for _ in range(3):
            assert await told(world, pki, "tls-client") == ENDS
        assert [one.split()[1] for one in world.refusals] == [
            "certificate-revoked",
            "certificate-revocation-unknown",
            "certificate-expired",
        ]


def test_the_table_of_verdicts_is_of_this_library(pki: Pki) -> None:
    """OpenSSL's numbers are what the table takes them for: every purpose of ours has its number from a real refusal."""
    server = server_context(pki.files("tls-server"))
    for name, reason in (
        ("expired", "certificate-expired"),
        ("not-yet-valid", "certificate-not-yet-valid"),
        ("other-purpose", "certificate-purpose"),
        ("foreign-name", "certificate-names"),
    ):
        pki.flawed("tls-client", PATH_FLAWS[name][0])
        with pytest.raises(ssl.SSLCertVerificationError) as failure:
            handshake(server, unchecked_client(pki.files("flawed")))
        assert VERDICTS[failure.value.verify_code] == reason
