"""Decide again what was decided once: the same world, under the documents of then or under others.

Pure. A decision is a function of its policy and its context, so its log entry keeps the context (`considered`), and
what would be otherwise under a candidate is computed, not guessed. What comes out names releases, entries, rules and
numbers, and nothing of what any record holds: not even which of its fields there are.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, get_type_hints

import msgspec

from gateway.errors import NotFound, RequestInvalid
from gateway.flow.change import canonical, digest
from gateway.flow.outbound import by_the_house
from gateway.model.agreement import AgreementState, AgreementTerms, SignedAgreement
from gateway.model.decision import Decision, Effect
from gateway.model.kind import RecordKind
from gateway.model.label import LevelTable
from gateway.model.record import CanonicalRecord
from gateway.policy.context import Context, Settings
from gateway.policy.decide import decide
from gateway.policy.redact import decide_again
from gateway.policy.rules import Policy
from gateway.wire.strict import b64url_decode

K = TypeVar("K", bound=str)

#: Members of a context that an entry does not repeat: the record has a body of its own, kinds and levels are shipped.
_KEPT_ELSEWHERE = frozenset({"record", "subject", "kind", "levels"})


#: Why a decision cannot be made again, by code; what ``policy replay`` counts, and says in words.
Cause = Literal[
    "detail-erased",  # the entry's own detail: with the key of somebody it is about
    "record-erased",  # the record it decided on, with its key
    "record-purged",  # that version is not held any more
    "no-context",  # another kind of release, or an entry of before contexts were kept
    "other-version",  # a kind, levels or facts that this version does not know
    "not-by-policy",  # refused by the way of a message
    "policy-unknown",  # the policy of then is not kept here, and no other was given
]

#: What has ended since, of a decision that is made again over what was then.
Ended = Literal["agreement-ended", "partner-left"]


class Gone(NotFound):
    """A decision that cannot be made again, and why."""

    def __init__(self, detail: str, cause: Cause) -> None:
        super().__init__(detail, diagnostic={"cause": cause})
        self.cause: Cause = cause


class Considered(msgspec.Struct, frozen=True):
    """What a decision looked at, as its log entry keeps it beside the record."""

    version: int  # of the record
    policy_sha256: str
    levels_version: str
    context: dict[str, Any]


class Case(msgspec.Struct, frozen=True):
    """A decision as it was made: by which policy, over what, with what outcome."""

    id: str  # of the release, or ``entry N`` of the master log
    policy_sha256: str
    ctx: Context
    decision: Decision


class Candidate(msgspec.Struct, frozen=True):
    """Documents to decide under; one that is None stays as it was for each case."""

    policy: Policy | None = None
    settings: Settings | None = None
    terms: AgreementTerms | None = None


class Difference(msgspec.Struct, frozen=True):
    """A case that the candidate decides otherwise: the rules that speak now and did not, or did and do not."""

    id: str
    partner: str
    before: Effect
    after: Effect
    fields_added: int
    fields_removed: int
    rules_added: tuple[str, ...]
    rules_removed: tuple[str, ...]


def considered(ctx: Context, policy: Policy, version: int) -> Considered:
    """What an entry keeps of a decision's context."""
    kept = {
        name: msgspec.to_builtins(getattr(ctx, name))
        for name in ctx.__struct_fields__
        if name not in _KEPT_ELSEWHERE
    }
    return Considered(version, policy.sha256, ctx.levels.version, kept)


def context_of(
    kept: Considered, record: CanonicalRecord, kinds: Mapping[str, RecordKind], levels: LevelTable
) -> Context:
    """The context as it was. Raises `Gone` when this version of the gateway cannot say what it was: another table
    of levels, an unknown kind, or a member that has come or gone since."""
    kind = kinds.get(record.kind)
    if kind is None or kept.levels_version != levels.version or kept.context.keys() - _hints().keys():
        raise Gone("this decision was made with a kind or levels of another version", "other-version")
    try:
        values = {name: msgspec.convert(value, _hints()[name]) for name, value in kept.context.items()}
        return Context(record=record, subject=record, kind=kind, levels=levels, **values)
    except (msgspec.ValidationError, TypeError):
        raise Gone("this decision was made with a context of another version", "other-version") from None


@cache
def _hints() -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(Context).items() if name not in _KEPT_ELSEWHERE}


def outcome(policy: Policy, ctx: Context) -> Decision:
    """What `prepare` decides before it renders anything: decide, redact, decide again on what is left."""
    decision = decide(policy, ctx)
    again = decide_again(policy, ctx, decision)
    return again if again.effect != "PERMIT" or again.obligations else decision


def under(candidate: Candidate, ctx: Context) -> Context:
    """The context as it would be under the candidate's thresholds and terms.

    Terms count where they are between us and this partner, as if both sides had signed them and they had begun: the
    question is what they say, not since when.
    """
    if candidate.settings is not None:
        ctx = msgspec.structs.replace(ctx, settings=candidate.settings)
    terms = candidate.terms
    if terms is not None and {*terms.parties} == {ctx.our_org, ctx.partner.org}:
        begun = msgspec.structs.replace(terms, not_before=min(terms.not_before, ctx.now))
        state = AgreementState(begun, digest(canonical(terms)), signed_ours=True, signed_theirs=True)
        ctx = msgspec.structs.replace(ctx, agreement=state)
    return ctx


def compare(case: Case, then: Policy | None, candidate: Candidate) -> tuple[bool, Difference | None]:
    """Decide a case again; ``then`` is the policy it was decided by, where that is still known.

    (1) under the documents of then: whether the same decision comes out, down to each field and reason; (2) under the
    candidate; (3) what is otherwise, against (1) where it could be had, and against what is stored where not. Raises
    `Gone` for a refusal that no policy made, so that none can make it again, and for a policy not known any more.
    """
    if by_the_house(case.decision):
        raise Gone("this was refused outside the policy", "not-by-policy")
    # (1)
    before = outcome(then, case.ctx) if then is not None else case.decision
    reproduced = then is not None and before == case.decision
    # (2)
    policy = candidate.policy or then
    if policy is None:
        raise Gone("the policy of this decision is not known any more", "policy-unknown")
    after = outcome(policy, under(candidate, case.ctx))
    # (3)
    return reproduced, _difference(case, before, after)


def _difference(case: Case, before: Decision, after: Decision) -> Difference | None:
    old, new = _leaving(before), _leaving(after)
    if (before.effect, old) == (after.effect, new):
        return None
    spoke, speak = _rules(before), _rules(after)
    return Difference(
        case.id,
        case.ctx.partner.org,
        before.effect,
        after.effect,
        len(new - old),
        len(old - new),
        tuple(sorted(speak - spoke)),
        tuple(sorted(spoke - speak)),
    )


def _leaving(decision: Decision) -> frozenset[str]:
    return frozenset(decision.released) if decision.effect == "PERMIT" else frozenset()


def _rules(decision: Decision) -> frozenset[str]:
    """The rules that deny, or await a person; of a permit, those that withhold fields too."""
    spoken = {reason.rule for reason in decision.reasons if reason.effect != "PERMIT"}
    return frozenset(spoken | {field.rule for field in decision.withheld if decision.effect == "PERMIT"})


def read_terms(document: bytes) -> AgreementTerms:
    """The terms of an agreement, signed by anybody or nobody yet, or the bare terms. Raises `RequestInvalid`."""
    try:
        signed = msgspec.json.decode(document, type=SignedAgreement)
        document = b64url_decode(signed.terms)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return msgspec.json.decode(document, type=AgreementTerms)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RequestInvalid("the agreement does not follow its schema") from None


class Replayed(msgspec.Struct, frozen=True):
    """What became of some cases. ``causes`` says of how many why they could not be decided again, and ``ended`` in how
    many partner or agreement are no more: those are decided over what was then."""

    cases: int = 0
    causes: dict[Cause, int] = {}
    unreproduced: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    ended: dict[Ended, int] = {}

    @property
    def gone(self) -> int:
        """Cases that could not be decided again."""
        return sum(self.causes.values())

    def __add__(self, other: "Replayed") -> "Replayed":
        return Replayed(
            self.cases + other.cases,
            _both(self.causes, other.causes),
            self.unreproduced + other.unreproduced,
            self.differences + other.differences,
            _both(self.ended, other.ended),
        )


def _both(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    return dict(sorted((Counter(one) + Counter(other)).items()))


def rules_in(differences: Collection[Difference]) -> dict[str, int]:
    """In how many differences each rule speaks now, or no longer; the most frequent first."""
    counts: dict[str, int] = {}
    for one in differences:
        for rule in (*one.rules_added, *one.rules_removed):
            counts[rule] = counts.get(rule, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
