"""Random fictitious persons full of canaries, and the same persons with other things withheld.

Every Latin text holds a word that starts with `ROOT`, every number `DIGITS`: where one of them turns up, content did.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from adapters.lines import MAX_LINE_BYTES
from gateway.model.time import rfc3339
from tests.service.world import BE, FR

#: How each canary word begins; nothing else in the product or its tests begins like it.
ROOT = "Zqanar"

#: How each canary number begins, whatever stands between its digits.
DIGITS = "9999887777"

#: Members that are lists in the kind.
LISTS = frozenset(
    {
        "names", "birth", "nationalities", "documents", "measures", "photos", "addresses", "contacts", "links",
        "minor_children",
    }
)  # fmt: skip

#: Members that the release rules look at: what stands there decides, so another value is another decision.
DECIDING = frozenset({"validation", "status", "pre_inquiry"})

Line = dict[str, Any]

LABEL: dict[str, Any] = {
    "policy": "BEL",
    "level": "UNCLASSIFIED",
    "releasable_to": ["BEL", "FRA", "NLD"],
    "originators": [BE],
    "handling_code": ["H2"],
    "tlp": "AMBER",
}


@dataclass(frozen=True)
class Item:
    """One field: its member, its value, and what its own label entry says otherwise (None: the record's label)."""

    member: str
    value: Any
    entry: dict[str, Any] | None = None


@dataclass(frozen=True)
class Person:
    """A record as the local system holds it."""

    id: str
    extracted_at: datetime
    items: tuple[Item, ...]
    label: dict[str, Any] = field(default_factory=lambda: dict(LABEL))

    def pointers(self) -> list[str]:
        """The pointer of each item, in order."""
        found, count = [], dict.fromkeys(LISTS, 0)
        for item in self.items:
            if item.member in LISTS:
                found.append(f"/{item.member}/{count[item.member]}")
                count[item.member] += 1
            else:
                found.append(f"/{item.member}")
        return found

    def line(self) -> Line:
        """The person as one line of an extract."""
        content: dict[str, Any] = {}
        labels = []
        for item, pointer in zip(self.items, self.pointers(), strict=True):
            if item.member in LISTS:
                content.setdefault(item.member, []).append(item.value)
            else:
                content[item.member] = item.value
            if item.entry is not None:
                labels.append({"pointer": pointer} | item.entry)
        return {
            "id": self.id,
            "extracted_at": rfc3339(self.extracted_at),
            "labels": labels,
            "originator": BE,
            "content": content,
        } | ({"label": self.label} if self.label else {})


# --- words -----------------------------------------------------------------------------------------------------------


def word(rng: Random) -> str:
    """A canary word; now and then with a letter that decomposes."""
    tail = "".join(rng.choice("bdfgklmnprstv") + rng.choice("aeiouéü") for _ in range(4))
    return ROOT + tail


def number(rng: Random) -> str:
    """A canary number in the form of a register number."""
    return f"99.99.88-777.7{rng.randrange(10**5):05d}"


def words(rng: Random, count: int) -> str:
    """A text of canary words."""
    return " ".join(word(rng) for _ in range(count))


def _day(rng: Random, today: date, least: int, most: int) -> str:
    return (today - timedelta(days=rng.randint(least, most))).isoformat()


def _name(rng: Random) -> dict[str, Any]:
    kind = rng.choice(("birth", "alias", "alias", "false-identity"))
    name: dict[str, Any] = {"type": kind}
    if kind == "alias" and rng.random() < 0.5:
        name["text"] = word(rng)
    else:
        name |= {"family": word(rng), "given": word(rng)}
    name |= {"script": "Latn", "quality": rng.choice(("high", "medium", "low"))}
    return name


def _birth(rng: Random, today: date) -> dict[str, Any]:
    precision = rng.choice(("year", "month", "day"))
    text = date(today.year - rng.randint(20, 60), rng.randint(1, 12), rng.randint(1, 28)).isoformat()
    return {
        "date": text[: {"year": 4, "month": 7, "day": 10}[precision]],
        "precision": precision,
        "place": word(rng),
        "country": rng.choice(("BEL", "FRA", "NLD")),
    }


#: How a value of each member is made; a second value of the same member differs in its text at least.
MAKE: dict[str, Callable[[Random, date], Any]] = {
    "category": lambda rng, _: {"code": rng.choice(("FTF", "HTF", "PH")), "criterion": rng.choice("abcde")},
    "names": lambda rng, _: _name(rng),
    "sex": lambda rng, _: rng.choice("MFXU"),
    "birth": _birth,
    "nationalities": lambda rng, _: rng.choice(("BEL", "DEU", "ESP", "FRA", "MAR", "NLD")),
    "documents": lambda rng, _: {"type": "passport", "number": f"{ROOT}{rng.randrange(10**6):06d}", "issuer": "BEL"},
    "threat": lambda rng, today: {"level": rng.randint(1, 4), "date": _day(rng, today, 1, 100)},
    "measures": lambda rng, today: {
        "type": "travel-ban", "state": "in-force", "basis": words(rng, 2), "from": _day(rng, today, 1, 300),
    },
    "detention_release": lambda rng, today: {
        "date": _day(rng, today, 1, 300), "establishment": word(rng), "conditions": words(rng, rng.randint(1, 30)),
    },
    "source_grade": lambda rng, _: rng.choice("ABCX"),
    "info_grade": lambda rng, _: rng.randint(1, 4),
    "description": lambda rng, _: {"height_cm": rng.randint(150, 200), "marks": words(rng, rng.randint(1, 12))},
    "photos": lambda rng, _: {"sha256": f"{rng.getrandbits(256):064x}", "media_type": "image/jpeg"},
    "addresses": lambda rng, today: {
        "street": words(rng, 2), "city": word(rng), "country": "BEL", "from": _day(rng, today, 1, 900),
    },
    "fingerprint": lambda rng, _: {"reference": f"{ROOT}{rng.randrange(10**6):06d}"},
    "contacts": lambda rng, _: {"type": "email", "value": f"{word(rng)}@nulle-part.invalid"},
    "links": lambda rng, _: {
        "type": rng.choice(("associate", "family")), "other": f"BDC-{rng.randrange(10**8):08d}", "note": word(rng),
    },
    "national_number": lambda rng, _: number(rng),
    "financial": lambda rng, _: {"summary": words(rng, rng.randint(1, 8))},
    "special": lambda rng, _: {"kind": rng.choice(("opinion", "belief")), "text": words(rng, 2)},
    "health": lambda rng, _: {"text": words(rng, rng.randint(1, 40))},
    "minor_children": lambda rng, today: {"name": word(rng), "birth_year": today.year - rng.randint(1, 17)},
}  # fmt: skip

#: Member: share of the persons that have it, and most items of it.
SHARES: dict[str, tuple[float, int]] = {
    "category": (1, 1), "names": (1, 4), "sex": (1, 1), "birth": (1, 2), "nationalities": (0.8, 3),
    "documents": (0.5, 2), "threat": (0.6, 1), "measures": (0.5, 2), "detention_release": (0.3, 1),
    "source_grade": (0.7, 1), "info_grade": (0.7, 1), "description": (0.5, 1), "photos": (0.2, 2),
    "addresses": (0.5, 3), "fingerprint": (0.2, 1), "contacts": (0.4, 3), "links": (0.4, 2),
    "national_number": (0.5, 1), "financial": (0.3, 1), "special": (0.2, 1), "health": (0.4, 1),
    "minor_children": (0.3, 2),
}  # fmt: skip


def _entry(originator: str = "", consent: tuple[str, ...] = (), **axes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"label": LABEL | axes}
    if originator:
        entry["originator"] = originator
    return entry | ({"consent": list(consent)} if consent else {})


#: Label entries that keep an item back, whatever its class; each by another rule.
KEEPS_BACK: tuple[Callable[[], dict[str, Any]], ...] = (
    lambda: _entry(level="RESTREINT"),
    lambda: _entry(releasable_to=["BEL", "NLD"]),
    lambda: _entry(releasable_to=[]),
    lambda: _entry(no_foreign=True),
    lambda: _entry(tlp="RED"),
    lambda: _entry(purpose=["oversight"]),
    lambda: _entry(retention_until="2026-11-01"),
    lambda: _entry(handling_code=["H3"]),
    lambda: _entry("bel.vsse", originators=["bel.vsse"], originator_control=True, handling_code=["H1", "H2"]),
    lambda: _entry("nld.service-demo", originators=["nld.service-demo"]),
)

#: Label entries under which an item may still leave, and leaves another label in the message.
LETS_OUT: tuple[Callable[[], dict[str, Any]], ...] = (
    lambda: _entry(tlp="GREEN"),
    lambda: _entry(handling_code=["H1", "H2"]),
    lambda: _entry(releasable_to=["BEL", FR]),
    lambda: _entry(purpose=["ct-prevention", "oversight"]),
    lambda: _entry("bel.vsse", (FR,), originators=["bel.vsse"], originator_control=True),
)


def person(rng: Random, entity: str, now: datetime) -> Person:
    """A clean adult with about a fifth of the items kept back by their labels."""
    today, items = now.date(), []
    for member, (share, most) in SHARES.items():
        if rng.random() >= share:
            continue
        for place in range(rng.randint(1, most) if member in LISTS else 1):
            entry = None
            if rng.random() < 0.2 and (member, place) != ("names", 0) and member != "category":
                entry = rng.choice(KEEPS_BACK)()
            elif rng.random() < 0.1:
                entry = rng.choice(LETS_OUT)()
            items.append(Item(member, MAKE[member](rng, today), entry))
    items.append(Item("validation", {"state": "validated", "date": _day(rng, today, 1, 100)}))
    items.append(
        Item("status", {"archived": False, "judicial_information": False, "card": "information-card"})
    )
    return Person(entity, now, tuple(items))


#: What makes a release of a clean person impossible, each by another rule.
def _without_label(rng: Random, one: Person) -> Person:
    label = one.label
    kept = [item if item.entry is not None else replace(item, entry={"label": label}) for item in one.items]
    last = rng.randrange(len(kept))
    kept[last] = replace(kept[last], entry=None)
    return replace(one, items=tuple(kept), label={})


def _set(member: str, **changes: Any) -> Callable[[Random, Person], Person]:
    def change(_: Random, one: Person) -> Person:
        items = [
            replace(item, value=item.value | changes) if item.member == member else item for item in one.items
        ]
        return replace(one, items=tuple(items))

    return change


def _born(years: int) -> Callable[[Random, Person], Person]:
    def change(_: Random, one: Person) -> Person:
        young = {"date": str(one.extracted_at.year - years), "precision": "year"}
        items = [
            replace(item, value=item.value | young) if item.member == "birth" else item for item in one.items
        ]
        return replace(one, items=tuple(items))

    return change


DENIED: dict[str, Callable[[Random, Person], Person]] = {
    "embargo-label": lambda _, one: replace(one, label=one.label | {"embargo": True}),
    "unknown-level": lambda _, one: replace(one, label=one.label | {"level": "OMBRE"}),
    "releasable-to-nobody": lambda _, one: replace(
        one, label=one.label | {"releasable_to": []}, items=tuple(replace(item, entry=None) for item in one.items)
    ),
    "unlabelled-item": _without_label,
    "not-validated": _set("validation", state="proposed"),
    "archived": _set("status", archived=True),
    "judicial": _set("status", judicial_information=True),
    "information-file": _set("status", card="information-file"),
    "minor": _born(15),
    "under-12": _born(8),
    "no-birth": lambda _, one: replace(one, items=tuple(item for item in one.items if item.member != "birth")),
    "stale": lambda _, one: replace(one, extracted_at=one.extracted_at - timedelta(days=2)),
}  # fmt: skip


# --- other things withheld -------------------------------------------------------------------------------------------

#: Longest text that a lengthened value gets, in characters: the schema's limits, by the name of the member.
_LONGEST = {"text": 4000, "marks": 4000, "summary": 4000, "note": 4000, "conditions": 4000}


def _lengthen(rng: Random, value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {member: _lengthen(rng, inner, member) for member, inner in value.items()}
    if isinstance(value, str) and name in _LONGEST and ROOT in value:
        return words(rng, rng.randint(20, _LONGEST[name] // 14))[: _LONGEST[name]].strip()
    return value


def varied(rng: Random, one: Person, withheld: Collection[str], now: datetime) -> tuple[Person, list[str]]:
    """The same person with other things in what is withheld, and what was done to it.

    ``withheld`` are pointers; items that decide the release are left alone. Nothing that leaves is touched, in value,
    label or order among what leaves.
    """
    hidden = [
        pointer in withheld and item.member not in DECIDING
        for pointer, item in zip(one.pointers(), one.items, strict=True)
    ]
    items: list[tuple[Item, bool]] = list(zip(copy.deepcopy(one.items), hidden, strict=True))
    done = []
    for _ in range(rng.randint(1, 3)):
        act = rng.choice(("change", "lengthen", "remove", "remove-all", "add", "add", "reorder", "relabel"))
        done.append(act)
        items = _act(rng, act, items, now.date())
    changed = replace(one, items=tuple(item for item, _ in items))
    if len(str(changed.line())) > MAX_LINE_BYTES // 4:
        return one, ["nothing"]
    return changed, done


def _act(rng: Random, act: str, items: list[tuple[Item, bool]], today: date) -> list[tuple[Item, bool]]:
    places = [place for place, (_, hidden) in enumerate(items) if hidden]
    if act == "add":
        return _add(rng, items, today)
    if not places:
        return items
    if act == "remove-all":
        return [pair for pair in items if not pair[1] or pair[0].member == "birth"]
    if act == "reorder":
        return _reorder(rng, items)
    place = rng.choice(places)
    item = items[place][0]
    if act == "remove" and item.member != "birth":  # without a date of birth nobody leaves: another decision
        return items[:place] + items[place + 1 :]
    if act == "change":
        item = replace(item, value=MAKE[item.member](rng, today))
    elif act == "lengthen" and item.member != "names":
        item = replace(item, value=_lengthen(rng, item.value))
    elif act == "relabel":
        item = replace(item, entry=rng.choice(KEEPS_BACK)())
    return [*items[:place], (item, True), *items[place + 1 :]]


def _add(rng: Random, items: list[tuple[Item, bool]], today: date) -> list[tuple[Item, bool]]:
    """One withheld item more: in a list at any place, or a member that was absent, where such members stand."""
    have = {item.member for item, _ in items}
    candidates = [member for member in MAKE if member in LISTS or member not in have]
    member = rng.choice(candidates)
    added = (Item(member, MAKE[member](rng, today), rng.choice(KEEPS_BACK)()), True)
    own = [place for place, (item, _) in enumerate(items) if item.member == member]
    if own:
        place = rng.randint(own[0], own[-1] + 1)
    else:
        order = list(MAKE)
        place = next(
            (
                place
                for place, (item, _) in enumerate(items)
                if item.member not in order or order.index(item.member) > order.index(member)
            ),
            len(items),
        )
    return [*items[:place], added, *items[place:]]


def _reorder(rng: Random, items: list[tuple[Item, bool]]) -> list[tuple[Item, bool]]:
    """Withheld items of each list at other places of it; what leaves keeps its order."""
    result: list[tuple[Item, bool]] = []
    place = 0
    while place < len(items):
        member = items[place][0].member
        run = [pair for pair in items[place:] if pair[0].member == member]
        place += len(run)
        kept = [pair for pair in run if not pair[1]]
        for pair in rng.sample([pair for pair in run if pair[1]], sum(hidden for _, hidden in run)):
            kept.insert(rng.randint(0, len(kept)), pair)
        result += kept
    return result


def values(line: Line) -> list[str]:
    """Every text of a line that is content, and its id: what may stand in no log, error, metric or identifier."""
    return [str(line["id"]), *texts(line["content"])]


def texts(value: Any) -> list[str]:
    """The canaries in a value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    bare = value.replace(".", "").replace("-", "") if isinstance(value, str) else ""
    return [value] if ROOT in bare or DIGITS in bare else []
