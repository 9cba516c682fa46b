"""The lifecycle is one closed table: what it lists happens, anything else raises and changes nothing."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Conflict
from gateway.flow.lifecycle import FINAL, TABLE, Event, State, picture, step

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)

#: The ways of a message, written out a second time: what a reviewer would draw from the protocol's text.
LEGAL: dict[tuple[State, Event], State] = {
    ("awaiting-endorsement", "endorse"): "awaiting-approval",
    ("awaiting-endorsement", "enqueue"): "queued",  # a coded message: one officer's word
    ("awaiting-endorsement", "void"): "voided",
    ("awaiting-endorsement", "cancel"): "cancelled",
    ("awaiting-approval", "approve"): "queued",
    ("awaiting-approval", "reject"): "rejected",
    ("awaiting-approval", "void"): "voided",
    ("awaiting-approval", "cancel"): "cancelled",
    ("queued", "sequence"): "sequenced",
    ("queued", "void"): "voided",
    ("queued", "cancel"): "cancelled",
    ("sequenced", "seal"): "sealed",
    ("sequenced", "void"): "withdrawn",
    ("sealed", "attempt"): "attempted",
    ("sealed", "void"): "withdrawn",
    ("attempted", "attempt"): "attempted",
    ("attempted", "accept"): "delivered",
    ("attempted", "refuse"): "refused",
    ("attempted", "void"): "withdrawn",
    ("refused", "attempt"): "attempted",  # a person sends it again
    ("refused", "void"): "withdrawn",
    ("delivered", "rewind"): "attempted",  # the partner lost it and asks from here on
    ("withdrawn", "accept"): "delivered",  # the partner had it after all
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_pair(state: State, event: Event) -> None:
    """Each of the pairs either is listed and leads where it should, or raises and leaves the table as it was."""
    before = copy.deepcopy(TABLE)
    if (state, event) in LEGAL:
        assert step(state, event) == LEGAL[state, event]
    else:
        with pytest.raises(Conflict):
            step(state, event)
    assert before == TABLE


@given(st.text(max_size=20), st.sampled_from(EVENTS))
def test_a_state_of_another_version_goes_nowhere(state: str, event: Event) -> None:
    """A row with a state this version does not know is a conflict, never a guess."""
    if state not in TABLE:
        with pytest.raises(Conflict):
            step(state, event)


def test_no_step_is_skipped() -> None:
    """No message is attempted that was not sealed, sealed without its number, queued without an approval."""
    for event, only in (
        ("approve", {"awaiting-approval"}),
        ("enqueue", {"awaiting-endorsement"}),
        ("sequence", {"queued"}),
        ("seal", {"sequenced"}),
        ("accept", {"attempted", "withdrawn"}),
        ("refuse", {"attempted"}),
    ):
        assert {state for state, events in TABLE.items() if event in events} == only


def test_nothing_is_cancelled_that_has_its_number() -> None:
    """From its number on, a message can only be withdrawn, and a partner sees that; before, it leaves no trace."""
    numbered = {"sequenced", "sealed", "attempted", "refused"}
    for state, events in TABLE.items():
        if "void" in events:
            assert (events["void"] == "withdrawn") == (state in numbered)
            assert ("cancel" in events) == (state not in numbered)


def test_every_state_is_reached_and_ends() -> None:
    """From the first state every other is reached, and from every state an end is."""

    def reached(start: State) -> set[State]:
        found, todo = {start}, [start]
        while todo:
            fresh = set(TABLE[todo.pop()].values()) - found
            found |= fresh
            todo += fresh
        return found

    assert reached("awaiting-endorsement") == set(STATES) == set(TABLE)
    assert {"rejected", "delivered", "withdrawn", "voided", "cancelled"} == FINAL
    assert all(reached(state) & FINAL for state in STATES)


def test_the_picture_shows_the_table() -> None:
    """Every transition is one line of the diagram, and there is no other line with an event."""
    lines = [line.strip() for line in picture().splitlines()[2:] if not line.endswith("[*]")]
    assert sorted(lines) == sorted(f"{state} --> {after}: {event}" for (state, event), after in LEGAL.items())
