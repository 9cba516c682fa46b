"""The egress guard: the second, independent opinion on the exact bytes that are about to be sealed.

It does not decide again and trusts no list of values from the process that rendered the bytes: from the endorsed
decision and the records it names it works out by itself what may stand in the payload, reads the payload with its own
reader, and refuses whatever it cannot explain.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.guard.allow import account, allow_list, explain
from gateway.guard.labels import part_labels, require_sendable
from gateway.guard.reader import leaves, read
from gateway.guard.refusal import refuse
from gateway.guard.release import read_agreement, read_correction, read_recall, read_release, read_reply
from gateway.guard.search import require_silent
from gateway.model.agreement import Ceiling
from gateway.model.kind import RecordKind
from gateway.model.label import LevelTable
from gateway.model.message import DEMANDS
from gateway.model.time import rfc3339

_PASSED = object()  # held by this module alone

#: Types that leave without a decision; each has an allow-list of protocol fields only.
PROTOCOL_TYPES = frozenset({"void", "status", "ping", "checkpoint"})

PROTOCOL_FORMAT = "ct-exchange-json/1.0"


class GuardVerdict(msgspec.Struct, frozen=True):
    """The guard's yes for exactly these bytes. Only the guard makes one, and it cannot be serialised."""

    payload_sha256: str  # lower-case hex
    decision_sha256: str  # lower-case hex; empty for a protocol message
    leaves: int  # each of them explained
    passed: object

    def __post_init__(self) -> None:
        if self.passed is not _PASSED:
            raise TypeError("a verdict is made by the guard alone")


def guard(
    payload: bytes,
    *,
    decision: bytes,
    records: Sequence[bytes],
    pseudonyms: Mapping[str, str],
    ceiling: Ceiling,
    levels: LevelTable,
    kinds: Mapping[str, RecordKind],
) -> GuardVerdict:
    """The verdict over a disclosure; raises `GuardRefused` with its rule, and nothing else, for any bytes.

    ``decision`` and ``records`` are RFC 8785 bytes, ``pseudonyms`` gives the reference of each record by its SHA-256
    (lower-case hex), ``ceiling`` is the lowest of agreement and channel. Pure; repeating it repeats the answer.

    (1) the decision is a permit for this type, names exactly these records (`read_release`), and a request if it is an
    answer; (2) the payload is
    the one spelling of what it says, and holds no null (`read`); (3) every label that leaves is within the ceiling and
    releasable to the recipient (`require_sendable`); (4) the allow-list of the format says which leaves there are:
    constants, protocol fields of the decision, pseudonyms, released values under a named transformation, and the
    labels of exactly those values (`explain`); (5) each leaf is one of them, none is missing, the order is theirs
    (`account`); (6) no free text names what is withheld, and nothing an entity id (`require_silent`).

    Not checked: who endorsed the decision, whether it is still current, and whether the policy should have made it.
    """
    release = read_release(decision, records, pseudonyms, kinds)  # (1)
    envelope, handling = release.document.envelope, release.document.handling
    if DEMANDS[envelope.type].message_class != "content-bearing":
        raise refuse("type", "a message of this type has no record to release", subject="decision")
    if (envelope.type == "answer") != bool(release.document.request):
        raise refuse("decision", "an answer names a request, and nothing else does", subject="decision")
    tree = read(payload)  # (2)
    found = list(leaves(tree))
    if any(leaf.text == "null" for leaf in found):
        raise refuse("null", "what is absent is absent, never null")
    whole = require_sendable(release, ceiling, levels)  # (3)
    allow = allow_list(envelope.format)  # (4)
    known: dict[str, Any] = {
        **msgspec.to_builtins(envelope),
        **msgspec.to_builtins(handling),
        "answers": release.document.request,
        "whole": msgspec.to_builtins(whole),
        "/manifest/records": [
            {"part": f"/records/{n}", "kind": record.kind.name} for n, record in enumerate(release.records)
        ],
        "attachments": [],
        "/records": [{"ref": record.ref, "identity": record.content} for record in release.records],
        "/labels": list(part_labels(release.records)),
    }
    account(found, explain(allow, envelope.type, known))  # (5)
    sent = [leaf._replace(path=leaf.path[2:]) for leaf in found if leaf.path[0] == "records"]
    require_silent(release.records, sent, allow)  # (6)
    return _passed(payload, decision, len(found))


def guard_protocol(
    payload: bytes,
    *,
    type: str,
    mode: str,
    message_id: str,
    conversation: str,
    sender: str,
    recipient: str,
    created: tuple[datetime, datetime],
    languages: Collection[str],
) -> GuardVerdict:
    """The verdict over a message that leaves without a decision; raises `GuardRefused` with its rule only.

    (1) the type is a protocol type; (2) the payload is the one spelling of what it says; (3) it holds exactly the
    leaves of its allow-list, in order: constants, the arguments, a time of creation and a language; (4) these two are
    within their bounds (``created``: first and last second), for a field that may say anything could carry anything.
    """
    if type not in PROTOCOL_TYPES:  # (1)
        raise refuse("type", "only protocol messages leave without a decision")
    tree = read(payload)  # (2)
    found = list(leaves(tree))
    said = tree if isinstance(tree, dict) else {}  # (3)
    known = {
        "mode": mode,
        "message_id": message_id,
        "conversation": conversation,
        "from": sender,
        "to": recipient,
        "created": said.get("created"),
        "language": said.get("language"),
    }
    account(found, explain(allow_list(PROTOCOL_FORMAT), type, known))
    first, last = (rfc3339(at) for at in created)  # (4) text order is time order
    if not first <= str(known["created"]) <= last or known["language"] not in languages:
        raise refuse("protocol-form", "a protocol field is not within its bounds")
    return _passed(payload, b"", len(found))


def guard_recall(payload: bytes, *, decision: bytes) -> GuardVerdict:
    """The verdict over a recall; raises `GuardRefused` with its rule, and nothing else, for any bytes.

    ``decision`` are the RFC 8785 bytes of a `RecallDocument`. (1) the decision is a permit for a recall to the partner
    it addresses, and names the message recalled, and another one in its place exactly when it is replaced; (2) the
    payload is the one spelling of what it says; (3) it holds exactly the leaves of its allow-list, in order:
    constants, the fields of the envelope decided on, two ids and a code. There is no leaf for anything else.

    Not checked: who endorsed the decision, and whether the message recalled was ever sent.
    """
    document = read_recall(decision)  # (1)
    envelope, recall = document.envelope, document.recall
    found = list(leaves(read(payload)))  # (2)
    known = {**msgspec.to_builtins(envelope), **msgspec.to_builtins(recall)}  # (3)
    form = "recall replaced" if recall.action == "replaced" else "recall"
    account(found, explain(allow_list(envelope.format), form, known))
    return _passed(payload, decision, len(found))


def guard_correction(payload: bytes, *, decision: bytes) -> GuardVerdict:
    """The verdict over a correction, as `guard_recall` gives it: two ids and two codes, and no leaf for anything else.

    ``decision`` are the RFC 8785 bytes of a `CorrectionDocument`; raises `GuardRefused` with its rule alone.
    Not checked: who endorsed the decision, and whether the message corrected was ever sent.
    """
    document = read_correction(decision)  # (1)
    envelope, said = document.envelope, document.correction
    found = list(leaves(read(payload)))  # (2)
    known = {  # (3)
        **msgspec.to_builtins(envelope),
        **msgspec.to_builtins(said),
        "correction_action": said.action,
        "correction_reason": said.reason,
    }
    form = "correction replaced" if said.action == "replaced" else "correction"
    account(found, explain(allow_list(envelope.format), form, known))
    return _passed(payload, decision, len(found))


def guard_agreement(payload: bytes, *, decision: bytes) -> GuardVerdict:
    """The verdict over a message about an agreement; raises `GuardRefused` with its rule, and nothing else.

    ``decision`` are the RFC 8785 bytes of an `AgreementDocument`. (1) the decision is a permit for such a message to
    the partner it addresses, and its terms are of these two organisations (`read_agreement`); (2) the payload is the
    one spelling of what it says; (3) it holds exactly the leaves of its allow-list, in order.

    Not checked: who endorsed the decision, and whether the signature under the terms holds.
    """
    document = read_agreement(decision)  # (1)
    envelope, said = document.envelope, document.agreement
    found = list(leaves(read(payload)))  # (2)
    known = {**msgspec.to_builtins(envelope), **msgspec.to_builtins(said)}  # (3)
    account(found, explain(allow_list(envelope.format), f"agreement {said.action}", known))
    return _passed(payload, decision, len(found))


def guard_reply(payload: bytes, *, decision: bytes) -> GuardVerdict:
    """The verdict over a coded answer; raises `GuardRefused` with its rule, and nothing else, for any bytes.

    ``decision`` are the RFC 8785 bytes of a `ReplyDocument`. (1) the decision is a permit for a coded answer to the
    partner it addresses (`read_reply`); (2) the payload is the one spelling of what it says; (3) it holds exactly the
    leaves of its allow-list, in order: constants, the fields of the envelope decided on, an id, and the codes of its
    type. There is no leaf for a reason.

    Not checked: who endorsed the decision, and whether what is answered ever came.
    """
    document = read_reply(decision)  # (1)
    envelope, reply = document.envelope, document.reply
    found = list(leaves(read(payload)))  # (2)
    known = {**msgspec.to_builtins(envelope), **msgspec.to_builtins(reply)}  # (3)
    form = " ".join(filter(None, (envelope.type, reply.consent, "until" if reply.until else "")))
    account(found, explain(allow_list(envelope.format), form, known))
    return _passed(payload, decision, len(found))


def _passed(payload: bytes, decision: bytes, count: int) -> GuardVerdict:
    return GuardVerdict(
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        decision_sha256=hashlib.sha256(decision).hexdigest() if decision else "",
        leaves=count,
        passed=_PASSED,
    )
