"""The record kind `bdc-person/1.0` of section 10: its members, their order and their forms."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from tests.peer.shape import Shape, boolean, closed, day, listed, one_of, text, whole
from tests.peer.spelling import DIGEST, Misspelt

#: Unicode Default_Ignorable_Code_Point (DerivedCoreProperties of Unicode 16).
_IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip

#: Joiners that Persian and other orthographies need; directional marks; both are seen by what they do.
_JOINERS, _MARKS = "\u200c\u200d", "\u061c\u200e\u200f"


def _visible(most: int, besides: str) -> Shape:
    def check(tree: Any) -> Any:
        if not isinstance(tree, str) or not 1 <= len(tree) <= most:
            raise Misspelt
        for at, sign in enumerate(tree):
            joins = sign in _JOINERS and _arabic(tree[at - 1 : at]) and _arabic(tree[at + 1 : at + 2])
            if _hidden(sign) and sign not in besides and not joins:
                raise Misspelt
        return tree

    return check


def _hidden(sign: str) -> bool:
    ignorable = any(first <= ord(sign) <= last for first, last in _IGNORABLE)
    return ignorable or unicodedata.category(sign) in ("Cc", "Zl", "Zp")


def _arabic(sign: str) -> bool:
    return sign != "" and unicodedata.name(sign, "").startswith("ARABIC LETTER")


def _day(tree: Any) -> Any:
    """A day of the years 1900 to 2099."""
    text("(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}")(tree)
    return day(tree)


#: A day, month or year as the source has it, never completed, also where no such day exists.
_birth_date = text("(18|19|20)[0-9]{2}(-[0-9]{2}(-[0-9]{2})?)?")

_line, _free = _visible(200, ""), _visible(4000, "\t\n" + _MARKS)
_country = text("[A-Z]{3}")
_reference = text(r"[0-9A-Za-z][0-9A-Za-z ./:-]{0,63}")
_source_grade, _info_grade = one_of("A", "B", "C", "X"), whole(1, 4)


def _object(
    required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None, some: tuple[str, ...] = ()
) -> Shape:
    """An object inside a member: its members are sorted by name."""
    names = sorted({*required, *(optional or {})})
    return closed(required, optional, order=names, some=some)


_MEMBERS: dict[str, Shape] = {
    "category": _object({"code": one_of("FTF", "HTF", "PH", "EPV", "PCT"), "criterion": text("[a-e]")}),
    "names": listed(
        _object(
            {
                "type": one_of("birth", "alias", "false-identity"),
                "script": text("[A-Z][a-z]{3}"),
                "quality": one_of("high", "medium", "low"),
            },
            {
                **dict.fromkeys(("family", "given", "kunya", "text", "patronymic"), _line),
                "transliteration": _object({"text": _line, "scheme": _reference}),
                "source_grade": _source_grade,
                "info_grade": _info_grade,
            },
            some=("family", "given", "kunya", "text"),
        ),
        1,
        64,
    ),
    "sex": text("[MFXU]"),
    "birth": listed(
        _object(
            {"date": _birth_date, "precision": one_of("year", "month", "day")},
            {
                "about": boolean,
                "place": _line,
                "country": _country,
                "country_today": _country,
                "source": _line,
            },
        ),
        1,
        16,
    ),
    "nationalities": listed(_country, 1, 16),
    "documents": listed(
        _object(
            {
                "type": one_of("passport", "identity-card", "residence-permit", "other"),
                "number": _reference,
            },
            {
                "issuer": _country,
                "status": one_of("valid", "stolen", "lost", "expired", "invalidated"),
            },
        ),
        1,
        64,
    ),
    "threat": _object({"level": whole(1, 4), "date": _day}, {"valid_until": _day}),
    "measures": listed(
        _object(
            {
                "type": one_of(
                    "identity-card-withdrawal", "passport-withdrawal", "asset-freeze", "travel-ban", "other"
                ),
                "state": one_of("proposed", "in-force", "lifted", "expired"),
            },
            {"basis": _line, "from": _day, "to": _day},
        ),
        1,
        64,
    ),
    "detention_release": _object(
        {"date": _day}, {"establishment": _line, "conditions": _free, "destination": _line}
    ),
    "source_grade": _source_grade,
    "info_grade": _info_grade,
    "description": _object(
        {},
        {"height_cm": whole(20, 280), "eyes": _line, "hair": _line, "marks": _free},
        some=("height_cm", "eyes", "hair", "marks"),
    ),
    "photos": listed(
        _object({"sha256": text(DIGEST), "media_type": one_of("image/jpeg", "image/png")}), 1, 16
    ),
    "addresses": listed(
        _object({"country": _country}, {"street": _line, "city": _line, "from": _day, "to": _day}), 1, 64
    ),
    "fingerprint": _object({"reference": _reference}),
    "contacts": listed(_object({"type": one_of("phone", "email", "account"), "value": _line}), 1, 64),
    "links": listed(
        _object(
            {
                "type": one_of("associate", "family", "recruiter", "financier", "travelled-with"),
                "other": text("(?=.{1,64}\\Z)[A-Z]+-[0-9]+"),
            },
            {"note": _free},
        ),
        1,
        64,
    ),
    "national_number": _reference,
    "financial": _object({"summary": _free}),
    "special": _object({"kind": one_of("ethnic-origin", "opinion", "belief"), "text": _free}),
}

#: A record as it stands in a disclosure.
record = closed(
    {
        "ref": text("p-[0-9a-f]{32}"),
        "category": _MEMBERS["category"],
        "names": _MEMBERS["names"],
    },
    {name: shape for name, shape in _MEMBERS.items() if name not in ("category", "names")},
)
