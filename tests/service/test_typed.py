"""What officers type is looked at where it is handed in, whichever operation takes it, before anything is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import RequestInvalid
from gateway.flow.typed import MAX_TEXT
from gateway.model.request import Emergency, Lift
from gateway.model.rows import EntryRow
from gateway.service import calls
from gateway.service.calls.cases import PrepareCase
from gateway.service.calls.emergency import Informed
from gateway.service.calls.grounds import WithdrawGround
from gateway.service.calls.notices import PrepareNotice, RemoveRecord
from gateway.service.calls.oral import ProposeStrike
from gateway.service.calls.requests import AnswerRequest, CloseRequest
from gateway.service.calls.subjects import ProposeAct
from tests.service.world import BASIS, CLEAN, FR, PURPOSE, World


def _disclose(justification: str = "why", reason: str = "why", threat: str = "") -> calls.Disclose:
    claimed = Emergency(threat) if threat else None
    lifts = (Lift("/national_number", reason),)
    return calls.Disclose(CLEAN[0], (FR,), PURPOSE, BASIS, justification, "", lifts, claimed)


#: Operation, who calls it, its parameters with this text, and the field that an error names.
TYPED: dict[str, tuple[str, str, Callable[[str], calls.Params], str]] = {
    "justification": ("releases/prepare", "be-requester", _disclose, "justification"),
    "lift reason": (
        "releases/prepare", "be-requester", lambda text: _disclose("why", text), "lifts[0].reason"
    ),
    "threat": (
        "releases/prepare", "be-requester", lambda text: _disclose("why", "why", text), "emergency.threat"
    ),
    "preview": ("releases/preview", "be-requester", lambda text: _disclose("", text), "lifts[0].reason"),
    "reject": ("releases/reject", "be-approver", lambda text: calls.Ended("none", text), "reason"),
    "cancel": ("releases/cancel", "be-requester", lambda text: calls.Ended("none", text), "reason"),
    "recall": (
        "recalls/prepare", "be-approver", lambda text: calls.RecallMessage("none", "withdrawn", "", text),
        "justification",
    ),
    "case": (
        "cases/prepare", "be-requester",
        lambda text: PrepareCase("a", (CLEAN[0],), FR, PURPOSE, BASIS, text), "justification",
    ),
    "answer": (
        "requests/answer", "be-requester", lambda text: AnswerRequest("none", CLEAN[0], text), "justification"
    ),
    "close": (
        "requests/close", "be-requester",
        lambda text: CloseRequest("none", "no-information", "nothing", text), "justification",
    ),
    "removal": (
        "records/remove", "be-requester", lambda text: RemoveRecord(CLEAN[0], "false", text), "justification"
    ),
    "withdrawal": ("grounds/withdraw", "be-requester", lambda text: WithdrawGround("none", text), "reason"),
    "strike": ("strikes/propose", "be-requester", lambda text: ProposeStrike("none", text), "reason"),
    "link": ("subjects/link", "be-requester", lambda text: ProposeAct(CLEAN[0], CLEAN[1], text), "reason"),
    "rejected link": ("subjects/reject", "be-requester", lambda text: calls.Ended("none", text), "reason"),
    "informed": (
        "emergencies/informed", "be-requester", lambda text: Informed("none", "bel.vsse", text), "how"
    ),
    "change": ("notices/prepare", "be-requester", lambda text: PrepareNotice("none", text), "justification"),
}  # fmt: skip


@pytest.mark.parametrize("text", ["paid\u202eon", "x" * (MAX_TEXT + 1)], ids=["bidirectional", "too long"])
@pytest.mark.parametrize("name", TYPED)
async def test_a_text_that_is_not_as_it_looks_is_refused(world: World, name: str, text: str) -> None:
    """The field is named, and nothing is written, not even that somebody tried."""
    operation, officer, params, field = TYPED[name]
    before = len(world.be.rows(EntryRow))
    with pytest.raises(RequestInvalid) as caught:
        await world.be.call(officer, operation, params(text))
    assert caught.value.diagnostic == {"field": field}
    assert len(world.be.rows(EntryRow)) == before


@pytest.mark.parametrize(
    "name", [name for name in TYPED if name not in ("lift reason", "threat", "preview", "change")]
)
async def test_a_reason_that_is_asked_for_is_given(world: World, name: str) -> None:
    """An empty one, or spaces, is none. Of a lift and a threat the policy says so; a change has a reason of its own."""
    operation, officer, params, field = TYPED[name]
    for text in ("", " \n"):
        with pytest.raises(RequestInvalid, match="a text of 1 to 2000 characters") as caught:
            await world.be.call(officer, operation, params(text))
        assert caught.value.diagnostic == {"field": field}
