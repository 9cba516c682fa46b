"""Rules are data: each names its source, when it applies, its condition and its effect.

XACML sense: where a rule applies and its condition is true, its effect holds; where either cannot be told, a DENY or
REVIEW rule denies and a PERMIT rule permits nothing. A policy is a list of such rules, hashed over its RFC 8785 bytes;
older versions load beside newer ones, so an old decision can be explained and replayed.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec
import rfc8785

from gateway.errors import PolicyInvalid
from gateway.model.decision import Effect, SourceKind
from gateway.model.kind import FieldSpec
from gateway.policy.document import read_json
from gateway.policy.expr import Ask, Const, Node, compile_rule, first_seen, parse_condition
from gateway.policy.facts import FACTS, FactSpec, Scope
from gateway.policy.facts.declare import MARK


class Rule(msgspec.Struct, frozen=True):
    """One rule. ``article`` ends with ``[M]`` where its source has not been read in its own text."""

    id: str
    version: int
    scope: Scope
    source_kind: SourceKind
    article: str
    applies: Node
    condition: Node
    effect: Effect
    message_id: str  # key of the explanation, looked up per language at display
    at: str = ""  # of a release rule: a fact that names the places at fault, one reason for each


class CompiledRule(msgspec.Struct, frozen=True, eq=False):
    """A rule with its questions as one function."""

    rule: Rule
    ask: Ask
    first: int  # what is seen by the fact it reads first: there is no asking from farther
    place: int  # among the rules of the policy
    at: FactSpec | None  # the fact that names the places at fault


#: A rule, and its answer as far as it is known: a truth, the fact at fault, or `Unseen`.
Told = tuple[CompiledRule, Any]

#: What is known of some rules' answers, and the rules of which nothing is known yet.
Parted = tuple[Sequence[Told], Sequence[CompiledRule]]


class Rules(tuple[CompiledRule, ...]):
    """Rules of one scope in order: those that can be asked from a mark, and the others; and of these what they say of
    each specification met, as far as it can be told in any world (`gateway.policy.decide`)."""

    far: tuple[CompiledRule, ...]
    close: tuple[CompiledRule, ...]
    near: dict[FieldSpec | None, Parted]

    def __new__(cls, rules: Iterable[CompiledRule]) -> "Rules":
        made = super().__new__(cls, rules)
        made.far = tuple(each for each in made if each.first <= MARK)
        made.close = tuple(each for each in made if each.first > MARK)
        made.near = {}
        return made


class Policy(msgspec.Struct, frozen=True):
    """A loaded policy: only `load_policy` makes one, so a `Policy` in hand is typed, complete and hashed."""

    rules: tuple[Rule, ...]
    sha256: str  # lower-case hex, over the RFC 8785 bytes of the whole document
    version: str
    release_rules: Rules
    field_rules: Rules


class _RuleDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    version: int
    scope: Scope
    source_kind: SourceKind
    article: str
    condition: Any
    effect: Effect
    message_id: str
    applies: Any = msgspec.field(default_factory=lambda: ["const", True])  # absent: always
    at: str = ""


class _PolicyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    note: str
    rules: tuple[_RuleDocument, ...]


def load_policy(raw: bytes, facts: Mapping[str, FactSpec] = FACTS) -> Policy:
    """Load a policy file. Raises `PolicyInvalid`; nothing is assumed in place of what is missing.

    (1) strict JSON in the closed shape; (2) at least one rule, every id once; (3) each tree typed over known facts, and
    the places at fault named by one; (4) compiled once; (5) hashed over RFC 8785.
    """
    # (1)
    content = read_json(raw, "policy")
    try:
        document = msgspec.convert(content, _PolicyDocument)
    except msgspec.ValidationError:
        raise PolicyInvalid("the policy does not have the shape of one") from None
    # (2)
    ids = [rule.id for rule in document.rules]
    if not ids:
        raise PolicyInvalid("a policy without rules is no policy")
    if len(set(ids)) != len(ids):
        raise PolicyInvalid("two rules of the policy have one id")
    # (3)
    rules = tuple(_rule(rule, facts) for rule in document.rules)
    # (4)
    compiled = [
        CompiledRule(
            rule,
            compile_rule(rule.applies, rule.condition, otherwise=rule.effect == "PERMIT"),
            first_seen(rule.condition if rule.applies == Const(True) else rule.applies),
            place,
            facts[rule.at] if rule.at else None,
        )
        for place, rule in enumerate(rules)
    ]
    return Policy(
        rules=rules,
        sha256=hashlib.sha256(rfc8785.dumps(content)).hexdigest(),  # (5)
        version=document.version,
        release_rules=Rules(each for each in compiled if each.rule.scope == "release"),
        field_rules=Rules(each for each in compiled if each.rule.scope == "field"),
    )


def _rule(document: _RuleDocument, facts: Mapping[str, FactSpec]) -> Rule:
    if not (document.id and document.article and document.message_id) or document.version < 1:
        raise PolicyInvalid("a rule must have an id, a version from 1, a source and a message")
    try:
        applies = parse_condition(document.applies, document.scope, facts)
        condition = parse_condition(document.condition, document.scope, facts)
    except PolicyInvalid as fault:
        raise PolicyInvalid(fault.detail, diagnostic={"rule": document.id}) from None
    places = facts.get(document.at)
    if document.at and (
        document.scope != "release" or places is None or (places.scope, places.type) != ("release", frozenset)
    ):
        raise PolicyInvalid("only a release fact names places", diagnostic={"rule": document.id})
    return Rule(
        id=document.id,
        version=document.version,
        scope=document.scope,
        source_kind=document.source_kind,
        article=document.article,
        applies=applies,
        condition=condition,
        effect=document.effect,
        message_id=document.message_id,
        at=document.at,
    )


def default_policy() -> Policy:
    """The policy shipped with the gateway: Belgian law, as read in the sources each rule names."""
    return load_policy(files("schemas").joinpath("policy/be-1.json").read_bytes())
