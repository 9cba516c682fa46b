"""Whether one field leaves, source by source.

`denials` and `reviews` yield the ids of the rules that keep it back or want a person to look; `permit` says which of
the three permits a field of its export class needs, and whether it has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.grid.evaluator_release import lifted, rests_on_derogation, today, waived
from tests.grid.evaluator_sources import (
    calendar_day,
    is_over,
    level_held_against,
    level_of,
    level_there,
    nation_of,
)

World = Mapping[str, Any]


class Field:
    """One field of a world: where it stands, what it holds, how it is marked, and what its kind says of it."""

    def __init__(self, world: World, kind: World, pointer: str, value: Any) -> None:
        parts = pointer.split("/")
        listed = len(parts) == 3 and parts[1] in kind["lists"]
        self.world, self.kind, self.pointer, self.value = world, kind, pointer, value
        pattern = f"/{parts[1]}/*" if listed else pointer
        self.said: World | None = kind["fields"].get(pattern)
        self.pattern = pattern if self.said else ""  # one the kind does not know is none that a rule names
        entry: World = next(
            (each for each in world["record"]["labels"][::-1] if each["pointer"] == pointer), {}
        )
        self.mark: World | None = entry.get("label")
        self.originator: str = entry.get("originator", "")
        self.came_with: tuple[str, ...] = tuple(entry.get("consent", ()))
        self.partner, self.release, self.settings = world["partner"], world["release"], world["settings"]
        self.terms: World | None = world["agreement"]["terms"] if world["agreement"] else None


def denials(field: Field) -> Iterator[str]:
    """Every rule that keeps the field back."""
    yield from what_the_kind_says(field)
    yield from transfer(field)
    yield from evaluation(field)
    if field.mark is None:
        yield from unmarked(field)
        return
    yield from classification(field, field.mark)
    yield from release_list(field, field.mark)
    yield from conditions(field, field.mark)
    yield from persons(field, field.mark)
    yield from others(field, field.mark)
    yield from handling(field, field.mark)
    if _led_applies(field) is None:
        yield "handling.led-conflict"


def unmarked(field: Field) -> Iterator[str]:
    """Without a label whatever asks one cannot be told, and what cannot be told denies."""
    yield from ("label.equivalent", "label.as-sent", "label.ceiling", "channel.ceiling", "label.releasable")
    yield from ("label.no-foreign", "label.retention", "label.caveat", "person.victim-witness")
    yield from ("person.minor-item", "third-party", "label.orcon", "handling.free-text")
    if field.world["officers"]:
        yield "officer.clearance"
    if field.kind["regime"] == "support-report":
        yield "support.consent"
    if field.kind["regime"] != "bdc":
        yield "handling.dissemination"
    if field.partner["recipient_kind"] == "judicial":
        yield "handling.judicial-use"
    if _led_applies(field) is not False:
        yield "handling.led-conflict"


# --- what the kind says (house classes; LED art. 7(1), 7(2), 10) -----------------------------------------------------


def what_the_kind_says(field: Field) -> Iterator[str]:
    if field.said is None:  # house: what the kind does not know never leaves
        yield "field.unknown"
    else:
        if field.said["statement"] is None:  # LED art. 7(1): facts apart from assessments
            yield "statement.apart"
        if field.said["export_class"] == "X":
            yield "class.X"
        # LED art. 10 [M]: strictly necessary, and justified
        reasons = [each["reason"] for each in field.world["lifts"] if each["pointer"] == field.pointer]
        if field.said["special"] and not any(reason.strip() for reason in reasons):
            yield "special.justified"
    if field.pattern == "/links/*":  # house: a link names a person the partner may not know
        yield "link.target-held"
    if field.pattern == "/financial":  # house: only between financial intelligence units
        yield "financial.route"
    if _off_the_scale(field.pointer.split("/")[1], field.value):  # LED art. 7(2); house: one scale, the 4x4
        yield "grade.scale"
    if field.kind["regime"] == "dna":
        # Regulation (EU) 2024/982 art. 47, 49: core data after a match, by a person's decision
        matched = "match" in field.world["record"]["content"] and lifted(field.world, "/core-data")
        if field.said is None or (field.said["category"] == "core-data" and not matched):
            yield "dna.core-data"


def _off_the_scale(name: str, value: Any) -> bool:
    if name == "source_grade":
        return not (isinstance(value, str) and value in ("A", "B", "C", "X"))
    if name == "info_grade":
        return isinstance(value, bool) or value not in (1, 2, 3, 4) or not isinstance(value, int)
    if isinstance(value, dict):
        return any(_off_the_scale(inner, item) for inner, item in value.items())
    return isinstance(value, list) and any(_off_the_scale("", item) for item in value)


# --- transfer by derogation (LED art. 38(3)): no data but those recorded ---------------------------------------------


def transfer(field: Field) -> Iterator[str]:
    if rests_on_derogation(field.world):
        recorded = field.world["derogation"]
        if recorded is None or field.pattern not in recorded["data"]:
            yield "transfer.derogation-data"


# --- evaluation (law 29.3.2024 art. 27): six months, and its own last day --------------------------------------------


def evaluation(field: Field) -> Iterator[str]:
    if field.pattern != "/threat":
        return
    made = calendar_day(field.value.get("date"))
    until = calendar_day(field.value["valid_until"]) if "valid_until" in field.value else today(field.world)
    lapsed = until is None or until < today(field.world)
    if lapsed or is_over(made, field.settings["evaluation_months"], today(field.world)) is not False:
        yield "evaluation.fresh"


# --- classification (law 11.12.1998 art. 5-8; Council Decision 2013/488/EU appendix B) -------------------------------


def classification(field: Field, mark: World) -> Iterator[str]:
    # appendix B: no equivalent, no release; a row of another state's that is not enabled only under its agreement
    series = field.settings["level_agreements"].get(field.partner["nation"])
    named = field.terms is not None and field.terms["series"] == series
    if level_there(mark, field.partner["nation"], named=named) is None:
        yield "label.equivalent"
    # art. 6, 7 §5: as the originator sent it, in its own state's policy or in an international one
    level = level_of(mark)
    if level is None or level > 0:
        states = {nation_of(each) for each in (field.originator, *mark.get("originators", ()))}
        national = len(mark["policy"]) == 3
        if level is None or not field.originator or (national and mark["policy"] not in states):
            yield "label.as-sent"
    # art. 8: the agreement's ceiling, the officers' clearance; house: what the channel is accredited for
    against = level_held_against(mark, field.partner["nation"])
    agreed = level_of(field.terms["ceiling"]) if field.terms else None
    if against is None or agreed is None or against > agreed:
        yield "label.ceiling"
    channel = level_of(field.settings["channel_ceiling"]) if field.settings["channel_ceiling"] else None
    if against is None or channel is None or against > channel:
        yield "channel.ceiling"
    people = field.world["officers"]
    if people and (against is None or any(against > _cleared(each, field.world["now"]) for each in people)):
        yield "officer.clearance"


def _cleared(officer: World, now: str) -> int:
    """The level an officer may see: nothing classified without a clearance, or from its last instant on."""
    clearance = officer.get("clearance")
    if (
        clearance is None or now >= clearance["until"]
    ):  # one spelling of an instant, so that text order is time order
        return 0
    return level_of(clearance) or 0


# --- the release list (house: empty is nobody; national eyes only) ---------------------------------------------------


def release_list(field: Field, mark: World) -> Iterator[str]:
    named = mark.get("releasable_to", ())
    if field.partner["org"] not in named and field.partner["nation"] not in named:
        yield "label.releasable"
    if mark.get("no_foreign"):
        yield "label.no-foreign"


# --- the supplier's conditions (Regulation (EU) 2024/982 art. 50-51; TLP, PAP [M]; mentions) -------------------------


def conditions(field: Field, mark: World) -> Iterator[str]:
    purpose, legal_basis = field.release["purpose"], field.release["legal_basis"]
    # art. 50-51: for the stated purpose and basis, until the announced day
    if mark.get("purpose") is not None and purpose not in mark["purpose"]:
        yield "label.purpose"
    if mark.get("legal_basis") is not None and legal_basis not in mark["legal_basis"]:
        yield "label.legal-basis"
    if mark.get("retention_until") is not None:
        last = calendar_day(mark["retention_until"])
        if last is None or last < today(field.world):
            yield "label.retention"
    # TLP 2.0 [M]: RED is for named persons, AMBER+STRICT for the organisation that received it. PAP [M]: for the
    # purposes configured
    if mark.get("tlp") == "RED":
        yield "label.tlp"
    suppliers = _suppliers(field, mark)
    if mark.get("tlp") == "AMBER+STRICT" and (
        suppliers is None or (suppliers and not _consented(field, mark))
    ):
        yield "label.tlp-strict"
    if mark.get("pap") is not None and purpose not in field.settings["pap_purposes"].get(mark["pap"], ()):
        yield "label.pap"
    # house: DIFFUSION RESTREINTE only where it is handled as such
    for mention in mark.get("caveat", ()):
        if field.partner["nation"] not in field.settings["caveat_states"].get(mention, ()):
            yield "label.caveat"


# --- persons (LED art. 6) --------------------------------------------------------------------------------------------


def persons(field: Field, mark: World) -> Iterator[str]:
    about = mark.get("person") or [field.kind["person"]]
    if ("victim" in about or "witness" in about) and not lifted(field.world, field.pointer):
        yield "person.victim-witness"
    if "minor" in about and not (lifted(field.world, field.pointer) or lifted(field.world, "/person")):
        yield "person.minor-item"


# --- other services' data (LED art. 35(1)(c); house: originator control, support services) ---------------------------


def others(field: Field, mark: World) -> Iterator[str]:
    suppliers = _suppliers(field, mark)
    if suppliers is None:  # nobody knows whose consent it would be
        yield from ("third-party", "label.orcon")
        if field.kind["regime"] == "support-report":
            yield "support.consent"
        return
    if _consented(field, mark):
        return
    states = {nation_of(each) for each in suppliers}
    us = field.release["our_nation"]
    # LED art. 35(1)(c): another state's consent; 35(2): unless a threat does not wait, and the state is a Member State
    if states - {us} and not (
        waived(field.world, "originator-consent") and states - {us} <= set(field.settings["eu_states"])
    ):
        yield "third-party"
    if us in states and mark.get("originator_control"):
        yield "label.orcon"
    if suppliers and field.kind["regime"] == "support-report":
        yield "support.consent"


def _suppliers(field: Field, mark: World) -> set[str] | None:
    """Everybody it came from but ourselves; None when nobody knows."""
    if not field.originator:
        return None
    return {field.originator, *mark.get("originators", ())} - {field.release["our_org"]}


def _consented(field: Field, mark: World) -> bool:
    """Whether consent toward this partner came with the item, or each supplier's for it, this purpose and today."""
    partner, suppliers = field.partner["org"], _suppliers(field, mark)
    if partner in field.came_with:
        return True
    willing = {
        each["originator"]
        for each in field.world["consents"]
        if partner in each["recipients"]
        and field.release["purpose"] in each["purposes"]
        and field.pattern
        and ("*" in each["items"] or field.pattern in each["items"])
        and each["until"] >= today(field.world).isoformat()
    }
    return bool(suppliers) and (suppliers or set()) <= willing


# --- handling codes (Europol H0 to H3 [M]; LED art. 9(3)-(4)) --------------------------------------------------------


def handling(field: Field, mark: World) -> Iterator[str]:
    codes, consent = mark.get("handling_code", ()), _consented(field, mark)
    if "H1" in codes and field.partner["recipient_kind"] == "judicial" and not consent:
        yield "handling.judicial-use"  # H1: no judicial use
    suppliers = _suppliers(field, mark)
    withheld = suppliers is None or (suppliers and not consent)
    if "H2" in codes and field.kind["regime"] != "bdc" and withheld:
        # H2: no dissemination; from the common database every base service may communicate (law 29.3.2024 art. 28)
        yield "handling.dissemination"
    if "H3" in codes:
        yield "handling.free-text"  # H3: a written condition, which would not travel


def _led_applies(field: Field) -> bool | None:
    """Whether the recipient is one of the Union under the LED; None when it cannot be told."""
    if field.terms is None:
        return None
    if field.terms["regime"] not in ("BE-POLICE", "SPOC"):
        return False
    states = field.settings["eu_states"]
    return field.partner["nation"] in states if states else None


def reviews(field: Field) -> Iterator[str]:
    """LED art. 9(3)-(4): toward the Union no condition that a domestic recipient would not get."""
    codes = field.mark.get("handling_code", ()) if field.mark else ()
    if _led_applies(field) and not set(codes) <= set(field.settings["domestic_handling_codes"]):
        yield "handling.led-conflict"


# --- permits (house classes of law 29.3.2024 art. 6 §2) --------------------------------------------------------------


def permit(field: Field) -> tuple[str, bool] | None:
    """The permit the field needs, and whether it has it; None where there is none to have."""
    if field.said is None:
        return None
    based = bool(field.release["legal_basis"])
    match field.said["export_class"]:
        case "A":  # with a legal basis
            return "class.A", based
        case "B":  # only if the request, this partner's and for this purpose, asks for it
            request = field.world["request"]
            asked = (
                request is not None
                and request["partner"] == field.partner["org"]
                and request["purpose"] == field.release["purpose"]
                and field.pattern in request["asks"]
            )
            return "class.B", based and asked
        case "C":  # only when a lift names it that the agreement provides for
            agreed = field.terms is not None and field.pattern in field.terms["lifts"]
            return "class.C", based and agreed and lifted(field.world, field.pointer)
        case _:
            return None
