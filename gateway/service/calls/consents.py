"""Calls about consents that travel: what partners ask of us, our answers, and theirs to what we asked."""

from __future__ import annotations

import msgspec

from gateway.model.message import Consent
from gateway.model.time import Instant
from gateway.service.calls import Params


class AnswerConsent(Params, frozen=True):
    """Prepare the answer to a partner's consent request, ``ID`` or ``ORG/ID``; ``until`` with a grant, and
    only with one."""

    request: str
    consent: Consent
    justification: str
    until: str = ""  # last day, YYYY-MM-DD


class AcceptConsent(Params, frozen=True):
    """Record as a ground what a partner's answer grants, through ``until``; empty: through the day it names."""

    answer: str  # message id, ``ID`` or ``ORG/ID``
    until: str = ""


class ConsentItem(msgspec.Struct, frozen=True):
    """A consent request received, for a list: no content."""

    sender: str
    message_id: str
    received_at: Instant
    release: str = ""  # of the answer that is on its way or was delivered
    state: str = ""  # of that release
