"""The native format: composition, one encoding, closed per type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from gateway.errors import MalformedMessage, PartnerFault, RecordInvalid, SchemaViolation
from gateway.model.kind import load_kind
from gateway.model.label import LevelTable, SecurityLabel, dominates
from gateway.model.message import DEMANDS, Envelope, ExchangeMessage, Handling, PartLabel
from gateway.model.record import CanonicalRecord, FieldLabel, fields_of
from gateway.wire.ct_json import CtJson, compose, field_labels
from gateway.wire.strict import canonical, read_canonical
from tests.wire.parties import CONVERSATION, MESSAGE_ID, OURS, THEIRS

FORMAT = CtJson()
KIND = load_kind(schemas.load_json("records/bdc-person/1.0.json"))
KINDS = {KIND.name: KIND}
LEVELS = LevelTable("test", {"BEL": {"UNCLASSIFIED": 0, "RESTREINT": 1}})
REF = "p-9f31c07a5be24d18a6c0e7714b2d93f5"

ENVELOPE = Envelope(
    format="ct-exchange-json/1.0",
    type="disclosure",
    mode="operational",
    message_id=MESSAGE_ID,
    conversation=CONVERSATION,
    sender=OURS,
    recipient=THEIRS,
    created="2026-11-21T21:00:00Z",
    language="fr",
)
HANDLING = Handling("BE-OCAM", "police", "ct-prevention", "be-2024-03-29:art28", "2027-11-21", "none")
USUAL = SecurityLabel(
    "BEL",
    "UNCLASSIFIED",
    ("BEL", "FRA"),
    ("bel.ocam",),
    originator_control=True,
    handling_code=("H2",),
    tlp="AMBER",
)
STRICTER = msgspec.structs.replace(USUAL, originators=("bel.vsse",), handling_code=("H1", "H2"))

CONTENT: dict[str, Any] = {
    "category": {"code": "FTF", "criterion": "a"},
    "names": [
        {"type": "birth", "family": "Zzemo", "given": "Exemple", "script": "Latn", "quality": "high"},
        {"type": "alias", "text": "never to leave", "script": "Latn", "quality": "low"},
        {
            "type": "alias",
            "text": "إكزمبل",
            "script": "Arab",
            "quality": "low",
            "source_grade": "B",
            "info_grade": 3,
        },
    ],
    "sex": "M",
    "birth": [
        {"date": "1990-03", "precision": "month", "about": False, "place": "Fictiville", "country": "BEL"}
    ],
    "nationalities": ["BEL"],
    "documents": [{"type": "passport", "number": "XX0000001", "issuer": "BEL", "status": "stolen"}],
    "threat": {"level": 3, "date": "2026-10-01", "valid_until": "2027-04-01"},
    "source_grade": "A",
    "info_grade": 1,
    "national_number": "00.00.00-000.00",
    "health": {"text": "never to leave"},
}
RELEASED = (
    "/category",
    "/names/0",
    "/names/2",
    "/sex",
    "/birth/0",
    "/nationalities/0",
    "/documents/0",
    "/threat",
    "/source_grade",
    "/info_grade",
)

#: The payload of the specification, byte for byte.
EXPECTED = (
    '{"format":"ct-exchange-json/1.0","type":"disclosure","mode":"operational",'
    '"message_id":"5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11","conversation":"c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",'
    '"from":"bel.ocam","to":"fra.police-demo","created":"2026-11-21T21:00:00Z","language":"fr",'
    '"label":{"policy":"BEL","level":"UNCLASSIFIED","releasable_to":["BEL","FRA"],'
    '"originators":["bel.ocam","bel.vsse"],"originator_control":true,"handling_code":["H1","H2"],"tlp":"AMBER"},'
    '"handling":{"regime":"BE-OCAM","route":"police","purpose":"ct-prevention","legal_basis":"be-2024-03-29:art28",'
    '"retention_until":"2027-11-21","onward":"none"},'
    '"manifest":{"records":[{"part":"/records/0","kind":"bdc-person/1.0"}],"attachments":[]},'
    '"records":[{"ref":"p-9f31c07a5be24d18a6c0e7714b2d93f5","category":{"code":"FTF","criterion":"a"},'
    '"names":[{"family":"Zzemo","given":"Exemple","quality":"high","script":"Latn","type":"birth"},'
    '{"info_grade":3,"quality":"low","script":"Arab","source_grade":"B","text":"إكزمبل","type":"alias"}],'
    '"sex":"M","birth":[{"about":false,"country":"BEL","date":"1990-03","place":"Fictiville","precision":"month"}],'
    '"nationalities":["BEL"],"documents":[{"issuer":"BEL","number":"XX0000001","status":"stolen","type":"passport"}],'
    '"threat":{"date":"2026-10-01","level":3,"valid_until":"2027-04-01"},"source_grade":"A","info_grade":1}],'
    '"labels":[{"part":"/records/0","label":{"policy":"BEL","level":"UNCLASSIFIED","releasable_to":["BEL","FRA"],'
    '"originators":["bel.ocam"],"originator_control":true,"handling_code":["H2"],"tlp":"AMBER"}},'
    '{"part":"/records/0/names/1","label":{"policy":"BEL","level":"UNCLASSIFIED","releasable_to":["BEL","FRA"],'
    '"originators":["bel.vsse"],"originator_control":true,"handling_code":["H1","H2"],"tlp":"AMBER"}}]}'
).encode()


def record(
    content: dict[str, Any] = CONTENT, labels: dict[str, SecurityLabel | None] | None = None
) -> CanonicalRecord:
    """A record labelled `USUAL` throughout, apart from ``labels``."""
    plain = CanonicalRecord(
        KIND.name, "BDC-000001", OURS, datetime(2026, 11, 21, 20, tzinfo=UTC), "be-importer", content, ()
    )
    given: dict[str, SecurityLabel | None] = {"/names/2": STRICTER, **(labels or {})}
    entries = tuple(
        FieldLabel(field.pointer, given.get(field.pointer, USUAL), "record")
        for field in fields_of(plain, KIND)
    )
    return msgspec.structs.replace(plain, labels=entries)


def composed(released: tuple[str, ...] = RELEASED, **changes: Any) -> ExchangeMessage:
    return compose(ENVELOPE, HANDLING, [(REF, record(**changes), released)], KINDS, LEVELS)


def payload(**changes: Any) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(EXPECTED)
    return tree | changes


def test_the_payload_of_the_specification() -> None:
    """Composition and rendering give the documented bytes: re-numbered lists, labels, no trace of what stayed."""
    rendered = FORMAT.render(composed())
    assert rendered.payload == EXPECTED
    assert rendered.lost == ()
    assert FORMAT.parse(EXPECTED) == composed()


def test_a_record_from_its_canonical_bytes_renders_the_same() -> None:
    """The order of members in memory does not matter: the record's stored form gives the same payload."""
    stored = read_canonical(canonical(record()), CanonicalRecord)
    message = compose(ENVELOPE, HANDLING, [(REF, stored, RELEASED)], KINDS, LEVELS)
    assert FORMAT.render(message).payload == EXPECTED


def test_what_was_withheld_leaves_no_trace() -> None:
    """Changing, adding or removing withheld fields changes no byte of the payload."""
    for changed in (
        CONTENT | {"health": {"text": "something else, and longer"}, "national_number": "99"},
        CONTENT | {"financial": {"summary": "x"}},
        {member: value for member, value in CONTENT.items() if member not in ("health", "national_number")},
    ):
        assert FORMAT.render(composed(content=changed)).payload == EXPECTED
    names = [CONTENT["names"][0], CONTENT["names"][2]]
    shorter = composed(
        (*RELEASED[:2], "/names/1", *RELEASED[3:]),
        content=CONTENT | {"names": names},
        labels={"/names/1": STRICTER},
    )
    assert FORMAT.render(shorter).payload == EXPECTED


def test_labels_of_fields() -> None:
    """The nearest enclosing entry wins; the message label dominates every field's."""
    message = composed()
    labels = field_labels(message)
    assert labels["/records/0/names/1"] == STRICTER
    assert {label for pointer, label in labels.items() if pointer != "/records/0/names/1"} == {USUAL}
    fields = ["category", "names/0", "names/1", "sex", "birth/0", "nationalities/0", "documents/0", "threat"]
    assert list(labels) == [f"/records/0/{field}" for field in (*fields, "source_grade", "info_grade")]
    assert message.label is not None
    assert all(dominates(message.label, label, LEVELS) for label in labels.values())


def test_a_field_without_any_label_has_none() -> None:
    """Nothing is made up: without entries no field has a label."""
    assert field_labels(msgspec.structs.replace(composed(), labels=())) == {}


def test_two_records() -> None:
    """Each record opens with its own label; pointers name their record."""
    both = [(REF, record(), RELEASED), (REF[:-1] + "6", record(labels={"/names/2": USUAL}), RELEASED)]
    message = compose(ENVELOPE, HANDLING, both, KINDS, LEVELS)
    assert [entry.part for entry in message.labels] == ["/records/0", "/records/0/names/1", "/records/1"]
    assert FORMAT.parse(FORMAT.render(message).payload) == message


def test_equal_counts_take_the_first_label() -> None:
    """Of two labels equally frequent, the record's entry is that of the first field."""
    message = composed(("/category", "/names/0", "/names/2", "/sex"), labels={"/sex": STRICTER})
    assert message.labels[0] == PartLabel("/records/0", USUAL)
    assert [entry.part for entry in message.labels[1:]] == ["/records/0/names/1", "/records/0/sex"]


@pytest.mark.parametrize(
    ("released", "labels", "rule"),
    [
        (RELEASED, {"/sex": None}, "label.present"),
        (RELEASED, {"/sex": msgspec.structs.replace(USUAL, level="GEHEIM")}, "label.known"),
        (RELEASED, {"/category": msgspec.structs.replace(USUAL, policy="XXX")}, "label.known"),
        ((), {}, "released"),
        ((*RELEASED, "/names/3"), {}, "released"),
        ((*RELEASED, "/addresses/0"), {}, "released"),
        ((*RELEASED, "/names"), {}, "released"),
        ((*RELEASED, "/health"), {}, "class"),
    ],
)
def test_what_could_never_leave_is_not_composed(
    released: tuple[str, ...], labels: dict[str, SecurityLabel | None], rule: str
) -> None:
    """Unlabelled, unknown level, nothing, a field that is not there, class X: RecordInvalid with its rule."""
    with pytest.raises(RecordInvalid) as caught:
        composed(released, labels=labels)
    assert caught.value.rule == rule


def test_unknown_kinds_and_no_records_are_not_composed() -> None:
    """Without a kind, or without any record, there is no message."""
    with pytest.raises(RecordInvalid):
        compose(ENVELOPE, HANDLING, [(REF, record(), RELEASED)], {}, LEVELS)
    with pytest.raises(RecordInvalid):
        compose(ENVELOPE, HANDLING, [], KINDS, LEVELS)


def test_a_member_the_kind_does_not_know_is_not_composed() -> None:
    """A field outside the record's kind may never leave, labelled or not."""
    with pytest.raises(RecordInvalid) as caught:
        composed((*RELEASED, "/unknown"), content=CONTENT | {"unknown": "x"})
    assert caught.value.rule == "class"


@pytest.mark.parametrize("message_type", ["void", "status", "ping", "checkpoint"])
def test_protocol_messages_are_their_envelope(message_type: Any) -> None:
    """A protocol message holds its nine envelope members and nothing else."""
    message = ExchangeMessage(msgspec.structs.replace(ENVELOPE, type=message_type))
    raw = FORMAT.render(message).payload
    assert len(json.loads(raw)) == 9
    assert FORMAT.parse(raw) == message
    with pytest.raises(PartnerFault):
        FORMAT.parse(raw[:-1] + b',"note":"x"}')


@pytest.mark.parametrize(
    "message_type",
    sorted(DEMANDS.keys() - {"disclosure", "emergency", "void", "status", "ping", "checkpoint"}),
)
def test_types_of_another_form_are_refused(message_type: Any) -> None:
    """A disclosure under a type of another form, or one this version does not describe, is refused, in and out."""
    with pytest.raises(SchemaViolation):
        FORMAT.parse(
            json.dumps(payload(type=message_type), separators=(",", ":"), ensure_ascii=False).encode()
        )
    with pytest.raises(RecordInvalid):
        FORMAT.render(
            msgspec.structs.replace(composed(), envelope=msgspec.structs.replace(ENVELOPE, type=message_type))
        )


def altered(old: str, new: str) -> bytes:
    text = EXPECTED.decode()
    assert old in text
    return text.replace(old, new, 1).encode()


NOT_THE_ONE_ENCODING = {
    "space": altered('{"format":', '{ "format":'),
    "line feed at the end": EXPECTED + b"\n",
    "escape beyond need": altered("Zzemo", "\\u005azemo"),
    "escaped slash": altered("ct-exchange-json/1.0", "ct-exchange-json\\/1.0"),
    "escaped script": altered("إ", "\\u0625"),
    "members swapped in the envelope": altered(
        '"type":"disclosure","mode":"operational"', '"mode":"operational","type":"disclosure"'
    ),
    "members swapped in the record": altered(
        '"source_grade":"A","info_grade":1}', '"info_grade":1,"source_grade":"A"}'
    ),
    "members swapped in a field": altered('"code":"FTF","criterion":"a"', '"criterion":"a","code":"FTF"'),
    "ref last": altered('"ref":"p-9f31c07a5be24d18a6c0e7714b2d93f5",', "").replace(
        b'"info_grade":1}]', b'"info_grade":1,"ref":"p-9f31c07a5be24d18a6c0e7714b2d93f5"}]'
    ),
    "set unsorted": altered('["BEL","FRA"]', '["FRA","BEL"]'),
    "set empty": altered('"releasable_to":["BEL","FRA"],', '"releasable_to":[],'),
    "default written out": altered('"tlp":"AMBER"}', '"tlp":"AMBER","no_foreign":false}'),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_THE_ONE_ENCODING)
def test_second_spellings_are_refused(name: str) -> None:
    """The same message in other bytes is refused: spelling carries nothing."""
    with pytest.raises(MalformedMessage):
        FORMAT.parse(NOT_THE_ONE_ENCODING[name])


LABEL_ENTRY = EXPECTED.decode().partition('"labels":[')[2].partition(',{"part":"/records/0/names/1"')[0]
OUTSIDE_THE_SCHEMA = {
    "unknown member": altered('"language":"fr"', '"language":"fr","x":1'),
    "null member": altered('"language":"fr"', '"language":null'),
    "member missing": altered('"language":"fr",', ""),
    "another format": altered("ct-exchange-json/1.0", "ct-exchange-json/1.1"),
    "mode of nothing": altered('"operational"', '"production"'),
    "message id in capitals": altered("5f0c7f0e", "5F0C7F0E"),
    "sender no organisation": altered('"from":"bel.ocam"', '"from":"Zzemo Exemple"'),
    "sender with a line feed": altered('"from":"bel.ocam"', '"from":"bel.ocam\\n"'),
    "retention on no day": altered('"retention_until":"2027-11-21"', '"retention_until":"2027-02-30"'),
    "label retention on no day": altered('"tlp":"AMBER"', '"tlp":"AMBER","retention_until":"2027-13-01"'),
    "label with unknown axis": altered('"tlp":"AMBER"', '"tlp":"AMBER","eyes":"FVEY"'),
    "tlp unknown": altered('"tlp":"AMBER"', '"tlp":"WHITE"'),
    "regime unknown": altered('"regime":"BE-OCAM"', '"regime":"OTHER"'),
    "no label": altered('"handling"', '"hand"'),
    "attachment": altered('"attachments":[]', '"attachments":[{"name":"a1.jpg"}]'),
    "manifest names another part": altered('{"part":"/records/0","kind"', '{"part":"records/0","kind"'),
    "manifest longer than the records": altered(
        '"kind":"bdc-person/1.0"}]', '"kind":"bdc-person/1.0"},{"part":"/records/1","kind":"bdc-person/1.0"}]'
    ),
    "unknown kind": altered("bdc-person/1.0", "bdc-persons/1.0"),
    "kind that leads out of the package": altered("bdc-person/1.0", "../extracts/bdc/1.0"),
    "ref no pseudonym": altered("p-9f31c07a5be24d18a6c0e7714b2d93f5", "BDC-000001"),
    "class X member": altered('"info_grade":1}],', '"info_grade":1,"health":{"text":"Zzemo"}}],'),
    "unknown record member": altered('"info_grade":1}],', '"info_grade":1,"zzemo":"Zzemo"}],'),
    "value outside the kind": altered('"sex":"M"', '"sex":"Zzemo"'),
    "record without names": altered('"names":[', '"nothing":['),
    "no record label": altered(LABEL_ENTRY + ",", ""),
    "label of no part": altered('"part":"/records/0/names/1"', '"part":"/records/0/names/2"'),
    "label of an absent member": altered('"part":"/records/0/names/1"', '"part":"/records/0/contacts/0"'),
    "label of another record": altered('"part":"/records/0/names/1"', '"part":"/records/1"'),
    "label twice": altered('"labels":[', f'"labels":[{LABEL_ENTRY},'),
    "message an array": b"[]",
    "message a string": b'"ct-exchange-json/1.0"',
}


@pytest.mark.parametrize("name", OUTSIDE_THE_SCHEMA)
def test_outside_the_schema(name: str) -> None:
    """Each payload outside the closed schema is refused, and the refusal never holds a value of it."""
    with pytest.raises(SchemaViolation) as caught:
        FORMAT.parse(OUTSIDE_THE_SCHEMA[name])
    told = f"{caught.value} {dict(caught.value.diagnostic)}"
    assert "emo" not in told


def test_an_instant_that_does_not_exist() -> None:
    """A creation time on 31 February is malformed."""
    with pytest.raises(MalformedMessage):
        FORMAT.parse(altered("2026-11-21T21", "2026-02-31T21"))


def test_strict_json_comes_first() -> None:
    """Repeated members and floats are refused before any schema is asked."""
    for raw in (altered('{"format"', '{"format":"x","format"'), altered('"level":3', '"level":3.0')):
        with pytest.raises(MalformedMessage):
            FORMAT.parse(raw)


def test_render_refuses_what_it_could_not_read_back() -> None:
    """A message outside the format is our own fault, whatever is wrong with it."""
    replace, good = msgspec.structs.replace, composed()
    for broken in (
        replace(good, label=None),
        replace(good, handling=None),
        replace(good, labels=()),
        replace(good, records=()),
        replace(good, envelope=replace(ENVELOPE, language="")),
        replace(good, envelope=replace(ENVELOPE, created="2026-02-31T00:00:00Z")),
        replace(good, records=(replace(good.records[0], kind="other/1.0"),)),
        replace(good, records=(replace(good.records[0], content={"health": {"text": "Zzemo"}}),)),
        replace(good, records=(replace(good.records[0], content={"sex": "\ud800"}),)),
        replace(good, records=(replace(good.records[0], content={"sex": object()}),)),
    ):
        with pytest.raises(RecordInvalid) as caught:
            FORMAT.render(broken)
        assert "Zzemo" not in str(caught.value)


@given(st.binary(max_size=80) | st.sampled_from([EXPECTED[:cut] for cut in range(0, len(EXPECTED), 97)]))
def test_garbage_is_refused_in_one_way(raw: bytes) -> None:
    """Any bytes that are no payload are a PartnerFault, never another exception."""
    with pytest.raises(PartnerFault):
        FORMAT.parse(raw)


@settings(max_examples=150)
@given(st.data())
def test_a_flipped_bit_is_refused_or_means_something_else(data: st.DataObject) -> None:
    """After any single bit flip the payload is refused, or is the one encoding of another message."""
    raw = bytearray(EXPECTED)
    position = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[position // 8] ^= 1 << position % 8
    try:
        message = FORMAT.parse(bytes(raw))
    except PartnerFault:
        return
    assert message != composed()
    assert FORMAT.render(message).payload == bytes(raw)


LABELS = st.builds(
    SecurityLabel,
    policy=st.just("BEL"),
    level=st.sampled_from(["UNCLASSIFIED", "RESTREINT"]),
    releasable_to=st.lists(st.sampled_from(["BEL", "FRA", "fra.police-demo"]), max_size=3).map(tuple),
    originators=st.lists(st.sampled_from(["bel.ocam", "bel.vsse"]), max_size=2).map(tuple),
    originator_control=st.booleans(),
    handling_code=st.lists(st.sampled_from(["H0", "H1", "H2", "H3"]), max_size=3).map(tuple),
    tlp=st.sampled_from([None, "GREEN", "RED"]),
    purpose=st.sampled_from([None, (), ("ct-prevention",)]),
    retention_until=st.sampled_from([None, "2027-01-01"]),
    no_foreign=st.booleans(),
    embargo=st.booleans(),
    pap=st.sampled_from([None, "GREEN", "RED"]),
    legal_basis=st.sampled_from([None, (), ("be-2024-03-29:art28",)]),
    person=st.lists(st.sampled_from(["contact", "victim", "minor"]), max_size=2).map(tuple),
    caveat=st.sampled_from([(), ("DIFFUSION RESTREINTE",)]),
)


@settings(max_examples=60)
@given(
    st.sets(st.sampled_from(RELEASED[3:])), st.lists(LABELS, min_size=len(RELEASED), max_size=len(RELEASED))
)
def test_parse_undoes_render(chosen: set[str], labels: list[SecurityLabel]) -> None:
    """Any selection of fields under any labels survives; each keeps its label, under the high-water mark of all."""
    released = tuple(pointer for pointer in RELEASED if pointer in {*RELEASED[:3], *chosen})
    given_labels: dict[str, SecurityLabel | None] = dict(zip(RELEASED, labels, strict=True))
    message = composed(released, labels=given_labels)
    raw = FORMAT.render(message).payload
    assert FORMAT.parse(raw) == message
    assert list(field_labels(message).values()) == [given_labels[pointer] for pointer in released]
    assert message.label is not None
    assert all(dominates(message.label, label, LEVELS) for label in field_labels(message).values())
