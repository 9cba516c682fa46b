"""Notes: JSON lines keep the contract of every record adapter; e-mail files are read strictly, and never labelled."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from adapters.records.note import mail
from adapters.records.note.lines import NoteLines
from adapters.records.note.mail import NoteMail
from adapters.records.note.record import KIND
from gateway.errors import RecordInvalid, RequestInvalid
from gateway.guard.allow import allow_list
from gateway.model.kind import load_kind
from gateway.model.record import CanonicalRecord
from gateway.ports import RecordAdapter
from gateway.service.signer_main import kinds
from tests.contracts.record_adapter import RecordAdapterContract, Spoiled

LABEL = {"policy": "BEL", "level": "UNCLASSIFIED", "releasable_to": ["FRA"]}
MARKER = "Zzubiquist"


def line(number: int, **content: Any) -> dict[str, Any]:
    """A synthetic note with its title and first fact labelled."""
    return {
        "id": f"NOTE-{number}",
        "written_at": "2026-11-21T20:00:00Z",
        "originator": "bel.ocam",
        "labels": [{"pointer": "/title", "label": LABEL}, {"pointer": "/facts/0", "label": LABEL}],
        "content": {
            "title": f"Crossing {number}",
            "facts": [
                {"text": "crossed at 04:10, expect him in Lille", "source_grade": "B", "info_grade": 2}
            ],
            "language": "en",
            **content,
        },
    }


def file_of(*lines: object) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines)


def spoil(change: Callable[[dict[str, Any]], object], pointer: str, rule: str) -> Spoiled:
    """Four notes of which the second is spoiled, and holds the marker."""
    notes = [line(number) for number in range(1, 5)]
    notes[1]["content"]["facts"].append({"text": MARKER})
    change(notes[1])
    return Spoiled(file_of(*notes), 2, pointer, rule, MARKER)


class TestNoteLines(RecordAdapterContract):
    """`adapters.records.note.lines`."""

    good = file_of(
        line(1),
        line(2, persons=[{"role": "witness", "names": ["Zzemo"], "adult": True}], mentions=["BDC-000001"]),
        line(3, assessments=[{"text": "travels alone", "info_grade": 4}], originator="bel.ocam"),
    )
    spoiled = (
        spoil(lambda note: note["content"].update({MARKER: MARKER}), "", "additionalProperties"),
        spoil(lambda note: note["content"].update(attachments=[MARKER]), "", "additionalProperties"),
        spoil(
            lambda note: note.update(label=LABEL), "", "additionalProperties"
        ),  # none of the note as a whole
        spoil(lambda note: note["content"].pop("title"), "/title", "required"),
        spoil(lambda note: note["content"].update(language="english"), "/language", "pattern"),
        spoil(lambda note: note["content"].update(title=f"{MARKER}\u202e"), "/title", "text.control"),
        spoil(lambda note: note["content"].update(title=f"{MARKER}\n"), "/title", "text.control"),
        spoil(
            lambda note: note["content"]["facts"][0].update(source_grade="E"), "/facts/*/source_grade", "enum"
        ),
        spoil(lambda note: note["content"]["facts"][0].update(text="x" * 4001), "/facts/*/text", "maxLength"),
        spoil(lambda note: note["content"].update(persons=[{"role": MARKER}]), "/persons/*/role", "enum"),
        spoil(
            lambda note: note["content"].update(
                persons=[{"role": "suspect", "birth": {"date": "1990-02-30", "precision": "day"}}]
            ),
            "/persons/*/birth/date",
            "date.precision",
        ),
        spoil(lambda note: note.update(id="NOTE-1"), "/id", "duplicate-id"),
        spoil(lambda note: note.update(written_at="2026-02-30T00:00:00Z"), "/written_at", "format"),
        spoil(
            lambda note: note["labels"].append({"pointer": "/facts/7", "label": LABEL}),
            "/labels/*/pointer",
            "label.pointer",
        ),
        spoil(
            lambda note: note["labels"].append({"pointer": "/title", "label": LABEL}),
            "/labels/*/pointer",
            "label.duplicate",
        ),
    )

    def adapter(self) -> RecordAdapter:
        """For a named officer."""
        return NoteLines("bel.ocam", "bel.ocam.officer-1")


def note(content: dict[str, Any], labels: list[dict[str, Any]]) -> CanonicalRecord:
    """The record of one good line."""
    given_line = line(1) | {"content": content, "labels": labels}
    (found,) = NoteLines("bel.ocam", "officer").read(file_of(given_line))
    assert isinstance(found, CanonicalRecord), found
    return found


def test_nothing_has_a_label_that_nobody_gave() -> None:
    """There is no default: an item that is not named is unlabelled, beside others that are labelled."""
    record = note(line(1)["content"], [{"pointer": "/facts/0", "label": LABEL}])
    assert [(entry.pointer, entry.source) for entry in record.labels] == [
        ("/title", "none"), ("/facts/0", "item"), ("/language", "none"),
    ]  # fmt: skip


def test_the_role_of_a_person_joins_the_label() -> None:
    """A label is made stricter by it, and keeps whom else it names; an unlabelled person stays unlabelled."""
    content = line(1, persons=[{"role": "victim"}, {"role": "witness"}])["content"]
    labels = [{"pointer": "/persons/0", "label": {**LABEL, "person": ["minor"]}}]
    marks = {entry.pointer: entry.label for entry in note(content, labels).labels}
    assert marks["/persons/0"] is not None
    assert marks["/persons/0"].person == ("minor", "victim")
    assert marks["/persons/1"] is None


def test_the_samples_are_read() -> None:
    """The lines land, one item of the last unlabelled; the e-mail lands, all of it unlabelled."""
    folder = Path(__file__).resolve().parents[2] / "adapters" / "records" / "samples"
    lines = list(NoteLines("bel.ocam", "officer").read((folder / "note.jsonl").read_bytes()))
    assert [each for each in lines if isinstance(each, RecordInvalid)] == []
    unlabelled = [entry.pointer for each in lines if isinstance(each, CanonicalRecord)
                  for entry in each.labels if entry.label is None]  # fmt: skip
    assert unlabelled == ["/facts/0"]
    assert content((folder / "note.eml").read_bytes())["title"] == "Crossing at night"


def test_notes_need_an_officer() -> None:
    """Without the organisation or the officer who answers for it, nothing is read."""
    for given_names in (("", "officer"), ("bel.ocam", "")):
        with pytest.raises(RequestInvalid):
            NoteLines(*given_names)


def test_guard_and_kinds_call_the_same_members_free_text() -> None:
    """The guard's list and the marks of the shipped kinds are one; codes that the policy skips, the guard skips, too,
    or they are too short to be looked for."""
    allow = allow_list("ct-exchange-json/1.0")
    specs = [spec for kind in kinds().values() for spec in kind.fields.values()]
    assert frozenset().union(*(spec.texts for spec in specs)) == allow.free_text
    codes = frozenset().union(*(spec.codes for spec in specs))
    assert codes - allow.closed_vocabularies == {"list", "of", "sex", "subject"}


# --- e-mail ----------------------------------------------------------------------------------------------------------

HEAD = "From: x@exemple.invalid\nSubject: Crossing\nDate: Sat, 21 Nov 2026 21:00:00 +0100\n"
BODY = "crossed at 04:10,\nexpect him in Lille\n"


def read(raw: str | bytes) -> CanonicalRecord | RecordInvalid:
    """The one outcome of a file."""
    (found,) = NoteMail("bel.ocam", "officer").read(raw if isinstance(raw, bytes) else raw.encode())
    return found


def content(raw: str | bytes) -> dict[str, Any]:
    found = read(raw)
    assert isinstance(found, CanonicalRecord), (found.rule, found.pointer)
    return found.content


def test_an_e_mail_becomes_an_unlabelled_note() -> None:
    """Subject, text and time, and no more; nothing is labelled; the same bytes are the same note."""
    record = read(f"{HEAD}Content-Language: en\n\n{BODY}")
    assert isinstance(record, CanonicalRecord)
    assert record.content == {"title": "Crossing", "facts": [{"text": BODY.strip()}], "language": "en"}
    assert {entry.label for entry in record.labels} == {None}
    assert record.extracted_at.isoformat() == "2026-11-21T20:00:00+00:00"
    assert record == read(f"{HEAD}Content-Language: en\n\n{BODY}")
    assert "exemple" not in json.dumps(record.content)


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        ("Content-Type: text/plain; charset=utf-8\n", "été".encode(), "été"),
        ('Content-Type: text/plain;\n charset="ISO-8859-1"; format=flowed\n', "été".encode("latin-1"), "été"),
        ("Content-Transfer-Encoding: base64\n", base64.encodebytes(b"plain " * 40), ("plain " * 40).strip()),
        (
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n",
            b"=C3=A9t=C3=A9=\n is over",
            "été is over",
        ),
    ],
)
def test_what_is_plain_text_is_read(head: str, body: bytes, text: str) -> None:
    """Known charsets and transfer encodings, folded lines of the head, lines that end in CRLF or LF."""
    raw = (HEAD + head + "\n").encode() + body
    assert content(raw)["facts"] == [{"text": text}]
    assert content(raw.replace(b"\n", b"\r\n"))["facts"] == [{"text": text}]


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ("=?utf-8?B?w6l0w6k=?= =?iso-8859-1?Q?_caf=E9?= now", "été café now"),
        ("plain =?us-ascii?q?and_coded?=", "plain and coded"),
    ],
)
def test_a_coded_subject_is_read(subject: str, title: str) -> None:
    """RFC 2047, both encodings; blanks between two coded words are none."""
    assert content(f"Subject: {subject}\nDate: Sat, 21 Nov 2026 21:00:00 +0100\n\n{BODY}")["title"] == title


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ("", "mail.head"),
        (HEAD, "mail.head"),
        (f"{HEAD}X-Long: {'x' * 999}\n\n{BODY}", "mail.head"),
        ("X: y\n" * 201 + HEAD + "\n" + BODY, "mail.head"),
        ("X: " + "y" * 900 + "\n" + ("X: " + "y" * 900 + "\n") * 40 + HEAD + "\n" + BODY, "mail.head"),
        (HEAD + "\n" + "x" * mail.MAX_FILE_BYTES, "file.size"),
        (f"{HEAD}no field\n\n{BODY}", "mail.header"),
        (f"{HEAD}Nö: y\n\n{BODY}", "mail.header"),
        (f"{HEAD}Subject: again\n\n{BODY}", "mail.twice"),
        (f"Subject: x\n\n{BODY}", "mail.date"),
        (f"Subject: x\nDate: Sat, 21 Nov 2026 21:00:00 -0000\n\n{BODY}", "mail.date"),
        (f"Subject: x\nDate: yesterday\n\n{BODY}", "mail.date"),
        (f"{HEAD}Content-Type: multipart/mixed; boundary=x\n\n--x\n\n{BODY}\n--x--", "mail.type"),
        (f"{HEAD}Content-Type: message/rfc822\n\n{HEAD}\n{BODY}", "mail.type"),
        (f"{HEAD}Content-Type: text/html\n\n<p>{BODY}", "mail.type"),
        (f"{HEAD}Content-Type: text/plain; name=a.exe\n\n{BODY}", "mail.type"),
        (f"{HEAD}Content-Type: text/plain; charset=utf-8; charset=utf-8\n\n{BODY}", "mail.type"),
        (f"{HEAD}Content-Disposition: attachment; filename=a.txt\n\n{BODY}", "mail.type"),
        (f"{HEAD}Content-Type: text/plain; charset=utf-7\n\n{BODY}", "mail.charset"),
        (f"{HEAD}\nété", "mail.charset"),
        (f"{HEAD}Content-Transfer-Encoding: x-uuencode\n\n{BODY}", "mail.encoding"),
        (f"{HEAD}Content-Transfer-Encoding: base64\n\n?!", "mail.encoding"),
        (f"Subject: =?utf-7?Q?x?=\nDate: Sat, 21 Nov 2026 21:00:00 +0100\n\n{BODY}", "mail.charset"),
        (f"{HEAD}\n", "minLength"),
        (f"{HEAD}Content-Type: text/plain; charset=utf-8\n\nleft\u202eright", "text.control"),
        (f"{HEAD}\n{'x' * 4001}", "maxLength"),
        (f"Date: Sat, 21 Nov 2026 21:00:00 +0100\n\n{BODY}", "minLength"),
    ],
)
def test_anything_else_is_refused(raw: str, rule: str) -> None:
    """Parts, attachments, nested messages, unknown charsets, doubled fields, no time: one rule, and no value."""
    fault = read(raw)
    assert isinstance(fault, RecordInvalid)
    assert fault.rule == rule
    assert fault.__context__ is None
    assert "Lille" not in repr(vars(fault))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_mail_raises_nothing(data: st.DataObject) -> None:
    """Any bytes, and a good file with some replaced, are a note or a refusal; nothing else comes out."""
    good = f"{HEAD}Content-Type: text/plain; charset=utf-8\n\n{BODY}".encode()
    start = data.draw(st.integers(0, len(good)))
    raw = good[:start] + data.draw(st.binary(max_size=12)) + good[start + data.draw(st.integers(0, 8)) :]
    for each in (raw, data.draw(st.binary(max_size=200))):
        assert isinstance(read(each), CanonicalRecord | RecordInvalid)


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: " + b"=?utf-8?Q?x?= " * 4000,
        HEAD.encode() + b"Content-Type: text/plain" + b"; a=b" * 150 + b"\n\nx",
        HEAD.encode() + b" \n" * 15000 + b"\n\nx",
        HEAD.encode() + b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=\n" * 30000,
        b"Date: " + b"1 " * 400 + b"\n\nx",
    ],
)
def test_reading_is_linear(raw: bytes) -> None:
    """The worst that fits the limits takes no second."""
    begun = time.process_time()
    read(raw)
    assert time.process_time() - begun < 1


def test_the_kind_says_what_the_house_says_of_notes() -> None:
    """Of the general regime, about nobody by itself, never connected; only what is here about others never leaves."""
    kind = load_kind(schemas.load_json(f"records/{KIND}.json"))
    assert (kind.regime, kind.person, kind.interconnection) == ("general", "none", "forbidden")
    assert {spec.pattern for spec in kind.fields.values() if spec.export_class != "A"} == {"/mentions/*"}
    assert kind.required == {"title", "facts", "language"}
    assert kind.fields["/assessments/*"].statement == "assessment"
