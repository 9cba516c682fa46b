"""Reviewers of a body: what their mandate reaches, and their reads sealed to the body's key.

Deny by default: an operation that does not look at partner and kind itself is closed to whose mandate is not over all.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import Conflict, RoleMissing
from gateway.flow.change import canonical
from gateway.model.officer import Body, Officer
from gateway.model.oversight import OversightKey
from gateway.model.rows import DirectoryRow
from gateway.model.time import rfc3339
from gateway.ports import ReadTx
from gateway.wire import hpke

#: Bodies outside the house, and the data protection officer, who answers to nobody in it: their reads are theirs alone.
SEALED: frozenset[Body] = frozenset({"dpo", "coc", "comite-p", "comite-r"})

#: Operations that hold partner and kind against the mandate themselves (`require_scope`), or tell of neither.
SCOPED = frozenset(
    {"status", "evidence/pack", "inbox/show", "releases/show", "policy/decided", "findings/new"}
)

#: Looks that leave more behind than an entry that can be sealed: who must read unseen asks for an evidence pack.
UNSEALED = frozenset({"releases/preview", "persons/find", "emergencies/review"})

#: What a sealed read is bound to, beside its body.
USE = "ecluse/read/1"


def require_mandate(officer: Officer, operation: str, now: datetime) -> None:
    """Raises `RoleMissing`, saying why, unless the officer's mandate, if any, lets this operation be asked for now."""
    mandate = officer.mandate
    if mandate is None:
        return
    if not mandate.since <= now < mandate.until:
        raise RoleMissing(
            "your mandate has not begun, or is over",
            diagnostic={"since": rfc3339(mandate.since), "until": rfc3339(mandate.until)},
        )
    if operation in UNSEALED and mandate.body in SEALED:
        raise RoleMissing(
            "this leaves more behind than an entry that is sealed to your body: ask for an evidence pack",
            diagnostic={"body": mandate.body},
        )
    if operation not in SCOPED and not mandate.whole:
        raise RoleMissing(
            "your mandate is not over every partner and kind, and this operation is not divided by them",
            diagnostic={"body": mandate.body},
        )


def require_scope(officer: Officer, partner: str, kinds: Iterable[str]) -> None:
    """Raises `RoleMissing` for what concerns a partner, or a kind of record, outside the officer's mandate."""
    mandate = officer.mandate
    if mandate is not None and not mandate.covers(partner, kinds):
        raise RoleMissing("this partner or kind is outside your mandate", diagnostic={"partner": partner})


def key_of(tx: ReadTx, body: str) -> OversightKey | None:
    """The key of a body that two persons put in force."""
    rows = tx.select(DirectoryRow, {"kind": "oversight", "id": body, "current": True})
    return msgspec.json.decode(rows[0].document, type=OversightKey) if rows else None


def sealed_read(tx: ReadTx, officer: Officer, subject: str, detail: dict[str, Any]) -> dict[str, Any] | None:
    """The detail of a read as the house may keep it: that a body looked, and for the body alone, at what and why.

    None for an officer whose reads the house may read. Raises `Conflict` while no key of the body is in force: what
    cannot be sealed is not shown.
    """
    if officer.mandate is None or officer.mandate.body not in SEALED:
        return None
    body = officer.mandate.body
    key = key_of(tx, body)
    if key is None:
        raise Conflict("no key of your body is in force: your reads could not be sealed to it")
    sealed = hpke.encrypt(preamble(body), msgspec.json.encode({"subject": subject, **detail}), key.public)
    return {"what": "sealed", "body": body, "sealed": sealed}


def preamble(body: str) -> bytes:
    """What a sealed read is bound to."""
    return canonical({"body": body, "use": USE})
