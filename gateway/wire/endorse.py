"""What officers sign with their own keys: endorsements of releases, changes of trust, and calls.

Three types that never stand in for each other. The key's owner is found by ``kid`` among officers in force; the
officer named in the payload must be that owner. Whether the officer's role and clearance suffice is policy, not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import ConfigInvalid, MalformedMessage, RequestInvalid, RoleMissing, SignatureInvalid
from gateway.model.officer import Act as Act
from gateway.model.officer import Endorsement, Officer
from gateway.model.time import Instant
from gateway.wire.jws import (
    CALL_TYP,
    CHANGE_TYP,
    ENDORSEMENT_TYP,
    load_spki,
    read_compact,
    sign_compact,
    thumbprint,
    verify_compact,
)
from gateway.wire.strict import OrgId, Sha256, canonical, instant, read_canonical

CLOCK_SKEW = timedelta(seconds=300)  # an officer's machine may be ahead of the gateway by this much
CALL_WINDOW = timedelta(
    seconds=300
)  # a call is good this long before and after its instant; its nonce is kept as long
MAX_STATEMENTS = 4096  # statements of one endorsement (a bulk answer); each is verifiable alone

READ_KEPT = 16  # endorsements kept as read: those of a batch on its way; each may be half a MiB

_OfficerId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
ChangeAct = Literal["propose", "approve"]


class ChangeEndorsement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's signature over a proposed change: payload of a JWS of typ ``ecluse-change+jws``."""

    v: Literal[1]
    at: Instant
    officer: _OfficerId
    act: ChangeAct
    statement: Sha256  # of the change's RFC 8785 bytes


class CallEndorsement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's signature over one call to the gateway: payload of a JWS of typ ``ecluse-call+jws``."""

    v: Literal[1]
    home: OrgId
    op: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._/-]{0,127}\Z")]
    params_sha256: Sha256
    at: Instant
    nonce: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{16,64}\Z")]
    officer: _OfficerId


class VerifiedEndorsement(msgspec.Struct, frozen=True):
    """Proof that a person requested or approved these exact statement bytes."""

    officer: str
    person: str
    at: datetime
    act: Act


class VerifiedChange(msgspec.Struct, frozen=True):
    """Proof that a person proposed or approved this exact change."""

    officer: str
    person: str
    at: datetime
    act: ChangeAct


class VerifiedCall(msgspec.Struct, frozen=True):
    """Proof that a person made this call. The caller must still refuse a ``nonce`` it has seen before."""

    officer: str
    person: str
    at: datetime
    op: str
    nonce: str


Signed = TypeVar("Signed", Endorsement, ChangeEndorsement, CallEndorsement)


@lru_cache(maxsize=READ_KEPT)
def _kid(token: str) -> Any:
    """The key id that a token claims. It depends on the token alone, like `_read`."""
    return read_compact(token).header.get("kid")


@lru_cache(maxsize=READ_KEPT)
def _read(token: str, typ: str, noun: type[Any], kid: str, public: str) -> Any:
    """Steps 2 and 3 of `_verify`: they depend on these arguments alone. One endorsement over many statements is asked
    about once for each of them, and reading it costs as much as it names; what raises is not kept."""
    jws = verify_compact(token, typ=typ, keys={kid: load_spki(public)})
    return read_canonical(jws.payload, noun)


@lru_cache(maxsize=1024)  # as `load_spki`: the keys of the directory
def _thumbprint(public: str) -> str:
    return thumbprint(load_spki(public))


def _verify(
    token: str, officers: Mapping[str, Officer], *, typ: str, noun: type[Signed]
) -> tuple[Signed, Officer]:
    """The payload and its signer.

    1. find the one officer in force that holds the key named in the header (`SignatureInvalid`); its id is its
       thumbprint (`ConfigInvalid`), so that one key cannot stand in the directory as two
    2. the signature holds, as this type   3. RFC 8785 payload of the closed type   4. it names its signer
    """
    # (1) a key held by two officers identifies neither
    kid = _kid(token)
    held = [
        (officer, key) for officer in officers.values() if isinstance(kid, str) and (key := officer.key(kid))
    ]
    if len(held) != 1:
        raise SignatureInvalid("no officer in force holds the signing key")
    officer, key = held[0]
    if _thumbprint(key.public) != key.kid:
        raise ConfigInvalid("the id of an officer's key is not its thumbprint")
    # (2), (3)
    signed: Signed = _read(token, typ, noun, key.kid, key.public)
    # (4)
    if signed.officer != officer.id:
        raise SignatureInvalid("the endorsement names another officer than the holder of its key")
    return signed, officer


def _require_time(at: datetime, not_before: datetime | None, now: datetime) -> None:
    if at > now + CLOCK_SKEW or (not_before is not None and at < not_before - CLOCK_SKEW):
        raise RoleMissing("the endorsement was not made in the time allowed for it")


# --- releases --------------------------------------------------------------------------------------------------------


def sign_endorsement(
    private_key: ec.EllipticCurvePrivateKey,
    officer_kid: str,
    *,
    officer: str,
    act: Act,
    at: datetime,
    statements: Sequence[bytes],
) -> str:
    """An officer's signature over one or more statements (their exact bytes). Runs at the officer's side."""
    digests = tuple(hashlib.sha256(statement).hexdigest() for statement in statements)
    if not 0 < len(digests) <= MAX_STATEMENTS or len(set(digests)) != len(digests):
        raise RequestInvalid("an endorsement covers 1 to 4096 different statements")
    payload = canonical(Endorsement(v=1, act=act, at=instant(at), officer=officer, statements=digests))
    return sign_compact(payload, private_key, typ=ENDORSEMENT_TYP, kid=officer_kid)


def verify_endorsement(
    token: str,
    officers: Mapping[str, Officer],
    *,
    act: Act,
    statement: bytes,
    now: datetime,
    not_before: datetime | None = None,
) -> VerifiedEndorsement:
    """Prove that a person did ``act`` on exactly these statement bytes.

    1. signature by the one officer in force that holds the key   2. the act asked for
    3. the digest of ``statement`` is in the list   4. made between ``not_before`` and ``now``, give or take the skew

    Raises `MalformedMessage`, `SignatureInvalid`, or `RoleMissing` for (2)–(4).
    """
    # (1)
    signed, officer = _verify(token, officers, typ=ENDORSEMENT_TYP, noun=Endorsement)
    if len(signed.statements) > MAX_STATEMENTS:
        raise MalformedMessage(
            "an endorsement covers too many statements", diagnostic={"limit": MAX_STATEMENTS}
        )
    # (2)
    if signed.act != act:
        raise RoleMissing("the endorsement is for another act")
    # (3)
    if hashlib.sha256(statement).hexdigest() not in signed.statements:
        raise RoleMissing("the endorsement does not cover this statement")
    # (4)
    _require_time(signed.at, not_before, now)
    return VerifiedEndorsement(officer.id, officer.person, signed.at, act)


# --- changes ---------------------------------------------------------------------------------------------------------


def sign_change(
    private_key: ec.EllipticCurvePrivateKey,
    officer_kid: str,
    *,
    officer: str,
    act: ChangeAct,
    at: datetime,
    statement: bytes,
) -> str:
    """An officer's signature over a change (its exact bytes). Runs at the officer's side."""
    digest = hashlib.sha256(statement).hexdigest()
    payload = canonical(ChangeEndorsement(1, instant(at), officer, act, digest))
    return sign_compact(payload, private_key, typ=CHANGE_TYP, kid=officer_kid)


def verify_change(
    token: str,
    officers: Mapping[str, Officer],
    *,
    statement: bytes,
    now: datetime,
    not_before: datetime | None = None,
) -> VerifiedChange:
    """Prove that a person proposed or approved exactly this change; the answer says which.

    1. signature by the one officer in force that holds the key   2. the digest is that of ``statement``
    3. made between ``not_before`` and ``now``, give or take the skew

    Raises `MalformedMessage`, `SignatureInvalid`, or `RoleMissing` for (2) and (3). That there are a proposal and an
    approval, by two persons, is for the caller to see.
    """
    # (1)
    signed, officer = _verify(token, officers, typ=CHANGE_TYP, noun=ChangeEndorsement)
    # (2)
    if hashlib.sha256(statement).hexdigest() != signed.statement:
        raise RoleMissing("the endorsement does not cover this change")
    # (3)
    _require_time(signed.at, not_before, now)
    return VerifiedChange(officer.id, officer.person, signed.at, signed.act)


# --- calls -----------------------------------------------------------------------------------------------------------


def sign_call(
    private_key: ec.EllipticCurvePrivateKey,
    officer_kid: str,
    *,
    home: str,
    op: str,
    params_sha256: str,
    at: datetime,
    nonce: str,
    officer: str,
) -> str:
    """An officer's signature over one call. Runs at the officer's side; ``nonce`` is fresh and random."""
    payload = canonical(CallEndorsement(1, home, op, params_sha256, instant(at), nonce, officer))
    return sign_compact(payload, private_key, typ=CALL_TYP, kid=officer_kid)


def verify_call(
    token: str, officers: Mapping[str, Officer], *, home: str, op: str, params_sha256: str, now: datetime
) -> VerifiedCall:
    """Prove that a person made exactly this call to this home, within ±`CALL_WINDOW`.

    1. signature by the one officer in force that holds the key   2. this home, operation and parameters
    3. within the window. The nonce is returned for the caller to burn.
    """
    # (1)
    signed, officer = _verify(token, officers, typ=CALL_TYP, noun=CallEndorsement)
    # (2)
    if (signed.home, signed.op, signed.params_sha256) != (home, op, params_sha256):
        raise RoleMissing("the endorsement is for another call")
    # (3)
    if abs(signed.at - now) > CALL_WINDOW:
        raise RoleMissing("the endorsement was not made in the time allowed for it")
    return VerifiedCall(officer.id, officer.person, signed.at, op, signed.nonce)
