"""Two organisations, their keys and officers, made when the test runs; every name is plainly fictitious."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.model.officer import Officer, OfficerKey
from gateway.model.party import KeyRecord, KeyUse
from gateway.wire import jwe, mldsa
from gateway.wire.hpke import SUITE, kem_public_bytes
from gateway.wire.jws import TYP, spki, thumbprint
from gateway.wire.seal import SealHeader
from gateway.wire.strict import b64url

NOW = datetime(2026, 11, 21, 21, 0, 0, tzinfo=UTC)
OURS, THEIRS = "bel.ocam", "fra.police-demo"
MESSAGE_ID = "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11"
CONVERSATION = "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20"
NOTE = "ecluse/bel.ocam/partner/fra.police-demo\n1\nAAAA\n\n— ecluse/bel.ocam BBBB\n"
CERTIFICATE = b64url(hashlib.sha256(b"a certificate").digest())

#: One P-256 key for everything: where a test presents one object as another, only the type differs.
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
KID = thumbprint(KEY.public_key())

#: A fixed seed is no secret here: nothing is ever sealed to it outside these tests.
KEM_SEED = hashlib.sha256(b"encryption seed of a test").digest()
MLDSA_SEED = hashlib.sha256(b"message seed of a test").digest()
MLDSA_KEY = mldsa.private_key(MLDSA_SEED)
MLDSA_KID = "message-mldsa"
MLDSA_CERTIFICATE = b64url(hashlib.sha256(b"a certificate over another key").digest())
JWE_KEY = ec.generate_private_key(ec.SECP256R1())
JWE_KID = "enc-2"


def key_record(use: KeyUse, *, key: ec.EllipticCurvePrivateKey = KEY, kid: str = KID) -> KeyRecord:
    """A valid record of this use, listed for every type of that use."""
    return KeyRecord(
        kid=kid,
        use=use,
        alg="ES256",
        public=spki(key.public_key()),
        typ=tuple(typ for typ, signer in TYP.items() if signer == use),
        x5t=CERTIFICATE,
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=1),
    )


def encryption_record(seed: bytes = KEM_SEED) -> KeyRecord:
    return KeyRecord(kid="enc-1", use="encryption", alg=SUITE, public=b64url(kem_public_bytes(seed)))


def jwe_record(key: ec.EllipticCurvePrivateKey = JWE_KEY) -> KeyRecord:
    """The encryption key of the second suite."""
    return KeyRecord(kid=JWE_KID, use="encryption", alg=jwe.SUITE, public=spki(key.public_key()))


def mldsa_record(seed: bytes = MLDSA_SEED, *, kid: str = MLDSA_KID) -> KeyRecord:
    """The second message key, for profile hybrid."""
    public = mldsa.public_text(mldsa.private_key(seed).public_key())
    return msgspec.structs.replace(
        key_record("message"), kid=kid, alg=mldsa.ALG, public=public, x5t=MLDSA_CERTIFICATE
    )


def officer(name: str = "fr-inbox", key: ec.EllipticCurvePrivateKey = KEY, **changes: object) -> Officer:
    public = OfficerKey(kid=thumbprint(key.public_key()), public=spki(key.public_key()))
    built = Officer(
        id=name, person=f"person-{name}", name="Zzemo Exemple", roles=("requester",), keys=(public,)
    )
    return msgspec.structs.replace(built, **changes)


def seal_header(payload: bytes, **changes: object) -> SealHeader:
    iat = int(NOW.timestamp())
    header = SealHeader(
        alg="ES256",
        kid=KID,
        typ="ecluse-msg-disclosure+jws",
        cty="ct-exchange-json/1.0",
        crit=("b64",),
        b64=False,
        x5t_s256=CERTIFICATE,
        iat=iat,
        exp=iat + 30 * 86400,
        iss=OURS,
        aud=THEIRS,
        enc_kid="enc-1",
        suite="hpke-mlkem768-x25519-a256gcm",
        sig_profile="classic",
        jti=MESSAGE_ID,
        conv=CONVERSATION,
        seq=1,
        mode="operational",
        agreement=hashlib.sha256(b"terms").hexdigest(),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        checkpoint=NOTE,
    )
    return msgspec.structs.replace(header, **changes)
