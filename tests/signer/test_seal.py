"""The signer signs nothing it should not: the honest batch is sealed, and every alteration of it is refused.

The closed table of alterations is in `alterations.py`; what binds single bytes and leaves is tested here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import checkpoint as notes
from gateway.audit.tree import InclusionProof, leaf_hash, verify_inclusion
from gateway.flow.change import digest
from gateway.model.message import DEMANDS
from gateway.model.signing import SealBatch
from gateway.wire.seal import verify_seal
from tests.policy.worlds import NOW, OURS, POLICE
from tests.signer.alterations import IAT, NOT_AFTER, TABLE
from tests.signer.attempts import CLASSIFIED, LIFT
from tests.signer.world import (
    CONVERSATION,
    LOG_VKEY,
    MESSAGE_ID,
    ORIGIN,
    authority,
    batch,
    disk,
    evidence_of,
    protocol,
    put,
    recanonical,
    refusal,
    release,
    signer_keys,
    with_evidence,
    with_head,
    with_request,
)


def test_the_honest_batch_is_sealed() -> None:
    """The seal verifies with our public keys, names what was asked, and its checkpoint covers the message's entry."""
    made, held = batch(), disk()
    answer = authority(held).seal(made)
    (result,), (item,) = answer.results, made.items
    evidence = verify_seal(
        result.jws, result.second, item.payload, signer_keys().records, profile="classic", now=NOW
    )
    header = evidence.header
    assert (header.iss, header.aud, header.jti, header.conv, header.seq) == (
        OURS,
        POLICE,
        MESSAGE_ID,
        CONVERSATION,
        1,
    )
    assert (header.typ, header.agreement) == ("ecluse-msg-disclosure+jws", item.agreement)
    head = notes.verify(header.checkpoint.encode(), [LOG_VKEY], origin=ORIGIN).checkpoint
    verify_inclusion(
        InclusionProof(item.entry_index, head.size, item.inclusion), leaf_hash(item.entry), head.root
    )
    assert answer.checkpoint.decode() == header.checkpoint
    assert held.writes == ["heads.json"], "the head is durable, and the trust untouched"


def test_sealing_again_gives_the_same_bytes() -> None:
    """A gateway that crashed after the answer asks again and gets the same seal."""
    made, held = batch(), disk()
    assert authority(held).seal(made) == authority(held).seal(
        msgspec.structs.replace(made, checkpoint=_again(made))
    )


def _again(made: SealBatch) -> Any:
    return msgspec.structs.replace(made.checkpoint, old_size=made.checkpoint.size)


def test_a_void_needs_no_officer() -> None:
    """The one protocol message that is sent is sealed with entry and proof alone."""
    assert refusal(protocol()) == ""


PROTOCOL = {name for name, demands in DEMANDS.items() if demands.message_class == "protocol"}


@pytest.mark.parametrize("type", sorted(PROTOCOL - {"void"}))
def test_what_nobody_sends_is_not_sealed(type: str) -> None:
    """Harmless as they are, protocol messages that this version never sends are no way out."""
    assert refusal(protocol(type)) == "request-invalid"


@pytest.mark.parametrize("created", ["2026-10-22T21:00:00Z", "2026-11-21T21:05:00Z"])
def test_a_void_that_waited(created: str) -> None:
    """A void may have waited in its lane for 30 days, and the gateway's clock may be 300 s ahead."""
    assert refusal(protocol(payload=put("created", created))) == ""


def test_an_entry_by_a_clock_that_is_ahead() -> None:
    """The log entry may be 300 s ahead of the signer's clock; one second more is in the table."""
    assert refusal(batch(entry={"at": NOW + timedelta(seconds=300)})) == ""


def test_a_lifted_field_leaves_with_a_lift_approver() -> None:
    """The honest lift, so that the refusal without a lift approver below has its opposite."""
    assert refusal(batch(release(LIFT))) == ""


def test_a_classified_release_leaves_with_two_cleared_officers() -> None:
    """The honest classified release, so that the refusals for lack of clearance below have their opposite."""
    assert refusal(batch(release(CLASSIFIED))) == ""


@pytest.mark.parametrize(
    "members", [{"iat": IAT - 300}, {"iat": IAT + 300}, {"exp": IAT + 1}, {"exp": NOT_AFTER}]
)
def test_times_within_their_limits(members: dict[str, int]) -> None:
    """The last second of each limit is inside: clocks 300 s apart, and a life as long as the approval."""
    assert refusal(with_request(batch(), **members)) == ""


def test_one_refused_message_does_not_hold_up_the_others() -> None:
    """A batch of a good, a bad and a good message: two seals and one code, under one head."""
    made = batch()
    (good,) = made.items
    bad = msgspec.structs.replace(
        good, evidence=msgspec.structs.replace(evidence_of(made), statement=b'{"v":"\xff"}')
    )
    results = authority(disk()).seal(msgspec.structs.replace(made, items=(good, bad, good))).results
    assert [result.code for result in results] == ["", "request-invalid", ""]
    assert [bool(result.jws) for result in results] == [True, False, True]


@pytest.mark.parametrize(("group", "name"), TABLE, ids=[f"{group}: {name}" for group, name in TABLE])
def test_alteration(group: str, name: str) -> None:
    """Every alteration is refused with its code, no seal comes with it, and the trust stays as it was."""
    code, make = TABLE[group, name]
    attempt = make()
    made, held = attempt if isinstance(attempt, tuple) else (attempt, disk())
    before = held.files["trust.json"]
    assert refusal(made, held) == code
    assert held.files["trust.json"] == before


# --- nothing is left out ---------------------------------------------------------------------------------------------


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of plain data with its dotted path; an empty container is a leaf."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    inner = [leaf for name, one in members for leaf in leaves(one, f"{path}.{name}" if path else str(name))]
    yield from inner or [(path, value)]


def other(value: Any) -> Any:
    """Another value of the same JSON type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return [*value, "x"] if isinstance(value, list) else f"{value}x"


DECIDED = dict(leaves(json.loads(evidence_of(batch()).decision)))
PARTNER = dict(leaves(json.loads(evidence_of(batch()).partner)))


@pytest.mark.parametrize("path", DECIDED)
def test_every_leaf_of_the_decision_is_bound(path: str) -> None:
    """Swapping any one leaf of the decision voids the approval, the digest in the statement swapped with it or not."""
    made = batch()
    swapped = recanonical(put(path, other(DECIDED[path]))(evidence_of(made).decision))
    assert refusal(with_evidence(made, decision=swapped)) == "signature-invalid"
    rebound = recanonical(put("decision_sha256", digest(swapped))(evidence_of(made).statement))
    assert refusal(with_evidence(made, decision=swapped, statement=rebound)) != ""


@pytest.mark.parametrize("path", PARTNER)
def test_every_leaf_of_the_partner_is_bound(path: str) -> None:
    """Swapping any one leaf of the partner's entry voids the approval; endorsed so, it is not the signer's entry."""
    made = batch()
    swapped = recanonical(put(path, other(PARTNER[path]))(evidence_of(made).partner))
    assert refusal(with_evidence(made, partner=swapped)) == "signature-invalid"
    signed = batch(statement=put("partner_keys", digest(swapped)))
    assert refusal(with_evidence(signed, partner=swapped)) == "conflict"


def test_the_table_names_every_member() -> None:
    """A member added to the statement, the request or the head needs its row in the table."""
    made = batch()
    proof = {"entry", "entry_index", "inclusion", "body_salt"}  # rows of the group "entry"
    for group, members in (
        ("statement", set(json.loads(evidence_of(made).statement))),
        ("request", set(made.items[0].__struct_fields__) - proof),
    ):
        assert members <= {name.split()[0].rstrip(",") for of, name in TABLE if of == group}


@pytest.mark.parametrize("type", sorted(set(DEMANDS) - PROTOCOL))
def test_no_other_type_leaves_without_evidence(type: str) -> None:
    """Whatever is not a protocol message needs people, also with the bytes of a harmless one."""
    assert refusal(protocol(type)) == "role-missing"


# --- bytes -----------------------------------------------------------------------------------------------------------

HONEST = batch()
FLIPPED = ("payload", "entry", "body_salt", "statement", "decision", "record", "partner", "inclusion", "root")


@given(st.sampled_from(FLIPPED), st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=120, deadline=None)
def test_any_flipped_byte_is_refused(where: str, position: int, mask: int) -> None:
    """No byte of what people signed, of what the log announced or of the proof can change."""

    def flip(raw: bytes) -> bytes:
        at = position % len(raw)
        return raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]

    made = HONEST
    item, evidence = made.items[0], evidence_of(made)
    if where in ("payload", "entry", "body_salt"):
        made = with_request(made, **{where: flip(getattr(item, where))})
    elif where == "record":
        made = with_evidence(made, records=(flip(evidence.records[0]),))
    elif where == "inclusion":
        made = with_request(made, inclusion=(item.inclusion[0], flip(item.inclusion[1]), *item.inclusion[2:]))
    elif where == "root":
        made = with_head(made, root=flip(made.checkpoint.root))
    else:
        made = with_evidence(made, **{where: flip(getattr(evidence, where))})
    assert refusal(made) != ""


@given(st.integers(0, 1), st.integers(0, 10**6), st.sampled_from("ABCxyz012-_.=é"))
@settings(max_examples=60, deadline=None)
def test_any_altered_character_of_an_endorsement_is_refused(which: int, position: int, sign: str) -> None:
    """A compact JWS has one spelling; no character of it can change."""
    made = HONEST
    tokens = list(evidence_of(made).endorsements)
    at = position % len(tokens[which])
    tokens[which] = tokens[which][:at] + sign + tokens[which][at + 1 :]
    if tuple(tokens) != evidence_of(HONEST).endorsements:
        assert refusal(with_evidence(made, endorsements=tuple(tokens))) != ""


@given(
    st.fixed_dictionaries(
        {},
        optional={name: st.binary(max_size=80) for name in ("statement", "decision", "partner")}
        | {"records": st.lists(st.binary(max_size=80), max_size=3).map(tuple)}
        | {"endorsements": st.lists(st.text(max_size=80), max_size=3).map(tuple)},
    ).filter(bool)
)
@settings(max_examples=50, deadline=None)
def test_arbitrary_evidence_is_refused_alone(members: dict[str, Any]) -> None:
    """Arbitrary bytes as evidence refuse one message with a code; they never fail the whole batch."""
    made = HONEST
    spoilt = with_evidence(made, **members).items[0]
    results = authority(disk()).seal(msgspec.structs.replace(made, items=(spoilt, made.items[0]))).results
    assert results[0].code
    assert not results[0].jws
    assert results[1].jws
