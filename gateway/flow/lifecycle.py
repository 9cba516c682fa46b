"""Everything that moves a message is in this table, and nowhere else.

Diagrams in the documentation and filters of pages come from it. An event a state does not list raises `Conflict` and
nothing happens.
"""

from __future__ import annotations

from typing import Literal

from gateway.errors import Conflict

State = Literal[
    "awaiting-endorsement",  # C1: prepared, the requester has not signed
    "awaiting-approval",  # C2
    "rejected",
    "queued",  # C3: approved, quota reserved, in its lane
    "sequenced",  # C4: recheck passed, seq allotted, entry committed
    "sealed",  # C5
    "attempted",  # at least one POST was started: the partner may have it
    "delivered",  # C6: receipt says accepted; a partner that lost it makes us rewind
    "refused",  # C6: receipt says refused; its number is still free there, so a person resends or skips
    "withdrawn",  # voided after its seq was allotted: a `void` carries the number, unless the partner had it after all
    "voided",  # voided before: no trace at the partner
    "cancelled",
]

Event = Literal[
    "endorse",
    "enqueue",  # one officer's endorsement is all it takes: a coded message, or an emergency approved orally
    "approve",
    "reject",
    "sequence",
    "seal",
    "attempt",
    "accept",
    "refuse",
    "void",
    "cancel",
    "rewind",
]

TABLE: dict[State, dict[Event, State]] = {
    "awaiting-endorsement": {
        "endorse": "awaiting-approval",
        "enqueue": "queued",
        "void": "voided",
        "cancel": "cancelled",
    },
    "awaiting-approval": {"approve": "queued", "reject": "rejected", "void": "voided", "cancel": "cancelled"},
    "queued": {"sequence": "sequenced", "void": "voided", "cancel": "cancelled"},
    "sequenced": {"seal": "sealed", "void": "withdrawn"},
    "sealed": {"attempt": "attempted", "void": "withdrawn"},
    "attempted": {"attempt": "attempted", "accept": "delivered", "refuse": "refused", "void": "withdrawn"},
    "rejected": {},
    "delivered": {"rewind": "attempted"},
    "refused": {"attempt": "attempted", "void": "withdrawn"},
    "withdrawn": {"accept": "delivered"},
    "voided": {},
    "cancelled": {},
}

#: States in which we are done with a message, unless a partner turns out to know better.
FINAL: frozenset[str] = frozenset(
    state for state, events in TABLE.items() if not events or state in ("delivered", "withdrawn")
)


def step(state: str, event: Event) -> State:
    """The state after the event; raises `Conflict` for one the table does not hold."""
    following = TABLE.get(state, {}).get(event)  # type: ignore[call-overload]
    if following is None:
        raise Conflict(f"a message that is {state} cannot {event}")
    return following  # type: ignore[no-any-return]


def picture() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> awaiting-endorsement: prepare"]
    lines += [
        f"    {state} --> {following}: {event}"
        for state, events in TABLE.items()
        for event, following in events.items()
    ]
    lines += [f"    {state} --> [*]" for state in TABLE if state in FINAL]
    return "\n".join(lines) + "\n"
