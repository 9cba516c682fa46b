"""The demo's stage: throw-away authorities, officers, agreements and two founded homes, all in one marked folder.

Everything here is synthetic and made fresh: authorities live seven days, are name-constrained and carry a mark that a
production configuration refuses.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from certs.ca import ca_init
from gateway.cli.client import Identity
from gateway.flow.change import ACTS, Founding, SignedFounding, canonical, digest
from gateway.model.agreement import (
    AgreementTerms,
    Bulk,
    Ceiling,
    ProtocolFields,
    Route,
    SignatureProfile,
    SignedAgreement,
)
from gateway.model.officer import Clearance, Officer, Role
from gateway.model.party import Assurance, KeyRecord, Partner, RecipientKind
from gateway.policy.context import Combination, Compilation, EmergencyScope, Repeats, Settings
from gateway.service import provision
from gateway.service.config import load_config
from gateway.service.home import Home
from gateway.wire.agreement import sign_terms
from gateway.wire.endorse import sign_change
from gateway.wire.jws import thumbprint
from gateway.wire.strict import b64url

#: Days the demo's authorities live (security: marked, short, name-constrained).
DEMO_DAYS = 7

#: Marks a folder as a demo's, so that nothing else is ever overwritten.
MARK = ".ecluse-demo"

BASIS = "be-2024-03-29:art28"
PURPOSES = ("ct-prevention", "ct-investigation")
KIND = "bdc-person/1.0"
ASKED = "information-request/1.0"
CONSENT = "consent-request/1.0"
NOTE = "information-note/1.0"
LISTED = "sanctions-entry"  # every version: what is compared with a list needs both
FORMAT = "ct-exchange-json/1.0"

BE, FR, FUSION = "bel.ocam", "fra.police-demo", "fra.fusion-demo"


@dataclass(frozen=True)
class Ports:
    """The two loopback ports of one gateway."""

    partner: int
    operations: int


@dataclass(frozen=True)
class Stage:
    """Everything the story needs."""

    folder: Path
    be: Home
    fr: Home
    officers: dict[str, Identity]
    fusion: Partner
    agreements: dict[str, SignedAgreement]
    entries: dict[str, Partner]


ROLES: dict[str, tuple[str, tuple[Role, ...]]] = {
    "be-requester": (BE, ("requester", "security-officer")),
    "be-approver": (BE, ("approver", "lift-approver", "reviewer", "security-officer")),
    "be-reviewer": (BE, ("reviewer",)),
    "fr-inbox": (FR, ("inbox", "requester", "reviewer", "security-officer")),
    "fr-second": (FR, ("approver", "lift-approver", "security-officer")),
}


def build(folder: Path, *, now: datetime, bulk: int = 100, profile: SignatureProfile = "hybrid") -> Stage:
    """Make the whole stage in an empty folder.

    ``bulk`` is the agreed number of records in 30 days, ``profile`` the signatures agreed on with the French.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MARK).write_text("synthetic demonstration data; delete at will\n")
    for name in ("offline", "officers"):
        (folder / name).mkdir(mode=0o700)
    officers = {name: _officer(folder, name, roles, now) for name, (_, roles) in ROLES.items()}
    keys = {org: _offline(folder, org, now) for org in (BE, FR, FUSION)}
    homes = {
        BE: _home(folder, "be", BE, "BEL", "OCAM/CUTA (synthetic demo)", officers, keys[BE], now),
        FR: _home(folder, "fr", FR, "FRA", "Police (synthetic demo)", officers, keys[FR], now),
    }
    entries = {
        BE: _entry(homes[BE], "other", keys[BE]),
        FR: _entry(homes[FR], "police", keys[FR]),
    }
    fusion = _fusion(keys[FUSION], entries[FR])
    agreements = {
        FR: agreement(folder, FR, "police", "police", now, bulk, profile),
        FUSION: agreement(folder, FUSION, "fusion", "other", now, bulk, "classic"),
    }
    for ours, theirs in ((BE, FR), (FR, BE)):
        authority = folder / "offline" / theirs
        provision.trust_authority(
            homes[ours], theirs, (authority / "ca.pem").read_bytes(), (authority / "crl.pem").read_bytes()
        )
    identities = {name: identity for name, (_, identity) in officers.items()}
    return Stage(folder, homes[BE], homes[FR], identities, fusion, agreements, entries)


def _officer(folder: Path, name: str, roles: tuple[Role, ...], now: datetime) -> tuple[Officer, Identity]:
    path = folder / "officers" / f"{name}.pem"
    public = provision.new_officer_key(path)
    officer = Officer(
        id=name,
        person=f"person-{name}",
        name=f"Zz {name} (synthetic)",
        roles=roles,
        keys=(public,),
        clearance=Clearance("BEL", "UNCLASSIFIED", now + timedelta(days=DEMO_DAYS)),
        need_to_know=(KIND, NOTE, LISTED, ASKED, CONSENT),
    )
    return officer, Identity(name, provision.read_officer_key(path))


def _offline(folder: Path, org: str, now: datetime) -> KeyRecord:
    authority = folder / "offline" / org
    ca_init(authority, org, now=now, days=DEMO_DAYS, demo=True)
    return provision.new_agreement_key(authority / "agreement.pem", org)


def _home(
    folder: Path,
    name: str,
    org: str,
    nation: str,
    title: str,
    officers: dict[str, tuple[Officer, Identity]],
    agreement_key: KeyRecord,
    now: datetime,
) -> Home:
    ours = [officers[officer] for officer, (home, _) in ROLES.items() if home == org]
    founding = Founding(
        v=1,
        org=org,
        nation=nation,
        name=title,
        profile="demo",
        officers=tuple(officer for officer, _ in ours),
        agreement_keys=(agreement_key,),
        policy_sha256=digest(provision.shipped_policy()),
        at=msgspec.to_builtins(now),
        settings=SETTINGS,
    )
    raw = canonical(founding)
    signatures = tuple(
        sign_change(identity.key, identity.kid, officer=officer.id, act=act, at=now, statement=raw)
        for act, (officer, identity) in zip(ACTS, ours[: len(ACTS)], strict=True)
    )
    home = Home(folder / name)
    ports = Ports(free_port(), free_port())
    config = CONFIG.format(org=org, nation=nation, title=title, ports=ports)
    host_names = ("localhost", "127.0.0.1")
    provision.create_home(
        home,
        SignedFounding(raw, signatures),
        config,
        folder / "offline" / org,
        host_names=host_names,
        now=now,
    )
    return home


CONFIG = """\
# A demonstration: synthetic data, throw-away keys, loopback only.
mode = "test"
profile = "demo"
language = "fr"

[organisation]
id = "{org}"
nation = "{nation}"
name = "{title}"

[partner_listener]
host = "127.0.0.1"
port = {ports.partner}

[operations_listener]
host = "127.0.0.1"
port = {ports.operations}

[delivery]
backoff_first_s = 0.5
backoff_most_s = 5.0

# Short, so that nobody waits for the demonstration; what the shipped values hide for an hour, these hide for 5 seconds.
[answers]
urgent_s = 5
normal_s = 5
"""


#: Thresholds of the release policy, as two officers of the demo agreed on them: each that is absent denies.
SETTINGS = Settings(
    freshness_s=86400,
    evaluation_months=6,
    notice_hours=24,
    pre_inquiry_months=6,
    min_age=12,
    flagged_age=18,
    channel_ceiling=Ceiling("BEL", "UNCLASSIFIED"),
    bdc_recipients={
        "police": "police",
        "judicial": "police",
        "intl-police": "police",
        "intelligence": "intelligence",
    },
    eu_states=("BEL", "FRA", "NLD", "DEU", "LUX", "ESP"),
    domestic_handling_codes=("H0", "H1", "H2"),
    minimum_assurance=Assurance(origin_signed=True, receipt="signed"),
    compilation=Compilation(
        100_000,
        Ceiling("BEL", "RESTREINT"),
        (Combination(("addresses", "contacts", "photos"), Ceiling("BEL", "RESTREINT")),),
    ),
    repeats=Repeats(disclosures=20, days=30),
    ungraded_kinds=(KIND,),
    emergency=EmergencyScope(
        waives=("second-signature", "quota", "originator-consent"),
        kinds=(KIND,),
        purposes=PURPOSES,
        partners=(FR,),
        confirm_hours=24,
        review_hours=24,
    ),
)


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _entry(home: Home, kind: RecipientKind, agreement_key: KeyRecord) -> Partner:
    port = load_config(home.config).config.partner_listener.port
    return provision.own_entry(
        home,
        endpoint=f"https://127.0.0.1:{port}",
        tls_name="localhost",
        recipient_kind=kind,
        agreement_keys=(agreement_key,),
    )


def _fusion(agreement_key: KeyRecord, like: Partner) -> Partner:
    """A fusion centre that runs no gateway here: a directory entry with a valid agreement, and nothing delivered."""
    return msgspec.structs.replace(
        like,
        org=FUSION,
        name="Fusion centre (synthetic demo)",
        recipient_kind="fusion",
        keys=(agreement_key,),
        endpoint="https://127.0.0.1:1",
    )


def agreement(
    folder: Path,
    partner: str,
    kind: RecipientKind,
    route: Route,
    now: datetime,
    bulk: int,
    profile: SignatureProfile,
) -> SignedAgreement:
    """The demo's terms between the Belgian side and this partner, with both sides' offline signatures."""
    terms = AgreementTerms(
        series=f"{BE}-{partner}",
        version=1,
        parties=(BE, partner),
        recipient_kinds={partner: kind, BE: "other"},
        regime="BE-OCAM",
        route=route,
        legal_basis=BASIS,
        purposes=PURPOSES,
        kinds=(KIND, NOTE, ASKED, CONSENT),
        lifts=("/national_number", "/recipient"),
        ceiling=Ceiling("BEL", "UNCLASSIFIED"),
        retention_days=365,
        onward="none",
        suites=("hpke-mlkem768-x25519-a256gcm",),
        signature_profiles=(profile,),
        formats=(FORMAT,),
        languages=("fr", "nl"),
        not_before=now - timedelta(hours=1),
        not_after=now + timedelta(days=DEMO_DAYS),
        protocol=ProtocolFields(
            bodies=(BE, partner),
            controllers=(BE, partner),
            dpo_contacts=("dpo@ocam.invalid", f"dpo@{partner}.invalid"),
            purposes=PURPOSES,
            legal_basis=BASIS,
            restrictions_on_rights="synthetic: law 30.7.2018 art. 158",
        ),
        minimum_assurance=Assurance(origin_signed=True, receipt="signed"),
        bulk=Bulk(records=bulk, days=30),
    )
    raw = canonical(terms)
    signatures = {}
    for org in (BE, partner):
        key = provision.read_officer_key(folder / "offline" / org / "agreement.pem")
        kid = f"{org}/agreement/{thumbprint(key.public_key())[:16]}"
        signatures[org] = sign_terms(raw, key, kid)
    return SignedAgreement(terms=b64url(raw), signatures=signatures)
