"""Section 11 for one message: from bytes to something whose origin, form and lawfulness hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.peer import container
from tests.peer.agreement import Agreement, read_agreement
from tests.peer.checkpoint import Head, NoHead, read_head
from tests.peer.container import OpeningKey, Parts, Preamble
from tests.peer.entry import Entry
from tests.peer.label import at_least, rank, released_to
from tests.peer.payload import ANSWERS, BARE, CODED, labels_of, read_payload
from tests.peer.seal import CONTENT_TYPE, Seal, agrees, check_window, read_seal, verify_seals
from tests.peer.spelling import Misspelt, Refused, sha256


@dataclass(frozen=True)
class Opened:
    """Steps 3 to 7 are done: this message can be answered for on its own."""

    preamble: Preamble
    seal: Seal
    parts: Parts

    @property
    def id(self) -> str:
        return self.preamble.jti

    @property
    def digest(self) -> str:
        return sha256(self.parts.payload)


@dataclass(frozen=True)
class Verified:
    """Steps 10 to 18 are done."""

    opened: Opened
    message: dict[str, Any]
    head: Head


def open_message(sealed: bytes, sender: str, ours: Entry, keys: Mapping[str, OpeningKey]) -> Opened:
    """Steps 3 to 7. ``keys`` are ours by key id. Raises `Refused`, which refuses the whole POST."""
    try:
        preamble, line, ciphertext = container.split(sealed)  # (3)
        if preamble.iss != sender:  # (4)
            raise Refused("replayed")
        if preamble.aud != ours.org:
            raise Refused("wrong-audience")
        suites = {key.kid: key.alg for key in ours.keys if key.use == "encryption"}
        if suites.get(preamble.enc_kid) != preamble.suite:  # (5)
            raise Misspelt
        plaintext = container.decrypt(preamble, line, ciphertext, keys[preamble.enc_kid])
        parts = container.unpack(plaintext)  # (6)
        seal = read_seal(parts.first)  # (7)
        if not agrees(seal, preamble):
            raise Misspelt
    except Misspelt:
        raise Refused("malformed") from None
    return Opened(preamble, seal, parts)


def verify(
    opened: Opened, ours: Entry, theirs: Entry, agreement: Agreement, mode: str, next_seq: int, now: float
) -> Verified:
    """Steps 10 to 18, for a message that is not known yet. Raises `Refused`, which refuses this message."""
    header = opened.seal.header
    verify_seals(opened.parts, opened.seal, theirs, agreement.profile, now)  # (10)
    check_window(opened.seal, now)  # (11)
    if header["cty"] != CONTENT_TYPE:
        raise Refused("schema-violation")
    message = read_payload(opened.parts.payload)  # (12)
    if header["agreement"] != agreement.sha256:  # (13)
        raise Refused("outside-agreement")
    _check_envelope(opened.seal, message, ours, mode)  # (14)
    _check_labels(message, ours)  # (15)
    _check_agreement(opened.seal, message, agreement, now)  # (16)
    if message["type"] == "agreement":
        _check_terms(message, agreement, ours, theirs, now)
    try:
        head = read_head(header["checkpoint"], theirs, ours.org, now)  # (17)
    except NoHead:
        raise Refused("signature-invalid") from None
    if header["seq"] != next_seq:  # (18)
        raise Refused("out-of-order", next_seq)
    if head.size < next_seq:  # a log with fewer entries cannot hold this one
        raise Refused("signature-invalid")
    return Verified(opened, message, head)


def _check_envelope(seal: Seal, message: dict[str, Any], ours: Entry, mode: str) -> None:
    header = seal.header
    if {header["aud"], message["to"]} != {ours.org} or {header["mode"], message["mode"]} != {mode}:
        raise Refused("wrong-audience")
    named = (message["type"], message["message_id"], message["conversation"], message["from"])
    if named != (seal.type, header["jti"], header["conv"], header["iss"]):
        raise Refused("schema-violation")


def _check_labels(message: dict[str, Any], ours: Entry) -> None:
    labels = list(labels_of(message))
    try:
        for marked in labels:
            rank(marked["policy"], marked["level"])
        if not all(released_to(marked, ours.org) for marked in labels):
            raise Refused("mis-sent")
        if not all(at_least(labels[0], marked) for marked in labels[1:]):
            raise Misspelt
    except Misspelt:
        raise Refused("schema-violation") from None


def _check_agreement(seal: Seal, message: dict[str, Any], agreement: Agreement, now: float) -> None:
    terms = agreement.terms
    allowed = agreement.in_period(now) and seal.header["suite"] == agreement.suite
    if message["type"] in (*CODED, *ANSWERS):
        allowed = allowed and message["format"] in terms["formats"]
    elif message["type"] not in BARE:
        ceiling = rank(**terms["ceiling"])
        allowed = (
            allowed
            and message["format"] in terms["formats"]
            and message["handling"]["purpose"] in terms["purposes"]
            and all(entry["kind"] in terms["kinds"] for entry in message["manifest"]["records"])
            and all(rank(marked["policy"], marked["level"]) <= ceiling for marked in labels_of(message))
        )
    if not allowed:
        raise Refused("outside-agreement")


def _check_terms(
    message: dict[str, Any], agreement: Agreement, ours: Entry, theirs: Entry, now: float
) -> None:
    if message["action"] == "revoked":
        if message["terms_sha256"] != agreement.sha256:
            raise Refused("outside-agreement")
        return
    given = {"terms": message["terms"], "signatures": {theirs.org: message["signature"]}}
    said = read_agreement(given, ours, theirs, now).terms
    if said["series"] == agreement.terms["series"] and said["version"] <= agreement.terms["version"]:
        raise Refused("outside-agreement")
