"""The generator: repeatable, plainly fictitious, and wide enough to exercise every rule."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import schemas
from adapters.records.bdc import BdcExtract
from adapters.records.synthetic import (
    CATEGORIES,
    VARIATIONS,
    Line,
    exemplar,
    extract,
    persons,
    variation_of,
)
from gateway.model.kind import load_kind
from gateway.model.record import CanonicalRecord, FieldLabel
from gateway.model.time import PartialDate, full_years

AT = datetime(2026, 11, 21, 21, tzinfo=UTC)
SCHEMA = schemas.load_json("records/bdc-person/1.0.json")


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """200 persons."""
    return list(persons(200, 1, AT))


@pytest.fixture(scope="module")
def records() -> list[CanonicalRecord]:
    """The same, imported: none is refused."""
    outcomes = list(BdcExtract("bel.ocam", "bel.ocam.officer-1").read(extract(200, 1, AT)))
    found = [outcome for outcome in outcomes if isinstance(outcome, CanonicalRecord)]
    assert len(found) == len(outcomes) == 200
    return found


# --- repeatable ------------------------------------------------------------------------------------------------------


def test_the_same_arguments_are_the_same_bytes(lines: list[Line]) -> None:
    """Twice the same; a shorter extract is the beginning of a longer one; another seed is another extract."""
    raw = extract(200, 1, AT)
    assert raw == extract(200, 1, AT)
    assert raw.startswith(extract(50, 1, AT))
    assert extract(50, 2, AT).splitlines()[1:] != raw.splitlines()[1:50]
    assert [json.loads(line) for line in raw.splitlines()] == lines


def test_dates_follow_the_extract() -> None:
    """The first person is as fresh a year later: no date stands still but the birth date and what is not a date."""
    early, late = (exemplar(AT + timedelta(days=days)) for days in (0, 365))
    assert early["extracted_at"] == "2026-11-21T21:00:00Z"
    assert late["content"]["threat"]["date"] == "2027-10-01"
    assert early["content"]["birth"] == late["content"]["birth"]


def test_the_sample_is_an_extract() -> None:
    """The sample file beside the adapters is what the generator writes."""
    assert files("adapters.records").joinpath("samples/bdc-extract.jsonl").read_bytes() == extract(3, 1, AT)


@pytest.mark.integration
def test_the_command_writes_the_extract() -> None:
    """`python -m` writes the same bytes; an instant that is missing or loose is a usage error that quotes nothing."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "adapters.records.synthetic", "--count", "9", "--seed", "3"]
    good = subprocess.run(
        [*command, "--extracted-at", "2026-11-21T21:00:00Z"], cwd=root, capture_output=True, timeout=30
    )
    assert (good.returncode, good.stdout) == (0, extract(9, 3, AT))
    for rest in ([], ["--extracted-at", "yesterday"]):
        bad = subprocess.run([*command, *rest], cwd=root, capture_output=True, timeout=30)
        assert (bad.returncode, bad.stdout) == (2, b"")
        assert b"yesterday" not in bad.stderr


# --- wide ------------------------------------------------------------------------------------------------------------


def members(schema: Any, path: str = "") -> Iterator[str]:
    """Every member that a schema allows, by path; list items share the path of their list."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    schema = schema.get("items", schema)
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}/{name}"
        yield from members(inner, f"{path}/{name}")


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every member that a value has, by the same paths."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            for name, inner in item.items():
                yield f"{path}/{name}"
                yield from paths(inner, f"{path}/{name}")


def test_every_member_occurs(lines: list[Line]) -> None:
    """No member of the kind is absent from all 200 persons, and each optional one is absent from some."""
    wanted = set(members(SCHEMA))
    assert len(wanted) > 70
    assert {path for line in lines for path in paths(line["content"])} == wanted
    optional = set(SCHEMA["properties"]) - {
        "category",
        "names",
        "sex",
        "nationalities",
        "validation",
        "status",
    }
    assert not any(all(member in line["content"] for line in lines) for member in optional)


def test_every_code_occurs(lines: list[Line]) -> None:
    """Five categories in equal parts, four scripts, three name types, qualities, precisions; several births."""
    contents = [line["content"] for line in lines]
    assert [content["category"]["code"] for content in contents[:5]] == list(CATEGORIES)
    names = [name for content in contents for name in content["names"]]
    births = [birth for content in contents for birth in content.get("birth", [])]
    assert {name["script"] for name in names} == {"Latn", "Arab", "Cyrl", "Grek"}
    assert {name["type"] for name in names} == {"birth", "alias", "false-identity"}
    assert {name["quality"] for name in names} == {"high", "medium", "low"}
    assert {birth["precision"] for birth in births} == {"year", "month", "day"}
    assert {birth["about"] for birth in births} == {True, False}
    assert any(len(content.get("birth", [])) > 1 for content in contents)


def test_a_script_is_the_script_of_its_letters(lines: list[Line]) -> None:
    """Each name is written in its script, and every other script than Latin has a Latin transliteration."""
    blocks = {"Latn": "LATIN", "Arab": "ARABIC", "Cyrl": "CYRILLIC", "Grek": "GREEK"}
    for name in (name for line in lines for name in line["content"]["names"]):
        written = [name[part] for part in ("family", "given", "patronymic", "kunya", "text") if part in name]
        assert scripts("".join(written)) == {blocks[name["script"]]}
        assert ("transliteration" in name) == (name["script"] != "Latn")
        if "transliteration" in name:
            assert scripts(name["transliteration"]["text"]) == {"LATIN"}


def scripts(text: str) -> set[str]:
    """First words of the Unicode names of all letters in a text."""
    return {unicodedata.name(letter).split()[0] for letter in text if letter.isalpha()}


# --- clean, or varied in one way -------------------------------------------------------------------------------------


def label_at(record: CanonicalRecord, pointer: str) -> FieldLabel:
    """The label entry of one field."""
    (found,) = (entry for entry in record.labels if entry.pointer == pointer)
    return found


def youngest(record: CanonicalRecord) -> int | None:
    """The lowest age that the birth dates allow, or None when one of them cannot be told."""
    bounds = [
        PartialDate(b["date"], b["precision"], b["about"]).bounds() for b in record.content.get("birth", [])
    ]
    ages = [full_years(bound[1], AT.date()) if bound else None for bound in bounds]
    return min((age for age in ages if age is not None), default=None) if None not in ages else None


def peculiarities(record: CanonicalRecord) -> set[str]:
    """Everything about a record that a rule of release looks at and that is not plainly in order."""
    content, found = record.content, set[str]()
    for entry in record.labels:
        label = entry.label
        if label is None:
            found.add("unlabelled-item")
            continue
        found |= {label.level} - {"UNCLASSIFIED"}
        found |= {
            axis for axis in ("embargo", "no_foreign", "purpose", "retention_until") if getattr(label, axis)
        }
        found |= {"nobody"} if not label.releasable_to else set()
        if entry.originator != "bel.ocam":
            found |= {
                entry.originator,
                f"consent of {len(entry.consent)}",
                f"orcon {label.originator_control}",
            }
    age = youngest(record)
    found |= {"age"} if age is None else {"under 12"} if age < 12 else {"minor"} if age < 18 else set()
    found |= {content["validation"]["state"], content["status"]["card"]} - {"validated", "information-card"}
    found |= {flag for flag in ("judicial_information", "archived") if content["status"][flag]}
    found |= {"pre_inquiry"} & content.keys()
    evaluated = content.get("threat", {}).get("date", "9999")
    return found | ({"stale"} if evaluated < (AT - timedelta(days=180)).date().isoformat() else set())


PECULIAR: dict[str, set[str]] = {
    "": set(),
    "unlabelled-item": {"unlabelled-item"},
    "unknown-level": {"OMBRE"},
    "releasable-to-nobody": {"nobody"},
    "originator-control": {"bel.vsse", "consent of 0", "orcon True"},
    "originator-consent": {"bel.vsse", "consent of 1", "orcon True"},
    "foreign-originator": {"nld.service-demo", "consent of 0", "orcon False"},
    "not-validated": {"proposed"},
    "rejected": {"rejected"},
    "pre-inquiry": {"proposed", "pre_inquiry"},
    "information-file": {"information-file"},
    "judicial-information": {"judicial_information"},
    "archived": {"archived"},
    "stale-evaluation": {"stale"},
    "minor": {"minor"},
    "under-12": {"under 12"},
    "birth-unknown": {"age"},
    "birth-about": {"age"},
    "restreint-item": {"RESTREINT"},
    "no-foreign": {"no_foreign"},
    "embargo": {"embargo"},
    "purpose-limited": {"purpose", "retention_until"},
}


def test_each_person_is_peculiar_in_one_way(records: list[CanonicalRecord]) -> None:
    """A clean person has nothing a rule objects to; a varied one has what its variation is named for, and no more."""
    for number, record in enumerate(records[1:], start=2):
        assert peculiarities(record) == PECULIAR[variation_of(number)], record.entity_id


def test_every_variation_occurs() -> None:
    """200 persons show every variation; most persons have none."""
    shown = [variation_of(number) for number in range(1, 201)]
    assert set(shown) == {"", *VARIATIONS} == set(PECULIAR)
    assert shown.count("") > 160


# --- the first person ------------------------------------------------------------------------------------------------


def test_the_first_person_is_clean(records: list[CanonicalRecord]) -> None:
    """A validated adult FTF; all that is peculiar are two aliases of another service, one of them without consent."""
    first = records[0]
    assert (first.entity_id, first.content["category"]["code"]) == ("BDC-000001", "FTF")
    assert peculiarities(first) == {"bel.vsse", "consent of 0", "consent of 1", "orcon True"}
    assert label_at(first, "/names/1").consent == ("fra.police-demo",)
    assert label_at(first, "/names/2").consent == ()


def test_the_first_person_has_something_of_every_class(records: list[CanonicalRecord]) -> None:
    """Several fields to release and, of each class that stays, one to withhold."""
    kind = load_kind(SCHEMA)
    classes = {
        member: kind.fields.get(f"/{member}/*") or kind.fields[f"/{member}"] for member in records[0].content
    }
    held = {letter: {m for m, spec in classes.items() if spec.export_class == letter} for letter in "ABCX"}
    assert len(held["A"]) >= 10
    assert held["B"] >= {"addresses", "contacts"}
    assert held["C"] == {"national_number"}
    assert held["X"] >= {"health", "minor_children"}


def texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(item)
    if isinstance(value, str):
        yield value


def test_the_first_person_betrays_nothing_by_chance() -> None:
    """No withheld text of the first person stands inside a released one: a hit of the guard is a leak, not chance."""
    content = exemplar(AT)["content"]
    kept = {
        member: content.pop(member) for member in ("description", "addresses", "contacts", "national_number")
    }
    kept |= {member: content.pop(member) for member in ("health", "minor_children", "validation", "status")}
    kept["alias"] = content["names"].pop(2)["text"]
    released = "\n".join(texts(content)).casefold()
    free = [text for text in texts(kept) if len(text) > 3]  # codes such as BEL stand everywhere
    assert len(free) > 10
    assert [text for text in free if text.casefold() in released] == []


# --- plainly fictitious ----------------------------------------------------------------------------------------------


def test_nothing_could_be_anybody(lines: list[Line]) -> None:
    """Addresses of mail are invalid by RFC 2606, telephone numbers reserved or unassigned, numbers impossible."""
    for line in lines:
        content = line["content"]
        for contact in content.get("contacts", []):
            match contact["type"]:
                case "email":
                    assert contact["value"].endswith(".invalid")
                case "phone":
                    assert contact["value"].startswith(("+32 000 00 ", "+33 1 99 00 ", "+1 555 555 01"))
                case other:
                    assert (other, contact["value"][:8]) == ("account", "@nobody_")
        assert content.get("national_number", "9999")[2:4] == "99"  # the month of birth
        assert all(document["number"].startswith("XX0") for document in content.get("documents", []))
