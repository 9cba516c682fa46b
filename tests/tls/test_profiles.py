"""Certificate profiles: each certificate fits one place, and each flaw is refused under its own rule."""

import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from certs.ca import DevCa
from certs.profiles import (
    CA,
    DEMO_ORGANISATION,
    MESSAGE_SIGNATURE,
    PROFILES,
    RECEIPT_SIGNATURE,
    TLS_CLIENT,
    TLS_SERVER,
    Profile,
    check_crl,
    check_profile,
    is_demo,
    is_organisation,
    load_certificate,
    organisation_of,
)
from gateway.errors import CertificateProfileViolation
from tests.tls.pki import PROFILE_FLAWS, Draft, Pki


def rule_of(certificate: x509.Certificate, profile: Profile) -> object:
    with pytest.raises(CertificateProfileViolation) as refusal:
        check_profile(certificate, profile)
    return refusal.value.diagnostic["rule"]


@pytest.mark.parametrize("actual", PROFILES)
@pytest.mark.parametrize("demanded", PROFILES)
def test_only_the_diagonal_fits(pki: Pki, actual: str, demanded: str) -> None:
    """A certificate of one profile is refused in the place of every other."""
    path = pki.folder / ("ca/ca.pem" if actual == "ca" else f"{actual}.pem")
    certificate = load_certificate(path.read_bytes())
    if actual == demanded:
        checked = check_profile(certificate, PROFILES[demanded])
        assert (checked.organisation, checked.profile.name) == ("fra.police-demo", demanded)
    else:
        assert rule_of(certificate, PROFILES[demanded]) in {
            "basic-constraints",
            "extended-key-usage",
            "validity",
        }


@pytest.mark.parametrize("name", PROFILE_FLAWS)
@pytest.mark.parametrize("profile", [TLS_SERVER, TLS_CLIENT], ids=lambda p: p.name)
def test_each_flaw_has_its_rule(pki: Pki, name: str, profile: Profile) -> None:
    """One flaw, one rule, and the text of the refusal holds nothing of the certificate."""
    flaw, rule = PROFILE_FLAWS[name]
    assert rule_of(pki.flawed(profile.name, flaw), profile) == rule


def test_the_unflawed_draft_passes(pki: Pki) -> None:
    """The control of the flaws: the same draft without any is accepted."""
    certificate = pki.flawed("tls-client", lambda draft: draft)
    assert check_profile(certificate, TLS_CLIENT).organisation == "fra.police-demo"


def test_only_messages_may_have_an_ml_dsa_key() -> None:
    """ML-DSA-65 stands in a certificate of the profile for messages and of no other; ML-DSA-44 in none."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    authority = DevCa.create("bel.ocam", now=now, days=30, permitted=["gateway.example"])
    key = mldsa.MLDSA65PrivateKey.generate().public_key()

    def issue(profile: Profile, public: Any = key) -> x509.Certificate:
        names = ("gateway.example",) if profile.host_name else ()
        return authority.issue(profile, org="bel.ocam", public_key=public, dns_names=names, now=now)

    certificate = issue(MESSAGE_SIGNATURE)
    assert certificate.public_key() == key
    assert check_profile(certificate, MESSAGE_SIGNATURE).organisation == "bel.ocam"
    for profile in (TLS_CLIENT, TLS_SERVER, RECEIPT_SIGNATURE):
        with pytest.raises(CertificateProfileViolation) as refused:
            issue(profile)
        assert refused.value.diagnostic["rule"] == "key"
    with pytest.raises(CertificateProfileViolation):
        issue(MESSAGE_SIGNATURE, mldsa.MLDSA44PrivateKey.generate().public_key())


def test_host_names(pki: Pki) -> None:
    """A server without a host name, or with a wildcard, is refused; a client needs none."""
    organisation = Draft(()).names[1]

    def nameless(draft: Draft) -> Draft:
        return replace(draft, names=(organisation,))

    def wildcard(draft: Draft) -> Draft:
        return replace(draft, names=(x509.DNSName("*.ecluse-demo.invalid"), organisation))

    assert rule_of(pki.flawed("tls-server", nameless), TLS_SERVER) == "host-name"
    assert rule_of(pki.flawed("tls-server", wildcard), TLS_SERVER) == "host-name"
    assert check_profile(pki.flawed("tls-client", nameless), TLS_CLIENT).profile is TLS_CLIENT


def test_unknown_critical_extension(pki: Pki) -> None:
    """An extension nobody here understands is ignored, unless it is critical."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.1.1"), b"\x05\x00")
    harmless = pki.flawed("tls-client", lambda draft: replace(draft, extra=((extension, False),)))
    assert check_profile(harmless, TLS_CLIENT).profile is TLS_CLIENT
    critical = pki.flawed("tls-client", lambda draft: replace(draft, extra=((extension, True),)))
    assert rule_of(critical, TLS_CLIENT) == "critical-extension"


def test_negative_serial_number(pki: Pki) -> None:
    """A certificate that the parser only warns of is refused."""
    encoded = bytearray((pki.flawed("tls-client", lambda draft: draft)).public_bytes(Encoding.DER))
    serial = encoded.index(b"\xa0\x03\x02\x01\x02\x02") + 5  # [0] version 3, then INTEGER
    encoded[serial + 2] |= 0x80  # the parser looks at no signature
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in production, where a warning stops nobody
        with pytest.raises(CertificateProfileViolation) as refusal:
            load_certificate(bytes(encoded))
        assert refusal.value.diagnostic == {"rule": "encoding"}
        # and one that came through another door
        assert rule_of(x509.load_der_x509_certificate(bytes(encoded)), TLS_CLIENT) == "serial"


@given(st.binary(max_size=200))
def test_garbage_is_no_certificate(encoded: bytes) -> None:
    """Whatever the bytes, the answer is a profile violation and no other exception."""
    for garbage in (encoded, b"-----BEGIN CERTIFICATE-----\n" + encoded):
        with pytest.raises(CertificateProfileViolation):
            load_certificate(garbage)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fra.police-demo", True),
        ("bel.ocam", True),
        ("FRA.police", False),
        ("fra.police-", False),
        ("fra.-police", False),
        ("fra", False),
        ("fr.police", False),
        ("fra.police\n", False),
        ("fra.pol\u0456ce", False),
        ("fra." + "a" * 44, True),
        ("fra." + "a" * 45, False),
        ("", False),
    ],
)
def test_organisation_spelling(text: str, expected: bool) -> None:
    """One spelling only: alpha-3, dot, lower-case slug, at most 48 characters."""
    assert is_organisation(text) is expected


def test_the_demonstration_mark(pki: Pki) -> None:
    """The mark is seen on an authority and on everything below it, and nowhere else."""
    leaf = load_certificate((pki.folder / "message.pem").read_bytes())
    assert is_demo(pki.certificate)
    assert is_demo(leaf)
    assert is_demo(pki.flawed("message", lambda draft: draft)), "the issuer alone carries it here"
    real = DevCa.create("bel.ocam", now=pki.now, days=30, permitted=["gateway.example"])
    assert not is_demo(real.certificate)


def test_a_demonstration_authority_without_constraints(pki: Pki) -> None:
    """The mark demands the name constraints: an authority that has only the mark is refused."""
    key = ec.generate_private_key(ec.SECP384R1())
    marked = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, DEMO_ORGANISATION)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(marked)
        .issuer_name(marked)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(pki.now)
        .not_valid_after(pki.now + timedelta(days=7))
    )
    for extension in pki.certificate.extensions:
        if not isinstance(extension.value, x509.NameConstraints):
            builder = builder.add_extension(extension.value, extension.critical)
    assert rule_of(builder.sign(key, hashes.SHA384()), CA) == "demo-constraints"
    wide = builder.add_extension(
        x509.NameConstraints([x509.DNSName("ecluse-demo.invalid"), x509.DNSName("example")], None), True
    )
    assert rule_of(wide.sign(key, hashes.SHA384()), CA) == "demo-constraints"


def test_the_organisation_is_not_the_common_name(pki: Pki) -> None:
    """A certificate whose subject names another organisation speaks for the one in its URI."""
    certificate = pki.good("tls-client", org="bel.ocam", name="renamed")
    assert organisation_of(certificate) == "bel.ocam"
    assert organisation_of(pki.flawed("tls-client", lambda draft: draft)) == "fra.police-demo"


def test_revocation_lists(pki: Pki, other: Pki) -> None:
    """A list counts only when an authority we trust signed it and it says when the next is due."""
    crl = x509.load_pem_x509_crl(pki.crl.read_bytes())
    assert check_crl(crl, [other.certificate, pki.certificate]).issuer == pki.certificate
    builder = x509.CertificateRevocationListBuilder().issuer_name(pki.certificate.subject)
    builder = builder.last_update(pki.now)
    forged = builder.next_update(pki.now + timedelta(days=1)).sign(other.key, hashes.SHA256())
    for refused, trusted in ((crl, [other.certificate]), (forged, [pki.certificate]), (crl, [])):
        with pytest.raises(CertificateProfileViolation, match="not signed by"):
            check_crl(refused, trusted)


def test_a_revocation_list_without_end(pki: Pki) -> None:
    """A list without nextUpdate, which OpenSSL would believe for ever, is refused."""
    crl = x509.load_pem_x509_crl(pki.crl.read_bytes())
    assert crl.next_update_utc is not None
    # The list again, without its nextUpdate: a shorter TBSCertList, signed anew by the same key.
    header, tbs = 3, crl.tbs_certlist_bytes
    due = b"\x17\x0d" + crl.next_update_utc.strftime("%y%m%d%H%M%SZ").encode()
    body = tbs[header:].replace(due, b"", 1)
    assert (tbs[:2], len(tbs)) == (b"\x30\x81", header + len(body) + len(due))
    tbs = b"\x30\x81" + bytes([len(body)]) + body
    encoded = crl.public_bytes(Encoding.DER)
    algorithm = encoded[encoded.index(b"\x30\x0a\x06\x08", len(tbs) + len(due)) :][:12]
    signature = b"\x00" + pki.key.sign(tbs, ec.ECDSA(hashes.SHA384()))
    content = tbs + algorithm + b"\x03" + bytes([len(signature)]) + signature
    endless = x509.load_der_x509_crl(b"\x30\x82" + len(content).to_bytes(2, "big") + content)
    assert endless.next_update_utc is None
    with pytest.raises(CertificateProfileViolation, match="when the next one is due"):
        check_crl(endless, [pki.certificate])
