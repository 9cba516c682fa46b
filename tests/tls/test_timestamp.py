"""Time-stamps: what `openssl ts` answers is believed, and one flaw at a time is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.timestamps.http import MAX_ANSWER, HttpTimestampAuthority
from gateway.errors import GatewayError, MalformedMessage, PartnerUnreachable, SignatureInvalid
from gateway.service.timestamp import Asked, Stamp, verify_archived, verify_response
from gateway.wire.der import (
    CONTEXT_0,
    GENERALIZED_TIME,
    OCTETS,
    SEQUENCE,
    SET,
    der,
    integer,
    oid,
    read,
    set_of,
)
from tests.tls.authority import POLICY, STAMPING, VOUCHING, Authority, Signer, certificate, root

DOCUMENT = b"heads of all logs"
ASKED = Asked(hashlib.sha512(DOCUMENT).digest(), 2**126 + 5, POLICY)


def now() -> datetime:
    return datetime.now(UTC)


def checked(authority: Authority, asked: Asked = ASKED, **when: datetime) -> Stamp:
    """The answer to this request, as the gateway reads it."""
    return verify_response(
        authority.answer(ASKED.encode()), asked, authority.trusted, now=when.get("now", now())
    )


@pytest.mark.parametrize("between", [None, VOUCHING])
@pytest.mark.parametrize("key", [Signer.key, lambda: rsa.generate_private_key(65537, 3072)])
def test_an_authentic_stamp(
    tmp_path: Path, between: Signer | None, key: Callable[[], rsa.RSAPrivateKey]
) -> None:
    """A response of `openssl ts` over our request is believed, with an EC or an RSA key, with or without an authority
    between: with who says so, since when, and until when its certificates last."""
    stamp = checked(Authority(tmp_path / "tsa", between=between, signer=Signer(key=key)))
    assert (stamp.by, len(stamp.chain)) == ("fictitious time-stamp authority", 3 if between else 2)
    assert abs(stamp.at - now()) < timedelta(seconds=30)
    assert timedelta(days=299) < stamp.until - now() < timedelta(days=301)


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_other_digests(tmp_path: Path, digest: str) -> None:
    """SHA-384 and SHA-512 do as well, in the signature and where the certificate is named."""
    assert checked(Authority(tmp_path / "tsa", digest=digest, names=digest)).policy == oid(POLICY)


def test_a_certificate_named_by_sha_1(tmp_path: Path) -> None:
    """The signing certificate attribute of RFC 2634 is bound to SHA-1: it does not count."""
    with pytest.raises(SignatureInvalid) as refused:
        checked(Authority(tmp_path / "tsa", names="sha1"))
    assert refused.value.diagnostic["rule"] == "signature"


def test_a_stamp_without_its_certificate(tmp_path: Path) -> None:
    """What is archived must be checked without asking anybody: the signer's certificate is in it."""
    raw = ASKED.encode()
    assert raw.endswith(b"\x01\x01\xff")
    without = der(SEQUENCE, *(one.raw for one in read(raw).members()[:-1]))
    authority = Authority(tmp_path / "tsa")
    with pytest.raises(SignatureInvalid) as refused:
        verify_response(authority.answer(without), ASKED, authority.trusted, now=now())
    assert refused.value.diagnostic["rule"] == "certificate"


ENDED = timedelta(hours=-1)


@pytest.mark.parametrize(
    ("top", "between"),
    [
        (VOUCHING, replace(VOUCHING, ca=False)),
        (VOUCHING, replace(VOUCHING, usage=False)),
        (VOUCHING, replace(VOUCHING, ends=ENDED)),
        (VOUCHING, replace(VOUCHING, key=lambda: rsa.generate_private_key(65537, 2048))),
        (VOUCHING, replace(VOUCHING, extra=(x509.PolicyConstraints(0, None),))),
        (replace(VOUCHING, path=0), VOUCHING),
        (replace(VOUCHING, ends=ENDED), VOUCHING),
        (replace(VOUCHING, ends=ENDED), None),
        (replace(VOUCHING, usage=False), None),
    ],
)
def test_a_chain_that_does_not_hold(tmp_path: Path, top: Signer, between: Signer | None) -> None:
    """An authority that is none, may not vouch, ended, is weak, has a critical extension nobody here reads, or stands
    deeper than the one above allows."""
    with pytest.raises(SignatureInvalid) as refused:
        checked(Authority(tmp_path / "tsa", above=root(top), between=between))
    assert refused.value.diagnostic["rule"] == "certificate"


def test_a_depth_that_is_allowed(tmp_path: Path) -> None:
    """Path lengths that fit are no hindrance."""
    tsa = Authority(
        tmp_path / "tsa", above=root(replace(VOUCHING, path=1)), between=replace(VOUCHING, path=0)
    )
    assert len(checked(tsa).chain) == 3


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (Asked(ASKED.imprint, 7, POLICY), "nonce"),
        (Asked(hashlib.sha512(b"another").digest(), ASKED.nonce, POLICY), "imprint"),
        (Asked(ASKED.imprint, ASKED.nonce, "1.2.3.4.2"), "policy"),
    ],
)
def test_an_answer_to_something_else(tmp_path: Path, asked: Asked, rule: str) -> None:
    """Another nonce, imprint or policy than was asked for is refused by that rule."""
    with pytest.raises(SignatureInvalid) as refused:
        checked(Authority(tmp_path / "tsa"), asked)
    assert refused.value.diagnostic["rule"] == rule


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_stamp_of_another_time(tmp_path: Path, minutes: int) -> None:
    """More than five minutes in the future or the past is no answer to a request of now."""
    with pytest.raises(SignatureInvalid) as refused:
        checked(Authority(tmp_path / "tsa"), now=now() + timedelta(minutes=minutes))
    assert refused.value.diagnostic["rule"] == "time"


@pytest.mark.parametrize(
    ("signer", "rule"),
    [
        (Signer(ends=timedelta(hours=-1)), "certificate"),
        (Signer(starts=timedelta(hours=1)), "certificate"),
        (Signer(key=lambda: rsa.generate_private_key(65537, 2048)), "certificate"),
    ],
)
def test_a_signer_that_may_not(tmp_path: Path, signer: Signer, rule: str) -> None:
    """A signer whose certificate ended, has not begun, or is weak is refused."""
    with pytest.raises(SignatureInvalid) as refused:
        checked(Authority(tmp_path / "tsa", signer=signer))
    assert refused.value.diagnostic["rule"] == rule


@dataclass(frozen=True)
class Token:
    """A response made by hand, for what openssl would not sign; a flaw changes one field."""

    signer: Signer = field(default_factory=Signer)
    named: bytes = b""  # the digest in the signing certificate attribute, when it is another
    content: bytes = b""  # the digest of the content, when it is another
    left_out: int = -1  # a signed attribute
    extension: bytes = b""
    kind: str = "1.2.840.113549.1.9.16.1.4"  # of the content
    said: str = "1.2.840.113549.1.9.16.1.4"  # the same, as the signed attribute has it
    versions: tuple[int, int, int] = (3, 1, 1)  # of SignedData, SignerInfo and TSTInfo
    repeated: int = 1  # how often each signed attribute stands there
    signatures: int = 1

    def make(self) -> tuple[bytes, list[x509.Certificate]]:
        above = root()
        made, key = certificate("made by hand", self.signer, above)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        sha256 = der(SEQUENCE, oid("2.16.840.1.101.3.4.2.1"))
        about = der(SEQUENCE, der(SEQUENCE, oid("2.16.840.1.101.3.4.2.3")), der(OCTETS, ASKED.imprint))
        time = der(GENERALIZED_TIME, f"{now():%Y%m%d%H%M%SZ}".encode())
        info = der(
            SEQUENCE,
            integer(self.versions[2]),
            oid(POLICY),
            about,
            integer(9),
            time,
            integer(ASKED.nonce),
            self.extension,
        )
        stamped = self.named or hashlib.sha256(made.public_bytes(Encoding.DER)).digest()
        values = [
            ("1.2.840.113549.1.9.3", oid(self.said)),
            ("1.2.840.113549.1.9.4", der(OCTETS, self.content or hashlib.sha256(info).digest())),
            ("1.2.840.113549.1.9.16.2.47", der(SEQUENCE, der(SEQUENCE, der(SEQUENCE, der(OCTETS, stamped))))),
        ]
        if self.left_out >= 0:
            del values[self.left_out]
        attributes = set_of(
            *(der(SEQUENCE, oid(kind), set_of(value)) for kind, value in values * self.repeated)
        )
        name = der(SEQUENCE, made.issuer.public_bytes(), integer(made.serial_number))
        signature = key.sign(attributes, ec.ECDSA(hashes.SHA256()))
        one = der(
            SEQUENCE, integer(self.versions[1]), name, sha256, bytes([CONTEXT_0]) + attributes[1:],
            der(SEQUENCE, oid("1.2.840.10045.4.3.2")), der(OCTETS, signature),
        )  # fmt: skip
        content = der(SEQUENCE, oid(self.kind), der(CONTEXT_0, der(OCTETS, info)))
        signed = der(
            SEQUENCE, integer(self.versions[0]), set_of(sha256), content,
            der(CONTEXT_0, made.public_bytes(Encoding.DER)), der(SET, one * self.signatures),
        )  # fmt: skip
        token = der(SEQUENCE, oid("1.2.840.113549.1.7.2"), der(CONTEXT_0, signed))
        return der(SEQUENCE, der(SEQUENCE, integer(0)), token), [above[0]]


def test_what_is_made_by_hand_is_believed() -> None:
    """The one without a flaw holds, so that each flaw below is the reason of its refusal."""
    raw, trusted = Token().make()
    assert verify_response(raw, ASKED, trusted, now=now()).by == "made by hand"


@pytest.mark.parametrize(
    ("flawed", "rule"),
    [
        (Token(Signer(purposes=())), "purpose"),
        (Token(Signer(purpose_critical=False)), "purpose"),
        (Token(Signer(purposes=(STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING))), "purpose"),
        (Token(Signer(purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,))), "purpose"),
        (Token(Signer(ca=True)), "certificate"),
        (Token(Signer(usage=False)), "certificate"),
        (Token(Signer(extra=(x509.PolicyConstraints(0, None),))), "certificate"),
        (Token(named=bytes(32)), "certificate"),
        (Token(content=bytes(32)), "signature"),
        (Token(left_out=0), "signature"),
        (Token(left_out=1), "signature"),
        (Token(left_out=2), "signature"),
        (Token(extension=bytes.fromhex("a100")), "extension"),
        (Token(kind="1.2.840.113549.1.7.1"), ""),
        (Token(said="1.2.840.113549.1.7.1"), "signature"),
        (Token(versions=(1, 1, 1)), ""),
        (Token(versions=(3, 3, 1)), ""),
        (Token(versions=(3, 1, 2)), ""),
        (Token(repeated=2), ""),
        (Token(signatures=2), ""),
        (Token(signatures=0), ""),
    ],
)
def test_one_flaw(flawed: Token, rule: str) -> None:
    """No purpose, a purpose that is not critical or not alone, an authority as signer, signed attributes that are
    missing, twice there or about something else, an extension, another content type or version, two signers or none:
    each is refused by its rule."""
    raw, trusted = flawed.make()
    with pytest.raises((SignatureInvalid, MalformedMessage)) as refused:
        verify_response(raw, ASKED, trusted, now=now())
    assert refused.value.diagnostic.get("rule", "") == rule


def test_another_authority(tmp_path: Path) -> None:
    """A stamp that is sound in itself counts for nothing unless its authority is the one that is trusted."""
    raw = Authority(tmp_path / "tsa").answer(ASKED.encode())
    with pytest.raises(SignatureInvalid) as refused:
        verify_response(raw, ASKED, [root()[0]], now=now())
    assert refused.value.diagnostic["rule"] == "certificate"
    with pytest.raises(SignatureInvalid):
        verify_archived(raw, ASKED.imprint, [])


def test_a_request_that_is_rejected(tmp_path: Path) -> None:
    """A rejection, which openssl gives for a policy that it does not have, is no stamp."""
    asked = Asked(ASKED.imprint, ASKED.nonce, "1.2.3.9")
    authority = Authority(tmp_path / "tsa")
    with pytest.raises(SignatureInvalid) as refused:
        verify_response(authority.answer(asked.encode()), asked, authority.trusted, now=now())
    assert refused.value.diagnostic["rule"] == "status"


def test_granted_with_a_failure(tmp_path: Path) -> None:
    """A response that grants and names a failure, or grants with changes, contradicts itself or our request."""
    authority = Authority(tmp_path / "tsa")
    raw = authority.answer(ASKED.encode())
    granted = bytes.fromhex("3003020100")
    assert raw[4:9] == granted
    for status in ("3003020101", "300702010003020780", "30053003020100", "3006020100040100"):
        other = bytes.fromhex(status)
        body = other + raw[9:]
        forged = b"\x30\x82" + len(body).to_bytes(2, "big") + body
        with pytest.raises((SignatureInvalid, MalformedMessage)):
            verify_response(forged, ASKED, authority.trusted, now=now())


@pytest.fixture(scope="module")
def authentic(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[x509.Certificate]]:
    """One authentic response, and whom it is believed from."""
    authority = Authority(tmp_path_factory.mktemp("stamp") / "tsa")
    return authority.answer(ASKED.encode()), authority.trusted


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_changed_byte_goes_unseen(
    authentic: tuple[bytes, list[x509.Certificate]], data: st.DataObject
) -> None:
    """A response with one byte changed, cut off or added is refused with an error of ours, or says the same."""
    raw, trusted = authentic
    said = verify_archived(raw, ASKED.imprint, trusted)
    at = data.draw(st.integers(0, len(raw) - 1))
    other = data.draw(
        st.sampled_from(
            [
                raw[:at],
                raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :],
                raw + b"\0",
            ]
        )
    )
    try:
        found = verify_archived(other, ASKED.imprint, trusted)
    except GatewayError:
        return
    assert (found.at, found.by, found.policy, found.nonce) == (said.at, said.by, said.policy, said.nonce)


@given(st.binary(max_size=200))
def test_what_is_not_der(raw: bytes) -> None:
    """Arbitrary bytes are refused with an error of ours."""
    with pytest.raises(GatewayError):
        verify_archived(raw, ASKED.imprint, [])


async def test_over_http(tmp_path: Path) -> None:
    """The adapter gets a response by POST; an authority that is away, or answers without an end, is unreachable."""
    authority = Authority(tmp_path / "tsa")
    async with authority.serving() as url:
        port = HttpTimestampAuthority(url)
        raw = await port.stamp(ASKED.encode())
        assert verify_response(raw, ASKED, authority.trusted, now=now()).nonce == ASKED.nonce
        authority.rewrite = lambda answer: bytes(MAX_ANSWER + 1)
        with pytest.raises(PartnerUnreachable):
            await port.stamp(ASKED.encode())
        authority.away = True
        with pytest.raises(PartnerUnreachable):
            await port.stamp(ASKED.encode())
    with pytest.raises(PartnerUnreachable):
        await port.stamp(ASKED.encode())
