"""Key records and their certificates: what is refused before two persons approve it, and what is always possible."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs.ca import ca_init, ca_issue
from gateway.errors import GatewayError, RequestInvalid
from gateway.flow.change import narrows
from gateway.model.party import KeyRecord, Partner
from gateway.wire import mldsa
from gateway.wire.certified import require_certified
from gateway.wire.jws import ALG, spki
from gateway.wire.strict import b64url, b64url_decode
from tests.policy.worlds import NOW, POLICE
from tests.signer.test_trust import ONE, TWO, made
from tests.signer.world import Disk, disk, partner, trust
from tests.wire.parties import KEY, MLDSA_SEED, OTHER_KEY


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyRecord]:
    """Records as another gateway makes them: two of ES256, one of ML-DSA-65."""
    folder = tmp_path_factory.mktemp("fra") / "ca"
    ca_init(folder, POLICE, now=NOW, demo=True)
    made: dict[str, KeyRecord] = {}
    for name, key in (
        ("first", KEY.public_key()),
        ("second", OTHER_KEY.public_key()),
        ("ml-dsa", mldsa.private_key(MLDSA_SEED).public_key()),
    ):
        pem = ca_issue(
            folder,
            "message",
            org=POLICE,
            public_key=key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            dns_names=[],
            now=NOW,
        )
        der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        public = mldsa.public_text(key) if isinstance(key, MLDSA65PublicKey) else spki(key)
        alg = mldsa.ALG if name == "ml-dsa" else ALG
        x5t = b64url(hashlib.sha256(der).digest())
        made[name] = KeyRecord(name, "message", alg, public, certificate=b64url(der), x5t=x5t)
    return made


FLAWS: dict[str, str] = {
    "no certificate": "cannot be read",
    "no base64url": "cannot be read",
    "padding": "cannot be read",
    "a byte more": "cannot be read",
    "version 4": "cannot be read",
    "another key's": "another key's",
    "another algorithm": "another key's",
    "the certificate of the ML-DSA key": "another key's",
    "no thumbprint": "another certificate's",
    "another thumbprint": "another certificate's",
}


def flawed(records: dict[str, KeyRecord], flaw: str) -> KeyRecord:
    first, second, third = records.values()
    der = b64url_decode(first.certificate)
    version = der.index(bytes.fromhex("a003020102")) + 4
    changes: dict[str, dict[str, Any]] = {
        "no certificate": {"certificate": "AAAA"},
        "no base64url": {"certificate": "***"},
        "padding": {"certificate": first.certificate + "="},
        "a byte more": {"certificate": b64url(der + b"\0")},
        "version 4": {"certificate": b64url(der[:version] + b"\x03" + der[version + 1 :])},
        "another key's": {"public": second.public},
        "another algorithm": {"alg": mldsa.ALG},
        "the certificate of the ML-DSA key": {"certificate": third.certificate, "x5t": third.x5t},
        "no thumbprint": {"x5t": ""},
        "another thumbprint": {"x5t": second.x5t},
    }
    return msgspec.structs.replace(first, **changes[flaw])


def test_the_control(records: dict[str, KeyRecord]) -> None:
    """Records as they are made hold, of both algorithms, and so does one without a certificate."""
    assert {record.alg for record in records.values() if record.certificate} == {ALG, mldsa.ALG}
    for record in records.values():
        require_certified(record)
        require_certified(msgspec.structs.replace(record, certificate=""))


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_refused(records: dict[str, KeyRecord], flaw: str) -> None:
    """Each flaw alone, by its own words; the words hold nothing of the record."""
    with pytest.raises(RequestInvalid, match=FLAWS[flaw]):
        require_certified(flawed(records, flaw))


@cache
def entry() -> Partner:
    return partner()


def with_key(record: KeyRecord, **changes: Any) -> Partner:
    return msgspec.structs.replace(entry(), keys=(*entry().keys, record), version=2, **changes)


@pytest.mark.parametrize("flaw", ["", *FLAWS])
def test_two_persons_cannot_bring_one_in(records: dict[str, KeyRecord], flaw: str) -> None:
    """The signer refuses a partner's entry with such a record, whoever signed it; without a flaw it is taken."""
    held = disk()
    change = made("partner", POLICE, with_key(flawed(records, flaw) if flaw else records["first"]), entry())
    if not flaw:
        held.open().change(change, now=NOW)
        return
    before = held.files["trust.json"]
    with pytest.raises(GatewayError) as refused:
        held.open().change(change, now=NOW)
    assert (refused.value.code, FLAWS[flaw] in refused.value.detail) == ("request-invalid", True)
    assert held.files["trust.json"] == before


def test_one_that_is_in_force_can_be_stopped(records: dict[str, KeyRecord]) -> None:
    """An entry of an older version that holds a flaw: one person stops it; two cannot go on with it."""
    inside = with_key(flawed(records, "no certificate"))
    known = msgspec.structs.replace(trust(), partners={**trust().partners, POLICE: inside})
    held = Disk({**disk().files, "trust.json": msgspec.json.encode(known)})
    renamed = msgspec.structs.replace(inside, name="Exemple sous un autre nom", version=3)
    with pytest.raises(RequestInvalid, match="cannot be read"):
        held.open().change(made("partner", POLICE, renamed, inside, by=TWO), now=NOW)
    stopped = msgspec.structs.replace(inside, stopped=True, version=3)
    change = made("partner", POLICE, stopped, inside, by=ONE)
    assert narrows("partner", inside, change.document)
    held.open().change(change, now=NOW)
    assert held.open().trust.partners[POLICE].stopped
