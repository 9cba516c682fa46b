"""The axes of what a record is and holds: its kind, the person, the file, and what each regime asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.model.kind import RecordKind
from tests.grid.ordinary import Axes, Patch, without
from tests.policy.worlds import LOCI, OTHERS

#: What an ordinary reference record holds: something of every class, and no more than it takes.
_CONTENT = {
    "category": {"code": "FTF", "criterion": "a"},
    "names": [{"type": "birth", "family": "Zzemo", "given": "Exemple", "script": "Latn", "quality": "high"}],
    "birth": [{"date": "1990-03", "precision": "month"}],
    "threat": {"level": 3, "date": "2026-10-01", "valid_until": "2027-04-01"},
    "contacts": [{"type": "email", "value": "zzemo@exemple.invalid"}],
    "validation": {"state": "validated", "date": "2026-09-01"},
    "status": {"archived": False, "judicial_information": False, "card": "information-card"},
}


def kinds(of: Mapping[str, RecordKind]) -> dict[str, Patch]:
    """The axis of kinds: each with the content of an ordinary record, and itself as plain data."""
    axis: dict[str, Patch] = {}
    for name, kind in of.items():
        more = OTHERS[name][1] if name in OTHERS else {}
        text = {"text": "invented", "birth": [{"date": "1990", "precision": "year"}], **more}
        axis[name] = {
            "record.kind": kind.name,
            "record.content": _CONTENT if name == "bdc" else text,
            "kind": None if name == "bdc" else msgspec.to_builtins(kind),
        }
    return axis


def _content(**members: Any) -> Patch:
    return {f"record.content.{member.replace('__', '.')}": value for member, value in members.items()}


def _born(*dates: str, **also: Any) -> Patch:
    precision = {4: "year", 7: "month"}
    return _content(
        birth=[{"date": each, "precision": precision.get(len(each), "day"), **also} for each in dates]
    )


def _profile(kind: str, *others: str, **more: list[str]) -> Patch:
    """A profile of five European loci and others."""
    loci = {name: ["15", "16"] for name in (*LOCI, *others) if name != "TH01" or name in others}
    return _content(profile={"type": kind, "loci": {**loci, **more}})


def _evaluated(date: str, **more: str) -> Patch:
    return _content(threat__date=date, **{f"threat__{name}": value for name, value in more.items()})


RECORD: Axes = (
    (
        "words",
        {
            "of no consequence": {},
            "name what is kept back": _content(facts__0__text="drives 0 zzz 000"),
            "a register number": _content(facts__0__text="goes by 85.07.30-033.28"),
            "a number that is none": _content(facts__0__text="goes by 85.07.30-033.27"),
            "an account": _content(title="Paid from BE68 5390 0754 7034"),
            "an account that leaves as data": _content(
                title="Paid from BE68 5390 0754 7034", persons__0__account="BE68539007547034"
            ),
            "of another's record": {"mentioned": ["/facts/0/text"]},
            "of another's record, elsewhere": {"mentioned": ["/assessments/0/text"]},
            "of another's record, as data": {
                **_content(persons__0__account="ZZ-ACCOUNT"),
                "mentioned": ["/persons/0/account"],
            },
        },
    ),
    (
        "persons mentioned",
        {
            "of full age": {},
            "of no stated age": _content(persons__0__adult=None),
            "a child": _content(persons__0__birth={"date": "2020", "precision": "year"}),
            "perhaps a minor": _content(persons__0__birth={"date": "2009", "precision": "year"}),
            "nobody": _content(persons=[]),
            "a child by its record": {"mentioned_age": 11},
            "a minor by its record, and nobody by name": {**_content(persons=[]), "mentioned_age": 17},
        },
    ),
    (
        "age",
        {
            "adult": {},
            "eighteen tomorrow": _born("2008-11-22"),
            "twelve tomorrow": _born("2014-11-22"),
            "eighteen today": _born("2008-11-21"),
            "twelve today": _born("2014-11-21"),
            "twelve by the month": _born("2014-10"),
            "perhaps eleven": _born("2014"),
            "adult or child": _born("1990", "2020"),
            "about": _born("1990", about=True),
            "no date": _born("1990-13"),
            "unknown": _content(birth=[]),
        },
    ),
    (
        "ages set",
        {
            "both": {},
            "no minimum": without("settings.min_age"),
            "no majority": without("settings.flagged_age"),
        },
    ),
    (
        "staleness",
        {
            "fresh": {},
            "the evaluation by a day": _evaluated("2026-05-20"),
            "the evaluation not yet": _evaluated("2026-05-21"),
            "the evaluation has lapsed": _evaluated("2026-10-01", valid_until="2026-11-20"),
            "the evaluation lapses today": _evaluated("2026-10-01", valid_until="2026-11-21"),
            "the evaluation is of tomorrow": _evaluated("2026-11-22"),
            "the evaluation is to come": _evaluated("2026-11-23"),
            "the evaluation has no date": _content(threat={"level": 3}),
            "no term for evaluations": without("settings.evaluation_months"),
            "the extract by a second": {"record.extracted_at": "2026-11-20T20:59:59Z"},
            "the extract not yet": {"record.extracted_at": "2026-11-20T21:00:00Z"},
            "the extract is to come": {"record.extracted_at": "2026-11-21T21:05:01Z"},
            "the extract within the skew": {"record.extracted_at": "2026-11-21T21:05:00Z"},
            "no freshness": without("settings.freshness_s"),
        },
    ),
    (
        "special category",
        {
            "none": {},
            "there": _content(special={"kind": "opinion", "text": "invented"}, belief="invented"),
        },
    ),
    (
        "more",
        {
            "nothing": {},
            "unknown to the kind": _content(nickname="invented"),
            "register number": _content(national_number="00.99.00-000.00"),
            "finances": _content(financial={"summary": "invented"}),
            "health": _content(health={"text": "invented"}),
            "a link": _content(links=[{"type": "associate", "other": "BDC-000002"}]),
            "neither fact nor assessment": _content(unmarked="invented"),
            "core data": _content(holder={"family": "Zzemo"}),
            "an address": _content(addresses=[{"city": "Fictiville", "country": "BEL"}]),
            "documents": _content(documents=[{"type": "passport", "number": "invented"}]),
        },
    ),
    (
        "whole",
        {
            "whole": {},
            "no name": _content(names=[]),
            "empty": {"record.content": {}},
            "of another version": {"record.kind": "bdc-person/2.0"},
        },
    ),
    (
        "grades",
        {
            "none": {},
            "both": _content(source_grade="A", info_grade=1),
            "of the source": _content(source_grade="B"),
            "of another scale": _content(source_grade="F", info_grade=6),
            "of no scale": _content(source_grade="A", info_grade=True),
            "in an item": _content(names__0__source_grade="E", match__info_grade=5),
        },
    ),
    (
        "validation",
        {
            "validated": {},
            "proposed": _content(validation__state="proposed"),
            "unknown": _content(validation={}),
        },
    ),
    (
        "card",
        {
            "card": {},
            "file": _content(status__card="information-file"),
        },
    ),
    (
        "archived",
        {"no": {}, "yes": _content(status__archived=True), "unknown": _content(status__archived=None)},
    ),
    (
        "judicial information",
        {
            "no": {},
            "yes": _content(status__judicial_information=True),
            "unknown": _content(status__judicial_information=None),
        },
    ),
    (
        "judicial authorisation",
        {
            "none": {},
            "recorded": {"release.judicial_authorisation": "FD-2026-1 (invented)"},
            "blank": {"release.judicial_authorisation": " "},
        },
    ),
    (
        "pre-inquiry",
        {
            "none": {},
            "six months old": _content(pre_inquiry={"since": "2026-05-21"}),
            "six months and a day": _content(pre_inquiry={"since": "2026-05-20"}),
            "not dated": _content(pre_inquiry={"since": "2026-05"}),
            "no term": {
                **_content(pre_inquiry={"since": "2026-11-01"}),
                **without("settings.pre_inquiry_months"),
            },
        },
    ),
    (
        "profile",
        {
            "reference": {},
            "five loci": _profile("trace"),
            "five loci and a half": _profile("trace", TH01=["6"]),
            "five loci and a wildcard": _profile("trace", SE33=["6", "*"]),
            "five loci and the sex": _profile("trace", Amelogenin=["X", "Y"]),
            "trace of five European loci": _profile("trace", "SE33"),
            "reference of five European loci": _profile("reference", "SE33"),
            "a mixture": _profile("reference", "TH01", SE33=["1", "2", "3"]),
            "none": _content(profile=None),
        },
    ),
    (
        "match",
        {
            "ordinary": {},
            "told by nobody": _content(match={"received": "2026-06-01"}),
            "confirmed": _content(match={"confirmed_by": "be-requester"}),
            "blank": _content(match={"confirmed_by": " ", "reviewed_by": " ", "received": "2026-06-01"}),
        },
    ),
    (
        "passengers",
        {
            "lately": {},
            "six months ago": _content(match__received="2026-05-21"),
            "six months and a day ago": _content(match__received="2026-05-20"),
            "unmasked": _content(match__received="2026-05-20", match__unmask_approved_by="be-approver"),
            "five years ago": _content(match__received="2021-11-21", match__unmask_approved_by="be-approver"),
            "five years and a day ago": _content(
                match__received="2021-11-20", match__unmask_approved_by="be-approver"
            ),
            "no day": _content(match__received="2026-06", match__unmask_approved_by="be-approver"),
            "no mask set": without("settings.pnr_mask_months"),
            "no term set": without("settings.pnr_term_months"),
        },
    ),
    (
        "listing",
        {
            "listed": {},
            "delisted": _content(listing__state="delisted"),
            "unknown": _content(listing__state=None),
        },
    ),
    ("subject", {"as it is": {}, "an entity": _content(subject="entity")}),
)
