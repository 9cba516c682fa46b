"""ES256 compact JWS: one algorithm, one type, one spelling, pinned keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk
from jwcrypto import jws as jwcrypto_jws

from gateway.errors import ConfigInvalid, MalformedMessage, PartnerFault, SignatureInvalid
from gateway.wire.jws import (
    MAX_TOKEN_CHARS,
    RECEIPT_TYP,
    TYP,
    DeterministicES256,
    keys_for,
    load_public,
    load_spki,
    read_compact,
    sign_compact,
    sign_protected,
    spki,
    verify_compact,
)
from gateway.wire.strict import b64url, b64url_decode
from tests.conftest import REFERENCE
from tests.wire.parties import KEY, KID, NOW, OTHER_KEY, key_record

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEYS = {KID: KEY.public_key()}
PAYLOAD = b'{"v":1}'
HEADER: dict[str, Any] = {"alg": "ES256", "kid": KID, "typ": RECEIPT_TYP}
DETACHED: dict[str, Any] = HEADER | {"crit": ["b64"], "b64": False}


def token(header: dict[str, Any] | bytes = HEADER, *, detached: bool = False) -> str:
    """A correctly signed JWS with any header: what a key holder gone wrong could send."""
    raw = header if isinstance(header, bytes) else msgspec.json.encode(header)
    return sign_protected(raw, PAYLOAD, KEY, detached=detached)


def resigned(change: Callable[[int, int], tuple[int, int]]) -> str:
    """The good token with another (r, s)."""
    head, body, signature = token().split(".")
    raw = b64url_decode(signature)
    r, s = change(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    return f"{head}.{body}.{b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_sign_and_verify() -> None:
    """What we sign verifies, attached and detached, and names type, key and payload."""
    attached = sign_compact(PAYLOAD, KEY, typ=RECEIPT_TYP, kid=KID)
    verified = verify_compact(attached, typ=RECEIPT_TYP, keys=KEYS)
    assert (verified.payload, verified.kid, verified.header) == (PAYLOAD, KID, HEADER)
    loose = sign_compact(PAYLOAD, KEY, typ=RECEIPT_TYP, kid=KID, detached=True)
    assert ".." in loose
    assert verify_compact(loose, typ=RECEIPT_TYP, keys=KEYS, detached=PAYLOAD).payload == PAYLOAD


def test_signing_is_deterministic_and_low_s() -> None:
    """The same message and key give the same signature, and its s is the lower of the two (64 draws)."""
    assert sign_compact(PAYLOAD, KEY, typ=RECEIPT_TYP, kid=KID) == sign_compact(
        PAYLOAD, KEY, typ=RECEIPT_TYP, kid=KID
    )
    for number in range(64):
        signature = DeterministicES256().sign(bytes([number]), KEY)
        assert int.from_bytes(signature[32:], "big") <= ORDER // 2


def test_rfc6979_known_answer() -> None:
    """RFC 6979 A.2.5, P-256, SHA-256, message "sample": the published r, and the published s or its lower twin."""
    published = (
        0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721  # the RFC's own example scalar
    )
    r = 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    s = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    signature = DeterministicES256().sign(b"sample", ec.derive_private_key(published, ec.SECP256R1()))
    assert signature == r.to_bytes(32, "big") + (ORDER - s).to_bytes(32, "big")


def test_other_libraries_accept_ours() -> None:
    """PyJWT and jwcrypto verify what we sign, attached and detached."""
    attached, loose = token(), token(DETACHED, detached=True)
    pem = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert jwt.PyJWS().decode(attached, KEY.public_key(), algorithms=["ES256"]) == PAYLOAD
    assert (
        jwt.PyJWS().decode(loose, KEY.public_key(), algorithms=["ES256"], detached_payload=PAYLOAD) == PAYLOAD
    )
    for compact, payload in ((attached, None), (loose, PAYLOAD)):
        other = jwcrypto_jws.JWS()
        other.deserialize(compact)
        other.verify(jwk.JWK.from_pem(pem), detached_payload=payload)


REFUSED: dict[str, tuple[Callable[[], str], type[PartnerFault]]] = {
    "alg none": (lambda: token(HEADER | {"alg": "none"}), SignatureInvalid),
    "alg HS256": (lambda: token(HEADER | {"alg": "HS256"}), SignatureInvalid),
    "alg in another case": (lambda: token(HEADER | {"alg": "es256"}), SignatureInvalid),
    "alg ES384": (lambda: token(HEADER | {"alg": "ES384"}), SignatureInvalid),
    "alg no string": (lambda: token(HEADER | {"alg": ["ES256"]}), SignatureInvalid),
    "alg missing": (lambda: token({"kid": KID, "typ": RECEIPT_TYP}), SignatureInvalid),
    "alg twice": (
        lambda: token(b'{"alg":"none","alg":"ES256","kid":"%s","typ":"%s"}' % (KID.encode(), RECEIPT_TYP.encode())),
        MalformedMessage,
    ),
    "typ missing": (lambda: token({"alg": "ES256", "kid": KID}), SignatureInvalid),
    "typ of nothing": (lambda: token(HEADER | {"typ": "JWT"}), SignatureInvalid),
    "typ in another case": (lambda: token(HEADER | {"typ": RECEIPT_TYP.upper()}), SignatureInvalid),
    "typ with its media type prefix": (lambda: token(HEADER | {"typ": f"application/{RECEIPT_TYP}"}), SignatureInvalid),
    "kid unknown": (lambda: token(HEADER | {"kid": "other"}), SignatureInvalid),
    "kid no string": (lambda: token(HEADER | {"kid": [KID]}), SignatureInvalid),
    "kid missing": (lambda: token({"alg": "ES256", "typ": RECEIPT_TYP}), SignatureInvalid),
    "crit unknown": (lambda: token(HEADER | {"crit": ["exp"], "exp": 1}), SignatureInvalid),
    "crit empty": (lambda: token(HEADER | {"crit": []}), SignatureInvalid),
    "jwk": (lambda: token(HEADER | {"jwk": {"kty": "EC"}}), SignatureInvalid),
    "jku": (lambda: token(HEADER | {"jku": "https://example.invalid/keys"}), SignatureInvalid),
    "x5u": (lambda: token(HEADER | {"x5u": "https://example.invalid/cert"}), SignatureInvalid),
    "x5c": (lambda: token(HEADER | {"x5c": ["AA"]}), SignatureInvalid),
    "zip": (lambda: token(HEADER | {"zip": "DEF"}), SignatureInvalid),
    "b64 true": (lambda: token(HEADER | {"b64": True}), SignatureInvalid),
    "detached where attached is due": (lambda: token(DETACHED, detached=True), SignatureInvalid),
    "header an array": (lambda: token(b"[]"), MalformedMessage),
    "header with a byte order mark": (lambda: token(b"\xef\xbb\xbf" + msgspec.json.encode(HEADER)), MalformedMessage),
    "header too long": (lambda: token(HEADER | {"kid": "k" * 20_000}), MalformedMessage),
    "high s": (lambda: resigned(lambda r, s: (r, ORDER - s)), SignatureInvalid),
    "s of zero": (lambda: resigned(lambda r, s: (r, 0)), SignatureInvalid),
    "r of zero": (lambda: resigned(lambda r, s: (0, s)), SignatureInvalid),
    "r of the order": (lambda: resigned(lambda r, s: (ORDER, s)), SignatureInvalid),
    "signature empty": (lambda: token().rpartition(".")[0] + ".", SignatureInvalid),
    "signature two bytes longer": (lambda: token() + "AA", SignatureInvalid),
    "signature in DER": (lambda: token().rpartition(".")[0] + "." + b64url(b"\x30" + bytes(69)), SignatureInvalid),
    "signature padded": (lambda: token() + "==", MalformedMessage),
    "two segments": (lambda: token().rpartition(".")[0], MalformedMessage),
    "four segments": (lambda: token() + ".AA", MalformedMessage),
    "white space before": (lambda: " " + token(), MalformedMessage),
    "line feed after": (lambda: token() + "\n", MalformedMessage),
    "JSON serialization": (lambda: json.dumps({"payload": "AA", "signature": "AA"}), MalformedMessage),
    "empty": (lambda: "", MalformedMessage),
    "letters outside ASCII": (lambda: token().replace(".", "․"), MalformedMessage),
    "too long": (lambda: "A" * (MAX_TOKEN_CHARS + 1), MalformedMessage),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Each flawed token, correctly signed where it can be, is refused with its error and without quoting input."""
    make, error = REFUSED[name]
    with pytest.raises(error) as caught:
        verify_compact(make(), typ=RECEIPT_TYP, keys=KEYS)
    assert KID not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        DETACHED | {"crit": []},
        DETACHED | {"crit": ["b64", "b64"]},
        DETACHED | {"crit": ["b64", "exp"]},
        DETACHED | {"crit": "b64"},
        DETACHED | {"b64": True},
        DETACHED | {"b64": 0},
        DETACHED | {"b64": None},
        {name: value for name, value in DETACHED.items() if name != "crit"},
        {name: value for name, value in DETACHED.items() if name != "b64"},
    ],
)
def test_detached_headers_refused(header: dict[str, Any]) -> None:
    """A detached JWS must declare exactly ``crit: ["b64"], b64: false`` (RFC 7797 §6)."""
    with pytest.raises(SignatureInvalid):
        verify_compact(token(header, detached=True), typ=RECEIPT_TYP, keys=KEYS, detached=PAYLOAD)


def test_detached_carries_no_payload() -> None:
    """A payload inside a detached JWS is refused, even the right one: two places would have to agree."""
    head, _, signature = token(DETACHED, detached=True).split(".")
    with pytest.raises(SignatureInvalid):
        verify_compact(f"{head}.{b64url(PAYLOAD)}.{signature}", typ=RECEIPT_TYP, keys=KEYS, detached=PAYLOAD)


def test_extra_members_are_exact() -> None:
    """Extra members are required when named, and refused when not."""
    plain, extended = token(), sign_compact(PAYLOAD, KEY, typ=RECEIPT_TYP, kid=KID, extra={"iat": 1})
    assert verify_compact(extended, typ=RECEIPT_TYP, keys=KEYS, extra=frozenset({"iat"})).header["iat"] == 1
    with pytest.raises(SignatureInvalid):
        verify_compact(extended, typ=RECEIPT_TYP, keys=KEYS)
    with pytest.raises(SignatureInvalid):
        verify_compact(plain, typ=RECEIPT_TYP, keys=KEYS, extra=frozenset({"iat"}))


def test_only_the_pinned_key_verifies() -> None:
    """Another key under the same id does not verify, and no keys at all means no."""
    with pytest.raises(SignatureInvalid):
        verify_compact(token(), typ=RECEIPT_TYP, keys={KID: OTHER_KEY.public_key()})
    with pytest.raises(SignatureInvalid):
        verify_compact(token(), typ=RECEIPT_TYP, keys={})


@settings(max_examples=150)
@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """Whatever single bit of a token changes, it is refused."""
    raw = bytearray(token().encode())
    position = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[position // 8] ^= 1 << position % 8
    with pytest.raises(PartnerFault):
        verify_compact(raw.decode("latin-1"), typ=RECEIPT_TYP, keys=KEYS)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,90}"))
def test_garbage_is_refused_in_one_way(text: str) -> None:
    """Any text is a PartnerFault, never another exception."""
    with pytest.raises(PartnerFault):
        verify_compact(text, typ=RECEIPT_TYP, keys=KEYS)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_are_chosen_by_use_type_algorithm_and_time() -> None:
    """A record counts only for its own use, type and algorithm, while it is valid; anything else gives no key."""
    record = key_record("receipt")
    assert list(keys_for([record], "receipt", RECEIPT_TYP, now=NOW)) == [KID]
    replace = msgspec.structs.replace
    for other, now in (
        (replace(record, use="message"), NOW),
        (replace(record, typ=("ecluse-msg-disclosure+jws",)), NOW),
        (replace(record, typ=()), NOW),
        (replace(record, alg="EdDSA"), NOW),
        (replace(record, revoked=True), NOW),
        (record, NOW - timedelta(days=1, seconds=1)),
        (record, NOW + timedelta(days=1)),
    ):
        assert keys_for([other], "receipt", RECEIPT_TYP, now=now) == {}
    assert keys_for([replace(record, typ=(*TYP,))], "receipt", "ecluse-agreement+jws", now=NOW) == {}
    assert keys_for([replace(record, typ=("JWT",))], "receipt", "JWT", now=NOW) == {}


def test_two_keys_under_one_id_are_an_error() -> None:
    """A directory entry that names a key id twice is refused: neither key is chosen silently."""
    with pytest.raises(ConfigInvalid):
        keys_for(
            [key_record("receipt"), key_record("receipt", key=OTHER_KEY)], "receipt", RECEIPT_TYP, now=NOW
        )


def _der(
    key: Any, form: serialization.PublicFormat = serialization.PublicFormat.SubjectPublicKeyInfo
) -> bytes:
    raw: bytes = key.public_key().public_bytes(serialization.Encoding.DER, form)
    return raw


COMPRESSED = KEY.public_key().public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
)


@pytest.mark.parametrize(
    "public",
    [
        "",
        "AA",
        "not base64url!",
        b64url(_der(KEY)) + "=",
        b64url(_der(KEY) + b"\0"),
        b64url(_der(ec.generate_private_key(ec.SECP384R1()))),
        b64url(_der(ec.generate_private_key(ec.SECP256K1()))),
        b64url(_der(ed25519.Ed25519PrivateKey.generate())),
        b64url(COMPRESSED),
        b64url(bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + COMPRESSED),  # SPKI, compressed
    ],
)  # fmt: skip
def test_only_p256_in_its_one_form_loads(public: str) -> None:
    """Another curve, algorithm or encoding is a fault of our configuration, not a key."""
    with pytest.raises(ConfigInvalid):
        load_spki(public)


def test_public_key_round_trip() -> None:
    """A key loads from the form it is kept in, and only for ES256."""
    assert load_public(key_record("receipt")) == KEY.public_key()
    assert spki(load_spki(spki(KEY.public_key()))) == spki(KEY.public_key())
    with pytest.raises(ConfigInvalid):
        load_public(msgspec.structs.replace(key_record("receipt"), alg="ES384"))


def test_only_registered_types_and_p256_sign() -> None:
    """An unregistered type or another curve is refused before anything is signed."""
    with pytest.raises(ConfigInvalid):
        sign_compact(PAYLOAD, KEY, typ="JWT", kid=KID)
    with pytest.raises(ConfigInvalid):
        sign_compact(PAYLOAD, ec.generate_private_key(ec.SECP384R1()), typ=RECEIPT_TYP, kid=KID)


# --- published vectors -----------------------------------------------------------------------------------------------


def test_rfc7520_signatures_are_read_and_refused() -> None:
    """RFC 7520 and RFC 7797 examples are well formed for our reader, and outside our one algorithm and type."""
    folder = REFERENCE / "jose"
    if not folder.is_dir():
        pytest.skip("the RFC 7520 reference vectors are not beside the checkout")
    seen = 0
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        output = document.get("output", {})
        compact = output.get("compact")
        if compact is None and "json_flat" in output and "signature" in output["json_flat"]:
            flat = output["json_flat"]
            compact = f"{flat['protected']}..{flat['signature']}"
        if compact is None or compact.count(".") != 2:
            continue
        seen += 1
        protected = b64url_decode(document["signing"]["protected_b64u"])
        assert read_compact(compact).header == json.loads(protected), path.name
        with pytest.raises(SignatureInvalid):
            verify_compact(compact, typ=RECEIPT_TYP, keys=KEYS)
    assert seen >= 4
