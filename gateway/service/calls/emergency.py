"""Calls about emergencies: what was invoked is confirmed, reviewed, and told to whose consent was waived."""

from __future__ import annotations

import msgspec

from gateway.model.time import Instant
from gateway.service.calls import Params


class Reviewed(Params, frozen=True):
    """A review of these releases: ``upheld`` or ``not-upheld``, an endorsement over their statements, and why."""

    releases: tuple[str, ...]
    verdict: str
    reason: str
    endorsement: str


class Informed(Params, frozen=True):
    """An originator was informed, and how: by whom, by which means; the words stay inside."""

    release: str
    originator: str
    how: str


class EmergencyItem(msgspec.Struct, frozen=True):
    """An emergency that waits for something: ids and times, no content. ``state`` is ``open`` or ``overdue``.

    ``inform`` names the services that have not been informed yet; ``signer``: it is on the signer's own list too.
    """

    release: str
    partner: str
    message_id: str
    message_state: str
    requester: str
    oral_approver: str
    waived: tuple[str, ...]
    at: Instant
    state: str
    confirm_by: Instant | None
    confirmed_at: Instant | None
    review_by: Instant
    reviewed_at: Instant | None
    verdict: str
    inform: tuple[str, ...]
    signer: bool


class ReviewOutcome(msgspec.Struct, frozen=True):
    """What a review leaves to be done: a message that the partner may have can only be recalled."""

    release: str
    partner: str
    message_id: str
    verdict: str
    recall: bool
