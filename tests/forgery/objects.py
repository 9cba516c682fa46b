"""Every kind of signed object that the product makes, written by the forger under any key and over any bytes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway.audit.checkpoint import log_key_name
from tests.forgery.arena import LU, Arena
from tests.forgery.forge import compact, detached, sha
from tests.forgery.receipts import canonical
from tests.service.world import BE

INSTANT = "2026-11-21T21:00:00Z"
SEALED = ("disclosure", "void", "status", "ping", "checkpoint")  # types that the format can say
#: Types that no door here asks for: what they are about is nothing that its receiver knows.
UNSENT = (
    *("request", "consent-request", "emergency", "answer", "no-information", "refusal", "consent-answer"),
    *("recall", "correction", "agreement"),
)


@dataclass(frozen=True)
class Wanted:
    """What a door trusts and asks for: a key, its id, whose it is, and the bytes that are to be signed."""

    subject: bytes
    key: Any
    kid: str
    officer: str = ""


#: Writes one object for what a door wants.
Make = Callable[[Arena, Wanted], str]


def _seal(kind: str) -> Make:
    def make(arena: Arena, wanted: Wanted) -> str:
        members = dict(arena.base().members) | {
            "kid": wanted.kid, "typ": f"ecluse-msg-{kind}+jws", "payload_sha256": sha(wanted.subject),
        }  # fmt: skip
        said = names(wanted.subject)
        return detached(members | said, wanted.subject, wanted.key)

    return make


def _second_seal(arena: Arena, wanted: Wanted) -> str:
    """The second signature of profile hybrid: the seal's own typ, told apart by its algorithm."""
    second = arena.seats[LU].second
    assert second is not None
    members = dict(arena.base(LU).members) | {"alg": "ML-DSA-65", "kid": wanted.kid, "x5t#S256": second.x5t}
    return detached(
        members | names(wanted.subject) | {"payload_sha256": sha(wanted.subject)}, wanted.subject, wanted.key
    )


def names(subject: bytes) -> dict[str, Any]:
    """Id and conversation of a payload, so that a seal over it would fit."""
    try:
        tree = json.loads(subject)
        return {"jti": tree["message_id"], "conv": tree["conversation"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _attached(typ: str, **payload: Callable[[Wanted], Any]) -> Make:
    def make(_: Arena, wanted: Wanted) -> str:
        stated = (
            canonical({name: value(wanted) for name, value in payload.items()}) if payload else wanted.subject
        )
        return compact({"alg": "ES256", "kid": wanted.kid, "typ": typ}, stated, wanted.key)

    return make


def agreed(_: Arena, wanted: Wanted) -> str:
    head = {"alg": "ES256", "kid": wanted.kid, "typ": "ecluse-agreement+jws", "crit": ["b64"], "b64": False}
    return detached(head, wanted.subject, wanted.key)


def _said(value: Any) -> Callable[[Wanted], Any]:
    return lambda _: value


def _by(wanted: Wanted) -> str:
    return wanted.officer


def _digest(wanted: Wanted) -> str:
    return sha(wanted.subject)


def _endorsement(act: str) -> Make:
    return _attached("ecluse-endorsement+jws", v=_said(1), act=_said(act), at=_said(INSTANT), officer=_by,
                     statements=lambda wanted: [_digest(wanted)])  # fmt: skip


def change(act: str) -> Make:
    return _attached("ecluse-change+jws", v=_said(1), at=_said(INSTANT), officer=_by, act=_said(act),
                     statement=_digest)  # fmt: skip


_NONCES = iter(range(1, 1_000_000))

_call = _attached("ecluse-call+jws", v=_said(1), home=_said(BE), op=_said("status"), params_sha256=_digest,
                  at=_said(INSTANT), nonce=lambda _: f"{next(_NONCES):022d}", officer=_by)  # fmt: skip


def founding(arena: Arena) -> bytes:
    return canonical(msgspec.to_builtins(arena.world.be.gateway.directory.founding))


def _no_founding(arena: Arena, wanted: Wanted) -> Wanted:
    """A founding is signed as a change, and the digest alone tells which document it is: a change is of another."""
    return replace(wanted, subject=b"{}") if wanted.subject == founding(arena) else wanted


def _checkpoint(arena: Arena, wanted: Wanted) -> str:
    """A true note of the Belgian log; over the body that is asked for, when that is one."""
    if wanted.subject.startswith(b"ecluse/"):
        key = arena.seats[BE].log
        public = key.public_key().public_bytes_raw()
        name = log_key_name(BE)
        key_id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
        line = base64.b64encode(key_id + key.sign(wanted.subject)).decode()
        return f"{wanted.subject.decode()}\n— {name} {line}\n"
    return arena.note()


OBJECTS: dict[str, Make] = {
    **{f"seal {kind}": _seal(kind) for kind in (*SEALED, *UNSENT)},
    "second seal": _second_seal,
    "receipt": _attached("ecluse-receipt+jws"),
    "agreement": agreed,
    "endorsement request": _endorsement("request"),
    "endorsement approve": _endorsement("approve"),
    "change propose": lambda arena, wanted: change("propose")(arena, _no_founding(arena, wanted)),
    "change approve": lambda arena, wanted: change("approve")(arena, _no_founding(arena, wanted)),
    "founding propose": lambda arena, wanted: change("propose")(
        arena, replace(wanted, subject=founding(arena))
    ),
    "call": _call,
    "checkpoint": _checkpoint,
}
