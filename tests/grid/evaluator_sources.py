"""What the second evaluator knows by heart: levels, equivalents, the reference record, loci, dates.

Typed from the sources named beside each table, not from the files the product decides by. Of these two one is wrong
where they differ, and the source says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

# --- classification --------------------------------------------------------------------------------------------------

#: Words of each policy, lowest first: what is not classified, then levels 1 to 4; () where it has no such level.
#: BEL: law 11.12.1998 art. 4 as amended by law 7.4.2023. EU, FRA, NLD, DEU, LUX, ESP, HUN: Council Decision 2013/488/EU
#: appendix B (notes 4 and 5 for FRA). GBR, USA, NATO: [M]. UNCLASSIFIED is the house's technical name for no level.
#: DIFFUSION RESTREINTE is nowhere: it is a mention and classifies nothing.
WORDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "BEL": (
        ("UNCLASSIFIED", "NON CLASSIFIE", "NIET GECLASSIFICEERD"),
        ("RESTREINT", "BEPERKT"),
        ("CONFIDENTIEL", "VERTROUWELIJK"),
        ("SECRET", "GEHEIM"),
        ("TRES SECRET", "ZEER GEHEIM"),
    ),
    "EU": (
        ("UNCLASSIFIED",),
        ("RESTREINT UE/EU RESTRICTED",),
        ("CONFIDENTIEL UE/EU CONFIDENTIAL",),
        ("SECRET UE/EU SECRET",),
        ("TRÈS SECRET UE/EU TOP SECRET",),
    ),
    "FRA": (("UNCLASSIFIED",), (), (), ("SECRET",), ("TRÈS SECRET",)),
    "NLD": (
        ("UNCLASSIFIED",),
        ("Dep. VERTROUWELIJK",),
        ("Stg. CONFIDENTIEEL",),
        ("Stg. GEHEIM",),
        ("Stg. ZEER GEHEIM",),
    ),
    "DEU": (
        ("UNCLASSIFIED",),
        ("VS - NUR FÜR DEN DIENSTGEBRAUCH",),
        ("VS - VERTRAULICH",),
        ("GEHEIM",),
        ("STRENG GEHEIM",),
    ),
    "LUX": (
        ("UNCLASSIFIED",),
        ("Restreint Lux",),
        ("Confidentiel Lux",),
        ("Secret Lux",),
        ("Très Secret Lux",),
    ),
    "ESP": (("UNCLASSIFIED",), ("DIFUSIÓN LIMITADA",), ("CONFIDENCIAL",), ("RESERVADO",), ("SECRETO",)),
    "HUN": (
        ("UNCLASSIFIED",),
        ("Korlátozott terjesztésű!",),
        ("Bizalmas!",),
        ("Titkos!",),
        ("Szigorúan titkos!",),
    ),
    "GBR": ((), (), (), ("SECRET",), ("TOP SECRET",)),
    "USA": (("UNCLASSIFIED",), (), ("CONFIDENTIAL",), ("SECRET",), ("TOP SECRET",)),
    "NATO": (
        ("NATO UNCLASSIFIED",),
        ("NATO RESTRICTED",),
        ("NATO CONFIDENTIAL",),
        ("NATO SECRET",),
        ("COSMIC TOP SECRET",),
    ),
}

#: At which level each recipient protects levels 1, 2, 3 and 4 of another policy; None: it has no equivalent, and then
#: nothing of that level goes there. Up where a treaty says so, never down.
PROTECTS: Mapping[str, tuple[int | None, int | None, int | None, int | None]] = {
    "BEL": (1, 2, 3, 4),  # 2013/488/EU appendix B; level 1 since law 7.4.2023
    "EU": (1, 2, 3, 4),
    "FRA": (None, 3, 3, 4),  # notes 5 (a mention is no level) and 4 (protected as SECRET)
    "NLD": (1, 2, 3, 4),
    "DEU": (1, 2, 3, 4),
    "LUX": (1, 2, 3, 4),
    "ESP": (1, 2, 3, 4),
    "HUN": (1, 2, 3, 4),
    "GBR": (None, 3, 3, 4),  # [M] OFFICIAL-SENSITIVE is no level; level 2 is protected as SECRET
    "USA": (None, 2, 3, 4),  # [M] level 1 per agreement only
    "NATO": (1, 2, 3, 4),  # [M]
    "CAN": (None, 2, 3, 4),  # [M] this row and the next three only under a named agreement
    "AUS": (None, None, 3, 4),
    "JPN": (None, None, None, None),
    "MAR": (None, None, None, None),
}
UNDER_A_NAMED_AGREEMENT = ("CAN", "AUS", "JPN", "MAR")


def level_of(mark: Mapping[str, Any]) -> int | None:
    """0 to 4 for a policy and one of its words; None for a pair that no source holds."""
    for level, words in enumerate(WORDS.get(mark["policy"], ())):
        if mark["level"] in words:
            return level
    return None


def level_there(mark: Mapping[str, Any], nation: str, *, named: bool) -> int | None:
    """The level at which the recipient's state protects it; None without an equivalent, or without an enabled row."""
    level = level_of(mark)
    if not level or mark["policy"] == nation:
        return level
    if nation not in PROTECTS or (nation in UNDER_A_NAMED_AGREEMENT and not named):
        return None
    return PROTECTS[nation][level - 1]


def level_held_against(mark: Mapping[str, Any], nation: str) -> int | None:
    """What ceilings and clearances are compared with: its own level, or the recipient's where that is higher."""
    level, there = level_of(mark), level_there(mark, nation, named=True)
    if level is None or there is None:
        return level
    return max(level, there)


# --- the record of the common database (law 29.3.2024 art. 6 §2, in the house's export classes) ----------------------

_A, _B, _C, _X = ("A", "B", "C", "X")

_REFERENCE_RECORD = {
    "/category": _A,
    "/names/*": _A,
    "/sex": _A,
    "/birth/*": _A,
    "/nationalities/*": _A,
    "/documents/*": _A,
    "/threat": _A,
    "/measures/*": _A,
    "/detention_release": _A,
    "/source_grade": _A,
    "/info_grade": _A,
    "/description": _B,
    "/photos/*": _B,
    "/addresses/*": _B,
    "/fingerprint": _B,
    "/contacts/*": _B,
    "/links/*": _B,
    "/national_number": _C,
    "/financial": _C,
    "/special": _C,
    "/health": _X,
    "/minor_children/*": _X,
    "/pre_inquiry": _X,
    "/validation": _X,
    "/status": _X,
}

#: LED art. 10: opinions, beliefs, ethnic origin; health.
_SPECIAL = ("/special", "/health")

#: LED art. 7(1): what an official judged stands apart from what was found.
_ASSESSED = ("/category", "/threat", "/source_grade", "/info_grade", "/links/*", "/financial")

#: Where somebody writes in words of their own, and not as data.
_OWN_WORDS = {
    "/detention_release": ("conditions",),
    "/description": ("marks",),
    "/links/*": ("note",),
    "/financial": ("summary",),
    "/special": ("text",),
    "/health": ("text",),
}

BDC_PERSON: Mapping[str, Any] = {
    "name": "bdc-person/1.0",
    "regime": "bdc",
    "person": "suspect",
    "required": ("category", "names"),
    "lists": tuple(pattern.split("/")[1] for pattern in _REFERENCE_RECORD if pattern.endswith("/*")),
    "fields": {
        pattern: {
            "export_class": export_class,
            "category": "",
            "special": pattern in _SPECIAL,
            "statement": "assessment" if pattern in _ASSESSED else "fact",
            "texts": _OWN_WORDS.get(pattern, ()),
        }
        for pattern, export_class in _REFERENCE_RECORD.items()
    },
}

# --- genetics (Council Decision 2008/616/JHA annex ch. 1; Regulation (EU) 2024/982 art. 47, 49) ----------------------

#: The seven loci of the European Standard Set.
EUROPEAN_SET = ("VWA", "TH01", "D21S11", "FGA", "D8S1179", "D3S1358", "D18S51")


def full_loci(loci: Mapping[str, Iterable[str]]) -> list[str]:
    """Loci of which both values are read. Amelogenin tells the sex, a wildcard nothing."""
    return [
        name
        for name, values in loci.items()
        if name != "Amelogenin" and len([*values]) == 2 and "*" not in values
    ]


# --- dates -----------------------------------------------------------------------------------------------------------

_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _length(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else _LENGTHS[month - 1]


def calendar_day(text: Any) -> date | None:
    """A full date, ``2026-11-21``; None for anything else."""
    if not isinstance(text, str) or len(text) != 10 or not text.isascii() or text[4] + text[7] != "--":
        return None
    digits = (text[:4], text[5:7], text[8:])
    if not all(part.isdigit() for part in digits):
        return None
    year, month, day = map(int, digits)
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= _length(year, month):
        return None
    return date(year, month, day)


def in_months(start: date, months: int) -> date:
    """The same day so many months later, or the last of a month that is too short."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, _length(year, month + 1)))


def is_over(start: date | None, months: int | None, today: date) -> bool | None:
    """Whether a term of months that began on that day is over; None when it cannot be told: no term, no such date, or
    one that has not come (a zone ahead of UTC writes tomorrow's, no later one)."""
    if start is None or months is None or start > today + timedelta(days=1):
        return None
    return today > in_months(start, months)


def latest_birth(births: Iterable[Mapping[str, Any]]) -> date | None:
    """The latest day on which the person may have been born; None when nothing is known, or something is vague.

    Of a year the last day, of a month the last day: the youngest the person can be is the age that counts.
    """
    days = []
    for birth in births:
        text = {"year": "{}-12-31", "month": "{}-01", "day": "{}"}[birth["precision"]].format(birth["date"])
        day = calendar_day(text)
        if day is None or birth.get("about"):
            return None
        days.append(day.replace(day=_length(day.year, day.month)) if birth["precision"] == "month" else day)
    return max(days, default=None)


def has_turned(years: int, born: date, today: date) -> bool:
    """Whether a person born that day has completed so many years; born on 29 February, on 1 March of other years."""
    return (today.year - years, today.month, today.day) >= (born.year, born.month, born.day)


def nation_of(organisation: str) -> str:
    """``fra.police-demo`` is a service of ``FRA``."""
    return organisation.partition(".")[0].upper()
