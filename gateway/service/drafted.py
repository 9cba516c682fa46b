"""What the desk is given to prepare a release, and what it gives back."""

from __future__ import annotations

import msgspec

from gateway.model.decision import Decision, IdleLift
from gateway.model.request import Emergency, Lift, Request
from gateway.model.rows import ReleaseRow
from gateway.service import calls
from gateway.service.calls.texts import FreeText
from gateway.service.contents import ReleaseBody


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reasons a liaison officer gives."""

    purpose: str
    legal_basis: str
    justification: str = ""
    lifts: tuple[Lift, ...] = ()
    request: Request | None = None
    emergency: Emergency | None = None
    case: str = ""  # name of the bulk case it belongs to


class Drafted(msgspec.Struct, frozen=True):
    """The answer to one (record, partner): a release to sign, or the decision that denies it."""

    partner: str
    decision: Decision
    release: str = ""
    statement: bytes = b""
    payload: bytes = b""
    message_id: str = ""
    conversation: str = ""
    texts: tuple[FreeText, ...] = ()
    idle: tuple[IdleLift, ...] = ()

    def view(self) -> calls.DecisionView:
        """As the desk shows it."""
        return calls.DecisionView(
            partner=self.partner,
            effect=self.decision.effect,
            reasons=self.decision.reasons,
            fields=self.decision.fields,
            release=self.release,
            message_id=self.message_id,
            conversation=self.conversation,
            statement=self.statement,
            payload=self.payload,
            texts=self.texts,
            idle_lifts=self.idle,
        )


class Shown(msgspec.Struct, frozen=True):
    """What an approver is shown: the exact bytes, and what they rest on."""

    row: ReleaseRow
    body: ReleaseBody
