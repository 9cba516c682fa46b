"""Plainly fictitious BDC persons, for tests, demonstrations and measurements.

Nobody and nothing in here exists: names are invented syllables, places are called for what they are, register numbers
have a month 99, telephone numbers lie in ranges that are kept for fiction or never assigned, and e-mail addresses end
in ``.invalid`` (RFC 2606 §2). The same arguments yield the same bytes; person *n* is the same in every extract that
is long enough, and dates count back from ``extracted_at``, so that an extract is as fresh as the caller says.

::

    python -m adapters.records.synthetic --count 200 --seed 1 --extracted-at 2026-11-21T21:00:00Z > extract.jsonl
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from gateway.errors import MalformedMessage
from gateway.model.time import parse_rfc3339, rfc3339

#: One object of the extract: ``{"id", "extracted_at", "label", "labels", "originator", "content"}``.
Line = dict[str, Any]

CATEGORIES = ("FTF", "HTF", "PH", "EPV", "PCT")

#: States that most fields may go to.
PARTNER_STATES = ("AUS", "BEL", "CAN", "DEU", "ESP", "FRA", "GBR", "JPN", "LUX", "MAR", "NLD", "USA")

#: What is wrong, or unusual, with every seventh person, in turn; all the others are clean, adult and validated.
VARIATIONS = (
    "unlabelled-item",
    "unknown-level",
    "releasable-to-nobody",
    "originator-control",
    "originator-consent",
    "foreign-originator",
    "not-validated",
    "rejected",
    "pre-inquiry",
    "information-file",
    "judicial-information",
    "archived",
    "stale-evaluation",
    "minor",
    "under-12",
    "birth-unknown",
    "birth-about",
    "restreint-item",
    "no-foreign",
    "embargo",
    "purpose-limited",
)
VARIATION_EVERY = 7  # persons; prime to the number of categories, so that every category has its variations

# Invented words of letters that each script below writes one for one.
_HEADS = ("zze", "zza", "pzi", "ggo", "kzo", "vvra", "dzda", "lgi")
_TAILS = ("mo", "kla", "vri", "zno", "tefo", "plo", "drifa", "rrova", "mika", "pza")
_LATIN = "zemoklavrintfgpd"
_LETTERS = {"Arab": "زيموكلافرينتفجبد", "Cyrl": "земоклавринтфгпд", "Grek": "ζεμοκλαβριντφγπδ"}
_ROMAN = {"Arab": "zymwklafryntfjbd", "Cyrl": _LATIN, "Grek": _LATIN}
_SCHEMES = {"Arab": "ICAO 9303", "Cyrl": "ISO 9:1995", "Grek": "ISO 843:1997"}

_GIVEN = ("Exemple", "Specimen", "Voorbeeld", "Muster", "Ejemplo", "Esempio", "Fictief")
# Places of birth and of residence never share a spelling: a search for withheld values finds no chance hit.
_BIRTH_PLACES = (
    ("Fictiville", "BEL"),
    ("Exempelstad", "NLD"),
    ("Inventeville", "FRA"),
    ("Musterheim", "DEU"),
)
_CITIES = (("Nulleville-sur-Rien", "BEL"), ("Nergenshuizen", "NLD"), ("Sansnom-les-Vides", "FRA"))
_PHONES = ("+32 000 00 {0:02d} {1:02d}", "+33 1 99 00 {0:02d} {1:02d}", "+1 555 555 01{1:02d}")


def persons(count: int, seed: int, extracted_at: datetime) -> Iterator[Line]:
    """``count`` lines; the first is `exemplar`, the others follow from ``seed`` and their number alone."""
    for number in range(1, count + 1):
        yield exemplar(extracted_at) if number == 1 else _person(number, seed, extracted_at)


def extract(count: int, seed: int, extracted_at: datetime) -> bytes:
    """The same as a file: UTF-8, one object a line."""
    lines = (
        json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        for line in persons(count, seed, extracted_at)
    )
    return "".join(f"{line}\n" for line in lines).encode()


def variation_of(number: int) -> str:
    """The variation of person ``number`` (from 1), or an empty text for a clean one."""
    turn, rest = divmod(number, VARIATION_EVERY)
    return "" if rest else VARIATIONS[(turn - 1) % len(VARIATIONS)]


def exemplar(extracted_at: datetime) -> Line:
    """The first person: a clean, adult, validated FTF of whom a foreign police service may have several fields.

    Withheld from it: what was not asked for (B), the register number (C), health and children (X), and the second of
    two aliases of another service, which consented to the release of the first only, and only to one organisation.
    """
    day = extracted_at.date()
    content = {
        "category": {"code": "FTF", "criterion": "a"},
        "names": [
            {"type": "birth", "family": "Zzemo", "given": "Exemple", "script": "Latn", "quality": "high"},
            {
                "type": "alias", "text": "إكزمبل", "script": "Arab", "quality": "low",
                "transliteration": {"text": "Ikzmbl", "scheme": "ICAO 9303"},
                "source_grade": "B", "info_grade": 3,
            },
            {
                "type": "alias", "text": "Qwx le Rouleur", "script": "Latn", "quality": "medium",
                "source_grade": "B", "info_grade": 2,
            },
            {
                "type": "false-identity", "family": "Vvrazno", "given": "Specimen", "script": "Latn",
                "quality": "medium",
            },
        ],
        "sex": "M",
        "birth": [
            {
                "date": "1990-03", "precision": "month", "about": False, "place": "Fictiville",
                "country": "BEL", "source": "register",
            }
        ],
        "nationalities": ["BEL"],
        "documents": [{"type": "passport", "number": "XX0000001", "issuer": "BEL", "status": "stolen"}],
        "threat": {"level": 3, "date": _before(day, 51), "valid_until": _before(day, -129)},
        "measures": [
            {
                "type": "passport-withdrawal", "state": "in-force", "basis": "fictitious decision 1",
                "from": _before(day, 40),
            }
        ],
        "detention_release": {
            "date": _before(day, 90), "establishment": "Prison fictive de Zerograd",
            "conditions": "reports to an invented office", "destination": "Inventeville",
        },
        "source_grade": "A",
        "info_grade": 1,
        "description": {"height_cm": 178, "eyes": "brown", "hair": "dark", "marks": "invented scar"},
        "addresses": [
            {
                "street": "Rue du Néant 0", "city": "Nulleville-sur-Rien", "country": "BEL",
                "from": _before(day, 80),
            }
        ],
        "contacts": [
            {"type": "phone", "value": "+32 000 00 00 01"},
            {"type": "email", "value": "qwx.rouleur@nulle-part.invalid"},
        ],
        "national_number": _national_number(1),
        "health": {"text": "Entirely fictitious: an invented complaint."},
        "minor_children": [{"name": "Pzikla Vide", "birth_year": day.year - 6}],
        "validation": {"state": "validated", "date": _before(day, 45)},
        "status": {"archived": False, "judicial_information": False, "card": "information-card"},
    }  # fmt: skip
    vsse = _label(originators=["bel.vsse"], originator_control=True, handling_code=["H1", "H2"])
    return {
        "id": _entity_id(1),
        "extracted_at": rfc3339(extracted_at),
        "label": _label(),
        "labels": [
            {"pointer": "/names/1", "label": vsse, "originator": "bel.vsse", "consent": ["fra.police-demo"]},
            {"pointer": "/names/2", "label": vsse, "originator": "bel.vsse"},
        ],
        "originator": "bel.ocam",
        "content": content,
    }


# --- everybody else --------------------------------------------------------------------------------------------------


def _person(number: int, seed: int, extracted_at: datetime) -> Line:
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable on purpose, protects nothing
    day = extracted_at.date()
    content = _identity(number, rng, day) | _case(number, rng, day)
    content["validation"] = {"state": "validated", "date": _before(day, rng.randint(1, 170))}
    content["status"] = {"archived": False, "judicial_information": False, "card": "information-card"}
    line: Line = {
        "id": _entity_id(number),
        "extracted_at": rfc3339(extracted_at),
        "label": _label(),
        "labels": [],
        "originator": "bel.ocam",
        "content": content,
    }
    _vary(line, variation_of(number), rng, day)
    return line


def _identity(number: int, rng: random.Random, day: date) -> dict[str, Any]:
    """Who it is: always a category, names, sex, an adult's birth dates and nationalities; documents often."""
    names = [_name(rng, "birth", "high")]
    names += [_name(rng, "alias", rng.choice(("high", "medium", "low"))) for _ in range(rng.randrange(3))]
    if rng.random() < 0.2:
        names.append(_name(rng, "false-identity", "medium"))
    birth = [_birth(rng, day.year - rng.randint(20, 60))]
    if rng.random() < 0.2:
        birth.append(_birth(rng, day.year - rng.randint(20, 60)))
    identity: dict[str, Any] = {
        "category": {"code": CATEGORIES[(number - 1) % len(CATEGORIES)], "criterion": rng.choice("abcde")},
        "names": names,
        "sex": rng.choice("MMMFFXU"),
        "birth": birth,
        "nationalities": rng.sample(("BEL", "DEU", "ESP", "FRA", "MAR", "NLD"), rng.choice((1, 1, 2))),
    }
    if rng.random() < 0.7:
        identity["documents"] = [
            {
                "type": rng.choice(("passport", "identity-card", "residence-permit", "other")),
                "number": f"XX{number:07d}",
                "issuer": rng.choice(identity["nationalities"]),
                "status": rng.choice(("valid", "stolen", "lost", "expired", "invalidated")),
            }
        ]
    return identity


def _case(number: int, rng: random.Random, day: date) -> dict[str, Any]:
    """What is held about them: an evaluation and measures mostly, each of the rest now and then."""
    evaluated = rng.randint(1, 150)
    city, country = rng.choice(_CITIES)
    optional: tuple[tuple[float, str, Any], ...] = (
        (0.9, "threat", {
            "level": rng.randint(1, 4), "date": _before(day, evaluated),
            "valid_until": _before(day, evaluated - 180),
        }),
        (0.5, "measures", [_measure(rng, day)]),
        (0.2, "detention_release", {
            "date": _before(day, rng.randint(-60, 400)), "establishment": "Prison fictive de Zerograd",
            "conditions": "reports to an invented office", "destination": rng.choice(_BIRTH_PLACES)[0],
        }),
        (0.9, "source_grade", rng.choice("ABCX")),
        (0.9, "info_grade", rng.randint(1, 4)),
        (0.5, "description", {
            "height_cm": rng.randint(150, 200), "eyes": rng.choice(("brown", "green")),
            "hair": rng.choice(("dark", "fair")), "marks": "invented tattoo of a zero",
        }),
        (0.3, "photos", [{
            "sha256": hashlib.sha256(b"no photo %d" % number).hexdigest(), "media_type": "image/jpeg",
        }]),
        (0.6, "addresses", [{
            "street": f"Rue du Néant {number}", "city": city, "country": country,
            "from": _before(day, rng.randint(200, 900)), "to": _before(day, rng.randint(1, 199)),
        }]),
        (0.3, "fingerprint", {"reference": f"FP-{number:06d}"}),
        (0.6, "contacts", [
            {"type": "phone", "value": rng.choice(_PHONES).format(*divmod(number % 10000, 100))},
            {"type": "email", "value": f"person{number}@nulle-part.invalid"},
            {"type": "account", "value": f"@nobody_{number}"},
        ]),
        (0.4, "links", [{
            "type": rng.choice(("associate", "family", "recruiter", "financier", "travelled-with")),
            "other": _entity_id(rng.randint(1, number - 1)), "note": "fictitious relation",
        }]),
        (0.5, "national_number", _national_number(number)),
        (0.2, "financial", {"summary": "Fictitious account with a balance of 0 euro."}),
        (0.1, "special", {"kind": rng.choice(("ethnic-origin", "opinion", "belief")), "text": "fictitious"}),
        (0.1, "health", {"text": "Entirely fictitious: an invented complaint."}),
        (0.2, "minor_children", [{
            "name": f"{_word(rng).capitalize()} Vide", "birth_year": day.year - rng.randint(1, 17),
        }]),
    )  # fmt: skip
    return {member: value for share, member, value in optional if rng.random() < share}


def _measure(rng: random.Random, day: date) -> dict[str, Any]:
    begun = rng.randint(30, 300)
    return {
        "type": rng.choice(
            ("identity-card-withdrawal", "passport-withdrawal", "asset-freeze", "travel-ban", "other")
        ),
        "state": rng.choice(("proposed", "in-force", "lifted", "expired")),
        "basis": f"fictitious decision {begun}",
        "from": _before(day, begun),
        "to": _before(day, begun - 365),
    }


def _birth(rng: random.Random, year: int) -> dict[str, Any]:
    place, country = rng.choice(_BIRTH_PLACES)
    precision = rng.choice(("year", "month", "day"))
    text = date(year, rng.randint(1, 12), rng.randint(1, 28)).isoformat()
    return {
        "date": text[: {"year": 4, "month": 7, "day": 10}[precision]],
        "precision": precision,
        "about": False,
        "place": place,
        "country": country,
        "country_today": country,
        "source": rng.choice(("register", "own statement", "document")),
    }


def _name(rng: random.Random, use: str, quality: str) -> dict[str, Any]:
    """A name in one of four scripts; other scripts than Latin come with a transliteration and its scheme."""
    script = rng.choice(("Latn", *_LETTERS))
    family, given = _word(rng), rng.choice(_GIVEN) if script == "Latn" else _word(rng)
    name: dict[str, Any] = {"type": use}
    if use == "alias" and rng.random() < 0.5:
        name["text"] = _written(family, script)
    else:
        name |= {"family": _written(family, script), "given": _written(given, script)}
        if script == "Cyrl":
            name["patronymic"] = _written(_word(rng), script)
        if script == "Arab":
            name["kunya"] = f"أبو {_written(_word(rng), script)}"
    name["script"] = script
    if script != "Latn":
        name["transliteration"] = {"text": _romanised(name, script), "scheme": _SCHEMES[script]}
    name["quality"] = quality
    if use == "alias":
        name |= {"source_grade": rng.choice("ABC"), "info_grade": rng.randint(1, 4)}
    return name


def _word(rng: random.Random) -> str:
    return rng.choice(_HEADS) + rng.choice(_TAILS)


def _written(word: str, script: str) -> str:
    letters = str.maketrans(_LATIN, _LETTERS[script]) if script != "Latn" else {}
    return word.lower().translate(letters).capitalize()


def _romanised(name: dict[str, Any], script: str) -> str:
    """The parts that stand for the person; patronymic and kunya are given in their script only."""
    parts = [name["text"]] if "text" in name else [name["family"], name["given"]]
    return " ".join(parts).lower().translate(str.maketrans(_LETTERS[script], _ROMAN[script])).title()


# --- variations ------------------------------------------------------------------------------------------------------


def _vary(line: Line, variation: str, rng: random.Random, day: date) -> None:
    """Give a clean line its one fault or peculiarity."""
    content, labels = line["content"], line["labels"]
    match variation:
        case "unlabelled-item":
            label = line.pop("label")
            labels += [{"pointer": at, "label": label} for at in _pointers(content) if at != "/sex"]
        case "unknown-level":
            labels.append({"pointer": "/names/0", "label": _label(level="OMBRE")})
        case "releasable-to-nobody":
            line["label"] = _label(releasable_to=[])
        case "originator-control" | "originator-consent":
            label = _label(originators=["bel.vsse"], originator_control=True, handling_code=["H1", "H2"])
            entry = {"pointer": _alias(content, rng), "label": label, "originator": "bel.vsse"}
            labels.append(
                entry if variation == "originator-control" else entry | {"consent": ["fra.police-demo"]}
            )
        case "foreign-originator":
            label = _label(originators=["nld.service-demo"])
            labels.append({"pointer": _alias(content, rng), "label": label, "originator": "nld.service-demo"})
        case "not-validated":
            content["validation"]["state"] = "proposed"
        case "rejected":
            content["validation"]["state"] = "rejected"
        case "pre-inquiry":
            content["pre_inquiry"] = {"since": _before(day, rng.randint(1, 300))}
            content["validation"]["state"] = "proposed"
        case "information-file":
            content["status"]["card"] = "information-file"
        case "judicial-information":
            content["status"]["judicial_information"] = True
        case "archived":
            content["status"]["archived"] = True
        case "stale-evaluation":
            content["threat"] = {"level": 2, "date": _before(day, 230), "valid_until": _before(day, 50)}
        case "minor":
            content["birth"] = [_birth(rng, day.year - 15)]
        case "under-12":
            content["birth"] = [_birth(rng, day.year - 8)]
        case "birth-unknown":
            del content["birth"]
        case "birth-about":
            content["birth"][0]["about"] = True
        case "restreint-item":
            labels.append({"pointer": _alias(content, rng), "label": _label(level="RESTREINT")})
        case "no-foreign":
            line["label"] = _label(no_foreign=True)
        case "embargo":
            line["label"] = _label(embargo=True)
        case "purpose-limited":
            line["label"] = _label(purpose=["oversight"], retention_until=_before(day, -365))


def _alias(content: dict[str, Any], rng: random.Random) -> str:
    """Add one more alias; its pointer."""
    content["names"].append(_name(rng, "alias", "low"))
    return f"/names/{len(content['names']) - 1}"


def _pointers(content: dict[str, Any]) -> Iterator[str]:
    for member, value in content.items():
        if isinstance(value, list):
            yield from (f"/{member}/{index}" for index in range(len(value)))
        else:
            yield f"/{member}"


def _label(**axes: Any) -> dict[str, Any]:
    """The label of nearly everything here, with some axes set otherwise."""
    return {
        "policy": "BEL",
        "level": "UNCLASSIFIED",
        "releasable_to": list(PARTNER_STATES),
        "originators": ["bel.ocam"],
        "handling_code": ["H2"],
        "tlp": "AMBER",
    } | axes


def _entity_id(number: int) -> str:
    return f"BDC-{number:06d}"


def _national_number(number: int) -> str:
    """Eleven digits as in the register, but born in month 99."""
    return f"999900{number:05d}"


def _before(day: date, days: int) -> str:
    return (day - timedelta(days=days)).isoformat()


# --- command ---------------------------------------------------------------------------------------------------------


def _instant(text: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except MalformedMessage as fault:
        raise argparse.ArgumentTypeError(fault.detail) from None


def main(arguments: list[str] | None = None) -> None:
    """Write an extract to standard output."""
    parser = argparse.ArgumentParser(
        "python -m adapters.records.synthetic", description="Fictitious BDC extract"
    )
    parser.add_argument("--count", type=int, default=200, help="persons (default 200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--extracted-at", type=_instant, required=True, help="RFC 3339, UTC, ending in Z")
    chosen = parser.parse_args(arguments)
    sys.stdout.buffer.write(extract(chosen.count, chosen.seed, chosen.extracted_at))


if __name__ == "__main__":
    main()
