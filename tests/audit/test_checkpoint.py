"""Signed tree heads: one form, the right log, the right key."""

import base64
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.checkpoint import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Checkpoint,
    NoteSignature,
    VerifierKey,
    log_key_name,
    master_origin,
    note,
    parse,
    partner_origin,
    sign,
    verify,
)
from gateway.errors import AuditBroken, ConfigInvalid
from tests.audit.logs import KEY_NAME, LOG_KEY, LOG_VKEY, MASTER_ORIGIN, ORIGIN, digest, refusal

HEAD = Checkpoint(ORIGIN, 42, digest("root"))
NOTE = sign(HEAD, KEY_NAME, LOG_KEY)

OTHER_KEY = Ed25519PrivateKey.generate()
WITNESS_KEY = Ed25519PrivateKey.generate()
WITNESS = VerifierKey.of("witness.example/w1", WITNESS_KEY.public_key())

#: The example of C2SP tlog-checkpoint.
C2SP_NOTE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)


def signed_by(name: str, key: Ed25519PrivateKey, body: str) -> NoteSignature:
    """A signature line that sign() would refuse to write."""
    return NoteSignature(name, VerifierKey.of(name, key.public_key()).key_id, key.sign(body.encode()))


OURS = signed_by(KEY_NAME, LOG_KEY, HEAD.body())


def test_names() -> None:
    """Key name and origins of one organisation's logs."""
    assert log_key_name("bel.ocam") == KEY_NAME
    assert master_origin("bel.ocam") == MASTER_ORIGIN
    assert partner_origin("bel.ocam", "fra.police-demo") == ORIGIN


def test_the_specification_example_is_read() -> None:
    """The published example parses to its three values and is written back byte for byte."""
    unverified = parse(C2SP_NOTE.encode())
    checkpoint = unverified.checkpoint
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")
    assert [signature.key_name for signature in unverified.signatures] == ["example.com/behind-the-sofa"]
    assert [signature.key_id.hex() for signature in unverified.signatures] == ["033de0ae"]
    assert note(checkpoint.body(), unverified.signatures) == C2SP_NOTE.encode()


def test_published_verifier_keys() -> None:
    """Keys published for the Go checksum database and Go's note package: the key id follows from name and key, and a
    published signature holds."""
    for text in (
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ):
        key = VerifierKey.parse(text)
        assert key.encode() == text
    signature = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    assert signature[:4] == key.key_id
    Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature[4:], text.encode())
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature[4:], text.upper().encode())


VKEY_ID = LOG_VKEY.key_id.hex()
VKEY_DATA = base64.b64encode(b"\1" + LOG_VKEY.public_key).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"+{VKEY_ID}+{VKEY_DATA}",
        f"ecluse bel.ocam+{VKEY_ID}+{VKEY_DATA}",
        f"ecluse/fra.police-demo+{VKEY_ID}+{VKEY_DATA}",
        f"{KEY_NAME}+{int(VKEY_ID, 16) ^ 1:08x}+{VKEY_DATA}",
        f"{KEY_NAME}+{VKEY_ID}AB+{VKEY_DATA}",
        f"{KEY_NAME}+{VKEY_ID}+{VKEY_DATA}\n",
        f"{KEY_NAME}+{VKEY_ID}+{VKEY_DATA[:-1]}",
        f"{KEY_NAME}+{VKEY_ID}+{base64.b64encode(bytes([2]) + LOG_VKEY.public_key).decode()}",
        f"{KEY_NAME}+{VKEY_ID}+{base64.b64encode(bytes([1]) + LOG_VKEY.public_key[:-1]).decode()}",
    ],
)
def test_verifier_keys_refused(text: str) -> None:
    """Another name, hash, type, length or spelling is no verifier key; the unchanged one is."""
    assert VerifierKey.parse(f"{KEY_NAME}+{VKEY_ID}+{VKEY_DATA}") == LOG_VKEY
    with pytest.raises(ConfigInvalid):
        VerifierKey.parse(text)


@given(size=st.integers(0, 2**63 - 1), root=st.binary(min_size=32, max_size=32))
def test_what_is_signed_verifies(size: int, root: bytes) -> None:
    """verify(sign(x)) holds x, the exact note and its signer; signing again gives the same bytes."""
    checkpoint = Checkpoint(ORIGIN, size, root)
    signed = sign(checkpoint, KEY_NAME, LOG_KEY)
    verified = verify(signed, [LOG_VKEY], origin=ORIGIN)
    assert (verified.checkpoint, verified.note, verified.signers) == (checkpoint, signed, (LOG_VKEY,))
    assert sign(checkpoint, KEY_NAME, LOG_KEY) == signed


@given(at=st.integers(0, len(NOTE) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(at: int, bit: int) -> None:
    """One flipped bit anywhere in the note, and it proves nothing."""
    spoiled = bytearray(NOTE)
    spoiled[at] ^= 1 << bit
    with pytest.raises(AuditBroken):
        verify(bytes(spoiled), [LOG_VKEY], origin=ORIGIN)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_parse_raises_nothing_else(raw: bytes) -> None:
    """Arbitrary bytes are refused with AuditBroken and nothing else."""
    with pytest.raises(AuditBroken):
        parse(raw)


def edit(old: str, new: str) -> bytes:
    text = NOTE.decode()
    assert old in text
    return text.replace(old, new, 1).encode()


ROOT64 = base64.b64encode(HEAD.root).decode()
LINE = OURS.line()
MALFORMED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "note-form"),
    ("no signature", HEAD.body().encode(), "note-form"),
    ("no signature line", (HEAD.body() + "\n").encode(), "note-form"),
    ("no final line feed", NOTE[:-1], "note-form"),
    ("blank line after", NOTE + b"\n", "note-form"),
    ("text after", NOTE + b"more\n", "signature-form"),
    ("carriage returns", NOTE.replace(b"\n", b"\r\n"), "note-form"),
    ("tab", edit("\n42\n", "\n42\t\n"), "note-form"),
    ("not UTF-8", NOTE.replace(b"bel", b"b\xffl"), "note-form"),
    ("leading zero", edit("\n42\n", "\n042\n"), "checkpoint-form"),
    ("sign", edit("\n42\n", "\n+42\n"), "checkpoint-form"),
    ("blank in size", edit("\n42\n", "\n 42\n"), "checkpoint-form"),
    ("other digits", edit("\n42\n", "\n٤٢\n"), "checkpoint-form"),
    ("no size", edit("\n42\n", "\n"), "checkpoint-form"),
    ("huge size", edit("\n42\n", "\n" + "9" * 19 + "\n"), "tree-size"),
    ("endless size", edit("\n42\n", "\n" + "9" * 9999 + "\n"), "checkpoint-form"),
    ("short root", edit(ROOT64, base64.b64encode(bytes(31)).decode()), "checkpoint-form"),
    ("long root", edit(ROOT64, base64.b64encode(bytes(33)).decode()), "checkpoint-form"),
    ("url alphabet", edit(ROOT64, "-" + ROOT64[1:]), "checkpoint-form"),
    ("unused bits set", edit(ROOT64, "A" * 42 + "B="), "checkpoint-form"),
    ("extension line", edit(ROOT64 + "\n", ROOT64 + "\nmore\n"), "checkpoint-form"),
    ("blank line in the text", edit("\n42\n", "\n\n42\n"), "checkpoint-form"),
    ("no origin", NOTE[len(ORIGIN) :], "checkpoint-form"),
    ("invisible character", edit(ORIGIN, ORIGIN + "\u200b"), "origin"),
    ("hyphen for dash", edit("— ", "- "), "signature-form"),
    ("two blanks", edit("— ", "—  "), "signature-form"),
    ("plus in name", edit("— ecluse", "— ecl+use"), "signature-form"),
    ("no name", edit("— " + KEY_NAME, "—"), "signature-form"),
    ("unpadded signature", edit(LINE, LINE.replace("=", "")), "signature-form"),
    (
        "unused bits set in a signature",
        edit(LINE, LINE[:-3] + chr(ord(LINE[-3]) + 1) + "=\n"),
        "signature-form",
    ),
    ("blank after a signature", edit(LINE, LINE[:-1] + " \n"), "signature-form"),
    ("key id alone", note(HEAD.body(), [NoteSignature(KEY_NAME, LOG_VKEY.key_id, b"")]), "signature-form"),
    ("too long", NOTE + b"x" * MAX_NOTE_BYTES, "note-length"),
    ("too many signatures", NOTE + LINE.encode() * MAX_SIGNATURES, "note-length"),
]


@pytest.mark.parametrize(("name", "raw", "expect"), MALFORMED, ids=[row[0] for row in MALFORMED])
def test_malformed_notes(name: str, raw: bytes, expect: str) -> None:
    """Every second spelling is refused with the rule it breaks."""
    with pytest.raises(AuditBroken) as caught:
        parse(raw)
    assert refusal(caught.value) == expect


Notes = Callable[[], bytes]
FORGED: list[tuple[str, Notes, list[VerifierKey], str]] = [
    ("no known key", lambda: NOTE, [], "signature"),
    (
        "another key of that name",
        lambda: NOTE,
        [VerifierKey.of(KEY_NAME, OTHER_KEY.public_key())],
        "signature",
    ),
    (
        "another name of that key",
        lambda: NOTE,
        [VerifierKey.of("ecluse/bel", LOG_KEY.public_key())],
        "signature",
    ),
    (
        "right name and id, other signature",
        lambda: note(
            HEAD.body(), [NoteSignature(KEY_NAME, LOG_VKEY.key_id, OTHER_KEY.sign(HEAD.body().encode()))]
        ),
        [LOG_VKEY],
        "signature",
    ),
    (
        "one good and one bad signature of a known key",
        lambda: note(HEAD.body(), [OURS, NoteSignature(KEY_NAME, LOG_VKEY.key_id, bytes(64))]),
        [LOG_VKEY],
        "signature",
    ),
    (
        "signature of the wrong length",
        lambda: note(HEAD.body(), [NoteSignature(KEY_NAME, LOG_VKEY.key_id, bytes(63))]),
        [LOG_VKEY],
        "signature",
    ),
    (
        "a known witness's bad signature",
        lambda: note(HEAD.body(), [OURS, NoteSignature(WITNESS.name, WITNESS.key_id, bytes(64))]),
        [LOG_VKEY, WITNESS],
        "signature",
    ),
    (
        "a witness alone",
        lambda: note(HEAD.body(), [signed_by(WITNESS.name, WITNESS_KEY, HEAD.body())]),
        [LOG_VKEY, WITNESS],
        "signature",
    ),
    (
        "another organisation's key",
        lambda: note(HEAD.body(), [signed_by("ecluse/fra.police-demo", OTHER_KEY, HEAD.body())]),
        [LOG_VKEY, VerifierKey.of("ecluse/fra.police-demo", OTHER_KEY.public_key())],
        "signature",
    ),
    (
        "another log of ours",
        lambda: sign(Checkpoint(MASTER_ORIGIN, 1, HEAD.root), KEY_NAME, LOG_KEY),
        [LOG_VKEY],
        "origin",
    ),
    (
        "a signature over another size",
        lambda: note(Checkpoint(ORIGIN, 43, HEAD.root).body(), [OURS]),
        [LOG_VKEY],
        "signature",
    ),
]


@pytest.mark.parametrize(("name", "forge", "vkeys", "expect"), FORGED, ids=[row[0] for row in FORGED])
def test_forged_notes(name: str, forge: Notes, vkeys: list[VerifierKey], expect: str) -> None:
    """A well-formed note proves nothing unless a known key that owns the origin signed it, and no known key fails."""
    with pytest.raises(AuditBroken) as caught:
        verify(forge(), vkeys, origin=ORIGIN)
    assert refusal(caught.value) == expect


def test_unknown_signatures_are_ignored() -> None:
    """Cosignatures and rotated keys may stand beside ours: same name or same id alone does not make one known."""
    strangers = [
        NoteSignature(KEY_NAME, b"\0\0\0\0", bytes(64)),
        NoteSignature("witness.example/w9", LOG_VKEY.key_id, bytes(64)),
        NoteSignature("witness.example/ml-dsa", b"\6\6\6\6", bytes(2424)),
    ]
    crowd = note(HEAD.body(), [*strangers, OURS])
    assert verify(crowd, [LOG_VKEY], origin=ORIGIN).signers == (LOG_VKEY,)
    with pytest.raises(AuditBroken):
        verify(note(HEAD.body(), strangers), [LOG_VKEY], origin=ORIGIN)


def test_a_witness_beside_the_log_is_named() -> None:
    """Known cosigners that hold are returned with the log's own key."""
    both = note(HEAD.body(), [OURS, signed_by(WITNESS.name, WITNESS_KEY, HEAD.body())])
    assert verify(both, [WITNESS, LOG_VKEY], origin=ORIGIN).signers == (LOG_VKEY, WITNESS)


def test_keys_that_cannot_be_told_apart_are_refused() -> None:
    """Key ids have 32 bits, so two keys of one name and id can be made: rather than picking one, refuse."""
    seen: dict[bytes, VerifierKey] = {}
    for number in range(2**20):
        key = VerifierKey(KEY_NAME, number.to_bytes(32, "big"))
        twin = seen.setdefault(key.key_id, key)
        if twin is not key:
            break
    with pytest.raises(AuditBroken) as caught:
        verify(NOTE, [LOG_VKEY, key, twin], origin=ORIGIN)
    assert refusal(caught.value) == "key-name"
    assert verify(NOTE, [LOG_VKEY, LOG_VKEY, key], origin=ORIGIN).signers == (LOG_VKEY,)


def test_a_key_signs_its_own_logs_only() -> None:
    """A log key never signs another organisation's origin, nor one that merely starts with the same letters."""
    for origin in ("ecluse/fra.police-demo/master", "ecluse/bel.ocam-2/master"):
        with pytest.raises(AuditBroken) as caught:
            sign(Checkpoint(origin, 1, HEAD.root), KEY_NAME, LOG_KEY)
        assert refusal(caught.value) == "key-name"


@pytest.mark.parametrize(
    ("origin", "size", "root", "expect"),
    [
        ("", 1, bytes(32), "origin"),
        ("evil\n999\nAAAA", 1, bytes(32), "origin"),
        ("\ud800", 1, bytes(32), "origin"),
        (ORIGIN, -1, bytes(32), "tree-size"),
        (ORIGIN, 2**63, bytes(32), "tree-size"),
        (ORIGIN, 1, bytes(31), "hash-length"),
    ],
)
def test_checkpoints_without_a_body_form(origin: str, size: int, root: bytes, expect: str) -> None:
    """What would write as another checkpoint, or as none, cannot be made."""
    with pytest.raises(AuditBroken) as caught:
        Checkpoint(origin, size, root)
    assert refusal(caught.value) == expect
