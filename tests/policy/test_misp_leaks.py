"""Four reports of users of MISP that something reached who should not have it: what happened there is denied here.

The reports are public (github.com/MISP/MISP/issues, numbers below); the words are ours. Two of them may have been
configuration, which is the lesson: what leaves must not hang on a rule that nobody can predict. The whole way through
the service is in ``tests/service/test_misp_leaks.py``.
"""

from typing import Any

import pytest

from gateway.model.agreement import AgreementTerms
from gateway.policy.decide import decide
from tests.policy.worlds import OURS, POLICY, leaving, world

#: Of another state than ours and the partner's; of the partner's state; and the partner's neighbour in a group.
ELSEWHERE, NEIGHBOUR, MEMBER = "nld.aivd-demo", "fra.other-demo", "deu.police-demo"


def denied(changes: dict[str, Any]) -> list[str]:
    """The rules that deny a release of this world; nothing leaves it."""
    ctx = world(changes)
    decision = decide(POLICY, ctx)
    assert (decision.effect, leaving(ctx)) == ("DENY", frozenset())
    assert decision.released == ()
    return [reason.rule for reason in decision.reasons]


# --- #3378: pushing everything went past the filters -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "value"),
    [("tlp", "RED"), ("purpose", ["border-control"]), ("no_foreign", True), ("level", "SECRET")],
)
@pytest.mark.parametrize("pointer", ["/names/1", "/threat", "/nationalities/0"])
def test_3378_a_blocked_item_of_a_record_that_may_leave_stays(pointer: str, mark: str, value: Any) -> None:
    """MISP #3378: a server had rules by tag. Pushing everything at once sent events that the rules let pass together
    with their attributes that the rules blocked. Here each item is asked by itself, however many records are sent."""
    assert pointer in leaving(world())
    assert leaving(world({f"labels.{pointer}.label.{mark}": value})) == leaving(world()) - {pointer}


def test_3378_what_is_blocked_throughout_is_not_sent_empty() -> None:
    """MISP #3378: with every item blocked nothing of the record is left, and the release is denied, not empty."""
    assert denied({"labels.*.label.tlp": "RED"}) == ["label.tlp"]


# --- #4200: an empty group reached everyone --------------------------------------------------------------------------


def test_4200_an_empty_release_list_reaches_nobody() -> None:
    """MISP #4200: an event shared with a group that had no members was reported to have reached every organisation
    connected. Empty names nobody: on every item it denies the release, on one item it withholds that item."""
    assert denied({"labels.*.label.releasable_to": []}) == ["label.releasable"]
    assert "/threat" not in leaving(world({"labels./threat.label.releasable_to": []}))


#: Lists of an agreement that say what may be sent under it, and the rule that denies when one is empty.
LISTS = {
    "purposes": "agreement.covers",
    "kinds": "agreement.covers",
    "formats": "format.common",
    "languages": "language.common",
    "recipient_kinds": "agreement.recipient-kind",
}


@pytest.mark.parametrize("name", LISTS)
def test_4200_an_empty_list_of_an_agreement_permits_nothing(name: str) -> None:
    """MISP #4200: there, no entry meant no limit. Each list of an agreement, emptied, denies by its own rule."""
    assert name in AgreementTerms.__struct_fields__
    empty: Any = {} if name == "recipient_kinds" else []
    assert denied({f"agreement.terms.{name}": empty}) == [LISTS[name]]


def test_4200_an_empty_group_of_those_who_share_permits_nothing_either() -> None:
    """MISP #4200: a group without members makes nobody a holder, and lets nobody receive more than before."""
    assert leaving(world({"settings.sharing": {"empty": []}})) == leaving(world())
    assert denied({"settings.sharing": {"empty": []}, "labels.*.label.releasable_to": []}) == [
        "label.releasable"
    ]


# --- #1720: who was not in the group received it ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "named", [[NEIGHBOUR], ["NLD"], [ELSEWHERE], [MEMBER, "BEL"], ["fra.police-dem"], ["fra"]]
)
def test_1720_who_is_not_named_receives_nothing(named: list[str]) -> None:
    """MISP #1720: an event for a group of three organisations could be pulled by a fourth that was connected to the
    same server. Being connected, of the same state, or spelled almost alike is not being named."""
    assert denied({"labels.*.label.releasable_to": named}) == ["label.releasable"]


def test_1720_a_connection_is_no_agreement() -> None:
    """MISP #1720: the fourth organisation had a connection and nothing else. An agreement with others denies."""
    others = {
        "agreement.terms.parties": [OURS, ELSEWHERE],
        "agreement.terms.recipient_kinds": {ELSEWHERE: "police"},
    }
    assert denied(others) == ["agreement.parties", "agreement.recipient-kind"]
    assert "agreement.in-force" in denied({"agreement": None})


# --- #2455: who received it passed it on -----------------------------------------------------------------------------


@pytest.mark.parametrize("consent", [[], [ELSEWHERE], [MEMBER], [NEIGHBOUR], ["FRA"]])
def test_2455_what_another_service_gave_us_goes_no_further_without_its_consent(consent: list[str]) -> None:
    """MISP #2455 asks that one organisation must not get what two others had given: onward sharing was decided by who
    held the data. Here an item of another state's service stays until it consented toward this very partner."""
    theirs = {"labels./threat.originator": ELSEWHERE, "labels./threat.consent": consent}
    assert leaving(world(theirs)) == leaving(world()) - {"/threat"}
    assert leaving(world({**theirs, "labels./threat.consent": ["fra.police-demo"]})) == leaving(world())


@pytest.mark.parametrize("originator", [OURS, ""])
def test_2455_one_of_several_originators_suffices_to_hold_it(originator: str) -> None:
    """MISP #2455: an item that we merged from our own and another's is the other's too; of unknown origin, nobody's."""
    mixed = {"labels./threat.originator": originator, "labels./threat.label.originators": [OURS, ELSEWHERE]}
    assert "/threat" not in leaving(world(mixed))


def test_2455_a_record_of_others_alone_is_denied() -> None:
    """MISP #2455: where everything came from others, the release is denied for that reason and no other."""
    assert denied({"labels.*.originator": ELSEWHERE}) == ["third-party"]
