"""What the endorsed decision lets out of the records it names, worked out by the guard itself."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from gateway.guard.reader import Leaf, is_canonical, leaves, read
from gateway.guard.refusal import Subject, refuse
from gateway.model.agreement import AgreementTerms
from gateway.model.decision import (
    AgreementDocument,
    CorrectionDocument,
    DecisionDocument,
    RecallDocument,
    RecordDecision,
    ReplyDocument,
)
from gateway.model.kind import RecordKind
from gateway.model.label import SecurityLabel
from gateway.model.message import ANSWERING, DEMANDS
from gateway.model.record import CanonicalRecord

_Form = TypeVar(
    "_Form",
    DecisionDocument,
    RecallDocument,
    CorrectionDocument,
    ReplyDocument,
    AgreementDocument,
    AgreementTerms,
    CanonicalRecord,
)

_PSEUDONYM = re.compile(r"p-[0-9a-f]{32}")  # 128 bits of a keyed hash over the entity id


class ReleasedField(NamedTuple):
    """One field that leaves: where it stands in the record *part* after re-numbering, and its label there."""

    pointer: str  # RFC 6901, below the record part
    label: SecurityLabel


class ReleasedRecord(NamedTuple):
    """One record of the release, split into what leaves and what stays."""

    ref: str  # pseudonym toward this partner
    kind: RecordKind
    entity_id: str  # never leaves
    content: dict[str, Any]  # released members, in the order of the kind's schema, lists re-numbered
    fields: tuple[ReleasedField, ...]  # in the order of `content`
    withheld: tuple[Leaf, ...]  # every leaf of every other field


class Release(NamedTuple):
    """The endorsed decision and its records."""

    document: DecisionDocument
    records: tuple[ReleasedRecord, ...]


def read_release(
    decision: bytes, records: Sequence[bytes], pseudonyms: Mapping[str, str], kinds: Mapping[str, RecordKind]
) -> Release:
    """Read the endorsed decision and the record bytes it names; raises `GuardRefused` only.

    (1) the decision is a `DecisionDocument` in canonical form, effect PERMIT, for the partner it addresses;
    (2) it names exactly these record bytes, in this order, none twice, and each has its pseudonym; (3) each record is
    split by the outcomes of its fields. Who endorsed the decision is not checked here: the signer does that before.
    """
    document = _exactly(decision, DecisionDocument, "decision")  # (1)
    if document.partner != document.envelope.recipient:
        raise refuse("decision", "the decision was made for another partner", subject="decision")
    digests = [hashlib.sha256(raw).hexdigest() for raw in records]  # (2)
    if not digests or digests != [named.record_sha256 for named in document.records]:
        raise refuse("record-digest", "the records are not the ones the decision names", subject="record")
    refs = [pseudonyms[digest] for digest in digests if digest in pseudonyms]
    if not all(map(_PSEUDONYM.fullmatch, refs)) or len(set(refs)) != len(digests):
        raise refuse("pseudonym", "each record needs a pseudonym of its own", subject="record")
    lifted = frozenset(lift.pointer for lift in document.lifts)
    parts = []
    for number, (raw, decided, ref) in enumerate(zip(records, document.records, refs, strict=True)):  # (3)
        parts.append(_split(_exactly(raw, CanonicalRecord, "record"), decided, ref, kinds, lifted, number))
    return Release(document, tuple(parts))


def read_recall(decision: bytes) -> RecallDocument:
    """Read the endorsed decision of a recall; raises `GuardRefused` only.

    (1) it is a `RecallDocument` in canonical form, effect PERMIT, of a recall, for the partner it addresses; (2)
    another message stands in the recalled one's place exactly when that is what it says, and no id stands for two.
    """
    document = _exactly(decision, RecallDocument, "decision")  # (1)
    envelope, recall = document.envelope, document.recall
    if document.partner != envelope.recipient or envelope.type != "recall":
        raise refuse("decision", "the decision is not about a recall to this partner", subject="decision")
    ids = {envelope.message_id, recall.recalls, recall.replaced_by}  # (2)
    if (recall.action == "replaced") != bool(recall.replaced_by) or len(ids) != 3:
        raise refuse("decision", "the decision does not say which messages it is about", subject="decision")
    return document


def read_correction(decision: bytes) -> CorrectionDocument:
    """Read the endorsed decision of a correction; raises `GuardRefused` only; steps as in `read_recall`."""
    document = _exactly(decision, CorrectionDocument, "decision")  # (1)
    envelope, said = document.envelope, document.correction
    if document.partner != envelope.recipient or envelope.type != "correction":
        raise refuse("decision", "the decision is not about a correction to this partner", subject="decision")
    ids = {envelope.message_id, said.corrects, said.replaced_by}  # (2)
    if (said.action == "replaced") != bool(said.replaced_by) or len(ids) != 3:
        raise refuse("decision", "the decision does not say which messages it is about", subject="decision")
    return document


def read_agreement(decision: bytes) -> AgreementDocument:
    """Read the endorsed decision of a message about an agreement; raises `GuardRefused` only.

    (1) it is an `AgreementDocument` in canonical form, effect PERMIT, of this type, for the partner it addresses; (2) a
    revocation names the terms in force and carries none; an offer, and the answer to one, carries terms and a
    signature; (3) such terms are those of an agreement, in canonical form, between sender and addressee alone: their
    members leave as they stand, for a reader who is to sign them.
    """
    document = _exactly(decision, AgreementDocument, "decision")  # (1)
    envelope, said = document.envelope, document.agreement
    if document.partner != envelope.recipient or envelope.type != "agreement":
        raise refuse(
            "decision", "the decision is not about an agreement with this partner", subject="decision"
        )
    if said.action == "revoked":  # (2)
        if said.terms or said.signature or said.terms_sha256 != document.agreement_sha256:
            raise refuse("decision", "a revocation is of the terms in force, alone", subject="decision")
        return document
    if said.terms_sha256 or not said.signature:
        raise refuse("decision", "terms are offered with a signature, and not by digest", subject="decision")
    try:  # (3)
        raw = base64.b64decode(said.terms + "=" * (-len(said.terms) % 4), b"-_", validate=True)
    except ValueError:
        raise refuse("form", "the terms are not base64url", subject="decision") from None
    terms = _exactly(raw, AgreementTerms, "decision")
    spelt = base64.urlsafe_b64encode(raw).decode().replace("=", "")
    if set(terms.parties) != {envelope.sender, envelope.recipient} or spelt != said.terms:
        raise refuse("decision", "the terms are not of these two organisations", subject="decision")
    return document


def read_reply(decision: bytes) -> ReplyDocument:
    """Read the endorsed decision of a coded answer; raises `GuardRefused` only.

    (1) it is a `ReplyDocument` in canonical form, effect PERMIT, of an answer without content, for the partner it
    addresses; (2) it does not answer itself, and its type has exactly the codes it says; a grant, and nothing else,
    has a last day and what it is about.
    """
    document = _exactly(decision, ReplyDocument, "decision")  # (1)
    envelope, reply = document.envelope, document.reply
    coded = DEMANDS[envelope.type].message_class == "coded" and envelope.type in ANSWERING
    if document.partner != envelope.recipient or not coded:
        raise refuse("decision", "the decision is not about an answer to this partner", subject="decision")
    codes = {  # (2)
        "no-information": (False, False),
        "refusal": (True, False),
        "consent-answer": (False, True),
    }
    said = (reply.ground is not None, reply.consent is not None)
    if (
        envelope.message_id == reply.answers
        or codes[envelope.type] != said
        or (reply.until != "") != (reply.consent == "granted")
        or (document.about is not None) != (reply.consent == "granted")
    ):
        raise refuse("decision", "the decision does not say what is answered, and how", subject="decision")
    return document


def _exactly(raw: bytes, form: type[_Form], subject: Subject) -> _Form:
    """The document whose canonical bytes ``raw`` is: nothing left out, nothing added, nothing read in two ways."""
    tree = read(raw, subject)
    try:
        document = msgspec.convert(tree, form)
    except msgspec.ValidationError:  # it quotes the input
        raise refuse("form", "the document is not of the known form", subject=subject) from None
    if not is_canonical(tree, msgspec.to_builtins(document)):
        raise refuse("form", "the bytes are not the canonical ones of what they say", subject=subject)
    return document


def _split(
    record: CanonicalRecord,
    decided: RecordDecision,
    ref: str,
    kinds: Mapping[str, RecordKind],
    lifted: frozenset[str],
    number: int,
) -> ReleasedRecord:
    """Split one record by its outcomes. What no outcome releases is withheld, known to the decision or not.

    (1) the kind is the one decided on, and each pointer is labelled at most once; (2) each pointer is decided at most
    once, each released one exists, and there is one; (3) the kind knows each released field: class X never leaves,
    class C only lifted; (4) each released field carries a label.
    """
    kind = kinds.get(record.kind)  # (1)
    if kind is None or not kind.name == record.kind == decided.kind:
        raise refuse(
            "record", "the record is not of the kind that was decided on", subject="record", record=number
        )
    labels = {entry.pointer: entry.label for entry in record.labels}
    if len(labels) != len(record.labels):
        raise refuse("record", "a field of the record is labelled twice", subject="record", record=number)

    values = _fields(record.content, kind, number)  # (2)
    outcomes = {field.pointer: field.outcome for field in decided.fields}
    released = {pointer for pointer, outcome in outcomes.items() if outcome == "released"}
    if len(outcomes) != len(decided.fields) or not released or not released <= values.keys():
        raise refuse(
            "outcome",
            "a field is decided twice or is not there, or none is released",
            subject="decision",
            record=number,
        )

    content: dict[str, Any] = {}
    fields: list[ReleasedField] = []
    withheld: list[Leaf] = []
    for pointer, value in values.items():
        member, _, index = pointer[1:].partition("/")
        if pointer not in released:
            withheld += leaves([value] if index else value, (member,))
            continue
        spec = kind.spec(pointer)  # (3)
        if spec is None or spec.export_class == "X":
            raise refuse("class", "a field that never leaves is released", subject="decision", record=number)
        if spec.export_class == "C" and pointer not in lifted:
            raise refuse(
                "class",
                "a field that needs a lift is released without one",
                subject="decision",
                record=number,
            )
        label = labels.get(pointer)  # (4)
        if label is None:
            raise refuse("unlabelled", "a released field carries no label", subject="record", record=number)
        if index:
            items = content.setdefault(member, [])
            fields.append(ReleasedField(f"/{member}/{len(items)}", label))
            items.append(value)
        else:
            fields.append(ReleasedField(pointer, label))
            content[member] = value
    return ReleasedRecord(ref, kind, record.entity_id, content, tuple(fields), tuple(withheld))


def _fields(content: Mapping[str, Any], kind: RecordKind, number: int) -> dict[str, Any]:
    """Every field by its pointer, in wire order: members as in the schema (others last), items as in the record."""
    order = {pattern.split("/")[1]: place for place, pattern in enumerate(kind.fields)}
    values: dict[str, Any] = {}
    for member in sorted(content, key=lambda member: order.get(member, len(order))):
        value = content[member]
        if "/" in member:  # its pointer could be read as that of another field
            raise refuse(
                "record", "a member has a name that no field can have", subject="record", record=number
            )
        if member in kind.lists and isinstance(value, list):
            values |= {f"/{member}/{index}": item for index, item in enumerate(value)}
        else:
            values[f"/{member}"] = value
    return values
