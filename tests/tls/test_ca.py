"""The development authority: what it issues verifies elsewhere, what it must not issue it refuses."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification

from certs.ca import DevCa, ca_init, ca_issue, ca_revoke, read_public_key
from certs.profiles import CA, PROFILES, TLS_CLIENT, TLS_SERVER, check_profile, is_demo
from gateway.errors import (
    CertificateProfileViolation,
    ConfigInvalid,
    Conflict,
    NotFound,
    RequestInvalid,
)
from tests.tls.pki import Pki


def fresh_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_folder(pki: Pki) -> None:
    """Only the owner reads the key; nothing half-written is left beside it."""
    folder = pki.folder / "ca"
    assert {path.name for path in folder.iterdir()} == {"ca.key", "ca.pem", "crl.pem", "index.json"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("profile", ["tls-server", "tls-client", "message", "receipt"])
def test_openssl_verifies_what_is_issued(pki: Pki, profile: str) -> None:
    """The openssl command, strict and with revocation lists, accepts each leaf for its purpose only."""
    purposes = {"tls-server": "sslserver", "tls-client": "sslclient"}
    folder = pki.folder / "ca"
    command = ["openssl", "verify", "-x509_strict", "-crl_check_all", "-CRLfile", str(folder / "crl.pem")]
    command += ["-CAfile", str(folder / "ca.pem")]
    leaf = str(pki.folder / f"{profile}.pem")
    for purpose in ("any", "sslserver", "sslclient"):
        expected = purpose in ("any", purposes.get(profile))
        ran = subprocess.run([*command, "-purpose", purpose, leaf], capture_output=True, check=False)
        assert (ran.returncode == 0) is expected, ran.stderr


def test_another_library_verifies_the_server(pki: Pki) -> None:
    """A second path validator, stricter on the Web PKI's rules, follows the chain and the name constraints."""
    leaf = x509.load_pem_x509_certificate((pki.folder / "tls-server.pem").read_bytes())
    builder = verification.PolicyBuilder().store(verification.Store([pki.certificate])).time(pki.now)
    for subject in (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))):
        assert builder.build_server_verifier(subject).verify(leaf, []) == [leaf, pki.certificate]


def test_a_real_authority_is_constrained_too(pki: Pki) -> None:
    """Outside the demonstration the operator names the domains; without any there is no authority."""
    ca = DevCa.create("bel.ocam", now=pki.now, days=3650, permitted=["gateway.example"])
    issue = dict.fromkeys(("gateway.example", "a.gateway.example"), True)
    issue |= dict.fromkeys(("xgateway.example", "example", "gateway.example.invalid", "192.0.2.1"), False)
    for name, allowed in issue.items():
        try:
            ca.issue(TLS_SERVER, org="bel.ocam", dns_names=[name], public_key=fresh_key(), now=pki.now)
        except RequestInvalid:
            assert not allowed, name
        else:
            assert allowed, name
    with pytest.raises(RequestInvalid):
        DevCa.create("bel.ocam", now=pki.now, days=30)
    with pytest.raises(RequestInvalid):
        DevCa.create("bel.ocam", now=pki.now, days=7, demo=True, permitted=["gateway.example"])
    with pytest.raises(RequestInvalid):
        DevCa.create("bel.ocam", now=pki.now, days=30, permitted=["192.0.2.1"])


def test_lifetimes(pki: Pki) -> None:
    """A leaf lives 398 days at the most, a demonstration seven, and neither outlives its authority."""
    ca = DevCa.create("bel.ocam", now=pki.now, days=400, permitted=["gateway.example"])

    def issue(days: int, later: timedelta = timedelta()) -> x509.Certificate:
        return ca.issue(TLS_CLIENT, org="bel.ocam", public_key=fresh_key(), now=pki.now + later, days=days)

    assert issue(398).not_valid_after_utc < ca.certificate.not_valid_after_utc
    with pytest.raises(CertificateProfileViolation):
        issue(399)
    late = issue(398, timedelta(days=100))
    assert late.not_valid_after_utc == ca.certificate.not_valid_after_utc
    for days in (0, -1, 10**9):
        with pytest.raises(RequestInvalid):
            issue(days)
    assert DevCa.create("bel.ocam", now=pki.now, days=7, demo=True).organisation == "bel.ocam"
    with pytest.raises(CertificateProfileViolation):
        DevCa.create("bel.ocam", now=pki.now, days=8, demo=True)


def test_an_issued_demonstration_leaf_is_marked(pki: Pki) -> None:
    """The default of 90 days shrinks to what the demonstration authority has left."""
    leaf = x509.load_pem_x509_certificate((pki.folder / "receipt.pem").read_bytes())
    assert is_demo(leaf)
    assert leaf.not_valid_after_utc == pki.certificate.not_valid_after_utc


def test_weak_keys_and_authorities_are_not_issued(pki: Pki) -> None:
    """Nothing outside its profile comes out, and nothing of it stays in the index."""
    ca = DevCa.load(pki.folder / "ca")
    before = (pki.folder / "ca" / "index.json").read_bytes()
    weak = rsa.generate_private_key(65537, 2048).public_key()
    with pytest.raises(CertificateProfileViolation):
        ca.issue(TLS_CLIENT, org="bel.ocam", public_key=weak, now=pki.now)
    with pytest.raises(CertificateProfileViolation):
        ca.issue(TLS_SERVER, org="bel.ocam", public_key=fresh_key(), now=pki.now)
    with pytest.raises(RequestInvalid):
        ca.issue(CA, org="bel.ocam", public_key=fresh_key(), now=pki.now)
    with pytest.raises(RequestInvalid):
        ca.issue(TLS_CLIENT, org="Bel.Ocam", public_key=fresh_key(), now=pki.now)
    for name in ("*.localhost", "LOCALHOST", "local host", "localhost.", "", "-", "é.localhost"):
        with pytest.raises(RequestInvalid):
            ca.issue(TLS_CLIENT, org="bel.ocam", dns_names=[name], public_key=fresh_key(), now=pki.now)
    ca.save(pki.folder / "ca")
    assert (pki.folder / "ca" / "index.json").read_bytes() == before


def test_keys_and_requests(pki: Pki) -> None:
    """A public key is taken as it is, of a request only the key, and only when its signature holds."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "anything")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    encoded = request.public_bytes(Encoding.DER)
    assert read_public_key(pem(key.public_key())) == key.public_key()
    assert read_public_key(request.public_bytes(Encoding.PEM)) == key.public_key()
    forged = x509.load_der_x509_csr(encoded[:-1] + bytes([encoded[-1] ^ 1])).public_bytes(Encoding.PEM)
    refused = [forged, b"", b"-----BEGIN CERTIFICATE REQUEST-----\n", pem(ed25519_key())]
    for text in refused:
        with pytest.raises(RequestInvalid):
            ca_issue(pki.folder / "ca", "tls-client", org="bel.ocam", public_key=text, now=pki.now)
    with pytest.raises(RequestInvalid):
        ca_issue(pki.folder / "ca", "any", org="bel.ocam", public_key=pem(key.public_key()), now=pki.now)


def ed25519_key() -> ed25519.Ed25519PublicKey:
    return ed25519.Ed25519PrivateKey.generate().public_key()


def test_revocation(tmp_path: Path) -> None:
    """A revoked serial stands in every later list with its first instant; the list's number only grows."""
    pki = Pki(tmp_path)
    leaf = pki.good("tls-client")
    spared = pki.good("tls-server")
    lists = [x509.load_pem_x509_crl(pki.crl.read_bytes())]
    for later in (timedelta(minutes=1), timedelta(minutes=2)):
        serials = [leaf.serial_number]
        text = ca_revoke(pki.folder / "ca", serials, now=pki.now + later)
        assert pki.crl.read_bytes() == text
        lists.append(x509.load_pem_x509_crl(text))
    lists.append(x509.load_pem_x509_crl(ca_revoke(pki.folder / "ca", [], now=pki.now)))
    found = [crl.get_revoked_certificate_by_serial_number(leaf.serial_number) for crl in lists]
    assert found[0] is None
    assert {entry.revocation_date_utc for entry in found[1:] if entry} == {pki.now + timedelta(minutes=1)}
    assert all(entry is not None for entry in found[1:])
    assert all(crl.get_revoked_certificate_by_serial_number(spared.serial_number) is None for crl in lists)
    numbers = [crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in lists]
    assert numbers == [1, 2, 3, 4]
    with pytest.raises(NotFound):
        ca_revoke(pki.folder / "ca", [1], now=pki.now)


def test_one_authority_a_folder(pki: Pki) -> None:
    """A second `ca init` changes nothing."""
    before = (pki.folder / "ca" / "ca.key").read_bytes()
    with pytest.raises(Conflict):
        ca_init(pki.folder / "ca", "bel.ocam", now=pki.now, demo=True)
    assert (pki.folder / "ca" / "ca.key").read_bytes() == before


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    """Certificates issued at the same time all stand in the index, so that each can be revoked."""
    pki = Pki(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        texts = list(
            pool.map(
                lambda key: ca_issue(
                    pki.folder / "ca", "message", org="bel.ocam", public_key=pem(key), now=pki.now
                ),
                [fresh_key() for _ in range(16)],
            )
        )
    serials = {f"{x509.load_pem_x509_certificate(text).serial_number:x}" for text in texts}
    assert set(json.loads((pki.folder / "ca" / "index.json").read_bytes())["issued"]) == serials
    assert len(serials) == 16


@pytest.mark.parametrize("damage", ["ca.key", "ca.pem", "index.json", "other-key", "leaf-as-ca", "absent"])
def test_a_damaged_folder(tmp_path: Path, damage: str) -> None:
    """Whatever is broken, the folder is refused as a configuration fault and nothing is issued."""
    pki = Pki(tmp_path)
    pki.good("message")
    folder = pki.folder / "ca"
    if damage == "absent":
        folder = tmp_path / "nowhere"
    elif damage == "other-key":
        (folder / "ca.key").write_bytes((pki.folder / "message.key").read_bytes())
    elif damage == "leaf-as-ca":
        os.replace(pki.folder / "message.pem", folder / "ca.pem")
        os.replace(pki.folder / "message.key", folder / "ca.key")
    else:
        (folder / damage).write_bytes(b"{}")
    with pytest.raises(ConfigInvalid):
        ca_issue(folder, "message", org="bel.ocam", public_key=pem(fresh_key()), now=pki.now)


def test_every_profile_can_be_issued(pki: Pki) -> None:
    """What the authority says it issued holds when read back from the file."""
    for name in set(PROFILES) - {"ca"}:
        certificate = x509.load_pem_x509_certificate((pki.folder / f"{name}.pem").read_bytes())
        assert check_profile(certificate, PROFILES[name]).certificate == certificate


def test_an_interrupted_write_is_overtaken(tmp_path: Path) -> None:
    """A temporary file left by a crash, readable by all, never becomes the key's file."""
    folder = tmp_path / "ca"
    folder.mkdir()
    (folder / "ca.key.new").write_bytes(b"left over")
    (folder / "ca.key.new").chmod(0o644)
    ca_init(folder, "bel.ocam", now=Pki(tmp_path / "clock").now, demo=True)
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert not (folder / "ca.key.new").exists()
