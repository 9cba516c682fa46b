"""The sealed message: preamble, size buckets, encryption, and the framing of batches."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigInvalid, MalformedMessage, PartnerFault, RequestInvalid
from gateway.wire import jwe
from gateway.wire.container import (
    BUCKETS,
    MAX_BATCH,
    MAX_SEALED,
    Preamble,
    decrypt,
    deframe,
    encrypt,
    frame,
    most_sealed,
    pack,
    require_consistent,
    split,
    unpack,
)
from gateway.wire.hpke import OVERHEAD, SUITE, kem_private, kem_public, kem_public_bytes
from gateway.wire.seal import sign_seal, verify_seal
from gateway.wire.strict import b64url
from tests.wire.parties import (
    JWE_KID,
    KEM_SEED,
    KEY,
    MESSAGE_ID,
    NOW,
    OURS,
    THEIRS,
    encryption_record,
    jwe_record,
    key_record,
    seal_header,
)

PREAMBLE = Preamble(1, SUITE, OURS, THEIRS, MESSAGE_ID, "enc-1")
JWS = "aGVhZA..c2lnbg"
PRIVATE = kem_private(KEM_SEED)


def sealed(plaintext: bytes) -> bytes:
    return encrypt(PREAMBLE, plaintext, encryption_record())


@settings(max_examples=40)
@given(st.binary(max_size=20_000))
def test_open_undoes_seal(payload: bytes) -> None:
    """The whole way: seal, pack, encrypt, split, decrypt, unpack, verify gives back the payload, and only buckets."""
    header = seal_header(payload)
    wire = sealed(pack(sign_seal(header, payload, KEY), payload))
    preamble, line, ciphertext = split(wire)
    assert len(ciphertext) - OVERHEAD in BUCKETS
    opened = unpack(decrypt(line, ciphertext, PRIVATE))
    evidence = verify_seal(
        opened.jws, opened.second, opened.payload, [key_record("message")], profile="classic", now=NOW
    )
    require_consistent(preamble, evidence.header)
    assert (opened.payload, opened.second, evidence.header) == (payload, "", header)


def test_preamble_is_one_canonical_line() -> None:
    """The preamble holds exactly its six members, sorted, and nothing of the content."""
    line = sealed(pack(JWS, b"Zzemo Exemple")).split(b"\n", 1)[0]
    assert line == (
        b'{"aud":"fra.police-demo","enc_kid":"enc-1","iss":"bel.ocam","jti":"5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",'
        b'"suite":"hpke-mlkem768-x25519-a256gcm","v":1}'
    )


def test_each_encryption_is_fresh() -> None:
    """The same plaintext is never the same ciphertext: it is made anew per attempt."""
    assert sealed(pack(JWS, b"x")) != sealed(pack(JWS, b"x"))


@pytest.mark.parametrize("bucket", BUCKETS)
def test_buckets(bucket: int) -> None:
    """A payload that just fits fills the bucket; one byte more takes the next, or is refused beyond the last."""
    just = bucket - 16 - len(JWS)
    assert len(pack(JWS, bytes(just))) == bucket
    larger = [size for size in BUCKETS if size > bucket]
    if larger:
        assert len(pack(JWS, bytes(just + 1))) == larger[0]
    else:
        with pytest.raises(RequestInvalid):
            pack(JWS, bytes(just + 1))


def _part(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + raw


def _plaintext(*parts: bytes, bucket: int = BUCKETS[0], fill: bytes = b"\0") -> bytes:
    body = b"".join(map(_part, parts))
    return body + _part(fill * (bucket - len(body) - 4))


GOOD = (JWS.encode(), b"", b"payload")
REFUSED_PLAINTEXTS = {
    "larger bucket than needed": _plaintext(*GOOD, bucket=BUCKETS[1]),
    "padding of ones": _plaintext(*GOOD, fill=b"\1"),
    "one padding byte set": _plaintext(*GOOD)[:-1] + b"\1",
    "no bucket": _plaintext(*GOOD)[:-1],
    "empty": b"",
    "three parts": b"".join(map(_part, GOOD)) + bytes(BUCKETS[0] - sum(len(p) + 4 for p in GOOD)),
    "bytes after the padding": _plaintext(*GOOD, bucket=BUCKETS[0] - 1) + b"\0",
    "length beyond the end": b"\xff\xff\xff\xff" + bytes(BUCKETS[0] - 4),
    "second signature not ASCII": _plaintext(JWS.encode(), b"\xff", b"payload"),
    "second signature too long": _plaintext(JWS.encode(), b"x" * 600_000, b"payload", bucket=BUCKETS[4]),
    "seal not ASCII": _plaintext("é".encode(), b"", b"payload"),
}


@pytest.mark.parametrize("name", REFUSED_PLAINTEXTS)
def test_refused_plaintexts(name: str) -> None:
    """There is one spelling of a plaintext; a place that no signature covers is refused."""
    assert unpack(_plaintext(*GOOD)).payload == b"payload"
    with pytest.raises(MalformedMessage):
        unpack(REFUSED_PLAINTEXTS[name])


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """Whatever single bit of the sealed message changes, preamble included, it does not open."""
    raw = bytearray(sealed(pack(JWS, b"payload")))
    line = raw.index(b"\n")
    position = data.draw(st.integers(0, (line + 1) * 8 - 1) | st.integers(0, len(raw) * 8 - 1))
    raw[position // 8] ^= 1 << position % 8
    with pytest.raises(PartnerFault):
        decrypt(*split(bytes(raw))[1:], PRIVATE)


def test_the_preamble_is_bound() -> None:
    """A ciphertext does not open under another preamble, nor with another key."""
    _, line, ciphertext = split(sealed(pack(JWS, b"payload")))
    with pytest.raises(MalformedMessage):
        decrypt(line.replace(b"enc-1", b"enc-2"), ciphertext, PRIVATE)
    with pytest.raises(MalformedMessage):
        decrypt(line, ciphertext, kem_private(hashlib.sha256(b"another").digest()))
    with pytest.raises(MalformedMessage):
        decrypt(line, b"", PRIVATE)


CIPHERTEXT = bytes(BUCKETS[0] + OVERHEAD)
LINE = sealed(pack(JWS, b"x")).split(b"\n", 1)[0]
REFUSED_SEALED = {
    "empty": b"",
    "no line": LINE,
    "no ciphertext": LINE + b"\n",
    "ciphertext of another length": LINE + b"\n" + CIPHERTEXT + b"\0",
    "CR LF": LINE + b"\r\n" + CIPHERTEXT,
    "space before": b" " + LINE + b"\n" + CIPHERTEXT,
    "member more": LINE.replace(b'{"aud"', b'{"a":1,"aud"') + b"\n" + CIPHERTEXT,
    "member twice": LINE.replace(b'{"aud"', b'{"aud":"bel.ocam","aud"') + b"\n" + CIPHERTEXT,
    "version 2": LINE.replace(b'"v":1', b'"v":2') + b"\n" + CIPHERTEXT,
    "version true": LINE.replace(b'"v":1', b'"v":true') + b"\n" + CIPHERTEXT,
    "another suite": LINE.replace(b"768", b"512") + b"\n" + CIPHERTEXT,
    "iss no organisation": LINE.replace(b"bel.ocam", b"Zzemo Exemple") + b"\n" + CIPHERTEXT,
    "line over 1 KiB": b" " * 1100 + LINE + b"\n" + CIPHERTEXT,
}


@pytest.mark.parametrize("name", REFUSED_SEALED)
def test_refused_preambles(name: str) -> None:
    """A preamble outside its closed canonical form, or a ciphertext of no bucket, is refused before any key is used."""
    assert split(LINE + b"\n" + CIPHERTEXT)[0] == PREAMBLE
    with pytest.raises(MalformedMessage) as caught:
        split(REFUSED_SEALED[name])
    assert "Zzemo" not in str(caught.value)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("iss", "nld.other"),
        ("aud", "nld.other"),
        ("jti", "00000000-0000-4000-8000-000000000000"),
        ("enc_kid", "enc-2"),
    ],
)
def test_preamble_and_seal_must_agree(member: str, value: str) -> None:
    """Each value that stands in both must be equal."""
    header = seal_header(b"payload")
    require_consistent(PREAMBLE, header)
    with pytest.raises(MalformedMessage) as caught:
        require_consistent(msgspec.structs.replace(PREAMBLE, **{member: value}), header)
    assert caught.value.diagnostic == {"member": member}


def test_only_the_named_encryption_key_is_used() -> None:
    """Another use, algorithm or id, a revoked or broken key, or a plaintext of no bucket: nothing is encrypted."""
    record, replace, plaintext = encryption_record(), msgspec.structs.replace, pack(JWS, b"x")
    for key in (
        replace(record, use="message"),
        replace(record, alg="jwe-ecdh-es-a256gcm"),
        replace(record, kid="enc-2"),
        replace(record, revoked=True),
        replace(record, public="AA"),
        replace(record, public="!"),
        replace(record, public=b64url(b"\xff" * 1216)),
        replace(
            record, public=b64url(kem_public_bytes(KEM_SEED)[:-32] + bytes(32))
        ),  # X25519 point of small order
    ):
        with pytest.raises(ConfigInvalid):
            encrypt(PREAMBLE, plaintext, key)
    with pytest.raises(ConfigInvalid):
        encrypt(replace(PREAMBLE, iss="Zzemo"), plaintext, record)
    with pytest.raises(RequestInvalid):
        encrypt(PREAMBLE, b"no bucket", record)


def test_kem_key_derivation_follows_x_wing() -> None:
    """The seed of the X-Wing draft's first vector gives the public key published there (its first 36 bytes)."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    published = "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5b19cfc3d"
    public = kem_public_bytes(seed)
    assert public.hex().startswith(published)
    assert len(public) == 1216
    kem_public(public)


def test_kem_seeds_have_32_bytes() -> None:
    """A seed or public key of another length is refused."""
    for broken in (b"", bytes(31), bytes(64)):
        with pytest.raises(ConfigInvalid):
            kem_private(broken)
        with pytest.raises(ConfigInvalid):
            kem_public_bytes(broken)
    with pytest.raises(ConfigInvalid):
        kem_public(bytes(1215))


# --- batch -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=MAX_BATCH))
def test_deframe_undoes_frame(items: list[bytes]) -> None:
    """Framing loses nothing and keeps the order."""
    assert deframe(frame(items)) == items


@given(
    st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4), st.binary(min_size=1, max_size=3)
)
def test_a_batch_has_no_remainder(items: list[bytes], rest: bytes) -> None:
    """Bytes after the last item, or a cut anywhere, never give the same batch."""
    raw = frame(items)
    with pytest.raises(MalformedMessage):
        deframe(raw + rest)
    with pytest.raises(MalformedMessage):
        deframe(raw[:-1])


@given(st.binary(max_size=100))
def test_garbage_batches_are_refused_in_one_way(raw: bytes) -> None:
    """Any bytes are a batch that frames back to themselves, or a MalformedMessage."""
    try:
        items = deframe(raw)
    except MalformedMessage:
        return
    assert frame(items) == raw


def test_batch_limits() -> None:
    """Empty batches and items, too many, and oversized ones are refused on both sides."""
    for raw in (b"", bytes(4), _part(b"x") + bytes(4), _part(b"x") * (MAX_BATCH + 1)):
        with pytest.raises(MalformedMessage):
            deframe(raw)
    with pytest.raises(MalformedMessage):
        deframe(_part(b"xxx"), max_item=2)
    for items in ([], [b""], [b"x"] * (MAX_BATCH + 1)):
        with pytest.raises(RequestInvalid):
            frame(items)


@pytest.mark.parametrize("second", ["", "b" * 8000], ids=["classic", "hybrid"])
@pytest.mark.parametrize("payload", [1, 2_000, 4_096, 49_000, 65_536, 700_000, 1_048_576, 3_900_000])
def test_no_sealed_message_is_larger_than_foreseen(payload: int, second: str) -> None:
    """What a batch counts for a message is never less than its bytes under the suite that takes most of them (JWE)."""
    plaintext = pack("a" * 3_000, bytes(payload), second)
    preamble = Preamble(1, jwe.SUITE, OURS, THEIRS, MESSAGE_ID, JWE_KID)
    sealed = encrypt(preamble, plaintext, jwe_record())
    assert len(sealed) <= most_sealed(payload) <= MAX_SEALED
