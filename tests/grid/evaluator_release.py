"""Whether anything leaves at all: what denies a release as a whole, source by source.

Each function yields the ids of the rules that deny. A threshold that is not set, a date that cannot be read and a list
that is empty deny; nothing here has a default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.grid.evaluator_sources import (
    EUROPEAN_SET,
    calendar_day,
    full_loci,
    has_turned,
    is_over,
    latest_birth,
    level_of,
)

World = Mapping[str, Any]


def denials(world: World, kind: World, left: frozenset[str]) -> Iterator[str]:
    """Every rule that denies the release. ``left`` holds the members of which a field may leave."""
    yield from agreement(world, kind)
    yield from transfer_abroad(world)
    yield from the_act(world)
    yield from officers(world, kind)
    yield from labels_as_such(world, kind)
    yield from embargo(world)
    yield from persons(world, kind)
    yield from accumulation(world, left)
    yield from what_it_is(world, kind, left)
    yield from common_database(world, kind)
    yield from genetics(world, kind)
    yield from passengers(world, kind)
    yield from emergency(world, kind)


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def today(world: World) -> date:
    return instant(world["now"]).date()


def lifted(world: World, pointer: str) -> bool:
    return any(lift["pointer"] == pointer for lift in world["lifts"])


# --- the agreement (house: only under an agreement both sides signed; law 30.7.2018 art. 158) ------------------------


def agreement(world: World, kind: World) -> Iterator[str]:
    agreed, partner, release = world["agreement"], world["partner"], world["release"]
    if agreed is None:
        yield "agreement.in-force"
        return
    terms = agreed["terms"]
    begun = instant(terms["not_before"]) <= instant(world["now"])
    ended = instant(world["now"]) >= instant(terms["not_after"])
    signed = agreed["signed_ours"] and agreed["signed_theirs"]
    if not signed or agreed.get("revoked") or not begun or ended:
        yield "agreement.in-force"
    us, them = release["our_org"], partner["org"]
    if us not in terms["parties"] or them not in terms["parties"] or us == them:
        yield "agreement.parties"
    told = (
        world["record"]["kind"] == kind["name"]
    )  # a record of another kind than it was read as cannot be told
    if not told or kind["name"] not in terms["kinds"] or release["purpose"] not in terms["purposes"]:
        yield "agreement.covers"
    if terms["recipient_kinds"].get(them) != partner["recipient_kind"]:
        yield "agreement.recipient-kind"
    # law 30.7.2018 art. 158: legal basis, and the six fields of the protocol
    if not release["legal_basis"] or release["legal_basis"] != terms["legal_basis"]:
        yield "agreement.legal-basis"
    if not all(_states_something(terms["protocol"][name]) for name in SIX_FIELDS):
        yield "agreement.protocol"
    ours = world["settings"]["minimum_assurance"]
    given = partner["assurance"]
    if ours is None or not _assures(given, ours) or not _assures(given, terms["minimum_assurance"]):
        yield "agreement.assurance"
    if terms["retention_days"] < 1:
        yield "retention.set"
    if release["language"] not in terms["languages"] or release["language"] not in partner["languages"]:
        yield "language.common"
    if release["format"] not in terms["formats"] or release["format"] not in partner["formats"]:
        yield "format.common"


SIX_FIELDS = ("bodies", "controllers", "dpo_contacts", "purposes", "legal_basis", "restrictions_on_rights")


def _states_something(entry: Any) -> bool:
    """At least one entry, and a letter or a digit in each."""
    entries = [entry] if isinstance(entry, str) else entry
    return bool(entries) and all(any(sign.isalpha() or sign.isdigit() for sign in text) for text in entries)


def _assures(given: World, wanted: World) -> bool:
    for promise in ("origin_signed", "end_to_end_encrypted", "ordered", "recall_ack"):
        if wanted.get(promise) and not given.get(promise):
            return False
    receipts = {"none": 0, "fetched": 1, "signed": 2}
    return receipts[given.get("receipt", "none")] >= receipts[wanted.get("receipt", "none")]


# --- transfer (law 30.7.2018 art. 159-160; Directive (EU) 2016/680, LED, art. 35-39) ---------------------------------


def transfer_abroad(world: World) -> Iterator[str]:
    partner = world["partner"]
    # LED art. 39: private recipients abroad are not offered
    if partner["recipient_kind"] == "private":
        yield "recipient.public"
    # art. 159-160; LED art. 35-38: inside the Union, or a documented ground. Without a list of states nobody is inside.
    inside = partner["nation"] in world["settings"]["eu_states"]
    ground = ground_of_transfer(world)
    if not world["settings"]["eu_states"] or (not inside and ground is None):
        yield "transfer.ground"
    # LED art. 38(3): date and time, recipient, justification, data
    if rests_on_derogation(world):
        recorded = world["derogation"]
        if (
            recorded is None
            or instant(recorded["at"]) > instant(world["now"])
            or recorded["recipient"] != partner["org"]
            or not recorded["justification"].strip()
            or not recorded["data"]
        ):
            yield "transfer.derogation"


def ground_of_transfer(world: World) -> str | None:
    documented = world["settings"]["transfers"].get(world["partner"]["nation"])
    return documented["ground"] if documented and documented["reference"].strip() else None


def rests_on_derogation(world: World) -> bool:
    states = world["settings"]["eu_states"]
    outside = bool(states) and world["partner"]["nation"] not in states
    return outside and ground_of_transfer(world) == "derogation"


# --- the act of release ----------------------------------------------------------------------------------------------


def the_act(world: World) -> Iterator[str]:
    release, partner, settings = world["release"], world["partner"], world["settings"]
    # house: nothing to a stopped partner
    if partner.get("stopped"):
        yield "partner.active"
    # house: an answer goes to who asked, for what it was asked
    request = world["request"]
    if request is not None and (
        request["partner"] != partner["org"] or request["purpose"] != release["purpose"]
    ):
        yield "request.answers"
    # law 29.3.2024 art. 8; LED art. 25: the justification is logged, so there must be one
    if not release["justification"].strip():
        yield "justification.given"
    # house: re-import what is stale; two honest clocks differ by five minutes at most
    age = instant(world["now"]) - instant(world["record"]["extracted_at"])
    fresh = settings["freshness_s"]
    if fresh is None or age > timedelta(seconds=fresh) or age < -timedelta(minutes=5):
        yield "extract.fresh"


# --- officers (law 10.7.2006 art. 9 §3; law 11.12.1998 art. 8; house: four eyes) -------------------------------------


def officers(world: World, kind: World) -> Iterator[str]:
    people = world["officers"]
    # law 10.7.2006 art. 9 §3: no interconnection, so a person answers for each release
    if not people:
        yield "officer.present"
    # house: nobody suspended, each in the role of that place
    approvers = people[1:]
    unfit = [each for each in people if each.get("suspended")]
    unfit += [each for each in people[:1] if "requester" not in each["roles"]]
    unfit += [each for each in approvers if "approver" not in each["roles"]]
    if unfit:
        yield "officer.role"
    # house: two identities of one person are one
    if len({each["person"] for each in people}) != len(people):
        yield "officer.four-eyes"
    # law 11.12.1998 art. 8: clearance and need to know
    name, version = kind["name"], kind["name"].split("/")[0]
    if not all(name in each["need_to_know"] or version in each["need_to_know"] for each in people):
        yield "officer.need-to-know"
    # house: a lift has a reason and a named approver
    if not all(lift["reason"].strip() for lift in world["lifts"]):
        yield "lift.reasoned"
    if world["lifts"] and approvers and not any("lift-approver" in each["roles"] for each in approvers):
        yield "lift.approver"


# --- labels as such (house: unlabelled never leaves, an unknown level never leaves) ----------------------------------


def labels_as_such(world: World, kind: World) -> Iterator[str]:
    entries = [entry for entry in world["record"]["labels"] if entry["label"] is not None]
    pointers = [entry["pointer"] for entry in entries]
    if any(pointers.count(pointer) != 1 for pointer, _ in items_of(world, kind)):
        yield "label.present"
    if any(level_of(entry["label"]) is None for entry in entries):
        yield "label.known"


def items_of(world: World, kind: World) -> Iterator[tuple[str, Any]]:
    """Every field of the record with its pointer (RFC 6901): a member, or one item of a list."""
    for member, value in world["record"]["content"].items():
        token = member.replace("~", "~0").replace("/", "~1")
        if member in kind["lists"] and isinstance(value, list):
            for place, item in enumerate(value):
                yield f"/{token}/{place}", item
        else:
            yield f"/{token}", value


def member_of(pointer: str) -> str:
    return pointer.split("/")[1]


# --- emergency (LED art. 35(2): an immediate and serious threat; house: within a scope that two persons configured) --


def waived(world: World, what: str) -> bool:
    """Whether an emergency is claimed whose scope waives it. Only three things can be: see `emergency`."""
    scope = world["settings"]["emergency"]
    return world["emergency"] is not None and scope is not None and what in scope["waives"]


def emergency(world: World, kind: World) -> Iterator[str]:
    """What an emergency itself must be. It waives quotas, the second signature and the consent of a Member State's
    service; no other rule asks whether there is one: not of classes, children, embargoes or ceilings."""
    claimed, scope = world["emergency"], world["settings"]["emergency"]
    if claimed is None:
        return
    if scope is None:
        yield "emergency.scope-configured"
    else:
        if world["record"]["kind"] != kind["name"] or kind["name"] not in scope["kinds"]:
            yield "emergency.kind"
        if world["release"]["purpose"] not in scope["purposes"]:
            yield "emergency.purpose"
        if world["partner"]["org"] not in scope["partners"]:
            yield "emergency.partner"
    # LED art. 35(2): the threat is stated
    if not claimed["threat"].strip():
        yield "emergency.threat"
    # house: none while an earlier one has not been looked at in its time
    if world["release"]["emergencies_overdue"] > 0:
        yield "emergency.locked"
    # house: four eyes unless waived, and never for a lift
    if claimed.get("oral_approver"):
        if not waived(world, "second-signature"):
            yield "emergency.second-signature"
        if world["lifts"]:
            yield "emergency.lift"


# --- embargo (law 29.3.2024 art. 19; law 10.7.2006 art. 11-12): one item stops everything ----------------------------


def embargo(world: World) -> Iterator[str]:
    marks = [entry["label"] for entry in world["record"]["labels"] if entry["label"] is not None]
    if world["release"]["embargoed"] or any(mark.get("embargo") for mark in marks):
        yield "embargo"


# --- persons (house: no child whatever the kind, a minor by a named approver; LED art. 6) ----------------------------


FULL_AGE = 18  # old Civil Code art. 488


def persons(world: World, kind: World) -> Iterator[str]:
    content, settings = world["record"]["content"], world["settings"]
    # LED art. 6: who the data is about is said
    if kind["person"] is None:
        yield "person.category"
    child, minor = settings["min_age"], settings["flagged_age"]
    if (
        "/persons/*" in kind["fields"]
    ):  # a kind that mentions persons: each with a birth date, or said to be of age
        people = content.get("persons") or []
        about_a_person = bool(people)
        told = all("birth" in each or each.get("adult") is True for each in people)
        births = [each["birth"] for each in people if "birth" in each]
        born = latest_birth(births) if told else None
        if told and people and not births:
            born = today(world).replace(year=today(world).year - FULL_AGE)
    else:
        an_entity = "/subject" in kind["fields"] and content.get("subject") == "entity"
        about_a_person = not an_entity and kind["person"] != "none"
        born = latest_birth(content.get("birth") or ())
    other = world["mentioned_age"]  # of the youngest whose own record is mentioned
    if born is None and (about_a_person or other is None):
        if about_a_person:
            yield "person.under-12"
        return

    def turned(age: int) -> bool:
        return (born is None or has_turned(age, born, today(world))) and (other is None or other >= age)

    if child is None or not turned(child):
        yield "person.under-12"
    elif minor is None or (not turned(minor) and not lifted(world, "/person")):
        yield "person.minor"


# --- accumulation (law 11.12.1998 art. 5: a compilation may be higher than its parts) --------------------------------


def accumulation(world: World, left: frozenset[str]) -> Iterator[str]:
    held, settings, agreed = world["held"], world["settings"], world["agreement"]
    ours = settings["channel_ceiling"] and level_of(settings["channel_ceiling"])
    theirs = agreed and level_of(agreed["terms"]["ceiling"])
    whole, person = _worth_of_all(world), _worth_of_person(world, left)
    if ours is not None and theirs is not None:
        ceiling = min(ours, theirs)
        if whole is None or whole > ceiling:
            yield "compilation.level"
        if whole is not None and (person is None or person > ceiling):
            yield "held.combination"
    if held["sharing"]:
        sharers = [level_of(each["ceiling"]) for each in held["sharing"]]
        known = [level for level in sharers if level is not None]
        if len(known) < len(sharers) or whole is None or person is None or max(whole, person) > min(known):
            yield "held.sharing-ceiling"
    # house: one person again and again only by a named approver; what an emergency waives of quotas, it waives here
    repeats = settings["repeats"]
    excused = lifted(world, "/repeat") or waived(world, "quota")
    if repeats is None or (held["disclosures"] + 1 > repeats["disclosures"] and not excused):
        yield "held.repeats"


def _worth_of_all(world: World) -> int | None:
    """The level of all that would be held; None where nobody has said what it is worth."""
    limit, held = world["settings"]["compilation"], world["held"]
    if limit is None:
        return None
    number = held["total"] if held["subject_ever"] else held["total"] + 1
    return level_of(limit["level"]) if number > limit["records"] else 0


def _worth_of_person(world: World, left: frozenset[str]) -> int | None:
    """The level of all that would be held of this person; None where nobody has said what belongs apart."""
    limit = world["settings"]["compilation"]
    if limit is None or not limit.get("combinations"):
        return None
    there = left.union(world["held"]["members"])
    reached = [level_of(each["level"]) for each in limit["combinations"] if there >= set(each["members"])]
    known = [level for level in reached if level is not None]
    return max(known, default=0) if len(known) == len(reached) else None


# --- what the record is ----------------------------------------------------------------------------------------------


def what_it_is(world: World, kind: World, left: frozenset[str]) -> Iterator[str]:
    content, partner, settings = world["record"]["content"], world["partner"], world["settings"]
    # house: a record without what makes it one is none
    there = {member_of(pointer) for pointer, _ in items_of(world, kind)}
    if not set(kind["required"]) <= there:
        yield "fields.required"
    # LED art. 7(2): reliability travels with the record
    graded = "/source_grade" in kind["fields"] or "/info_grade" in kind["fields"]
    told, may_go_without = world["record"]["kind"] == kind["name"], kind["name"] in settings["ungraded_kinds"]
    if graded and not (told and (may_go_without or {"source_grade", "info_grade"} <= left)):
        yield "grade.travels"
    match kind["regime"]:
        case "bdc" | "dna" | "pnr" | "general" | "support-report":
            pass
        case "local-signal":  # Penal Code art. 458 [M]: professional secrecy
            yield "signal.local"
        case "internal-proposal":  # house: to the SIRENE bureau of our own state only
            yield "proposal.internal"
        case "judicial-input":  # house: authorisations and embargoes are input, not content
            yield "judicial.input"
        case "ocam-evaluation":  # law 10.7.2006 art. 8, 3°: to counterparts, as configured
            if partner["recipient_kind"] not in settings["evaluation_recipients"]:
                yield "evaluation.recipient"
        case "public-list":  # LED art. 7(2): what has left the list is out of date
            if (content.get("listing") or {}).get("state") != "listed":
                yield "list.current"
        case _:  # house: a kind of which no rule speaks never leaves
            yield "kind.regime"


# --- the common database T.E.R. (law 29.3.2024 art. 2, 7, 20, 24, 28, 55) --------------------------------------------

#: Art. 28: foreign police, judiciary and international police bodies by one route, intelligence services by another.
NAMED_BY_ARTICLE_28 = ("police", "judicial", "intl-police", "intelligence")


def common_database(world: World, kind: World) -> Iterator[str]:
    if kind["regime"] != "bdc":
        return
    content, settings, held = world["record"]["content"], world["settings"], world["held"]
    recipient = world["partner"]["recipient_kind"]
    terms = world["agreement"]["terms"] if world["agreement"] else None
    agreed_route = terms["route"] if terms else None
    # art. 28, 55: the two routes; whom the article does not name needs a legal reference of its own
    route = settings["bdc_recipients"].get(recipient)
    if route is None:
        yield "bdc.recipient"
    else:
        if recipient not in NAMED_BY_ARTICLE_28 and not settings["bdc_references"].get(recipient, "").strip():
            yield "bdc.reference"
        if agreed_route is not None and agreed_route != route:
            yield "bdc.route"
    # law 30.11.1998 art. 20 §3: the National Security Council sets the conditions
    if agreed_route == "intelligence" and not (settings["intelligence_conditions"] or "").strip():
        yield "bdc.intelligence-conditions"
    after = held["records"] if held["subject_held"] else held["records"] + 1
    if terms and agreed_route == "police":
        # law 5.8.1992 art. 44/11/13: recurrent or bulky sending
        if terms.get("bulk") is None:
            yield "bdc.bulk-configured"
        elif after > terms["bulk"]["records"] and not waived(world, "quota"):
            yield "bdc.bulk"
        # law 5.8.1992 art. 44/11/6: judicial information with the judicial authority's authorisation
        judicial = content.get("status", {}).get("judicial_information")
        authorised = judicial is True and world["release"]["judicial_authorisation"].strip()
        if judicial is not False and not authorised:
            yield "bdc.judicial"
    quotas = [each["quota"] for each in held["sharing"] if each.get("quota") is not None]
    if quotas and after > min(quotas) and not waived(world, "quota"):
        yield "held.sharing-quota"
    # art. 2, 20, 24: the card of a validated entity; house: an archived file is history
    if content.get("validation", {}).get("state") != "validated":
        yield "bdc.validated"
    if content.get("status", {}).get("card") != "information-card":
        yield "bdc.card"
    if content.get("status", {}).get("archived") is not False:
        yield "bdc.archived"
    # art. 2 4°, 7 §2: pre-inquiry expires
    if "pre_inquiry" in content:
        since = calendar_day(content["pre_inquiry"].get("since"))
        if is_over(since, settings["pre_inquiry_months"], today(world)) is not False:
            yield "bdc.pre-inquiry"


# --- DNA (Council Decision 2008/616/JHA annex ch. 1; Regulation (EU) 2024/982 art. 47) -------------------------------


def genetics(world: World, kind: World) -> Iterator[str]:
    if kind["regime"] != "dna":
        return
    content = world["record"]["content"]
    profile = content.get("profile") or {}
    loci = profile.get("loci")
    if loci is None or len(full_loci(loci)) < 6:
        yield "dna.loci"
    european = [name for name in full_loci(loci or {}) if name in EUROPEAN_SET]
    if profile.get("type") is None or (profile["type"] == "reference" and len(european) < 6):
        yield "dna.reference"
    if loci is None or any(len(values) > 2 for values in loci.values()):
        yield "dna.mixture"
    # Regulation (EU) 2024/982 art. 47: a person confirms the match
    if "match" in content and not (content["match"] or {}).get("confirmed_by", "").strip():
        yield "dna.confirmed"


# --- passengers (Directive (EU) 2016/681 art. 6, 12 [M]) -------------------------------------------------------------


def passengers(world: World, kind: World) -> Iterator[str]:
    if kind["regime"] != "pnr":
        return
    match, settings = world["record"]["content"].get("match") or {}, world["settings"]
    received = calendar_day(match.get("received"))
    # art. 6: a person reviewed it
    if not match.get("reviewed_by", "").strip():
        yield "pnr.reviewed"
    # art. 12: masked after six months unless unmasking is approved, gone after five years
    masked = is_over(received, settings["pnr_mask_months"], today(world))
    if masked is None or (masked and not match.get("unmask_approved_by", "").strip()):
        yield "pnr.masked"
    if is_over(received, settings["pnr_term_months"], today(world)) is not False:
        yield "pnr.term"
