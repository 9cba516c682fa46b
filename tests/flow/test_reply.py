"""Whether a coded answer may leave, and that nothing of its reasons is in the bytes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.flow.coded import PreparedCoded, recheck_coded
from gateway.flow.outbound import Draft, Go, Refused
from gateway.flow.reply import REASONS, Asked, prepare_reply
from gateway.model.agreement import AgreementState
from gateway.model.decision import ConsentAbout, ReplyDocument, Statement
from gateway.model.message import ANSWERING, DEMANDS, Reply
from gateway.policy.explain import messages
from gateway.wire.ct_json import CtJson
from tests.policy.worlds import FUSION, NOW, OURS, POLICE, world

ASKED = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01"
OTHER = "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
SLOT = NOW + timedelta(minutes=15)
DRAFT = Draft(
    "release-9",
    "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "operational",
    bytes(32),
    at=SLOT,
)
SILENT = ("no-information", Reply(ASKED))
REFUSED = ("refusal", Reply(ASKED, ground="incomplete"))
ABOUT = ConsentAbout("release-1", OTHER, "record-1", "bdc-person/1.0", ("/threat",), "ct-prevention", "")
GRANTED = ("consent-answer", Reply(ASKED, consent="granted", until="2027-01-01"))


def agreement(**changes: Any) -> AgreementState:
    agreed = world().agreement
    assert agreed is not None
    terms = {name: changes.pop(name) for name in list(changes) if name in agreed.terms.__struct_fields__}
    return msgspec.structs.replace(agreed, terms=msgspec.structs.replace(agreed.terms, **terms), **changes)


def prepared(said: Any = SILENT, **changes: Any) -> PreparedCoded | Refused:
    kind, reply = said
    members: dict[str, Any] = {
        "asked": Asked(ASKED, POLICE, ANSWERING[kind]),
        "message_type": kind,
        "reply": reply,
        "draft": DRAFT,
        "ours": OURS,
        "requester": "be-requester",
        "partner": world().partner,
        "agreement": agreement(),
        "language": "fr",
        "justification": "nothing: synthetic",
        "repeated": False,
        "now": NOW,
        "about": ABOUT,
    }
    return prepare_reply(**members | changes)


def permitted(said: Any = SILENT, **changes: Any) -> PreparedCoded:
    made = prepared(said, **changes)
    assert isinstance(made, PreparedCoded)
    return made


@pytest.mark.parametrize("said", [SILENT, REFUSED, GRANTED])
def test_an_id_and_a_code_are_frozen(said: Any) -> None:
    """The bytes say the type, the id and the code; time and end of validity are those of the slot."""
    made = permitted(said)
    message = CtJson().parse(made.payload)
    assert (message.envelope.type, message.reply) == said
    assert message.envelope.created == "2026-11-21T21:15:00Z"
    assert made.not_after == SLOT + timedelta(days=30)
    statement = msgspec.json.decode(made.statement, type=Statement)
    assert (statement.requester, statement.message_id) == ("be-requester", DRAFT.message_id)
    assert msgspec.json.decode(made.document, type=ReplyDocument).reply == said[1]


def test_what_led_to_it_is_not_in_the_bytes() -> None:
    """Another justification, another second of the same slot, another officer: the same bytes."""
    plain = permitted()
    other = permitted(
        justification="embargoed: " + "a long reason " * 40,
        requester="be-approver",
        now=NOW + timedelta(minutes=14),
        looked=True,
    )
    assert plain.payload == other.payload
    assert plain.not_after == other.not_after
    assert plain.document != other.document


@pytest.mark.parametrize(
    ("said", "changes", "rules"),
    [
        (SILENT, {"agreement": None}, ["coded.agreement"]),
        (SILENT, {"agreement": agreement(revoked=True)}, ["coded.agreement"]),
        (SILENT, {"agreement": agreement(formats=())}, ["coded.agreement"]),
        (SILENT, {"agreement": agreement(not_after=NOW)}, ["coded.agreement"]),
        (SILENT, {"asked": Asked(ASKED, FUSION, "request")}, ["reply.question"]),
        (SILENT, {"asked": Asked(ASKED, POLICE, "disclosure")}, ["reply.question"]),
        (SILENT, {"asked": Asked(ASKED, POLICE, "consent-request")}, ["reply.question"]),
        (SILENT, {"asked": Asked(OTHER, POLICE, "request")}, ["reply.question"]),
        (GRANTED, {"asked": Asked(ASKED, POLICE, "request")}, ["reply.question"]),
        (SILENT, {"repeated": True}, ["reply.once"]),
        (GRANTED, {"about": None}, ["consent.release"]),
        (GRANTED, {"against": ("consent.recalled", "embargo")}, ["consent.recalled", "embargo"]),
        (REFUSED, {"looked": True}, ["reply.looked"]),
        (REFUSED, {"looked": True, "repeated": True}, ["reply.once", "reply.looked"]),
        (SILENT, {"message_type": "answer"}, []),
        (SILENT, {"message_type": "disclosure"}, ["reply.question"]),
    ],
)
def test_what_denies(said: Any, changes: dict[str, Any], rules: list[str]) -> None:
    """Each reason alone, and together; a type that is no coded answer is refused whatever it answers."""
    answer = prepared(said, **changes)
    assert isinstance(answer, Refused)
    assert answer.decision.effect == "DENY"
    assert [reason.rule for reason in answer.decision.reasons] == rules


@pytest.mark.parametrize("said", [SILENT, GRANTED])
def test_a_look_denies_a_refusal_alone(said: Any) -> None:
    """What says nothing of what exists may follow a look, and its bytes do not tell that there was one."""
    assert permitted(said, looked=True).payload == permitted(said, looked=False).payload


def test_every_reason_has_its_sentence() -> None:
    """None of them is left unexplained."""
    assert set(REASONS) <= set(messages())


def test_looking_again() -> None:
    """The same second look as for every coded message: partner, agreement, expiry."""
    made = permitted()

    def verdict(**changes: Any) -> object:
        members: dict[str, Any] = {
            "partner": world().partner,
            "agreement": agreement(),
            "ours": OURS,
            "now": NOW,
        }
        return recheck_coded(made.statement, made.document, **members | changes)

    assert verdict() == Go()
    for changes in (
        {"partner": None},
        {"agreement": agreement(sha256="1" * 64)},
        {"now": SLOT + timedelta(days=30)},
    ):
        assert verdict(**changes) != Go()


def test_each_coded_answer_is_of_the_coded_class() -> None:
    """`answer` is content; the others are an id and a code."""
    classes = {name: DEMANDS[name].message_class for name in ANSWERING}
    assert classes == {
        "answer": "content-bearing",
        "no-information": "coded",
        "refusal": "coded",
        "consent-answer": "coded",
    }
