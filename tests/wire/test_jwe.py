"""Suite ``jwe-ecdh-es-a256gcm``: one spelling of one header before any key is used, and a second library agrees."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jwcrypto.jwe
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk

from gateway.errors import ConfigInvalid, MalformedMessage, PartnerFault
from gateway.wire import hpke, jwe
from gateway.wire.container import (
    BUCKETS,
    MAX_SEALED,
    Preamble,
    decrypt,
    encrypt,
    frame,
    pack,
    require_consistent,
    split,
    unpack,
)
from gateway.wire.jws import spki
from gateway.wire.seal import sign_seal, verify_seal
from gateway.wire.strict import b64url, b64url_decode, canonical
from tests.wire.parties import (
    JWE_KEY,
    JWE_KID,
    KEM_SEED,
    KEY,
    MESSAGE_ID,
    NOW,
    OTHER_KEY,
    OURS,
    THEIRS,
    encryption_record,
    jwe_record,
    key_record,
    seal_header,
)

PREAMBLE = Preamble(1, jwe.SUITE, OURS, THEIRS, MESSAGE_ID, JWE_KID)
LINE = canonical(PREAMBLE)
PLAIN = pack("aGVhZA..c2lnbg", b"payload")


def compact(plaintext: bytes = PLAIN) -> bytes:
    return encrypt(PREAMBLE, plaintext, jwe_record()).split(b"\n", 1)[1]


@settings(max_examples=30)
@given(st.binary(max_size=20_000))
def test_open_undoes_seal(payload: bytes) -> None:
    """The whole way: seal, pack, encrypt, split, decrypt, unpack, verify gives back the payload."""
    header = seal_header(payload, suite=jwe.SUITE, enc_kid=JWE_KID)
    preamble, line, ciphertext = split(
        encrypt(PREAMBLE, pack(sign_seal(header, payload, KEY), payload), jwe_record())
    )
    opened = unpack(decrypt(line, ciphertext, JWE_KEY))
    keys = [key_record("message")]
    evidence = verify_seal(opened.jws, opened.second, opened.payload, keys, profile="classic", now=NOW)
    require_consistent(preamble, evidence.header)
    assert (preamble, opened.payload, evidence.header) == (PREAMBLE, payload, header)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_only_the_bucket_shows(bucket: int) -> None:
    """Whatever fills a bucket, its ciphertext has one length, within the limit of one sealed message."""
    sealed = encrypt(PREAMBLE, bytes(bucket), jwe_record())
    other = encrypt(PREAMBLE, b"\xff" * bucket, jwe_record())
    assert len(sealed) == len(other) <= MAX_SEALED
    assert len(split(sealed)[2].split(b".")[3]) == (bucket * 4 + 2) // 3
    assert frame([sealed])


def test_the_header_is_the_one_of_the_specification() -> None:
    """Members, order and values of the protected header; a fresh ephemeral key and nonce for every attempt."""
    first, second = (compact().decode().split(".") for _ in range(2))
    header = json.loads(b64url_decode(first[0]))
    assert list(header) == ["alg", "enc", "apu", "apv", "epk"]
    assert list(header["epk"]) == ["kty", "crv", "x", "y"]
    assert (header["alg"], header["enc"], first[1]) == ("ECDH-ES", "A256GCM", "")
    assert b64url_decode(header["apu"]) == OURS.encode()
    assert b64url_decode(header["apv"]) == hashlib.sha256(LINE).digest()
    assert b64url_decode(first[0]) == msgspec.json.encode(header)
    assert all(first[segment] != second[segment] for segment in (0, 2, 3, 4))


def test_a_second_library_opens_ours() -> None:
    """jwcrypto derives the same content key (RFC 7518 §4.6) and reads the same plaintext."""
    other = jwcrypto.jwe.JWE()
    other.deserialize(compact().decode(), key=jwk.JWK.from_pyca(JWE_KEY))
    assert other.payload == PLAIN


def second_library(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> bytes:
    """What jwcrypto makes of our header; it would sort the members, so it is given our order."""

    def ordered(given: Any) -> str:
        header = {name: given[name] for name in ("alg", "enc", "apu", "apv", "epk") if name in given}
        if "epk" in header:
            epk = header["epk"] if isinstance(header["epk"], dict) else json.loads(header["epk"])
            header["epk"] = {name: epk[name] for name in ("kty", "crv", "x", "y")}
        return json.dumps(
            header | {name: given[name] for name in given if name not in header}, separators=(",", ":")
        )

    monkeypatch.setattr(jwcrypto.jwe, "json_encode", ordered)
    header = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "apu": b64url(OURS.encode()),
        "apv": b64url(hashlib.sha256(LINE).digest()),
    }
    other = jwcrypto.jwe.JWE(PLAIN, json.dumps(header | changes))
    other.add_recipient(jwk.JWK.from_pyca(JWE_KEY.public_key()))
    return str(other.serialize(compact=True)).encode()


def test_we_open_a_second_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What jwcrypto encrypts under the same header opens here."""
    theirs = second_library(monkeypatch)
    assert decrypt(*split(LINE + b"\n" + theirs)[1:], JWE_KEY) == PLAIN


def test_a_compressed_message_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """``zip`` never reaches an inflater: a bomb is refused for its header, without any key."""
    bomb = second_library(monkeypatch, zip="DEF")
    assert b"zip" in b64url_decode(bomb.split(b".")[0].decode())
    with pytest.raises(MalformedMessage):
        split(LINE + b"\n" + bomb)


# --- refused before any key is used ----------------------------------------------------------------------------------

SEGMENTS = compact().decode().split(".")
HEADER: dict[str, Any] = json.loads(b64url_decode(SEGMENTS[0]))
OTHER_POINT = OTHER_KEY.public_key().public_numbers()
P384 = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()


def under(header: dict[str, Any] | bytes) -> str:
    raw = header if isinstance(header, bytes) else msgspec.json.encode(header)
    return ".".join([b64url(raw), *SEGMENTS[1:]])


def epk(**changes: Any) -> str:
    return under(HEADER | {"epk": HEADER["epk"] | changes})


def segment(number: int, text: str) -> str:
    return ".".join(text if place == number else part for place, part in enumerate(SEGMENTS))


RAW = msgspec.json.encode(HEADER)
REFUSED: dict[str, str] = {
    "four segments": ".".join(SEGMENTS[:4]),
    "six segments": ".".join([*SEGMENTS, ""]),
    "encrypted key present": segment(1, "AAAA"),
    "padded header": segment(0, SEGMENTS[0] + "="),
    "space in the ciphertext": segment(3, SEGMENTS[3][:8] + " " + SEGMENTS[3][8:]),
    "base64 of the other alphabet": segment(4, "+" + SEGMENTS[4][1:]),
    "trailing bits set": segment(4, SEGMENTS[4][:-1] + ("B" if SEGMENTS[4][-1] != "B" else "C")),
    "nonce short": segment(2, b64url(bytes(11))),
    "nonce long": segment(2, b64url(bytes(16))),
    "tag short": segment(4, b64url(bytes(12))),
    "no bucket": segment(3, b64url(bytes(4097))),
    "empty ciphertext": segment(3, ""),
    "not ASCII": segment(3, "é" + SEGMENTS[3][1:]),
    "header not JSON": under(b"ECDH-ES"),
    "header a list": under(b"[]"),
    "header too long": under(RAW + b" " * 600),
    "alg twice": under(RAW.replace(b'{"alg"', b'{"alg":"dir","alg"', 1)),
    "spaced": under(json.dumps(HEADER).encode()),
    "sorted": under(dict(sorted(HEADER.items()))),
    "epk sorted": under(HEADER | {"epk": dict(sorted(HEADER["epk"].items()))}),
    "alg dir": under(HEADER | {"alg": "dir"}),
    "alg with key wrap": under(HEADER | {"alg": "ECDH-ES+A256KW"}),
    "alg PBES2": under(HEADER | {"alg": "PBES2-HS256+A128KW", "p2s": "AAAA", "p2c": 10**8}),
    "p2c added": under(HEADER | {"p2c": 10**8}),
    "enc weaker": under(HEADER | {"enc": "A128GCM"}),
    "enc CBC": under(HEADER | {"enc": "A256CBC-HS512"}),
    "zip": under(HEADER | {"zip": "DEF"}),
    "crit empty": under(HEADER | {"crit": []}),
    "crit": under(HEADER | {"crit": ["exp"], "exp": 1}),
    "kid": under(HEADER | {"kid": JWE_KID}),
    "jwk": under(HEADER | {"jwk": HEADER["epk"]}),
    "jku": under(HEADER | {"jku": "https://attacker.invalid/"}),
    "typ": under(HEADER | {"typ": "JWE"}),
    "without apu": under({name: HEADER[name] for name in HEADER if name != "apu"}),
    "without apv": under({name: HEADER[name] for name in HEADER if name != "apv"}),
    "without epk": under({name: HEADER[name] for name in HEADER if name != "epk"}),
    "apu of another": under(HEADER | {"apu": b64url(b"nld.other")}),
    "apv of another": under(HEADER | {"apv": b64url(bytes(32))}),
    "apv null": under(HEADER | {"apv": None}),
    "epk of another kind": epk(kty="OKP"),
    "epk on P-384": epk(crv="P-384", x=b64url(P384.x.to_bytes(48, "big")), y=b64url(P384.y.to_bytes(48, "big"))),
    "epk named P-521": epk(crv="P-521"),
    "epk off the curve": epk(x=b64url(OTHER_POINT.x.to_bytes(32, "big"))),
    "epk zero": epk(x=b64url(bytes(32)), y=b64url(bytes(32))),
    "epk beyond the field": epk(x=b64url(b"\xff" * 32)),
    "epk short": epk(x=b64url(bytes(31))),
    "epk x with trailing bits": epk(x=HEADER["epk"]["x"][:-1] + "B"),
    "epk private": epk(d=b64url(bytes(32))),
    "epk with kid": epk(kid="x"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_any_key(name: str) -> None:
    """Another form, header, curve or point is refused by our own reader; no key is at hand when it is."""
    assert split(LINE + b"\n" + ".".join(SEGMENTS).encode())[0] == PREAMBLE
    with pytest.raises(MalformedMessage) as caught:
        split(LINE + b"\n" + REFUSED[name].encode())
    assert "attacker" not in str(caught.value)


# --- refused by the key ----------------------------------------------------------------------------------------------


@settings(max_examples=80)
@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """Whatever single bit of the sealed message changes, preamble included, it does not open."""
    raw = bytearray(LINE + b"\n" + ".".join(SEGMENTS).encode())
    position = data.draw(st.integers(0, (len(LINE) + 500) * 8) | st.integers(0, len(raw) * 8 - 1))
    raw[position // 8] ^= 1 << position % 8
    with pytest.raises(PartnerFault):
        decrypt(*split(bytes(raw))[1:], JWE_KEY)


def test_another_key_or_preamble_does_not_open() -> None:
    """A JWE opens with its own key, under its own preamble, and moved under another sender's it is refused."""
    ciphertext = ".".join(SEGMENTS).encode()
    assert decrypt(LINE, ciphertext, JWE_KEY) == PLAIN
    for line, key in (
        (LINE, OTHER_KEY),
        (LINE.replace(JWE_KID.encode(), b"enc-3"), JWE_KEY),
        (LINE.replace(OURS.encode(), b"nld.other"), JWE_KEY),
    ):
        with pytest.raises(MalformedMessage):
            decrypt(line, ciphertext, key)


def test_suites_do_not_stand_in_for_each_other() -> None:
    """A ciphertext presented under the other suite's preamble, or a key of the other suite, opens nothing."""
    as_hpke = msgspec.structs.replace(PREAMBLE, suite=hpke.SUITE, enc_kid="enc-1")
    by_hpke = split(encrypt(as_hpke, PLAIN, encryption_record()))
    by_jwe = split(encrypt(PREAMBLE, PLAIN, jwe_record()))
    kem = hpke.kem_private(KEM_SEED)
    assert decrypt(*by_hpke[1:], kem) == decrypt(*by_jwe[1:], JWE_KEY) == PLAIN
    for line, ciphertext in ((by_hpke[1], by_jwe[2]), (by_jwe[1], by_hpke[2])):
        with pytest.raises(MalformedMessage):
            split(line + b"\n" + ciphertext)
        for key in (kem, JWE_KEY):
            with pytest.raises(MalformedMessage):
                decrypt(line, ciphertext, key)
    with pytest.raises(MalformedMessage):
        decrypt(*by_hpke[1:], JWE_KEY)
    with pytest.raises(MalformedMessage):
        decrypt(*by_jwe[1:], kem)


def test_only_a_key_of_this_suite_encrypts() -> None:
    """The other suite's key, another curve, a raw point, or another spelling of a key: nothing is encrypted."""
    record, replace = jwe_record(), msgspec.structs.replace
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    for key in (
        encryption_record(),
        replace(encryption_record(), kid=JWE_KID),
        replace(encryption_record(), kid=JWE_KID, alg=jwe.SUITE),
        replace(record, use="message"),
        replace(record, alg="ES256"),
        replace(record, revoked=True),
        replace(record, public=spki(p384)),
        replace(record, public=record.public + "="),
        replace(record, public=""),
    ):
        with pytest.raises(ConfigInvalid):
            encrypt(PREAMBLE, PLAIN, key)
