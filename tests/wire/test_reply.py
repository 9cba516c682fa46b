"""What asks and what answers on the wire: closed, one encoding, and a silence of one form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedMessage, RecordInvalid, SchemaViolation
from gateway.model.message import ANSWERING, Envelope, ExchangeMessage, Recall, RecordPart, Reply, type_of
from gateway.wire.ct_json import CtJson
from tests.wire.test_ct_json import ENVELOPE, composed

FORMAT = CtJson()
ASKED, OTHER = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01", "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
IDS = st.uuids(version=4).map(str)

#: The content of a request, as it may stand on the wire.
WISH: dict[str, Any] = {
    "urgency": {"class": "normal"},
    "asks": [{"fields": ["/names/*"], "kind": "bdc-person/1.0"}],
    "detail": "Where?",
    "purpose": {"facts": "Nothing that happened.", "offence": "invented"},
    "grounds": "An invented hint.",
    "language": "fr",
}


def envelope(type: Any) -> Envelope:
    return msgspec.structs.replace(ENVELOPE, type=type)


def request(type: Any = "request", kind: str = "information-request/1.0", **content: Any) -> ExchangeMessage:
    """A message of this type with the one record of a request."""
    whole = composed()
    wish = {name: value for name, value in (WISH | content).items() if value is not None}
    part = RecordPart("p-" + "1" * 32, kind, wish)
    reply = Reply(ASKED) if type == "answer" else None
    return ExchangeMessage(
        envelope(type), whole.label, whole.handling, (part,), whole.labels[:1], reply=reply
    )


SAID: list[tuple[Any, Reply]] = [
    ("no-information", Reply(ASKED)),
    *(
        ("refusal", Reply(ASKED, ground=ground))
        for ground in ("incomplete", "minor-offence", "outside-agreement", "outside-competence")
    ),
    ("consent-answer", Reply(ASKED, consent="granted")),
    ("consent-answer", Reply(ASKED, consent="granted", until="2027-01-01")),
    ("consent-answer", Reply(ASKED, consent="refused")),
]


# --- coded answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("type", "reply"), SAID)
def test_a_coded_answer_comes_back_as_it_was(type: Any, reply: Reply) -> None:
    """Envelope, id, code; nothing else, and one encoding."""
    message = ExchangeMessage(envelope(type), reply=reply)
    raw = FORMAT.render(message).payload
    assert FORMAT.parse(raw) == message
    assert list(msgspec.json.decode(raw)) == [
        *msgspec.json.decode(msgspec.json.encode(envelope(type))),
        *msgspec.to_builtins(reply),
    ]
    with pytest.raises(MalformedMessage):
        FORMAT.parse(raw[:-1] + b" }")


@given(st.lists(IDS, min_size=2, max_size=2, unique=True))
def test_silence_has_one_form(ids: list[str]) -> None:
    """Whatever it answers, `no-information` has one size, and bytes that differ in the id alone."""
    first, second = (
        FORMAT.render(ExchangeMessage(envelope("no-information"), reply=Reply(one))).payload for one in ids
    )
    assert first.replace(ids[0].encode(), ids[1].encode()) == second


@pytest.mark.parametrize(
    ("type", "reply"),
    [
        ("no-information", None),
        ("no-information", Reply("")),
        ("no-information", Reply("Zzemo Exemple")),
        ("no-information", Reply(ASKED.upper())),
        ("no-information", Reply(ENVELOPE.message_id)),
        ("no-information", Reply(ASKED, ground="incomplete")),
        ("no-information", Reply(ASKED, consent="refused")),
        ("refusal", Reply(ASKED)),
        ("refusal", Reply(ASKED, ground="embargoed")),  # type: ignore[arg-type]
        ("refusal", Reply(ASKED, ground="incomplete", consent="refused")),
        ("consent-answer", Reply(ASKED)),
        ("consent-answer", Reply(ASKED, consent="perhaps")),  # type: ignore[arg-type]
        ("consent-answer", Reply(ASKED, consent="refused", until="2027-01-01")),
        ("consent-answer", Reply(ASKED, consent="granted", until="2027-02-30")),
        ("consent-answer", Reply(ASKED, consent="granted", until="soon")),
        ("void", Reply(ASKED)),
        ("recall", Reply(ASKED)),
    ],
)
def test_a_coded_answer_of_another_form_is_refused(type: Any, reply: Reply | None) -> None:
    """No id, another's code, a day that does not exist: it is not rendered, for it would not be read."""
    with pytest.raises(RecordInvalid):
        FORMAT.render(ExchangeMessage(envelope(type), reply=reply))


@pytest.mark.parametrize("type", sorted({*ANSWERING} - {"answer"}))
def test_a_coded_answer_has_no_room_for_content(type: Any) -> None:
    """A record, a label, a reason or a recall beside the id is refused."""
    said = dict(SAID)[type] if type != "refusal" else Reply(ASKED, ground="incomplete")
    raw = FORMAT.render(ExchangeMessage(envelope(type), reply=said)).payload
    for member in (b'"reason":"Zzemo"', b'"records":[]', b'"label":{}', f'"recalls":"{OTHER}"'.encode()):
        with pytest.raises(SchemaViolation):
            FORMAT.parse(raw[:-1] + b"," + member + b"}")
    with pytest.raises(RecordInvalid):
        FORMAT.render(ExchangeMessage(envelope(type), reply=said, recall=Recall(OTHER, "withdrawn")))


# --- content that answers --------------------------------------------------------------------------------------------


def test_an_answer_names_its_request() -> None:
    """A disclosure with the id before its label; without the id, or with its own, it is none."""
    whole = composed()
    message = msgspec.structs.replace(whole, envelope=envelope("answer"), reply=Reply(ASKED))
    raw = FORMAT.render(message).payload
    assert FORMAT.parse(raw) == message
    names = list(msgspec.json.decode(raw))
    assert names[names.index("language") + 1 : names.index("label") + 1] == ["answers", "label"]
    for reply in (None, Reply(ENVELOPE.message_id), Reply(ASKED, ground="incomplete")):
        with pytest.raises(RecordInvalid):
            FORMAT.render(msgspec.structs.replace(message, reply=reply))
    with pytest.raises(RecordInvalid):
        FORMAT.render(msgspec.structs.replace(whole, reply=Reply(ASKED)))


# --- what asks -------------------------------------------------------------------------------------------------------


def test_a_request_carries_its_one_record() -> None:
    """Of its own kind, and it comes back as it was."""
    message = request()
    assert FORMAT.parse(FORMAT.render(message).payload) == message


@pytest.mark.parametrize("type", ["disclosure", "emergency", "answer", "consent-request"])
def test_no_other_type_carries_it(type: Any) -> None:
    """What asks leaves in the one type that asks."""
    with pytest.raises(RecordInvalid):
        FORMAT.render(request(type))


def test_a_request_carries_nothing_else() -> None:
    """Neither another kind, nor two records, nor none."""
    whole = composed()
    with pytest.raises(RecordInvalid):
        FORMAT.render(msgspec.structs.replace(whole, envelope=envelope("request")))
    message = request()
    twice = [
        *message.labels,
        msgspec.structs.replace(message.labels[0], part="/records/1"),
    ]
    with pytest.raises(RecordInvalid):
        FORMAT.render(msgspec.structs.replace(message, records=message.records * 2, labels=tuple(twice)))
    with pytest.raises(RecordInvalid):
        FORMAT.render(msgspec.structs.replace(message, records=(), labels=()))


@pytest.mark.parametrize(
    "content",
    [
        {"urgency": {"class": "at-once"}},
        {"urgency": {"class": "urgent-direct"}},
        {"asks": []},
        {"asks": None},
        {"asks": [{"fields": ["/*"], "kind": "bdc-person/1.0"}]},
        {"asks": [{"fields": ["/names/0"], "kind": "bdc-person/1.0"}]},
        {"asks": [{"fields": ["/names/*", "/names/*"], "kind": "bdc-person/1.0"}]},
        {"asks": [{"fields": ["/names/*"], "kind": "../bdc-person/1.0"}]},
        {"asks": [{"fields": ["/names/*"], "kind": "bdc-person/1.0"}] * 17},
        {"detail": ""},
        {"detail": "x" * 4001},
        {"detail": "hidden\u202e"},
        {"purpose": {"facts": "x"}},
        {"grounds": None},
        {"language": None},
        {"language": "FR"},
        {"persons": [{}]},
        {"persons": [{"role": "suspect", "adult": False}]},
        {"wish": "more"},
    ],
)
def test_a_request_of_another_form_is_refused(content: dict[str, Any]) -> None:
    """Each limit of its closed form."""
    with pytest.raises(RecordInvalid):
        FORMAT.render(request(**content))


def test_the_type_follows_from_the_kind() -> None:
    """Whatever version: a record that asks has one type, everything else is disclosed."""
    assert type_of("information-request/1.0") == type_of("information-request/2.7") == "request"
    assert type_of("consent-request/1.0") == "consent-request"
    assert type_of("bdc-person/1.0") == type_of("information-requests/1.0") == "disclosure"
