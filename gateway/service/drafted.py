"""The answer to one (record, partner), as the desk gives it."""

from __future__ import annotations

import msgspec

from gateway.model.decision import Decision
from gateway.service import calls


class Drafted(msgspec.Struct, frozen=True):
    """The answer to one (record, partner): a release to sign, or the decision that denies it."""

    partner: str
    decision: Decision
    release: str = ""
    statement: bytes = b""
    payload: bytes = b""
    message_id: str = ""
    conversation: str = ""

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
        )
