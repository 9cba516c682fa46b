"""The free texts of a message, each with the label of its portion: what nobody may approve or use unread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import schemas
from gateway.model.kind import RecordKind, load_kind
from gateway.model.label import SecurityLabel
from gateway.model.message import ExchangeMessage
from gateway.model.record import LabelledField, free_texts
from gateway.wire.ct_json import field_labels


class Portion(NamedTuple):
    """One text of a payload, in full."""

    pointer: str  # RFC 6901, into the payload
    text: str
    label: SecurityLabel | None


def portions(message: ExchangeMessage) -> Iterator[Portion]:
    """Every free text of a message that was read, in document order."""
    kinds = [_kind(part.kind) for part in message.records]
    parts = [part.content for part in message.records]
    for pointer, label in field_labels(message).items():
        _, _, record, *way = pointer.split("/")
        value = parts[int(record)][way[0]]
        value = value[int(way[1])] if len(way) == 2 else value
        below = "/" + "/".join(way)
        field = LabelledField(below, value, kinds[int(record)].spec(below), label, "", ())
        for place, text in free_texts(field):
            yield Portion(f"/records/{record}{place}", text, label)


@cache
def _kind(name: str) -> RecordKind:
    return load_kind(schemas.load_json(f"records/{name}.json"))
