"""The three lists keep the contract of every record adapter, and say what they say as the kind says it."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

import schemas
from adapters.records.sanctions.entry import ListName, country, script_of
from adapters.records.sanctions.fsf import NAMESPACE
from adapters.records.sanctions.reader import READERS, SanctionsList
from gateway.errors import RecordInvalid, RequestInvalid
from gateway.model.kind import load_kind
from gateway.model.label import SecurityLabel
from gateway.model.record import CanonicalRecord
from gateway.policy.levels import default_levels
from gateway.ports import RecordAdapter
from tests.conftest import REFERENCE
from tests.contracts.record_adapter import RecordAdapterContract, Spoiled
from tests.records.lists import BE, EU, UN, be_list, be_row, un_entry, un_list
from tests.records.test_schema import subschemas

MARKER = "Zzubiquist"
SCHEMA = schemas.load_json("records/sanctions-entry/1.0.json")


def spoil(raw: bytes, old: str, new: str, line: int, pointer: str, rule: str) -> Spoiled:
    """The file with one of its entries spoiled."""
    assert raw.decode().count(old) == 1
    return Spoiled(raw.decode().replace(old, new).encode(), line, pointer, rule, MARKER)


class TestUnitedNations(RecordAdapterContract):
    """`adapters.records.sanctions.un`."""

    good = UN
    spoiled = (
        spoil(UN, "<DATAID>9000002<", f"<DATAID>{MARKER}<", 2, "", "entry.number"),
        spoil(UN, "<YEAR>1991<", f"<YEAR>{MARKER}<", 2, "/birth/*/date", "date.precision"),
        spoil(UN, "<FROM_YEAR>1986<", f"<X>{MARKER}</X><FROM_YEAR>1999<", 1, "/birth/*/until", "date.order"),
        spoil(UN, "Zz Trading", MARKER * 101, 3, "/names/*/text", "maxLength"),
        spoil(UN, "<DATAID>9000003<", f"<X>{MARKER}</X><DATAID>9000001<", 3, "", "duplicate-id"),
        spoil(UN, "FICTITIOUS TRADING &amp; CO", f"{MARKER}\u202eX", 3, "/names/*/text", "pattern"),
    )

    def adapter(self) -> RecordAdapter:
        """For a named officer."""
        return SanctionsList("un", "bel.ocam", "bel.ocam.officer-1")


class TestEuropeanUnion(RecordAdapterContract):
    """`adapters.records.sanctions.fsf`."""

    good = EU
    spoiled = (
        spoil(EU, 'logicalId="9002"', f'logicalId="{MARKER}"', 2, "", "entry.number"),
        spoil(EU, 'classificationCode="E"', f'classificationCode="{MARKER}"', 3, "/subject", "enum"),
        spoil(EU, 'birthdate="1989-01-31"', f'birthdate="1989-02-{MARKER}"', 1, "/birth/*/date", "date.precision"),
        spoil(EU, 'yearRangeTo="1990"', f'yearRangeTo="1985" x="{MARKER}"', 1, "/birth/*/until", "date.order"),
        spoil(EU, "0001/2026 (OJ L1)", MARKER * 101, 1, "/regulations/*/title", "maxLength"),
    )  # fmt: skip

    def adapter(self) -> RecordAdapter:
        """For a named officer."""
        return SanctionsList("eu", "bel.ocam", "bel.ocam.officer-1")


class TestBelgianTable(RecordAdapterContract):
    """`adapters.records.sanctions.table`."""

    good = BE
    spoiled = (
        spoil(BE, ";Fictitious Trading & Co", f";={MARKER}", 3, "", "csv.formula"),
        spoil(BE, ";Fictitious Trading & Co", f";{MARKER};", 3, "", "csv.cells"),
        spoil(BE, ";7;1991;", f";{MARKER};1991;", 2, "/birth/*/date", "date.precision"),
        spoil(BE, ";9103;BE.9103;", f";{MARKER};BE.9103;", 3, "", "entry.number"),
    )

    def adapter(self) -> RecordAdapter:
        """For a named officer."""
        return SanctionsList("be", "bel.ocam", "bel.ocam.officer-1")


class TestBelgianXml(TestEuropeanUnion):
    """The Belgian list in the European shape."""

    def adapter(self) -> RecordAdapter:
        """For a named officer."""
        return SanctionsList("be", "bel.ocam", "bel.ocam.officer-1")


def read(name: Any, raw: bytes) -> list[CanonicalRecord | RecordInvalid]:
    return list(SanctionsList(name, "bel.ocam", "bel.ocam.officer-1").read(raw))


def one(name: Any, raw: bytes, position: int = 0) -> CanonicalRecord:
    record = read(name, raw)[position]
    assert isinstance(record, CanonicalRecord)
    return record


# --- the kind --------------------------------------------------------------------------------------------------------


def test_the_kind_is_closed_bounded_and_classed() -> None:
    """Valid draft 2020-12, every object closed, every list and text bounded; a regime of its own, no class X."""
    assert jsonschema_rs.meta.is_valid(SCHEMA)
    for part in subschemas(SCHEMA):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
        if part.get("type") == "array":
            assert part["maxItems"] <= 1024
        if part.get("type") == "string":
            assert part["pattern"].startswith("^")
            assert part["pattern"].endswith("$")
    kind = load_kind(SCHEMA)
    assert (kind.name, kind.regime, kind.interconnection) == ("sanctions-entry/1.0", "public-list", "allowed")
    assert {field.export_class for field in kind.fields.values()} == {"A", "B"}
    assert kind.required == {"listing", "names"}


def test_a_published_entry_is_labelled_as_one() -> None:
    """Every field: unclassified and TLP:CLEAR under our own policy, released to nobody, said by the list as a whole."""
    for name, raw in (("un", UN), ("eu", EU), ("be", BE)):
        for position in range(3):
            labels = one(name, raw, position).labels
            assert {label.label for label in labels} == {SecurityLabel("BEL", "UNCLASSIFIED", tlp="CLEAR")}
            assert {(label.source, label.originator, label.consent) for label in labels} == {
                ("record", "", ())
            }
    assert default_levels().rank("BEL", "UNCLASSIFIED") == 0


def test_each_list_has_a_reader() -> None:
    """Under kind and list; a reader without an officer, or of no list, is not made."""
    assert sorted(READERS) == [f"sanctions-entry/1.0/{name}" for name in ("be", "eu", "un")]
    for name, origin, officer in (("us", "bel.ocam", "o"), ("un", "", "o"), ("un", "bel.ocam", "")):
        with pytest.raises(RequestInvalid):
            SanctionsList(name, origin, officer)  # type: ignore[arg-type]


# --- what the lists say ----------------------------------------------------------------------------------------------


def test_the_united_nations_entry() -> None:
    """Names with script and quality, dates as imprecise as given, countries with code and text."""
    record = one("un", UN)
    content = record.content
    assert (record.entity_id, content["subject"], content["sex"]) == ("UN-9000001", "person", "M")
    assert f"{record.extracted_at:%Y-%m-%dT%H:%M:%SZ}" == "2026-11-21T00:00:00Z"
    assert content["listing"] == {
        "list": "un", "state": "listed", "listed_on": "2026-01-02", "programmes": ["Al-Qaida"]
    }  # fmt: skip
    assert content["references"] == [{"of": "un", "number": "QDi.9001"}]
    assert [(name["type"], name["script"], name["quality"]) for name in content["names"]] == [
        ("primary", "Latn", "high"), ("primary", "Arab", "high"), ("alias", "Latn", "high"), ("alias", "Latn", "low")
    ]  # fmt: skip
    assert content["names"][0]["text"] == "ZZEMO FICTIF EXEMPLE"
    assert content["birth"] == [
        {"date": "1989-01-31", "precision": "day"},
        {"date": "1988", "precision": "year", "about": True},
        {"date": "1986", "precision": "year", "about": True, "until": "1990"},
    ]
    assert content["nationalities"] == [
        {"country": "IRN", "country_text": "Iran (Islamic Republic of)"},
        {"country_text": "Fictiland"},
    ]
    assert content["documents"] == [
        {"type": "passport", "described": "Passport", "number": "ZZ0000001", "issuer": "BEL", "issuer_text": "Belgium"}
    ]  # fmt: skip
    assert {"of": "entry", "text": "Synthetic entry. No such person exists."} in content["remarks"]
    assert one("un", UN, 2).content["subject"] == "entity"


def test_the_european_entry() -> None:
    """Parts of names, both references, the earliest regulation as listing date; another calendar is a remark."""
    record = one("eu", EU)
    content = record.content
    assert record.entity_id == "EU-9001"
    assert f"{record.extracted_at:%Y-%m-%dT%H:%M:%SZ}" == "2026-11-21T11:34:56Z"
    assert content["listing"]["listed_on"] == "2026-01-02"
    assert content["listing"]["programmes"] == ["TAQA", "TERR"]
    assert content["references"] == [{"of": "eu", "number": "EU.9001.1"}, {"of": "un", "number": "QDi.9001"}]
    assert content["names"][0] == {
        "type": "primary", "family": "Exemple", "given": "Zzemo Fictif", "text": "Zzemo Fictif Exemple",
        "script": "Latn", "quality": "high",
    }  # fmt: skip
    assert (content["names"][1]["type"], content["names"][1]["quality"]) == ("alias", "low")
    assert content["birth"][1:] == [
        {"date": "1988", "precision": "year", "about": True},
        {"date": "1986", "precision": "year", "about": True, "until": "1990"},
    ]
    assert {"of": "birth", "text": "ISLAMIC 1409"} in content["remarks"]
    assert content["nationalities"] == [{"country": "BEL", "country_text": "BELGIUM"}]
    assert "issuer" not in content["documents"][1]  # UNKNOWN is no country
    assert one("eu", EU, 1).content["birth"] == [{"date": "1991-07", "precision": "month"}]


def test_the_belgian_table_is_the_same_entry() -> None:
    """Rows of one number are one entry; in the European shape the list is Belgian because the officer says so."""
    table, xml = one("be", BE), one("be", EU)
    assert (table.entity_id, xml.entity_id) == ("BE-9101", "BE-9001")
    assert table.content["listing"]["list"] == xml.content["listing"]["list"] == "be"
    for member in ("sex", "nationalities", "addresses", "birth_places"):
        assert table.content[member] == xml.content[member]
    assert [name.get("text") for name in table.content["names"]] == [
        name.get("text") for name in xml.content["names"]
    ]
    assert table.content["remarks"][-1] == {"of": "entry", "text": "Synthetic; no such person exists"}


def test_directional_marks_are_dropped_and_joiners_stay() -> None:
    """A published Arabic name with a mark around it lands; the joiner inside it is spelling."""
    (name,) = one("un", un_list([un_entry(1, "\u200fعلی\u200cرضا\u200e")])).content["names"]
    assert name["text"] == "علی\u200cرضا"


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("Belgium", "", "BEL"), ("BELGIUM", "be", "BEL"), ("", "BE", "BEL"),
        ("Iran, Islamic Republic of", "", "IRN"), ("IRAN (ISLAMIC REPUBLIC OF)", "", "IRN"),
        ("Democratic People's Republic of Korea", "", "PRK"), ("Republic of Korea", "", "KOR"),
        ("Democratic Republic of the Congo", "", "COD"), ("Congo", "", "COG"), ("Türkiye", "", "TUR"),
        ("Turkey", "", "TUR"), ("Côte d'Ivoire", "", "CIV"), ("Russia", "", "RUS"),
        ("Fictiland", "", None), ("Fictiland", "00", None), ("", "", None),
    ],
)  # fmt: skip
def test_countries_by_code_or_name(text: str, code: str, expected: str | None) -> None:
    """ISO 3166-1 alpha-3 where code or name says it; what is not known has no code."""
    assert country(text, code).get("country") == expected


def test_every_country_has_its_own_names() -> None:
    """The table: 249 distinct codes, three letters each, and no name that two states share."""
    rows = schemas.load_json("codes/countries.json")["countries"]
    assert len({row[0] for row in rows.values()}) == len(rows) == 249
    for row in rows.values():
        assert {country(name).get("country") for name in row[1:]} == {row[0]}


@pytest.mark.parametrize(
    ("text", "script"),
    [("Zzemo", "Latn"), ("Ззоня", "Cyrl"), ("زمو", "Arab"), ("Ζζεμο", "Grek"), ("例", "Hani"), ("1", "Zyyy"),
     ("ᚠ", "Zzzz")],
)  # fmt: skip
def test_scripts(text: str, script: str) -> None:
    """The script that most letters belong to (ISO 15924)."""
    assert script_of(text) == script


@pytest.mark.parametrize(
    ("name", "file"), [("un", "un-consolidated-synthetic.xml"), ("eu", "eu-fsf-synthetic.xml")]
)
def test_the_reference_lists(name: str, file: str) -> None:
    """Lists that others wrote after the published shapes are read whole."""
    path = REFERENCE / "sanctions" / file
    if not path.is_file():
        pytest.skip("the reference material is not beside this checkout")
    (record,) = read(name, path.read_bytes())
    assert isinstance(record, CanonicalRecord)
    assert record.content["birth"] == [{"date": "1989-01-01", "precision": "day"}]
    assert record.content["nationalities"][0]["country"] == "BEL"


def test_a_row_nobody_can_read_spoils_what_it_may_belong_to() -> None:
    """Between two entries it may be part of either: neither lands half, and the third does."""
    rows = [be_row(Entity_LogicalId=number, NameAlias_WholeName=f"Zz {number}") for number in (1, 2, 3)]
    found = read("be", be_list(rows[0], 'x;"broken', rows[1], rows[2]))
    assert [getattr(each, "rule", None) or getattr(each, "entity_id", None) for each in found] == [
        "csv.cells",
        "BE-3",
    ]


DAYS = {
    "2001-01-25": "2001-01-25",
    "2001-01-25-05:00": "2001-01-25",
    "2001-01-25Z": "2001-01-25",
    "2001-01-25T23:30:00+14:00": "2001-01-25",
    "2001-02-29": "",
    "25/01/2001": "",
    "1801-01-25": "",
    "Zzubiquist": "",
}


@pytest.mark.parametrize("text", DAYS)
@pytest.mark.parametrize("name", ["un", "eu", "be"])
def test_nobody_falls_off_a_list_for_the_day_of_listing(name: ListName, text: str) -> None:
    """A day of listing or publication with a zone keeps its calendar date; what is no day is a remark, and the entry
    stays, in every shape of the lists."""
    person = 'classificationCode="P"'
    raw = {
        "un": un_list([un_entry(1, extra=f"<LISTED_ON>{text}</LISTED_ON>")]),
        "eu": (
            f'<export xmlns="{NAMESPACE}" generationDate="2026-11-21T00:00:00Z"><sanctionEntity logicalId="1" '
            f'euReferenceNumber="EU.1" designationDate="{text}"><subjectType {person}/>'
            f'<regulation programme="TAQA" numberTitle="1/2026" publicationDate="{text}"/>'
            '<nameAlias wholeName="ZZEMO EXEMPLE" strong="true"/></sanctionEntity></export>'
        ).encode(),
        "be": be_list(
            be_row(
                Entity_LogicalId=1,
                Entity_EU_ReferenceNumber="EU.1",
                NameAlias_WholeName="ZZEMO EXEMPLE",
                Entity_DesignationDate=text,
                Entity_Regulation_PublicationDate=text,
                Entity_Regulation_NumberTitle="1/2026",
            )
        ),
    }[name]
    (record,) = SanctionsList(name, "bel.ocam", "bel.ocam.officer-1").read(raw)
    assert isinstance(record, CanonicalRecord)
    assert record.content["listing"].get("listed_on", "") == DAYS[text]
    assert [one.get("published", "") for one in record.content.get("regulations", [])] in ([], [DAYS[text]])
    said = [one["text"] for one in record.content.get("remarks", [])]
    assert said == ([] if DAYS[text] else [f"listed or published: {text}"])


@pytest.mark.parametrize("zone", ["", "Z", "-05:00", "T00:00:00"])
def test_a_birth_date_has_no_zone(zone: str) -> None:
    """A day of birth that a list writes with a zone is the calendar date that stands there."""
    raw = UN.replace(b"<YEAR>1991</YEAR>", f"<DATE>1991-02-03{zone}</DATE>".encode())
    assert raw != UN
    records = [*SanctionsList("un", "bel.ocam", "bel.ocam.officer-1").read(raw)]
    dates = [
        birth["date"]
        for one in records
        if isinstance(one, CanonicalRecord)
        for birth in one.content.get("birth", [])
    ]
    assert "1991-02-03" in dates
