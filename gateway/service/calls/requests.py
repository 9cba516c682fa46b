"""Calls about requests: what partners asked of us, and our one answer to each."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.message import RefusalGround
from gateway.model.request import Lift, Urgency
from gateway.model.time import Instant
from gateway.service.calls import InboxView, Params

#: Why no information is given (Directive (EU) 2023/977 art. 6(1)(a), (c) to (f)). It stays inside: the answer is the
#: same for each.
Silence = Literal["nothing", "withheld", "embargoed", "authorisation-refused", "inaccurate", "harmful"]


class AnswerRequest(Params, frozen=True):
    """Prepare the answer of one record to a request, ``ID`` or ``ORG/ID``."""

    request: str
    record: str
    justification: str
    legal_basis: str = ""
    lifts: tuple[Lift, ...] = ()


class CloseRequest(Params, frozen=True):
    """Prepare a coded answer to a request: a refusal with its ground, or no information, whose ground stays inside."""

    request: str
    type: Literal["no-information", "refusal"]
    ground: Silence | RefusalGround
    justification: str


class RequestItem(msgspec.Struct, frozen=True):
    """A request received, for a list: no content."""

    sender: str
    message_id: str
    conversation: str
    urgency: Urgency
    received_at: Instant
    due: Instant
    overdue: bool
    looked: bool  # a record was looked up for it: no refusal leaves any more
    answer: str = ""  # type of the answer that is on its way or was delivered
    release: str = ""
    state: str = ""  # of that release


class RequestView(msgspec.Struct, frozen=True):
    """A request received, as its bytes say."""

    request: RequestItem
    message: InboxView
