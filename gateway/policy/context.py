"""What a decision looks at: one frozen `Context`, gathered by the caller, with time as an argument.

The policy room never fetches anything. What is not in the context does not exist for a rule, and what a rule needs
and does not find denies.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from gateway.model.agreement import AgreementState, Ceiling, Route
from gateway.model.ground import Consent, GroundName
from gateway.model.kind import RecordKind
from gateway.model.label import Caveat, HandlingCode, LevelTable, Pap
from gateway.model.officer import Officer
from gateway.model.party import Assurance, Partner, RecipientKind
from gateway.model.record import CanonicalRecord, LabelledField
from gateway.model.request import Emergency, Lift, Request
from gateway.model.time import Instant


class Sharer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another partner that holds what this one holds, and what its own agreement bounds."""

    org: str
    ceiling: Ceiling
    quota: int | None = (
        None  # records of its bulk term; None without one, or by another route than the police's
    )


class Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this partner holds already, with all it shares with: what one of them holds all hold.

    Reservations count from the approval on, whatever their origin; the release in question does not count itself.
    Persons known to be one are one.
    """

    records: int  # distinct subjects in the bulk window (police-function law art. 44/11/13); more, below every quota
    subject_held: bool  # this subject is one of them
    total: int  # distinct subjects over all time
    subject_ever: bool  # this subject is one of them
    disclosures: int  # about this subject within the window of `Repeats`; none reserved after this release
    members: frozenset[str]  # of records of this subject, ever disclosed
    sharing: tuple[Sharer, ...]


class Combination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """These members of one person's records, whatever their kind, are worth ``level`` together."""

    members: tuple[str, ...]
    level: Ceiling


class Compilation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Beyond ``records`` records, what one partner holds is worth ``level`` as a whole (law 11.12.1998 art. 5).

    ``combinations`` say the same of one person. Without any nobody has said what belongs apart, and that denies.
    """

    records: int
    level: Ceiling
    combinations: tuple[Combination, ...] = ()


class Repeats(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one subject, ``disclosures`` in ``days`` days at most; each further one needs a lift of `/repeat`."""

    disclosures: int
    days: int


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On what a transfer to a state outside the EU rests (Directive (EU) 2016/680 art. 36-38), and where it stands."""

    ground: Literal["adequacy", "safeguards", "derogation"]
    reference: str  # of the decision, the instrument or the assessment; empty: nobody has documented it


class Derogation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What art. 38(3) demands be documented of one transfer: when, to whom, why, and which data."""

    at: Instant
    recipient: str  # organisation id
    justification: str
    data: tuple[str, ...]  # field patterns; no other leaves


#: What an emergency can waive. Nothing else: class X, age, embargo, ceilings, guard, signing and audit stand.
Waivable = Literal["second-signature", "quota", "originator-consent"]

#: Hours after which what was waived has been looked at, or the path is locked: a day at most, whoever configures it.
Hours = Annotated[int, msgspec.Meta(ge=1, le=24)]


class EmergencyScope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an emergency may be about, and what it waives. Empty means nothing, and nobody."""

    waives: tuple[Waivable, ...]
    kinds: tuple[str, ...]  # record kinds, with their version
    purposes: tuple[str, ...]
    partners: tuple[str, ...]  # organisations
    confirm_hours: Hours  # within which who approved orally confirms by a signature
    review_hours: Hours  # within which another person reviews each release


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds a deployer sets. **Every default is absence, and absence denies**: nothing is set here."""

    freshness_s: int | None = None  # greatest age of an extract, seconds
    evaluation_months: int | None = None  # greatest age of a threat evaluation, months
    pre_inquiry_months: int | None = None  # greatest age of a pre-inquiry, months; None: none leaves
    min_age: int | None = None  # years; nobody younger leaves, whatever the kind
    flagged_age: int | None = None  # years; younger persons need a lift of `/person`
    channel_ceiling: Ceiling | None = None  # what this channel is accredited for
    bdc_recipients: Mapping[RecipientKind, Route] = {}  # who may receive BDC data, and by which legal route
    intelligence_conditions: str | None = None  # reference of the National Security Council's conditions
    eu_states: tuple[str, ...] = ()  # ISO 3166 alpha-3; empty is unknown, not "no state"
    domestic_handling_codes: tuple[HandlingCode, ...] = ()  # what a domestic recipient gets too
    minimum_assurance: Assurance | None = None  # for personal data of any level, beside the agreement's own
    compilation: Compilation | None = None
    repeats: Repeats | None = None
    sharing: Mapping[
        str, tuple[str, ...]
    ] = {}  # name -> organisations that share; who is in none shares with none
    transfers: Mapping[str, Transfer] = {}  # ISO 3166 alpha-3 of a state outside the EU -> what holds for it
    bdc_references: Mapping[
        RecipientKind, str
    ] = {}  # legal reference for a kind of recipient art. 28 does not name
    evaluation_recipients: tuple[RecipientKind, ...] = ()  # who may receive OCAM evaluations
    pap_purposes: Mapping[Pap, tuple[str, ...]] = {}  # purposes for which an item so marked may leave
    caveat_states: Mapping[Caveat, tuple[str, ...]] = {}  # alpha-3 of the states that handle it as we do
    level_agreements: Mapping[
        str, str
    ] = {}  # disabled row of the equivalence table -> series that enables it
    ungraded_kinds: tuple[str, ...] = ()  # kinds whose records may leave without source and information grade
    pnr_mask_months: int | None = None  # months after which a match is unmasked only with approval
    pnr_term_months: int | None = None  # months after which a match does not leave at all
    emergency: EmergencyScope | None = None  # without one there is no emergency
    notice_hours: int | None = None  # in which past recipients are told what they must; None: overdue at once

    def holders(self, partner: str) -> tuple[str, ...]:
        """The partner and all it shares with, in order: whoever shares with one that shares is among them."""
        found = {partner}
        while more := {org for group in self.sharing.values() if found & {*group} for org in group} - found:
            found |= more
        return tuple(sorted(found))


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a decision depends on.

    ``record`` is what would be rendered; ``subject`` is the same record in full, from which facts about the person
    and the file are computed: they do not change because a field was withheld. ``officers`` holds the requester first
    and, from approval on, the approver; in an emergency who approved orally stands there from the start. ``permitted``,
    ``members`` and ``left`` belong to `decide`. ``mentioned`` names texts of the subject that say what our records
    about persons it mentions keep from this partner, and ``mentioned_age`` is the age of the youngest of these.
    """

    record: CanonicalRecord
    subject: CanonicalRecord
    kind: RecordKind
    partner: Partner
    agreement: AgreementState | None
    our_org: str
    our_nation: str  # ISO 3166 alpha-3
    purpose: str
    legal_basis: str
    justification: str
    language: str
    format: str
    held: Held
    embargoed: bool
    officers: tuple[Officer, ...]
    levels: LevelTable
    settings: Settings
    now: Instant
    request: Request | None = None
    lifts: tuple[Lift, ...] = ()
    judicial_authorisation: str = ""  # reference of the judicial authority's recorded consent; empty: none
    derogation: Derogation | None = None  # recorded for this very transfer
    emergency: Emergency | None = None
    emergencies_overdue: int = 0  # earlier releases whose confirmation or review is past its time
    consents: tuple[Consent, ...] = ()  # in force for this subject, beside those that came with items
    grounds: tuple[GroundName, ...] = ()  # every ground in force toward this partner, for a decision to name
    permitted: int | None = None  # fields left after the field rules; None before they ran
    members: frozenset[str] | None = None  # members of which a field is left; None before they ran
    left: frozenset[str] | None = None  # pointers of the fields left; None before they ran
    mentioned: frozenset[str] = frozenset()  # pointers
    mentioned_age: int | None = (
        None  # completed years, 0 where a record does not tell; None: nobody is mentioned
    )
    fields: tuple[LabelledField, ...] | None = (
        None  # of the record, as `decide` read them; None: read them again
    )
