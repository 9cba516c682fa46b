"""Entries: one canonical form, nothing else accepted, nothing personal expressible."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.entry import (
    MAX_ENTRY_BYTES,
    MAX_SEQ,
    body_commitment,
    detail_commitment,
    master_commitment,
    master_entry,
    parse_master_entry,
    parse_partner_entry,
    partner_entry,
)
from gateway.errors import AuditBroken
from tests.audit.logs import NOON, refusal

BLIND = bytes(range(32))
HEX = "ab" * 32

PARTNER: dict[str, Any] = {
    "at": NOON,
    "blind": BLIND,
    "body": HEX,
    "conv": "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "direction": "out",
    "event": "message",
    "message_id": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "master": HEX,
    "seq": 1,
    "type": "disclosure",
}
MASTER: dict[str, Any] = {
    "at": NOON,
    "blind": BLIND,
    "event": "decision",
    "actor": "be-requester",
    "detail": HEX,
    "subject": "release-0001",
}
PARTNER_RAW = partner_entry(**PARTNER)
MASTER_RAW = master_entry(**MASTER)


def changed(**members: object) -> bytes:
    """The partner entry with some members changed; ``...`` removes one."""
    merged = json.loads(PARTNER_RAW) | members
    return rfc8785.dumps({name: value for name, value in merged.items() if value is not ...})


def test_partner_entry_bytes() -> None:
    """The bytes are exactly these: a change here is a change of every leaf hash."""
    assert PARTNER_RAW.decode() == (
        '{"at":"2026-11-21T12:00:00Z","blind":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",'
        f'"body":"{HEX}","conv":"c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20","dir":"out","event":"message",'
        f'"id":"5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11","master":"{HEX}","seq":1,"type":"disclosure","v":1}}'
    )


def test_master_entry_bytes() -> None:
    """The bytes are exactly these, an empty subject included."""
    raw = master_entry(**MASTER | {"subject": ""})
    assert raw.decode() == (
        '{"actor":"be-requester","at":"2026-11-21T12:00:00Z","blind":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",'
        f'"detail":"{HEX}","event":"decision","subject":"","v":1}}'
    )


@given(
    at=st.datetimes(timezones=st.just(UTC)),
    blind=st.binary(min_size=32, max_size=32),
    digest=st.binary(min_size=32, max_size=32),
    conv=st.uuids(version=4),
    seq=st.integers(1, MAX_SEQ),
    direction=st.sampled_from(["in", "out"]),
)
def test_what_is_built_is_read_back_and_canonical(
    at: datetime, blind: bytes, digest: bytes, conv: object, seq: int, direction: Any
) -> None:
    """parse(build(x)) holds x; the bytes are RFC 8785 by an encoder the parser does not use; the limit leaves room."""
    members = PARTNER | {"at": at, "blind": blind, "body": digest.hex(), "conv": str(conv), "seq": seq}
    raw = partner_entry(**members | {"direction": direction})
    read = parse_partner_entry(raw)
    assert (read.at, read.seq, read.conv) == (at.replace(microsecond=0), seq, str(conv))
    assert (read.direction, read.body) == (direction, digest.hex())
    assert rfc8785.dumps(json.loads(raw)) == raw
    assert len(raw) < MAX_ENTRY_BYTES


def test_longest_entries_fit() -> None:
    """An entry with every member at its limit is still within the limit of an entry."""
    raw = partner_entry(**PARTNER | {"seq": MAX_SEQ, "type": "a" * 32})
    assert len(raw) <= MAX_ENTRY_BYTES
    raw = master_entry(**MASTER | {"event": "endorsement", "actor": "a" * 64, "subject": "s" * 128})
    assert len(raw) <= MAX_ENTRY_BYTES


def test_time_is_written_in_utc() -> None:
    """Any zone is accepted, UTC is written, and fractions of a second are dropped."""
    brussels = timezone(timedelta(hours=1))
    raw = partner_entry(**PARTNER | {"at": NOON.astimezone(brussels) + timedelta(microseconds=999_999)})
    assert raw == PARTNER_RAW


BUILD_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"at": NOON.replace(tzinfo=None)}, "entry-time"),
    ({"blind": bytes(31)}, "blind-length"),
    ({"blind": b""}, "blind-length"),
    ({"body": HEX.upper()}, "entry-schema"),
    ({"body": HEX[:-1]}, "entry-schema"),
    ({"conv": "Zzemo Exemple"}, "entry-schema"),
    ({"conv": "C1B0E3A4-1D5B-4A0E-8A5A-2B9F6F1F7D20"}, "entry-schema"),
    ({"conv": PARTNER["conv"] + "\n"}, "entry-schema"),
    ({"conv": "\ud800"}, "entry-canonical"),
    ({"direction": "both"}, "entry-schema"),
    ({"event": "decision"}, "entry-schema"),
    ({"seq": 0}, "entry-schema"),
    ({"seq": True}, "entry-schema"),
    ({"seq": MAX_SEQ + 1}, "entry-schema"),
    ({"seq": None}, "entry-schema"),
    ({"type": "Disclosure to Zzemo"}, "entry-schema"),
    ({"type": "a" * 2000}, "entry-length"),
]


@pytest.mark.parametrize(("wrong", "expect"), BUILD_REFUSED)
def test_builder_refuses(wrong: dict[str, Any], expect: str) -> None:
    """What the parser would refuse is never built, and the error holds none of it."""
    with pytest.raises(AuditBroken) as caught:
        partner_entry(**PARTNER | wrong)
    assert refusal(caught.value) == expect
    assert "Zzemo" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor": ""},
        {"actor": "zzemo@example.org"},
        {"actor": "Zzemo Exemple"},
        {"event": "message"},
        {"subject": "Zzemo Exemple"},
        {"subject": "s" * 129},
        {"detail": ""},
    ],
)
def test_master_builder_refuses(wrong: dict[str, Any]) -> None:
    """Actors are officer ids, subjects are handles, and the list of events is closed."""
    with pytest.raises(AuditBroken) as caught:
        master_entry(**MASTER | wrong)
    assert refusal(caught.value) == "entry-schema"


BLIND_TEXT = json.loads(PARTNER_RAW)["blind"]
PARTNER_TEXTS = ["blind", "body", "conv", "id", "master", "type", "dir", "event", "at"]
MASTER_TEXTS = ["actor", "blind", "detail", "subject", "event", "at"]


@pytest.mark.parametrize("name", PARTNER_TEXTS)
@pytest.mark.parametrize("after", ["\n", " ", "é", "\0"])
def test_nothing_follows_a_partner_member(name: str, after: str) -> None:
    """No member ends in a line feed or anything else its pattern does not name."""
    with pytest.raises(AuditBroken):
        parse_partner_entry(changed(**{name: json.loads(PARTNER_RAW)[name] + after}))


@pytest.mark.parametrize("name", MASTER_TEXTS)
@pytest.mark.parametrize("after", ["\n", " ", "é", "\0"])
def test_nothing_follows_a_master_member(name: str, after: str) -> None:
    """No member ends in a line feed or anything else its pattern does not name."""
    members = json.loads(MASTER_RAW)
    with pytest.raises(AuditBroken):
        parse_master_entry(rfc8785.dumps(members | {name: members[name] + after}))


PARSE_REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "entry-schema"),
    ("not an object", b"[]", "entry-schema"),
    ("master entry", MASTER_RAW, "entry-schema"),
    ("unknown member", changed(name="Zzemo"), "entry-schema"),
    ("missing member", changed(seq=...), "entry-schema"),
    ("null member", changed(seq=None), "entry-schema"),
    ("other version", changed(v=2), "entry-schema"),
    ("number as text", changed(seq="1"), "entry-schema"),
    ("padded blind", changed(blind=BLIND_TEXT + "="), "entry-schema"),
    ("second spelling of the blind", changed(blind=BLIND_TEXT[:-1] + "9"), "entry-schema"),
    ("zone offset", changed(at="2026-11-21T12:00:00+00:00"), "entry-canonical"),
    ("no zone", changed(at="2026-11-21T12:00:00"), "entry-schema"),
    ("fraction of a second", changed(at="2026-11-21T12:00:00.500000Z"), "entry-time"),
    ("zero fraction", changed(at="2026-11-21T12:00:00.0Z"), "entry-canonical"),
    ("leap second", changed(at="2026-11-21T12:00:60Z"), "entry-schema"),
    ("day alone", changed(at="2026-11-21"), "entry-schema"),
    ("blank before", b" " + PARTNER_RAW, "entry-canonical"),
    ("line feed after", PARTNER_RAW + b"\n", "entry-canonical"),
    ("second value after", PARTNER_RAW + b"{}", "entry-schema"),
    ("blank inside", PARTNER_RAW.replace(b":", b": ", 1), "entry-canonical"),
    ("other order", json.dumps(dict(reversed(json.loads(PARTNER_RAW).items()))).encode(), "entry-canonical"),
    ("member twice", PARTNER_RAW.replace(b',"v":1', b',"v":1,"v":1'), "entry-canonical"),
    ("member twice, first another", PARTNER_RAW.replace(b'"seq":1', b'"seq":2,"seq":1'), "entry-canonical"),
    ("escape", PARTNER_RAW.replace(b'"out"', rb'"\u006fut"'), "entry-canonical"),
    ("escaped name", PARTNER_RAW.replace(b'"seq"', rb'"s\u0065q"'), "entry-canonical"),
    ("other number", PARTNER_RAW.replace(b'"seq":1,', b'"seq":1.0,'), "entry-schema"),
    ("exponent", PARTNER_RAW.replace(b'"seq":1,', b'"seq":1e0,'), "entry-schema"),
    ("byte order mark", b"\xef\xbb\xbf" + PARTNER_RAW, "entry-schema"),
    ("not UTF-8", PARTNER_RAW.replace(b"disclosure", b"disclosur\xff"), "entry-schema"),
    ("nested deeply", b"[" * 500 + b"]" * 500, "entry-schema"),
    ("too long", PARTNER_RAW + b" " * MAX_ENTRY_BYTES, "entry-length"),
]


@pytest.mark.parametrize(("name", "raw", "expect"), PARSE_REFUSED, ids=[row[0] for row in PARSE_REFUSED])
def test_parser_refuses(name: str, raw: bytes, expect: str) -> None:
    """Every second spelling is refused with the rule it breaks, and the error holds none of it."""
    with pytest.raises(AuditBroken) as caught:
        parse_partner_entry(raw)
    assert refusal(caught.value) == expect
    assert "Zzemo" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_parsers_raise_nothing_else(raw: bytes) -> None:
    """Arbitrary bytes are refused with AuditBroken and nothing else."""
    for parse in (parse_partner_entry, parse_master_entry):
        with pytest.raises(AuditBroken):
            parse(raw)


@given(at=st.integers(0, len(PARTNER_RAW) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_another_entry(at: int, value: int) -> None:
    """A changed byte never reads as the same entry: the byte form is one-to-one."""
    raw = PARTNER_RAW[:at] + bytes([value]) + PARTNER_RAW[at + 1 :]
    try:
        read = parse_partner_entry(raw)
    except AuditBroken:
        return
    assert (read == parse_partner_entry(PARTNER_RAW)) == (raw == PARTNER_RAW)


def test_commitments() -> None:
    """Each commitment hashes its own use, the salt, then the content."""
    salt, digest, note = bytes(range(32)), hashlib.sha256(b"x").digest(), "ecluse/…\n0\n".encode()
    assert body_commitment(salt, digest) == hashlib.sha256(b"ecluse/body/1\n" + salt + digest).hexdigest()
    assert master_commitment(salt, note) == hashlib.sha256(b"ecluse/master/1\n" + salt + note).hexdigest()
    assert detail_commitment(salt, digest) == hashlib.sha256(b"ecluse/detail/1\n" + salt + digest).hexdigest()


def test_commitments_refuse_other_lengths() -> None:
    """A salt of another length would let bytes move between salt and content; a digest of another is no digest."""
    for salt in (b"", bytes(16), bytes(33)):
        with pytest.raises(AuditBroken, match="salt"):
            body_commitment(salt, bytes(32))
        with pytest.raises(AuditBroken, match="salt"):
            master_commitment(salt, b"note")
    with pytest.raises(AuditBroken, match="digest"):
        body_commitment(bytes(32), bytes(31))
    with pytest.raises(AuditBroken, match="digest"):
        detail_commitment(bytes(32), b"Zzemo Exemple")
