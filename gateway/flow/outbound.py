"""From a record and a reason to frozen bytes: prepare once, then only look again.

`prepare` renders once; its bytes are what people approve, the guard reads, the signer seals and the partner gets.
`recheck` never renders: it asks the same rules again, over the state as it is now.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from gateway.errors import PolicyInvalid
from gateway.flow.change import canonical, digest, policy_in_force
from gateway.flow.ground import rests_on, withdrawn
from gateway.model.agreement import AgreementState, AgreementTerms
from gateway.model.decision import Decision, DecisionDocument, Reason, RecordDecision, Statement
from gateway.model.message import Envelope, Handling, MessageType, Mode, Reply
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.time import parse_rfc3339, rfc3339
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.redact import decide_again, redact
from gateway.policy.rules import Policy
from gateway.wire.ct_json import CtJson, compose
from gateway.wire.strict import b64url

#: Days a message stays deliverable when nothing shorter is agreed; also how long an approval may wait.
DEFAULT_VALIDITY_DAYS = 30


class Prepared(msgspec.Struct, frozen=True):
    """Frozen bytes and what they rest on. Nothing in it changes any more."""

    payload: bytes
    decision: Decision
    document: bytes  # RFC 8785 bytes of `DecisionDocument`
    statement: bytes  # RFC 8785 bytes of `Statement`
    record: bytes  # RFC 8785 bytes of the record version decided on
    lost: tuple[str, ...] = ()


#: Source of a reason that no rule of the policy gives.
HOUSE = "ecluse release policy"


class Refused(msgspec.Struct, frozen=True):
    """No release: DENY, or REVIEW that a named person would have to settle first."""

    decision: Decision


class Draft(msgspec.Struct, frozen=True):
    """Identifiers and times, chosen by the caller so that preparing is repeatable."""

    release: str
    message_id: str
    conversation: str
    mode: Mode
    nonce: bytes
    type: MessageType = "disclosure"  # of content that answers no request
    #: What the bytes say of their time, and what their periods count from; None: the time of preparing. An answer to a
    #: request names the slot it is prepared for.
    at: datetime | None = None


def prepare(ctx: Context, policy: Policy, draft: Draft, *, ref: str) -> Prepared | Refused:
    """Decide, redact, decide again, render once, freeze.

    (0)-(2) every rule is asked about the release and each of its fields, the agreement and transport among them;
    (3) what has no permit is removed; (4) what the partner holds is among the facts; (5) what is left is decided
    again and must be a clean permit without obligations; (6) render once; a format that loses anything blocks; the
    statement binds payload, decision, partner entry, requester and expiry. ``ref`` is the partner's pseudonym.
    """
    # (0)-(2), (4)
    decision = decide(policy, ctx)
    if decision.effect != "PERMIT":
        return Refused(decision)
    # (3)
    left = redact(ctx.record, decision)
    # (5)
    again = decide_again(policy, ctx, decision)
    if again.effect != "PERMIT" or again.obligations:
        return Refused(again)
    # (6)
    agreement = _require(ctx.agreement)
    document = _document(ctx, policy, draft, decision, agreement)
    message = compose(
        document.envelope,
        document.handling,
        [(ref, ctx.record, decision.released)],
        {ctx.kind.name: ctx.kind},
        ctx.levels,
        reply=Reply(document.request) if document.request else None,
    )
    rendered = CtJson().render(message)
    if rendered.lost:
        return Refused(_lossy(decision, rendered.lost))
    assert_same_content(left.content, message.records[0].content)
    raw_document = canonical(document)
    not_after = valid_until(draft.at or ctx.now, agreement.terms)
    statement = Statement(
        v=1,
        release=draft.release,
        message_id=draft.message_id,
        payload_sha256=digest(rendered.payload),
        attachments=(),
        partner_keys=_entry_digest(ctx.partner),
        decision_sha256=digest(raw_document),
        requester=ctx.officers[0].id,
        not_after=rfc3339(not_after),
        nonce=b64url(draft.nonce),
    )
    return Prepared(rendered.payload, decision, raw_document, canonical(statement), canonical(ctx.record))


def _document(
    ctx: Context, policy: Policy, draft: Draft, decision: Decision, agreement: AgreementState
) -> DecisionDocument:
    terms = agreement.terms
    return DecisionDocument(
        v=1,
        effect="PERMIT",
        envelope=Envelope(
            format=ctx.format,
            type="answer" if ctx.request else draft.type,
            mode=draft.mode,
            message_id=draft.message_id,
            conversation=draft.conversation,
            sender=ctx.our_org,
            recipient=ctx.partner.org,
            created=rfc3339(draft.at or ctx.now),
            language=ctx.language,
        ),
        handling=Handling(
            regime=terms.regime,
            route=terms.route,
            purpose=ctx.purpose,
            legal_basis=ctx.legal_basis,
            retention_until=_retention(ctx, decision, draft.at or ctx.now, terms.retention_days),
            onward=terms.onward,
        ),
        records=(RecordDecision(digest(canonical(ctx.record)), ctx.record.kind, decision.fields),),
        policy_sha256=policy_in_force(policy.sha256, digest(canonical(ctx.settings))),
        levels_version=ctx.levels.version,
        agreement_sha256=agreement.sha256,
        agreement_series=terms.series,
        agreement_version=terms.version,
        partner=ctx.partner.org,
        partner_version=ctx.partner.version,
        justification=ctx.justification,
        request=ctx.request.id if ctx.request else "",
        lifts=ctx.lifts,
        reasons=decision.reasons,
        grounds=rests_on(ctx, decision),
        emergency=ctx.emergency,
    )


def valid_until(since: datetime, terms: AgreementTerms) -> datetime:
    """The instant at which an approval and its message expire."""
    return min(since + timedelta(days=DEFAULT_VALIDITY_DAYS), terms.not_after)


def _retention(ctx: Context, decision: Decision, since: datetime, days: int) -> str:
    """The last day of keeping: the agreement's, or that of a released field whose supplier announced an earlier one
    (Regulation (EU) 2024/982 art. 51). The strictest wins, for the message as a whole."""
    agreed = (since + timedelta(days=days)).date().isoformat()
    leaving = frozenset(decision.released)
    announced = [
        entry.label.retention_until
        for entry in ctx.record.labels
        if entry.pointer in leaving and entry.label is not None and entry.label.retention_until is not None
    ]
    return min((agreed, *announced))


class Go(msgspec.Struct, frozen=True):
    """Still permitted, as far as everything known now goes."""


class Void(msgspec.Struct, frozen=True):
    """Permitted once, not any more: why. Nothing about it ever leaves."""

    reasons: tuple[Reason, ...]

    @property
    def rule(self) -> str:
        """The first rule that speaks, for the release's row."""
        return self.reasons[0].rule if self.reasons else "recheck"


def recheck(prepared: Prepared, ctx: Context, policy: Policy, *, now: datetime) -> Go | Void:
    """Look again before every later step: enqueueing, sealing, and every attempt. Pure; never renders.

    (1) the approval has not expired; (2) the partner's entry, the agreement and the policy are those of the approval,
    and the grounds it names, no others in their place, hold; (3) the same rules over today's state (embargo, agreement,
    freshness, quota, clearance, consent) still permit, and every field that is in the bytes would still be released.
    """
    statement = msgspec.json.decode(prepared.statement, type=Statement)
    document = msgspec.json.decode(prepared.document, type=DecisionDocument)
    # (1)
    if parse_rfc3339(statement.not_after) <= now:
        return Void((house("approval.expired"),))
    # (2)
    if _entry_digest(ctx.partner) != statement.partner_keys or ctx.partner.stopped:
        return Void((house("partner.unchanged"),))
    if ctx.agreement is None or ctx.agreement.sha256 != document.agreement_sha256:
        return Void((house("agreement.unchanged"),))
    in_force = policy_in_force(policy.sha256, digest(canonical(ctx.settings)))
    if (document.policy_sha256, document.levels_version) != (in_force, ctx.levels.version):
        return Void((house("policy.unchanged"),))
    if withdrawn(document.grounds, ctx):
        return Void((house("ground.in-force"),))
    # (3)
    decision = decide(policy, ctx)
    if decision.effect != "PERMIT":
        return Void(decision.reasons)
    missing = set(prepared.decision.released) - set(decision.released)
    if missing:
        reasons = [
            Reason(
                field.rule, field.version, "DENY", field.source_kind, field.article, field.rule, field.pointer
            )
            for field in decision.withheld
            if field.pointer in missing
        ]
        return Void(tuple(reasons))
    return Go()


def four_eyes(requester: Officer, approver: Officer, document: DecisionDocument) -> Void | Go:
    """House rule: content leaves on two *persons'* word, a lifted field on a lift approver's."""
    if (
        requester.person == approver.person
        or "approver" not in approver.roles
        or "operator" in (*requester.roles, *approver.roles)
    ):
        return Void((house("four-eyes"),))
    if document.lifts and "lift-approver" not in approver.roles:
        return Void((house("four-eyes.lift"),))
    return Go()


@lru_cache(maxsize=64)
def _entry_digest(partner: Partner) -> str:
    """Of the RFC 8785 bytes of an entry; equal entries have equal digests. Each recheck asks for that of the one in
    force, and an entry with its keys has some kilobytes."""
    return digest(canonical(partner))


#: Every reason of this house beside the rules for which a release is denied or voided.
REASONS = (
    "format.lossless",
    "approval.expired",
    "partner.unchanged",
    "partner.stopped",
    "partner.unknown",
    "agreement.unchanged",
    "policy.unchanged",
    "ground.in-force",
    "record.unchanged",
    "four-eyes",
    "four-eyes.lift",
    "endorsement.in-force",
    "release.recalled",
    "queue.skipped",
    "emergency.unconfirmed",
    "emergency.overruled",
)


def house(rule: str) -> Reason:
    """A reason whose source is our own policy."""
    return Reason(rule, 1, "DENY", "house", HOUSE, rule)


def by_the_house(decision: Decision) -> bool:
    """Whether it was refused by the way of a message (a second answer, a form that loses a caveat), not by a rule."""
    return any(reason.article == HOUSE for reason in decision.reasons)


def _lossy(decision: Decision, lost: tuple[str, ...]) -> Decision:
    reasons = tuple(msgspec.structs.replace(house("format.lossless"), pointer=pointer) for pointer in lost)
    return msgspec.structs.replace(decision, effect="DENY", reasons=reasons)


def _require(agreement: AgreementState | None) -> AgreementState:
    if agreement is None:
        raise PolicyInvalid("the policy permitted a release without an agreement")
    return agreement


def assert_same_content(redacted: object, composed: object) -> None:
    """What was decided again and what was rendered must be one content: two roads, one result."""
    if canonical(redacted) != canonical(composed):
        raise PolicyInvalid("the redacted record and the composed message differ")
