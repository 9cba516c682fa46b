"""`ecluse audit stats`: the statistics of Directive (EU) 2023/977 art. 18, counts alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli.audit import stored
from gateway.cli.sample import commands
from gateway.cli.shared import DONE, NEGATIVE, Acting, Answer, acting, table
from gateway.cli.year import Year, spans_of, this_year
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from gateway.audit.tally import Key
    from gateway.service.calls.years import Handled

__all__ = ["commands"]

#: Letter of art. 6(1) under which a ground falls; one without is the house's own, and is counted by its name alone.
LETTERS = {
    "nothing": "a",
    "incomplete": "b",
    "authorisation-refused": "c",
    "inaccurate": "e",
    "harmful": "f",
    "minor-offence": "g",
}

#: What art. 18 asks for and this gateway does not record yet.
NOT_COUNTED = ("judicial-authorisation",)

#: Types that say something new to a partner who did not ask (art. 7).
OWN_INITIATIVE = ("disclosure", "emergency")


@acting(commands, "stats")
async def stats(on: Acting, year: Year = None) -> Answer:
    """Statistics of requests and provisions for a calendar year, by partner state and regime (Directive (EU) 2023/977
    art. 18). No small number is hidden: the directive hides none, and none says anything of a person.

    \b
    (1) requests sent, and information provided on own initiative, are counted from the partners' logs; (2) requests
    received from the rows, with class, clock, answer and ground of refusal, which are opened for it: a read, and an
    entry; (3) requests received must be as many as the logs say.

    \b
    Exit codes: 0 counted; 1 log and rows disagree. Not counted: time limits left for a judicial authorisation, which
    are not recorded here.
    """
    from gateway.service.calls.years import OfYear, Statistics

    chosen = year or this_year(on.place)
    found: Statistics = await on.desk.call("audit/stats", OfYear(chosen), Statistics)
    with stored(on.place) as tx:
        _, crossed = spans_of(tx, found.since, found.until)
    states = {one.partner: (one.nation, one.regime) for one in found.partners}
    sent = _by_state(crossed, states, "out", ("request",))
    provided = _by_state(crossed, states, "out", OWN_INITIATIVE)
    received = _received(found.handled, states)
    refused = _refused(found.handled, states)
    rows, log = _per_partner(found.handled), _requests(crossed)
    wrong = [
        {"partner": org, "log": log[org], "rows": rows[org]}
        for org in sorted({*rows, *log})
        if log[org] != rows[org]
    ]
    document = {
        "year": chosen,
        "since": found.since,
        "until": found.until,
        "as_of": found.as_of,
        "requests_sent": sent,
        "requests_received": received,
        "refusals": refused,
        "own_initiative": provided,
        "not_counted": NOT_COUNTED,
        "disagreements": wrong,
    }
    text: list[Any] = [
        f"{chosen}: {rfc3339(found.since)} to {rfc3339(found.until)}, as of {rfc3339(found.as_of)}"
    ]
    for title in ("requests_sent", "requests_received", "refusals", "own_initiative"):
        lines: list[dict[str, Any]] = document[title]  # type: ignore[assignment]
        columns = [name.replace("_", " ") for name in lines[0]] if lines else []
        text.append(table(columns, [tuple(one.values()) for one in lines], title=title.replace("_", " ")))
    text += [f"not counted: {code}" for code in NOT_COUNTED]
    text += [f"{one['partner']}: {one['log']} in the log, {one['rows']} in the rows" for one in wrong]
    return Answer(document, text, NEGATIVE if wrong else DONE)


def _state(org: str, states: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    return states.get(org, ("", ""))


def _by_state(
    crossed: "Mapping[Key, int]", states: Mapping[str, tuple[str, str]], direction: str, types: Iterable[str]
) -> list[dict[str, Any]]:
    found: Counter[tuple[str, str]] = Counter()
    for (topic, org, *rest), number in crossed.items():
        if topic == "crossed" and rest[0] == direction and rest[1] in types:
            found[_state(org, states)] += number
    return [{"state": key[0], "regime": key[1], "count": number} for key, number in sorted(found.items())]


def _received(handled: "Iterable[Handled]", states: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """By state and class: received, answered in time and late, not answered."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for one in handled:
        counted = found.setdefault((*_state(one.partner, states), one.urgency), Counter())
        counted[one.fate] += one.count
        if one.answer == "answer":
            counted["informed"] += one.count
    lines = []
    for (state, regime, urgency), count in sorted(found.items()):
        fates = {name: count[name] for name in ("in_time", "late", "open", "overdue")}
        answered = count["in_time"] + count["late"]
        lines.append({
            "state": state, "regime": regime, "class": urgency, "urgent": urgency != "normal",
            "received": sum(fates.values()), "answered": answered, "with_information": count["informed"], **fates,
        })  # fmt: skip
    return lines


def _refused(handled: "Iterable[Handled]", states: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """By state and ground, whatever left for it: what stays inside is told to those who oversee us, and here."""
    found: Counter[tuple[str, str, str]] = Counter()
    for one in handled:
        if one.answer in ("refusal", "no-information"):
            found[(*_state(one.partner, states), one.ground)] += one.count
    return [
        {
            "state": state,
            "regime": regime,
            "ground": ground,
            "article_6_1": LETTERS.get(ground, ""),
            "count": number,
        }
        for (state, regime, ground), number in sorted(found.items())
    ]


def _per_partner(handled: "Iterable[Handled]") -> Counter[str]:
    found: Counter[str] = Counter()
    for one in handled:
        found[one.partner] += one.count
    return found


def _requests(crossed: "Mapping[Key, int]") -> Counter[str]:
    """Requests received, as the partners' logs have them."""
    return Counter({key[1]: number for key, number in crossed.items() if key[2:] == ("in", "request")})
