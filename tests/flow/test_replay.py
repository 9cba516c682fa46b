"""Replay as a function: a context comes back whole from what an entry keeps, and a case is compared with itself."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from gateway.errors import RequestInvalid
from gateway.flow.change import canonical
from gateway.flow.difference import differences
from gateway.flow.outbound import house
from gateway.flow.replay import (
    Candidate,
    Case,
    Considered,
    Gone,
    Replayed,
    compare,
    considered,
    context_of,
    outcome,
    read_terms,
    rules_in,
    under,
)
from gateway.model.agreement import SignedAgreement
from gateway.model.decision import Decision
from gateway.policy.context import Context, Settings
from gateway.policy.rules import load_policy
from gateway.wire.strict import b64url
from tests.policy.test_laws import restricted, restrictions, starting_points
from tests.policy.worlds import (
    FUSION_CENTRE,
    KIND,
    LEVELS,
    NOW,
    POLICY,
    policy_document,
    policy_without,
    world,
)

KINDS = {KIND.name: KIND}


def kept(ctx: Context) -> Considered:
    """What the entry keeps, as the store gives it back."""
    raw = msgspec.msgpack.encode(considered(ctx, POLICY, 3))
    return msgspec.msgpack.decode(raw, type=Considered)


def case(ctx: Context) -> Case:
    return Case("case", POLICY.sha256, ctx, outcome(POLICY, ctx))


@settings(max_examples=60, deadline=None)
@given(starting_points(), restrictions)
def test_a_context_comes_back_whole(changes: dict[str, Any], restriction: dict[str, Any]) -> None:
    """Equal to what it was, and so decided as it was: release, denial and all between; the record is not repeated."""
    ctx = world(restricted(changes, restriction))
    stored = kept(ctx)
    again = context_of(stored, ctx.record, KINDS, LEVELS)
    assert again == ctx
    assert compare(case(again), POLICY, Candidate(POLICY)) == (True, None)
    assert "Zzemo" not in str(stored)
    assert (stored.version, stored.policy_sha256) == (3, POLICY.sha256)


def test_what_this_version_cannot_say_is_gone() -> None:
    """Another table of levels, an unknown kind, a member that came or went, a value of another type: `Gone`."""
    ctx = world()
    stored = kept(ctx)
    other = msgspec.structs.replace(LEVELS, version="another")
    with pytest.raises(Gone):
        context_of(stored, ctx.record, KINDS, other)
    with pytest.raises(Gone):
        context_of(stored, ctx.record, {}, LEVELS)
    short = {name: value for name, value in stored.context.items() if name != "purpose"}
    for context in (short, {**stored.context, "more": 1}, {**stored.context, "purpose": 1}):
        with pytest.raises(Gone) as caught:
            context_of(msgspec.structs.replace(stored, context=context), ctx.record, KINDS, LEVELS)
        assert caught.value.cause == "other-version"


def test_a_difference_says_which_way() -> None:
    """A rule less permits the fusion centre's release, and the rule that had denied is named."""
    denied = case(world(FUSION_CENTRE))
    reproduced, difference = compare(
        denied, POLICY, Candidate(policy_without("bdc.recipient", "bdc.reference"))
    )
    assert reproduced
    assert difference is not None
    assert (difference.before, difference.after, difference.fields_removed) == ("DENY", "PERMIT", 0)
    assert difference.fields_added > 0
    assert "bdc.recipient" in difference.rules_removed
    assert compare(case(world()), POLICY, Candidate(policy_without("bdc.recipient"))) == (True, None)


def test_an_unknown_policy_compares_with_what_is_stored() -> None:
    """Nothing is reproduced then; without a candidate's policy there is nothing to ask."""
    one = case(world())
    assert compare(one, None, Candidate(POLICY)) == (False, None)
    with pytest.raises(Gone):
        compare(one, None, Candidate(settings=Settings()))
    other = msgspec.structs.replace(one, decision=outcome(POLICY, world(FUSION_CENTRE)))
    assert compare(other, POLICY, Candidate(POLICY)) == (False, None)


def test_terms_count_for_their_partner_alone_and_as_begun() -> None:
    """Another partner's terms change nothing; this one's count before they begin, and not after they end."""
    ctx = world()
    assert ctx.agreement is not None
    terms = ctx.agreement.terms
    foreign = msgspec.structs.replace(terms, parties=(ctx.our_org, "nld.other-demo"))
    assert under(Candidate(terms=foreign), ctx) == ctx
    later = msgspec.structs.replace(terms, not_before=NOW + timedelta(days=9))
    assert outcome(POLICY, under(Candidate(terms=later), ctx)).effect == "PERMIT"
    ended = msgspec.structs.replace(terms, not_after=NOW)
    assert outcome(POLICY, under(Candidate(terms=ended), ctx)).effect == "DENY"
    assert outcome(POLICY, under(Candidate(settings=Settings()), ctx)).effect == "DENY"
    raw = canonical(terms)
    assert read_terms(raw) == read_terms(canonical(SignedAgreement(b64url(raw), {}))) == terms
    for broken in (b"{}", b"\xff", canonical(SignedAgreement("e30", {}))):
        with pytest.raises(RequestInvalid):
            read_terms(broken)


def test_a_policy_that_never_rests_denies_here_too() -> None:
    """What is left must be a clean permit: a rule that withholds more each time is a denial, as in `prepare`."""
    document = policy_document()
    growing = {
        "id": "growing",
        "version": 1,
        "scope": "field",
        "source_kind": "house",
        "article": "synthetic",
        "condition": ["all", ["eq", ["fact", "field.pattern"], ["const", "/sex"]],
                      ["not", ["in", ["const", "addresses"], ["fact", "record.members"]]]],
        "effect": "DENY",
        "message_id": "class.X",
    }  # fmt: skip
    policy = load_policy(json.dumps({**document, "rules": [*document["rules"], growing]}).encode())
    decision = outcome(policy, world())
    assert (decision.effect, decision.reasons[0].rule) == ("DENY", "release.settled")


def test_a_refusal_outside_the_policy_is_no_policys_to_make_again() -> None:
    """A second answer, or a form that loses a caveat, was refused over a context that the policy permits."""
    ctx = world()
    refused = Decision("DENY", (house("reply.once"),), (), ())
    assert outcome(POLICY, ctx).effect == "PERMIT"
    with pytest.raises(Gone) as caught:
        compare(Case("case", POLICY.sha256, ctx, refused), POLICY, Candidate())
    assert caught.value.cause == "not-by-policy"


def test_pages_add_up() -> None:
    """Counts and lists; the rules most often spoken of come first."""
    _, difference = compare(
        case(world(FUSION_CENTRE)), POLICY, Candidate(policy_without("bdc.recipient", "bdc.reference"))
    )
    assert difference is not None
    page = Replayed(2, {"record-erased": 1}, ("a",), (difference,), {"partner-left": 1})
    both = page + page
    assert (both.causes, both.ended) == ({"record-erased": 2}, {"partner-left": 2})
    assert (both.cases, both.gone, both.unreproduced, len(both.differences)) == (4, 2, ("a", "a"), 2)
    assert rules_in(both.differences)["bdc.recipient"] == 2


def test_a_difference_of_documents_names_its_members() -> None:
    """Rules by their id, thresholds and terms by their member; what is equal is not there."""
    before = canonical(policy_document())
    dropped = canonical({**policy_document(), "rules": policy_document()["rules"][1:]})
    changed = differences("policy", before, dropped)
    assert {one.path.rsplit("/", 1)[0] for one in changed} == {"rules/agreement.in-force"}
    assert all(one.before and not one.after for one in changed)
    assert differences("policy", before, before) == ()
    (one,) = differences("settings", b'{"a":1,"b":{"c":2}}', b'{"a":1,"b":{"c":3}}')
    assert (one.path, one.before, one.after) == ("b/c", "2", "3")
    assert [(one.path, one.before) for one in differences("settings", b"", b'{"a":1}')] == [("a", "")]
    agreed = world().agreement
    assert agreed is not None
    old, new = (
        canonical(
            SignedAgreement(b64url(canonical(msgspec.structs.replace(agreed.terms, retention_days=days))), {})
        )
        for days in (365, 30)
    )
    (one,) = differences("agreement", old, new)
    assert (one.path, one.before, one.after) == ("retention_days", "365", "30")
    for kind, raw in (("agreement", b"{}"), ("policy", b"{}"), ("settings", b"[]"), ("settings", b"\xff")):
        with pytest.raises(RequestInvalid):
            differences(kind, raw, raw)
