"""``ct-exchange-json/1.0``: the native payload, and the composition of a message from what a decision released.

There is one encoding of a message: members in the order of the schema, compact, UTF-8, nothing escaped that JSON
does not force, members of nested objects sorted by name. What parses, renders back to the same bytes, or is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import cache, reduce
from typing import Any

import jsonschema_rs
import msgspec

import schemas
from gateway.errors import MalformedMessage, PartnerFault, RecordInvalid, SchemaViolation
from gateway.model.kind import RecordKind
from gateway.model.label import LevelTable, SecurityLabel, join
from gateway.model.message import (
    ANSWERING,
    ASKING,
    DEMANDS,
    AgreementPart,
    Correction,
    Envelope,
    ExchangeMessage,
    Handling,
    PartLabel,
    Recall,
    RecordPart,
    Rendered,
    Reply,
)
from gateway.model.record import CanonicalRecord, fields_of
from gateway.model.time import parse_rfc3339
from gateway.wire.strict import parse_json

FORMAT = "ct-exchange-json/1.0"

#: What stands in place of the mode in bytes that are only shown. It is no mode: every reader refuses it.
PREVIEW = "preview"
_MAX_RULE_CHARS = 120  # of a schema path in a diagnostic
#: Bytes of a payload above which no broken rule is looked up. Saying no costs nothing, but saying why makes the library
#: copy what it quotes, many times over: 3 MB of members cost 9 s and 1.8 GB.
_MAX_EXPLAINED = 64 * 1024


# --- schemas ---------------------------------------------------------------------------------------------------------


class _Kind(msgspec.Struct, frozen=True):
    """A record kind as it stands in a message: member order, and the schema of what may be left of a record."""

    order: tuple[str, ...]
    validator: jsonschema_rs.Draft202012Validator


@cache
def _message_schema() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schemas.load_json("ct-exchange/1.0.json"))


@cache
def _kind(name: str) -> _Kind:
    """The wire form of a kind: withheld members may be missing, members of export class X do not exist.

    Raises `SchemaViolation` for a kind this version does not know; the message schema has bounded the name.
    """
    try:
        schema = schemas.load_json(f"records/{name}.json")
    except FileNotFoundError:
        raise SchemaViolation("the message names an unknown record kind") from None
    properties = {member: rule for member, rule in schema["properties"].items() if rule["x-class"] != "X"}
    wire = schema | {
        "properties": properties,
        "required": schema.get("x-required-to-send", []),
        "additionalProperties": False,
    }
    return _Kind(tuple(properties), jsonschema_rs.Draft202012Validator(wire))


def _require_valid(validator: jsonschema_rs.Draft202012Validator, tree: Any, *, size: int) -> None:
    """Raise `SchemaViolation`, in a payload of moderate ``size`` naming the rule broken.

    jsonschema-rs quotes the instance, so only the rule's path goes on.
    """
    if not validator.is_valid(tree):
        rule = "schema"
        if size <= _MAX_EXPLAINED:
            error = next(validator.iter_errors(tree))
            rule = "/".join(str(step) for step in error.schema_path)[:_MAX_RULE_CHARS]
        raise SchemaViolation("the message is outside the schema of its format", diagnostic={"rule": rule})


# --- the format ------------------------------------------------------------------------------------------------------


class CtJson:
    """The native format, as a `MessageFormat`. It carries every axis of a label, so nothing is ever lost."""

    name = FORMAT

    def render(self, message: ExchangeMessage) -> Rendered:
        """The one encoding. Raises `RecordInvalid` for a message that its reader would refuse."""
        payload = _encode(message)
        try:
            self.parse(payload)
        except PartnerFault as fault:
            rule = str(fault.diagnostic.get("rule", fault.code))
            raise RecordInvalid("the released content does not fit the format", rule=rule) from None
        return Rendered(payload)

    def parse(self, raw: bytes) -> ExchangeMessage:
        """Read a payload; raises `MalformedMessage` or `SchemaViolation`.

        1. strict JSON   2. the schema of ``ct-exchange`` 1.0, closed per type   3. instants and days that exist
        4. each record: the schema of its kind without class X, and a kind that its type carries
        5. labels: every record has one, in document order
        6. exactly the one encoding

        Whether the labels are known, the message label their high-water mark and the sender entitled is not a matter
        of format: policy decides it.
        """
        # (1)
        tree = parse_json(raw)
        # (2)
        _require_valid(_message_schema(), tree, size=len(raw))
        # (3)
        _require_dates(tree)
        # (4)
        parts = tree["manifest"]["records"] if "manifest" in tree else []
        records = tree.get("records", [])
        if len(parts) != len(records):
            raise SchemaViolation("manifest and records disagree")
        contents = [
            {member: value for member, value in record.items() if member != "ref"} for record in records
        ]
        for part, content in zip(parts, contents, strict=True):
            _require_valid(_kind(part["kind"]).validator, content, size=len(raw))
        try:
            message = ExchangeMessage(
                envelope=msgspec.convert({name: tree[name] for name in _ENVELOPE}, Envelope),
                label=msgspec.convert(tree.get("label"), SecurityLabel | None),
                handling=msgspec.convert(tree.get("handling"), Handling | None),
                records=tuple(
                    RecordPart(record["ref"], part["kind"], content)
                    for record, part, content in zip(records, parts, contents, strict=True)
                ),
                labels=msgspec.convert(tree.get("labels", []), tuple[PartLabel, ...]),
                recall=_recall(tree),
                reply=_reply(tree),
                correction=_correction(tree),
                agreement=_agreement(tree),
            )
        except msgspec.ValidationError:
            raise SchemaViolation("the message does not follow the types of its format") from None
        _require_kinds(message)
        # (5)
        _require_label_order(message)
        # (6) member order, spacing, escapes, unsorted sets, defaults written out: there is no second spelling
        if _encode(message) != raw:
            raise MalformedMessage("the payload is not the one encoding of its message")
        return message


_ENVELOPE = Envelope.__struct_encode_fields__


def _recall(tree: dict[str, Any]) -> Recall | None:
    """What a recall says; raises `SchemaViolation` for one that speaks of itself, or replaces a message by itself."""
    if tree["type"] != "recall":
        return None
    recall = msgspec.convert({name: tree[name] for name in _RECALL if name in tree}, Recall)
    if len({tree["message_id"], recall.recalls, recall.replaced_by}) != 3:
        raise SchemaViolation("a recall names two messages where one stands")
    return recall


def _correction(tree: dict[str, Any]) -> Correction | None:
    """What a correction says; raises `SchemaViolation` as `_recall` does."""
    if tree["type"] != "correction":
        return None
    said = msgspec.convert({name: tree[name] for name in _CORRECTION if name in tree}, Correction)
    if len({tree["message_id"], said.corrects, said.replaced_by}) != 3:
        raise SchemaViolation("a correction names two messages where one stands")
    return said


def _agreement(tree: dict[str, Any]) -> AgreementPart | None:
    """What a message says of an agreement. Its terms and signature are read where keys are at hand, not here."""
    if tree["type"] != "agreement":
        return None
    return msgspec.convert({name: tree[name] for name in _AGREEMENT if name in tree}, AgreementPart)


_RECALL = Recall.__struct_encode_fields__
_CORRECTION = Correction.__struct_encode_fields__
_AGREEMENT = AgreementPart.__struct_encode_fields__
_REPLY = Reply.__struct_encode_fields__


def _reply(tree: dict[str, Any]) -> Reply | None:
    """What an answer says of the message it answers; raises `SchemaViolation` for one that answers itself."""
    if tree["type"] not in ANSWERING:
        return None
    reply = msgspec.convert({name: tree[name] for name in _REPLY if name in tree}, Reply)
    if reply.answers == tree["message_id"]:
        raise SchemaViolation("an answer answers itself")
    return reply


def _require_kinds(message: ExchangeMessage) -> None:
    """What asks carries the one record that says what; what does not ask carries no such record."""
    named = [part.kind.partition("/")[0] for part in message.records]
    asked = ASKING.get(message.envelope.type)
    if named != [asked] if asked else not set(ASKING.values()).isdisjoint(named):
        raise SchemaViolation("the message carries a kind of record that its type does not")


def _encode(message: ExchangeMessage) -> bytes:
    tree: dict[str, Any] = msgspec.to_builtins(message.envelope)
    for coded in filter(None, (message.recall, message.reply, message.correction, message.agreement)):
        tree |= msgspec.to_builtins(coded)
    if DEMANDS[message.envelope.type].message_class == "content-bearing":
        tree |= {
            "label": message.label,
            "handling": message.handling,
            "manifest": {
                "records": [
                    {"part": f"/records/{i}", "kind": part.kind} for i, part in enumerate(message.records)
                ],
                "attachments": [],
            },
            "records": [{"ref": part.ref} | _ordered(part) for part in message.records],
            "labels": message.labels,
        }
    try:
        return msgspec.json.encode(tree)
    except (UnicodeEncodeError, TypeError):  # a lone surrogate, or a value that JSON does not have
        raise RecordInvalid("the released content has no JSON form", rule="encoding") from None


def preview_of(payload: bytes) -> bytes:
    """The payload as it is shown to those who only look: with `PREVIEW` for its mode, and so refused by this reader, by
    the guard and by every partner, whoever signs it."""
    return msgspec.json.encode(msgspec.json.decode(payload, type=dict[str, Any]) | {"mode": PREVIEW})


def _ordered(part: RecordPart) -> dict[str, Any]:
    """Members of a record in the order of its kind; inside a field the order of the record's canonical form."""
    try:
        order = _kind(part.kind).order
    except SchemaViolation:
        raise RecordInvalid("the record is of an unknown kind", rule="kind") from None
    if not part.content.keys() <= set(order):
        raise RecordInvalid("a released member is not of the record's kind", rule="additionalProperties")
    return {member: _sorted(part.content[member]) for member in order if member in part.content}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _require_dates(tree: dict[str, Any]) -> None:
    """Instants and days that match their pattern must also exist."""
    parse_rfc3339(tree["created"])
    labels = [tree.get("label", {}), *(entry["label"] for entry in tree.get("labels", []))]
    days = [holder.get("retention_until") for holder in (tree.get("handling", {}), *labels)]
    days.append(tree.get("until"))
    try:
        for day in filter(None, days):
            date.fromisoformat(day)
    except ValueError:
        raise SchemaViolation("the message names a day that does not exist") from None


# --- parts and labels ------------------------------------------------------------------------------------------------


def _fields(part: RecordPart, index: int) -> Iterator[str]:
    """Payload pointers of a record's fields, in document order: a list yields one field an item."""
    order = _kind(part.kind).order
    for member in sorted(part.content, key=order.index):
        value = part.content[member]
        pointer = f"/records/{index}/{member}"
        if isinstance(value, list):
            yield from (f"{pointer}/{item}" for item in range(len(value)))
        else:
            yield pointer


def _require_label_order(message: ExchangeMessage) -> None:
    """Each record opens with its own entry, then come entries of its fields: in document order, none twice."""
    given = [entry.part for entry in message.labels]
    expected = iter(given)
    part = next(expected, None)
    for index, record in enumerate(message.records):
        if part != f"/records/{index}":
            raise SchemaViolation("a record lacks its label")
        part = next(expected, None)
        for pointer in _fields(record, index):
            if part == pointer:
                part = next(expected, None)
    if part is not None:
        raise SchemaViolation("a label is of no part of the message, or out of order")


def field_labels(message: ExchangeMessage) -> dict[str, SecurityLabel]:
    """The label of every field, by payload pointer in document order: the nearest enclosing entry wins.

    A field that no entry covers is missing from the answer; a parsed message has none.
    """
    entries = {entry.part: entry.label for entry in message.labels}
    found: dict[str, SecurityLabel] = {}
    for index, record in enumerate(message.records):
        for pointer in _fields(record, index):
            label = entries.get(pointer) or entries.get(f"/records/{index}")
            if label is not None:
                found[pointer] = label
    return found


def compose(
    envelope: Envelope,
    handling: Handling,
    records: Sequence[tuple[str, CanonicalRecord, Collection[str]]],
    kinds: Mapping[str, RecordKind],
    levels: LevelTable,
    *,
    reply: Reply | None = None,
) -> ExchangeMessage:
    """The message that carries the released fields of ``records`` (pseudonym, record, released pointers), and no more;
    ``reply`` is what an answer says of its request.

    1. the kind is known, and every released pointer is a field of the record, of another class than X
    2. every released field is labelled   3. lists are re-numbered; what is not released leaves no gap
    4. one label entry a record, the most frequent (of equals the first), and one for each field that differs
    5. the message label is the high-water mark of all (law 11.12.1998 art. 5); an unknown level has none

    Raises `RecordInvalid`. Whether the fields *may* leave was decided before: this only refuses what could not.
    """
    parts: list[RecordPart] = []
    entries: list[PartLabel] = []
    marks: list[SecurityLabel] = []
    for index, (ref, record, released) in enumerate(records):
        # (1)
        kind = kinds.get(record.kind)
        if kind is None:
            raise RecordInvalid("the record is of an unknown kind", rule="kind")
        order = {pattern.split("/")[1]: position for position, pattern in enumerate(kind.fields)}
        chosen = sorted(
            (field for field in fields_of(record, kind) if field.pointer in released),
            key=lambda field: order.get(field.pointer.split("/")[1], len(order)),
        )
        if not chosen or {field.pointer for field in chosen} != set(released):
            raise RecordInvalid(
                "a released field is not in the record, or nothing is released", rule="released"
            )
        content: dict[str, Any] = {}
        labels: dict[str, SecurityLabel] = {}
        for field in chosen:
            if field.spec is None or field.spec.export_class == "X":
                raise RecordInvalid(
                    "a released field may never leave", pointer=kind.pattern(field.pointer), rule="class"
                )
            # (2)
            if field.label is None:
                raise RecordInvalid(
                    "a released field has no label", pointer=field.spec.pattern, rule="label.present"
                )
            # (3)
            member = field.pointer.split("/")[1]
            pointer = f"/records/{index}/{member}"
            if member in kind.lists:
                items = content.setdefault(member, [])
                pointer = f"{pointer}/{len(items)}"
                items.append(field.value)
            else:
                content[member] = field.value
            labels[pointer] = field.label
        # (4)
        usual = Counter(labels.values()).most_common(1)[0][0]
        entries.append(PartLabel(f"/records/{index}", usual))
        entries += [PartLabel(pointer, label) for pointer, label in labels.items() if label != usual]
        marks += labels.values()
        parts.append(RecordPart(ref, record.kind, content))
    # (5)
    if not marks:
        raise RecordInvalid("nothing is released", rule="released")
    whole = _high_water(marks, levels)
    return ExchangeMessage(envelope, whole, handling, tuple(parts), tuple(entries), reply=reply)


def _high_water(labels: Sequence[SecurityLabel], levels: LevelTable) -> SecurityLabel:
    first = join(labels[0], labels[0], levels)
    mark = reduce(lambda mark, label: mark and join(mark, label, levels), labels[1:], first)
    if mark is None:
        raise RecordInvalid("a released field has a level without a rank", rule="label.known")
    return mark
