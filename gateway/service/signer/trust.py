"""The signer's own trust: officers, partners, agreements in force, the last head of every log, and what it sealed with
one signature that waits for the second.

The gateway has the same documents in its database; the signer does not believe them. Its copy changes only with two
endorsements that it verifies against the state before. Files are replaced atomically and fsynced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from gateway.errors import AuditBroken, ConfigInvalid, Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.flow.agreements import agreement_start, agreement_state
from gateway.flow.change import (
    SignedFounding,
    canonical,
    decode_document,
    digest,
    narrows,
    read_as,
    read_change,
    require_next_version,
    verify_founding,
    verify_trust_change,
)
from gateway.model.agreement import AgreementState, SignedAgreement
from gateway.model.epoch import Epoch
from gateway.model.officer import Officer
from gateway.model.party import KeyRecord, Partner
from gateway.model.signing import CheckpointRequest, Settlement, TrustChange
from gateway.policy.context import Settings
from gateway.service.signer.emergency import Alone, settled, with_alone
from gateway.service.signer.epochs import shortened

#: Replaces a file so that after a crash it holds either the old bytes or the new ones.
Replace = Callable[[str, bytes], None]


#: The one policy, and the one document of its thresholds, that a home has.
RELEASE = "release"


class TrustedAgreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agreement both sides signed, by the digest of its terms. Revoked versions stay, and stay revoked.

    ``older`` is the version that stays in force until this one begins.
    """

    signed: SignedAgreement
    sha256: str
    version: int
    revoked: bool = False
    older: TrustedAgreement | None = None

    def in_force(self, now: datetime) -> TrustedAgreement | None:
        """The version of the series that counts at ``now``; None once it is revoked. Its own end is not asked here."""
        if self.revoked:
            return None
        return self if self.older is None or agreement_start(self.signed) <= now else self.older


class Trust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the signer believes about people and organisations."""

    v: Literal[1]
    org: str
    nation: str
    profile: str
    officers: dict[str, Officer]
    partners: dict[str, Partner]
    agreement_keys: tuple[KeyRecord, ...]
    agreements: dict[str, TrustedAgreement]  # by series
    policy_sha256: str
    settings_sha256: str
    applied: tuple[str, ...] = ()  # digest of every change statement that was carried out
    epochs: tuple[str, ...] = ()  # digest of every declaration by which the logs went on under another key


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and root of the last checkpoint signed for one origin."""

    size: int
    root: bytes


class Cosigned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last head of a partner's log that was cosigned, and the id of the log key that had signed it, in hex."""

    size: int
    root: bytes
    key: str


class _Verified(NamedTuple):
    """Agreements whose signatures were verified with this trust, at this time, by the digest of their terms."""

    trust: Trust
    now: datetime | None
    states: dict[str, AgreementState]


def found(signed: SignedFounding, *, now: datetime) -> Trust:
    """The trust a home starts from; raises when the founding document does not hold."""
    founding = verify_founding(signed, now=now)
    return Trust(
        v=1,
        org=founding.org,
        nation=founding.nation,
        profile=founding.profile,
        officers={officer.id: officer for officer in founding.officers},
        partners={},
        agreement_keys=founding.agreement_keys,
        agreements={},
        policy_sha256=founding.policy_sha256,
        settings_sha256=digest(canonical(founding.settings)),
    )


class TrustFile:
    """Trust, heads, single signatures and heads of partners that were cosigned, on disk. One process owns it."""

    def __init__(
        self, trust: bytes, heads: bytes, replace: Replace, alone: bytes = b"", witnessed: bytes = b""
    ) -> None:
        try:
            self.trust = msgspec.json.decode(trust, type=Trust)
            self.heads = msgspec.json.decode(heads, type=dict[str, Head]) if heads else {}
            self.witnessed = msgspec.json.decode(witnessed, type=dict[str, Cosigned]) if witnessed else {}
            self.alone = msgspec.json.decode(alone, type=dict[str, Alone]) if alone else {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ConfigInvalid("the signer's trust file is damaged") from None
        self._replace = replace
        self._verified = _Verified(self.trust, None, {})

    def agreement(self, sha256: str, *, now: datetime) -> AgreementState:
        """The agreement in force with these terms, its signatures verified again. Raises `NotFound`.

        What was verified counts for this very trust (a frozen value, which every change replaces whole) and this very
        second, on which keys and periods depend: the messages of a batch ask for the same.
        """
        if self._verified.trust is not self.trust or self._verified.now != now:
            self._verified = _Verified(self.trust, now, {})
        states = self._verified.states
        if sha256 not in states:
            states[sha256] = self._in_force(sha256, now)
        return states[sha256]

    def _in_force(self, sha256: str, now: datetime) -> AgreementState:
        for series in self.trust.agreements.values():
            trusted = series.in_force(now)
            if trusted is not None and trusted.sha256 == sha256:
                return self._state(trusted.signed, now=now)
        raise NotFound("no agreement in force has these terms")

    def change(self, change: TrustChange, *, now: datetime) -> None:
        """Apply one change once.

        (1) one that was carried out already is done: a gateway that crashed after this call may make it again, and
        nobody can bring back what was approved once and has been undone since; (2) verify it against the state before
        it; (3) write, then believe.
        """
        # (1)
        statement = read_change(change.statement)
        kind, target, done = statement.kind, statement.target, digest(change.statement)
        if done in self.trust.applied:
            return
        # (2)
        verified = verify_trust_change(
            change.statement,
            change.document,
            change.endorsements,
            home=self.trust.org,
            officers=self.trust.officers,
            before_sha256=self.before(kind, target),
            narrowing=narrows(kind, self._document(kind, target), change.document),
            now=now,
        )
        # (3)
        if verified.kind == "epoch":
            self._shorten(verified.target, change.document)
        after = self._apply(verified.kind, verified.target, change.document, now=now)
        after = msgspec.structs.replace(after, applied=(*after.applied, done))
        self._replace("trust.json", msgspec.json.encode(after))
        self.trust = after

    def _shorten(self, target: str, document: bytes) -> None:
        """Forget what two persons declared lost; before the trust is written, so that a change cut short goes on."""
        sizes = {origin: head.size for origin, head in self.heads.items()}
        epoch = read_as(document, Epoch, "epoch document")
        heads = dict(self.heads)
        for one in shortened(epoch, target, org=self.trust.org, opened=len(self.trust.epochs), heads=sizes):
            del heads[one.origin]
            if one.size:
                heads[one.origin] = Head(one.size, bytes.fromhex(one.root))
        self._replace("heads.json", msgspec.json.encode(heads))
        self.heads = heads

    def _document(self, kind: str, target: str) -> Officer | Partner | None:
        if kind == "officer":
            return self.trust.officers.get(target)
        return self.trust.partners.get(target) if kind == "partner" else None

    def before(self, kind: str, target: str) -> str:
        """Digest of the document in force for this target; empty when there is none."""
        if kind == "officer":
            officer = self.trust.officers.get(target)
            return digest(canonical(officer)) if officer else ""
        if kind == "partner":
            partner = self.trust.partners.get(target)
            return digest(canonical(partner)) if partner else ""
        if kind in ("agreement", "agreement-revoke"):
            agreement = self.trust.agreements.get(target)
            return digest(canonical(agreement.signed)) if agreement else ""
        if kind == "policy":
            return self.trust.policy_sha256
        if kind == "settings":
            return self.trust.settings_sha256
        if kind == "epoch":
            return self.trust.epochs[-1] if self.trust.epochs else ""
        return ""

    def advance(self, request: CheckpointRequest) -> None:
        """Make the new head durable before anybody can see it signed. Consistency was verified by the caller."""
        known = self.heads.get(request.origin)
        if known is not None and request.size < known.size:
            raise AuditBroken("the log is shorter than its last signed head")
        if known is not None and (known.size, known.root) == (request.size, request.root):
            return
        heads = {**self.heads, request.origin: Head(request.size, request.root)}
        self._replace("heads.json", msgspec.json.encode(heads))
        self.heads = heads

    def witness(self, origin: str, head: Cosigned) -> None:
        """Make a partner's head the last of its log, before it is cosigned. Its growth was verified by the caller."""
        if self.witnessed.get(origin) != head:
            witnessed = {**self.witnessed, origin: head}
            self._replace("witnessed.json", msgspec.json.encode(witnessed))
            self.witnessed = witnessed

    def keep_alone(self, message_id: str, alone: Alone, *, now: datetime) -> None:
        """Make it durable that a message is sealed with one signature, before it is. Raises `Conflict` when locked."""
        self._replace_alone(with_alone(self.alone, message_id, alone, now))

    def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:
        """Take over what was done about such messages, after verifying it against this trust."""
        self._replace_alone(settled(self.alone, settlements, self.trust.officers, now))

    def _replace_alone(self, after: dict[str, Alone]) -> None:
        if after != self.alone:
            self._replace("alone.json", msgspec.json.encode(after))
            self.alone = after

    def _apply(self, kind: str, target: str, document: bytes, *, now: datetime) -> Trust:
        trust = self.trust
        decoded = decode_document(kind, document)
        if isinstance(decoded, Officer):
            require_target(decoded.id, target)
            return msgspec.structs.replace(trust, officers={**trust.officers, target: decoded})
        if isinstance(decoded, Partner):
            require_target(decoded.org, target)
            require_next_version(trust.partners.get(target), decoded)
            return msgspec.structs.replace(trust, partners={**trust.partners, target: decoded})
        if isinstance(decoded, SignedAgreement):
            return self._apply_agreement(kind, target, decoded, now=now)
        if kind == "policy":
            require_target(RELEASE, target)
            return msgspec.structs.replace(trust, policy_sha256=digest(document))
        if isinstance(decoded, Epoch):
            return msgspec.structs.replace(trust, epochs=(*trust.epochs, digest(document)))
        if isinstance(decoded, Settings):
            require_target(RELEASE, target)
            return msgspec.structs.replace(trust, settings_sha256=digest(document))
        return trust

    def _apply_agreement(self, kind: str, target: str, signed: SignedAgreement, *, now: datetime) -> Trust:
        trust, before = self.trust, self.trust.agreements.get(target)
        if kind == "agreement-revoke":
            # The document in force, byte for byte. Its signatures are not asked again: an agreement must be revocable
            # after the keys that signed it were revoked or expired, then most of all. Revoking the newest version ends
            # the series: one that was in force until it began does not come back.
            if before is None or signed != before.signed:
                raise Conflict("only the newest version can be revoked")
            ended = msgspec.structs.replace(before, revoked=True, older=None)
            return msgspec.structs.replace(trust, agreements={**trust.agreements, target: ended})
        state = self._state(signed, now=now)
        require_target(state.terms.series, target)
        if not (state.signed_ours and state.signed_theirs):
            raise RoleMissing("an agreement needs the signatures of both sides")
        if before is not None and state.terms.version <= before.version:
            raise Conflict("an older version of an agreement never comes back")
        older = before.in_force(now) if before is not None and state.terms.not_before > now else None
        if older is not None:
            older = msgspec.structs.replace(older, older=None)
        entry = TrustedAgreement(signed=signed, sha256=state.sha256, version=state.terms.version, older=older)
        return msgspec.structs.replace(trust, agreements={**trust.agreements, target: entry})

    def _state(self, signed: SignedAgreement, *, now: datetime) -> AgreementState:
        return agreement_state(
            signed,
            ours=self.trust.org,
            our_keys=self.trust.agreement_keys,
            partners=self.trust.partners,
            now=now,
        )


def require_target(named: str, target: str) -> None:
    """The document must be the one the change names."""
    if named != target:
        raise RequestInvalid("the document is for another target than the change names")
