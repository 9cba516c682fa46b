"""An information note through commands alone: written, shown in full before it is signed, sent, read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.shared import NEGATIVE
from gateway.cli.staging import BASIS, FR
from tests.cli.conftest import Run, World, written

pytestmark = pytest.mark.integration

WHY = ("--to", FR, "--purpose", "ct-prevention", "--basis", BASIS)
LABEL = {
    "policy": "BEL",
    "level": "UNCLASSIFIED",
    "releasable_to": ["FRA"],
    "handling_code": ["H1"],
    "tlp": "AMBER",
}
FACT = "crossed at 04:10, expect him in Lille"


def note(world: World, ecluse: Run, folder: Path, *words: str, fact: str = FACT) -> str:
    """A note with this fact, all of it labelled for France; its id."""
    label = written(folder / "label.json", LABEL)
    given = ("--title", "Crossing", "--fact", fact, "--label", label, "--language", "en", *words)
    said = ecluse("note", "new", *given, *world.officer("be-requester"))
    assert said.code == 0, said.out
    return str(said.document["note"])


def plain(world: World, officer: str) -> list[str]:
    return [word for word in world.officer(officer) if word != "--json"]


def test_a_note_reaches_the_partner(world: World, ecluse: Run, tmp_path: Path) -> None:
    """Written, disclosed, shown in full with the mark of each portion before approval, delivered, read there."""
    person = ("--assessment", "he travels alone", "--person", "suspect:Zzemo Exemple:1990-03")
    name = note(world, ecluse, tmp_path, *person)
    requester, approver = world.officer("be-requester"), world.officer("be-approver")
    preview = ecluse("preview", name, *WHY, *requester).document["partners"][0]
    assert preview["effect"] == "PERMIT", preview["reasons"]
    assert [text["text"] for text in preview["free_texts"]] == ["Crossing", FACT, "he travels alone"]
    disclosed = ecluse("disclose", name, *WHY, "--justification", "synthetic", *requester)
    release = disclosed.document["releases"][0]
    # Nobody is asked here, so nothing is signed; what would be signed was shown all the same.
    shown = ecluse("approve", release["release"], *plain(world, "be-approver"))
    assert shown.code == 2
    assert f"  | {FACT}" in shown.out
    mark = "BEL UNCLASSIFIED; releasable_to FRA; handling_code H1; tlp AMBER"
    assert f"text /records/0/facts/0/text [{mark}]" in shown.out
    assert "text /justification [stays inside]" in shown.out
    approved = ecluse("approve", release["release"], "--yes", *approver).document
    texts = {text["pointer"]: text for text in approved["releases"][0]["free_texts"]}
    assert texts["/records/0/facts/0/text"]["text"] == FACT
    assert texts["/records/0/facts/0/text"]["label"]["tlp"] == "AMBER"
    assert texts["/justification"] == {
        "pointer": "/justification", "label": None, "text": "synthetic", "hits": [], "leaves": False,
    }  # fmt: skip
    message = release["message_id"]
    received = _received(world, ecluse, message)
    assert [text["text"] for text in received["free_texts"]] == ["Crossing", FACT, "he travels alone"]
    read = ecluse("inbox", "show", message, *plain(world, "fr-inbox"))
    assert f"  | {FACT}" in read.out
    assert name not in read.out


def _received(world: World, ecluse: Run, message: str) -> Any:
    import time

    for _ in range(200):
        said = ecluse("inbox", "show", message, *world.officer("fr-inbox"))
        if said.code == 0:
            return said.document
        time.sleep(0.1)
    raise AssertionError(said.out)


@pytest.mark.parametrize(
    ("fact", "effect", "rule"),
    [
        ("goes by 85.07.30-033.28", "DENY", "free-text.register-number"),
        ("see BDC-000002", "REVIEW", "free-text.withheld"),
        ("his mail is qwx.rouleur@nulle-part.invalid", "REVIEW", "free-text.mentioned"),
    ],
)
def test_a_text_that_says_too_much_is_refused(
    world: World, ecluse: Run, tmp_path: Path, fact: str, effect: str, rule: str
) -> None:
    """A register number, what the note withholds, what the record of a person mentioned withholds: no release, and
    the officer is told where and why, never the value."""
    mentions = ("--mention", "BDC-000001", "--mention", "BDC-000002")
    name = note(world, ecluse, tmp_path, *mentions, fact=fact)
    said = ecluse("disclose", name, *WHY, "--justification", "synthetic", *world.officer("be-requester"))
    assert said.code == NEGATIVE
    (release,) = said.document["releases"]
    assert (release["effect"], release["release"]) == (effect, "")
    assert [(reason["rule"], reason["pointer"]) for reason in release["reasons"]] == [(rule, "/facts/0/text")]
    hit = next(text for text in release["free_texts"] if text["pointer"] == "/facts/0/text")
    assert hit["hits"] == [rule]
    assert fact not in json.dumps(release["reasons"])


def test_reasons_that_stay_inside_are_hinted_at(world: World, ecluse: Run, tmp_path: Path) -> None:
    """A justification with a register number leaves nothing and denies nothing; requester and approver are told."""
    name = note(world, ecluse, tmp_path)
    said = ecluse(
        "disclose", name, *WHY, "--justification", "he is 85073003328", *world.officer("be-requester")
    )
    (release,) = said.document["releases"]
    assert release["effect"] == "PERMIT"
    told = [text["hits"] for text in release["free_texts"] if text["pointer"] == "/justification"]
    assert told == [["free-text.register-number"]]
    shown = ecluse("approve", release["release"], *plain(world, "be-approver"))
    assert "  ! free-text.register-number" in shown.out


def test_what_cannot_be_seen_is_spelled_out(world: World, ecluse: Run, tmp_path: Path) -> None:
    """Directional overrides are refused when a note is written; marks that a text may have are shown as escapes."""
    label = written(tmp_path / "label.json", LABEL)
    words = ("--title", "Marks", "--label", label, *world.officer("be-requester"))
    refused = ecluse("note", "new", "--fact", "left\u202eright", *words)
    assert refused.code == NEGATIVE
    assert refused.document["bad"][0]["rule"] == "text.control"
    name = note(world, ecluse, tmp_path, fact="left\u200fright\nreleased")
    shown = ecluse("preview", name, *WHY, *plain(world, "be-requester"))
    assert "  | left\\u200fright\n  | released" in shown.out


def test_an_e_mail_is_a_note_without_labels(world: World, ecluse: Run, tmp_path: Path) -> None:
    """The file lands whole, nothing of it labelled, so every decision over it denies."""
    from email.utils import format_datetime

    from gateway.service.app import now

    mail = tmp_path / "note.eml"
    at = format_datetime(now())
    mail.write_text(
        f"From: x@exemple.invalid\nSubject: Crossing\nDate: {at}\nContent-Language: en\n\n{FACT}\n"
    )
    said = ecluse("record", "import", "information-note", mail, *world.officer("be-requester"))
    assert (said.code, said.document["new"], said.document["unlabelled"]) == (0, 1, 1)
    records = ecluse("record", "list", *world.officer("be-requester")).document["records"]
    notes = [one["handle"] for one in records if one["kind"] == "information-note/1.0"]
    denied = {
        handle: ecluse("preview", handle, *WHY, *world.officer("be-requester")).document for handle in notes
    }
    rules = [
        [reason["rule"] for reason in one["partners"][0]["reasons"]]
        for one in denied.values()
        if one["partners"][0]["effect"] == "DENY"
    ]
    assert any("label.present" in found for found in rules)
