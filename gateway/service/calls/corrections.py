"""Parameters and answers of corrections, ours and those of partners."""

from __future__ import annotations

from gateway.model.message import CorrectionAction, CorrectionReason
from gateway.service.calls import Params


class CorrectMessage(Params, frozen=True):
    """Prepare the correction of one message of ours, by its id; the codes leave, the justification stays."""

    message: str
    action: CorrectionAction
    reason: CorrectionReason
    justification: str
    replaced_by: str = ""
