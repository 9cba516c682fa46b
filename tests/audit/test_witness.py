"""Cosignatures: both algorithms, the published form, and nothing that passes for one."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.checkpoint import Checkpoint, NoteSignature, VerifierKey, note, parse, sign, verify
from gateway.audit.verify import verify_log
from gateway.audit.witness import (
    MAX_TIME,
    WitnessKey,
    WitnessPrivateKey,
    cosign,
    cosignatures,
)
from gateway.errors import AuditBroken, ConfigInvalid
from tests.audit.logs import KEY_NAME, LOG_KEY, LOG_VKEY, NOON, ORIGIN, MemoryLog, digest, refusal

NAME = "comite.invalid/laptop-1"
ED, PQ = Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate()
KEYS: tuple[WitnessPrivateKey, ...] = (ED, PQ)
HEAD = Checkpoint(ORIGIN, 42, digest("root"))
OWN = parse(sign(HEAD, KEY_NAME, LOG_KEY)).signatures


def noted(*lines: NoteSignature, head: Checkpoint = HEAD) -> bytes:
    own = parse(sign(head, KEY_NAME, LOG_KEY)).signatures
    return note(head.body(), [*own, *lines])


def test_the_example_of_the_specification_is_read() -> None:
    """The published cosignature line: key id, then the time, then 64 bytes."""
    line = (
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2"
        "oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
    )
    text = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        + line
        + "\n"
    )
    (found,) = parse(text.encode()).signatures
    assert (found.key_name, len(found.signature)) == ("witness.example.com/w1", 72)
    assert int.from_bytes(found.signature[:8], "big") == 1679315147


def test_what_is_signed() -> None:
    """The bytes that tlog-cosignature names, written out here once more, verify with the bare primitives."""
    time = int(NOON.timestamp())
    ed, pq = (cosign(HEAD, NAME, key, at=NOON) for key in KEYS)
    assert ed.signature[:8] == pq.signature[:8] == time.to_bytes(8, "big")
    text = f"cosignature/v1\ntime {time}\n{ORIGIN}\n42\n{base64.b64encode(HEAD.root).decode()}\n"
    ED.public_key().verify(ed.signature[8:], text.encode())
    structure = b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(NAME)]),
            NAME.encode(),
            time.to_bytes(8, "big"),
            bytes([len(ORIGIN)]),
            ORIGIN.encode(),
            bytes(8),
            (42).to_bytes(8, "big"),
            HEAD.root,
        )
    )
    PQ.public_key().verify(pq.signature[8:], structure)
    for kind, key, line in ((b"\x04", ED, ed), (b"\x06", PQ, pq)):
        public = key.public_key().public_bytes_raw()
        assert line.key_id == hashlib.sha256(NAME.encode() + b"\n" + kind + public).digest()[:4]


@pytest.mark.parametrize("key", KEYS)
def test_a_cosignature_holds(key: WitnessPrivateKey) -> None:
    """It says who, up to where and when; to whoever does not know the witness it says nothing."""
    witness = WitnessKey.of(NAME, key)
    raw = noted(cosign(HEAD, NAME, key, at=NOON))
    (found,) = cosignatures(parse(raw), [witness])
    assert (found.witness, found.size, found.at) == (witness, 42, NOON)
    assert cosignatures(parse(raw), [WitnessKey.of("other.invalid", key)]) == ()
    assert verify(raw, [LOG_VKEY], origin=ORIGIN).signers == (LOG_VKEY,)


@pytest.mark.parametrize("key", KEYS)
@given(place=st.integers(0, 71), bit=st.integers(0, 7))
def test_any_change_ends_it(key: WitnessPrivateKey, place: int, bit: int) -> None:
    """A bit of the time or of the signature turned, another size, root or origin: refused, never ignored."""
    witness, line = WitnessKey.of(NAME, key), cosign(HEAD, NAME, key, at=NOON)
    turned = bytearray(line.signature)
    turned[place] ^= 1 << bit
    changed = NoteSignature(line.key_name, line.key_id, bytes(turned))
    with pytest.raises(AuditBroken):
        cosignatures(parse(noted(changed)), [witness])
    for head in (
        Checkpoint(ORIGIN, 43, HEAD.root),
        Checkpoint(ORIGIN, 42, digest("other")),
        Checkpoint(ORIGIN + "x", 42, HEAD.root),
    ):
        with pytest.raises(AuditBroken) as caught:
            cosignatures(parse(noted(line, head=head)), [witness])
        assert refusal(caught.value) == "cosignature"


@pytest.mark.parametrize("time", [0, MAX_TIME + 1, 2**64 - 1])
def test_a_time_that_says_nothing_is_refused(time: int) -> None:
    """Zero, and what no calendar holds, though the signature over it holds."""
    signed = ED.sign(f"cosignature/v1\ntime {time}\n{HEAD.body()}".encode())
    line = NoteSignature(NAME, WitnessKey.of(NAME, ED).key_id, time.to_bytes(8, "big") + signed)
    with pytest.raises(AuditBroken) as caught:
        cosignatures(parse(noted(line)), [WitnessKey.of(NAME, ED)])
    assert refusal(caught.value) == "cosignature-time"


def test_a_log_key_and_a_witness_key_are_never_each_other() -> None:
    """The same Ed25519 key under the two types has two ids; its plain signature is no cosignature, nor the reverse."""
    as_log, as_witness = VerifierKey.of(KEY_NAME, LOG_KEY.public_key()), WitnessKey.of(KEY_NAME, LOG_KEY)
    assert as_log.key_id != as_witness.key_id
    relabelled = NoteSignature(KEY_NAME, as_witness.key_id, OWN[0].signature)
    with pytest.raises(AuditBroken):
        cosignatures(parse(noted(relabelled)), [as_witness])
    alone = note(HEAD.body(), [cosign(HEAD, KEY_NAME, LOG_KEY, at=NOON)])
    with pytest.raises(AuditBroken):
        verify(alone, [as_log], origin=ORIGIN)


@pytest.mark.parametrize("key", KEYS)
def test_keys_in_text(key: WitnessPrivateKey) -> None:
    """A key is read back as it was written; a log's key, a cut one and one whose hash does not fit are refused."""
    text = WitnessKey.of(NAME, key).encode()
    assert WitnessKey.parse(text).encode() == text
    name, key_id, data = text.split("+", 2)
    for wrong in (
        LOG_VKEY.encode(),
        f"{name}+{int(key_id, 16) ^ 1:08x}+{data}",
        f"{name}+{key_id}+{data[:-4]}",
        f"two words+{key_id}+{data}",
        "",
    ):
        with pytest.raises(ConfigInvalid):
            WitnessKey.parse(wrong)


def test_names_and_origins_that_do_not_fit() -> None:
    """A name above 255 bytes makes no key, and ML-DSA-44 signs no origin above 255 bytes."""
    with pytest.raises(ConfigInvalid):
        WitnessKey.of("w" * 256, ED)
    with pytest.raises(AuditBroken):
        cosign(Checkpoint("o" * 256, 1, HEAD.root), NAME, PQ, at=NOON)


def test_the_verifier_says_by_whom_and_since_when() -> None:
    """A cosigned head counts as held outside, in the log or beside it; one by an unknown witness does not."""
    log = MemoryLog.of([3, 4])
    heads = [parse(raw) for raw in log.notes]
    at = datetime(2026, 11, 22, tzinfo=UTC)
    cosigned = note(
        heads[0].checkpoint.body(),
        [*heads[0].signatures, *(cosign(heads[0].checkpoint, NAME, key, at=at) for key in KEYS)],
    )
    witnesses = [WitnessKey.of(NAME, key) for key in KEYS]
    beside = verify_log(log, [LOG_VKEY], held=[cosigned], witnesses=witnesses)
    assert (beside.status, beside.witnessed_size) == ("verified", 3)
    assert [(one.witness, one.size, one.at) for one in beside.cosignatures] == [
        (witness, 3, at) for witness in witnesses
    ]
    log.notes[0] = cosigned
    assert verify_log(log, [LOG_VKEY], witnesses=witnesses[:1]).witnessed_size == 3
    unknown = verify_log(log, [LOG_VKEY])
    assert (unknown.status, unknown.witnessed_size, unknown.cosignatures) == ("verified", 0, ())


def test_a_history_signed_again_is_caught_by_the_cosignature() -> None:
    """Whoever holds the log key rewrites the log but cannot take the cosignature along: refused from the start, at the
    place that the witness knows."""
    honest, other = MemoryLog.of([3, 4]), MemoryLog.of([3, 4], tale="another", tale_from=1)
    head = parse(honest.notes[1])
    cosigned = note(head.checkpoint.body(), [*head.signatures, cosign(head.checkpoint, NAME, ED, at=NOON)])
    verdict = verify_log(other, [LOG_VKEY], held=[cosigned], witnesses=[WitnessKey.of(NAME, ED)])
    assert (verdict.status, verdict.reason, verdict.first_wrong_index) == ("broken", "held-root", 0)
    moved = note(
        parse(other.notes[1]).checkpoint.body(),
        [*parse(other.notes[1]).signatures, parse(cosigned).signatures[1]],
    )
    other.notes[1] = moved
    verdict = verify_log(other, [LOG_VKEY], witnesses=[WitnessKey.of(NAME, ED)])
    assert (verdict.status, verdict.reason) == ("broken", "checkpoint-invalid")
