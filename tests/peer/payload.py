"""Section 10: the one encoding of a payload, its schema, and its labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.peer import asked, bdc
from tests.peer.label import NAME, Label, label
from tests.peer.shape import Shape, closed, day, listed, one_of, text
from tests.peer.spelling import (
    INSTANT,
    ORGANISATION,
    UUID4,
    Misspelt,
    Refused,
    ordered,
    parse_json,
    seconds_of,
)

FORMAT = "ct-exchange-json/1.0"

#: The largest payload, in bytes.
LARGEST = 4 * 1024 * 1024

#: Types that are the envelope and nothing else.
BARE = ("void", "status", "ping", "checkpoint")

#: Types that carry records, and coded answers.
CARRYING = ("disclosure", "request", "consent-request", "emergency", "answer")
ANSWERS = ("no-information", "refusal", "consent-answer")

#: Coded types that answer nothing.
CODED = ("recall", "correction", "agreement")

#: Base names of kinds that travel in the one type that asks.
ASKING = {"request": "information-request", "consent-request": "consent-request"}

KINDS: dict[str, Shape] = {"bdc-person/1.0": bdc.record, "information-request/1.0": asked.record}

_ENVELOPE: dict[str, Shape] = {
    "format": one_of(FORMAT),
    "type": one_of(*BARE, *CARRYING, *CODED, *ANSWERS),
    "mode": one_of("operational", "exercise", "test"),
    "message_id": text(UUID4),
    "conversation": text(UUID4),
    "from": text(ORGANISATION),
    "to": text(ORGANISATION),
    "created": text(INSTANT),
    "language": text("[a-z]{2}"),
}

_PART = r"/records/(0|[1-9][0-9]{0,2})(/[^/]+(/(0|[1-9][0-9]*))?)?"

_bare = closed(_ENVELOPE)

_recall = closed(
    {**_ENVELOPE, "recalls": text(UUID4), "action": one_of("withdrawn", "replaced", "expired")},
    {"replaced_by": text(UUID4)},
)

_correction = closed(
    {
        **_ENVELOPE,
        "corrects": text(UUID4),
        "action": one_of("replaced", "withdrawn", "restricted"),
        "reason": one_of("inaccurate", "incomplete", "outdated", "unlawful"),
    },
    {"replaced_by": text(UUID4)},
)
_agreement = closed(
    {**_ENVELOPE, "action": one_of("offered", "signed", "revoked")},
    {
        "terms": text(r"[A-Za-z0-9_-]{1,87382}"),
        "signature": text(r"[A-Za-z0-9_-]{1,936}[.][.][A-Za-z0-9_-]{86}"),
        "terms_sha256": text("[0-9a-f]{64}"),
    },
)


def _records(tree: Any) -> Any:
    """What stands here is checked when the kinds are known."""
    return listed(_any_object, 1, 256)(tree)


def _any_object(tree: Any) -> Any:
    if not isinstance(tree, dict):
        raise Misspelt
    return tree


_coded: dict[str, Shape] = {
    "recall": _recall,
    "correction": _correction,
    "agreement": _agreement,
    "no-information": closed({**_ENVELOPE, "answers": text(UUID4)}),
    "refusal": closed(
        {
            **_ENVELOPE,
            "answers": text(UUID4),
            "ground": one_of("incomplete", "minor-offence", "outside-agreement", "outside-competence"),
        }
    ),
    "consent-answer": closed(
        {**_ENVELOPE, "answers": text(UUID4), "consent": one_of("granted", "refused")}, {"until": day}
    ),
}


_CONTENT: dict[str, Shape] = {
    "label": label,
    "handling": closed(
        {
            "regime": one_of("BE-OCAM", "BE-POLICE", "BE-INTEL", "SPOC"),
            "route": one_of("police", "intelligence", "other"),
            "purpose": text(NAME),
            "legal_basis": text(r"[^\x00-\x1f\x7f-\x9f]{1,200}"),
            "retention_until": day,
            "onward": one_of("none", "originator-consent"),
        }
    ),
    "manifest": closed(
        {
            "records": listed(closed({"part": text(_PART), "kind": one_of(*KINDS)}), 1, 256),
            "attachments": listed(one_of()),
        }
    ),
    "records": _records,
    "labels": listed(closed({"part": text(_PART), "label": label}), 1, 65536),
}

_disclosure = closed({**_ENVELOPE, **_CONTENT})
_answer = closed({**_ENVELOPE, "answers": text(UUID4), **_CONTENT})


def read_payload(raw: bytes) -> dict[str, Any]:
    """The message in these bytes. Raises `Refused` with ``malformed`` or ``schema-violation``."""
    try:
        tree = parse_json(raw) if len(raw) <= LARGEST else None
    except Misspelt:
        raise Refused("malformed") from None
    try:
        message = _shaped(tree)
        _check_labels(message)
    except Misspelt:
        raise Refused("schema-violation") from None
    try:
        seconds_of(message["created"])
    except Misspelt:
        raise Refused("malformed") from None
    if ordered(message) != raw:
        raise Refused("malformed")
    return message


def labels_of(message: dict[str, Any]) -> Iterator[Label]:
    """Every label of a message, the one of the whole first."""
    if "label" in message:
        yield message["label"]
        yield from (entry["label"] for entry in message["labels"])


def _shaped(tree: Any) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise Misspelt
    shapes = {**dict.fromkeys(CARRYING, _disclosure), "answer": _answer, **_coded}
    type = tree.get("type")
    message: dict[str, Any] = (shapes.get(type, _bare) if isinstance(type, str) else _bare)(tree)
    if type == "agreement":
        given = {name for name in ("terms", "signature", "terms_sha256") if name in message}
        if given != ({"terms_sha256"} if message["action"] == "revoked" else {"terms", "signature"}):
            raise Misspelt
    if type in ("recall", "correction"):
        ids = ("message_id", "recalls", "corrects", "replaced_by")
        named = [message[name] for name in ids if name in message]
        if ("replaced_by" in message) != (message["action"] == "replaced") or len(set(named)) != len(named):
            raise Misspelt
    if message.get("answers") == message["message_id"]:
        raise Misspelt
    if "until" in message and message["consent"] != "granted":
        raise Misspelt
    if "manifest" in message:
        named = message["manifest"]["records"]
        parts = [f"/records/{place}" for place in range(len(message["records"]))]
        if [entry["part"] for entry in named] != parts:
            raise Misspelt
        kinds = [entry["kind"].split("/")[0] for entry in named]
        asks = ASKING.get(message["type"])
        if kinds != [asks] if asks else not {*ASKING.values()}.isdisjoint(kinds):
            raise Misspelt
        message["records"] = [
            KINDS[entry["kind"]](record) for entry, record in zip(named, message["records"], strict=True)
        ]
    return message


def _check_labels(message: dict[str, Any]) -> None:
    """Entries name parts that are there, in document order, none twice, each record before its fields."""
    if "labels" not in message:
        return
    places = {part: place for place, part in enumerate(_parts(message["records"]))}
    named = [entry["part"] for entry in message["labels"]]
    if any(part not in places for part in named):
        raise Misspelt
    at = [places[part] for part in named]
    whole = {f"/records/{place}" for place in range(len(message["records"]))}
    if at != sorted(set(at)) or not whole <= set(named):
        raise Misspelt


def _parts(records: list[dict[str, Any]]) -> Iterator[str]:
    """Records and their fields in document order: of a list, its items alone; the reference is no field."""
    for place, record in enumerate(records):
        yield f"/records/{place}"
        for name, value in record.items():
            field = f"/records/{place}/{name}"
            if isinstance(value, list):
                yield from (f"{field}/{item}" for item in range(len(value)))
            elif name != "ref":
                yield field
