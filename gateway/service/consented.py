"""What a consent of ours is about: the message that the asker names, as it left, and what stands against it.

A grant lets our data go further, so it is held against the release it is about: when it is prepared, when each person
signs, and at every later look. What led to a denial stays here; the partner sees a code at most.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import NotFound
from gateway.flow.recall import ATTEMPTED
from gateway.model.decision import ConsentAbout, DecisionDocument, ReplyDocument
from gateway.model.message import ExchangeMessage
from gateway.model.rows import KeyRow, ReleaseRow
from gateway.ports import ReadTx
from gateway.service.contents import CodedBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.corrections import corrected_by_us
from gateway.service.looks import removal
from gateway.service.mentions import embargoed, mentioned
from gateway.service.recalls import recall_under_way
from gateway.service.vault import keys_of
from gateway.wire.ct_json import CtJson


class _About(msgspec.Struct, frozen=True):
    message: str
    ref: str
    kind: str


class Wanted(msgspec.Struct, frozen=True):
    """What a consent request asks, as far as the asker tells it."""

    about: _About
    items: tuple[str, ...]
    purpose: str
    recipient: str = ""


def wanted_by(message: ExchangeMessage) -> Wanted:
    """What the one record of a consent request says; its schema was checked when it came in."""
    return msgspec.convert(message.records[0].content, Wanted)


def keys_about(tx: ReadTx, partner: str, wanted: Wanted) -> list[KeyRow]:
    """The key of the message that is named, to be unlocked before `about`; none where there is no such message."""
    release = _named(tx, partner, wanted.about.message)
    return keys_of(tx, [release.key]) if release is not None else []


def about(
    gateway: Gateway, tx: ReadTx, partner: str, wanted: Wanted, until: str
) -> tuple[ConsentAbout | None, tuple[str, ...]]:
    """What a grant would be about, and every rule that stands against it.

    (1) the message is one of ours that this partner may have, its content is here, and it held the person by that
    pseudonym and kind; (2) nothing was done since (`against`); (3) each item left with it: what was withheld from the
    asker, or never was there, is not the asker's to pass on; (4) it ends no later than the message may be kept.
    """
    # (1)
    release = _named(tx, partner, wanted.about.message)
    if release is None:
        return None, ("consent.release",)
    try:
        body = gateway.vault.open(tx, release.body, ReleaseBody)
    except NotFound:
        return None, ("consent.release",)
    parts = [(part.ref, part.kind) for part in CtJson().parse(body.payload).records]
    kind = gateway.kinds.get(wanted.about.kind)
    if kind is None or (wanted.about.ref, wanted.about.kind) not in parts:
        return None, ("consent.release",)
    found = ConsentAbout(
        release=release.id,
        message_id=release.message_id,
        record=release.handle,
        kind=kind.name,
        items=wanted.items,
        purpose=wanted.purpose,
        recipient=wanted.recipient,
    )
    # (2)
    denied = [*against(tx, release)]
    # (3)
    if not {*wanted.items} <= {kind.pattern(pointer) for pointer in body.decision.released}:
        denied.append("consent.items")
    # (4)
    handling = msgspec.json.decode(body.document, type=DecisionDocument).handling
    if until > handling.retention_until:
        denied.append("consent.until")
    return found, tuple(denied)


def against(tx: ReadTx, release: ReleaseRow) -> tuple[str, ...]:
    """What was done since the message left that a grant about it may not pass over: rules, in order.

    (1) it was recalled, or corrected but for a restriction; (2) its record was deleted for cause; (3) an embargo is on
    the person, or on one that the record mentions.
    """
    denied = []
    # (1)
    named = release.partner, release.message_id
    if recall_under_way(tx, *named) or corrected_by_us(tx, *named):
        denied.append("consent.recalled")
    # (2)
    if removal(tx, release) is not None:
        denied.append("consent.removed")
    # (3)
    if embargoed(tx, (release.subject, *mentioned(tx, release.key, release.subject))):
        denied.append("embargo")
    return tuple(denied)


def against_grant(tx: ReadTx, body: CodedBody, now: datetime) -> tuple[str, ...]:
    """The same at a later look at an answer that was prepared, and that its last day is not over. Nothing stands
    against what is no grant."""
    document = msgspec.json.decode(body.document, type=ReplyDocument)
    if document.reply.consent != "granted":
        return ()
    release = tx.get(ReleaseRow, document.about.release) if document.about is not None else None
    if release is None or release.state not in ATTEMPTED:
        return ("consent.release",)
    over = document.reply.until < now.date().isoformat()
    return (*against(tx, release), *(("consent.until",) if over else ()))


def _named(tx: ReadTx, partner: str, message_id: str) -> ReleaseRow | None:
    """A message of ours about a record that this partner may have, by its id."""
    where: dict[str, object] = {
        "message_id": message_id,
        "partner": partner,
        "state": tuple(sorted(ATTEMPTED)),
    }
    release = next(iter(tx.select(ReleaseRow, where, limit=1)), None)
    return release if release is not None and release.subject and release.handle else None
