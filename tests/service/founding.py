"""Two homes founded once: keys, officers, partners and agreements in force by two-person changes, an extract."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from adapters.records.synthetic import extract
from certs.ca import ca_init
from gateway.flow.change import ACTS, Founding, SignedFounding, canonical, digest
from gateway.model.agreement import AgreementTerms, Bulk, Ceiling, ProtocolFields, SignedAgreement
from gateway.model.officer import Clearance, Officer
from gateway.model.party import Assurance, KeyRecord, Partner
from gateway.policy.context import Combination, Compilation, Repeats, Settings
from gateway.service import calls, provision
from gateway.service.config import Config, load_config
from gateway.service.home import Home
from gateway.service.signer.keys import SignerKeys
from gateway.service.signer_main import load_signer_keys
from gateway.wire.agreement import sign_terms
from gateway.wire.endorse import sign_change
from gateway.wire.jws import thumbprint
from gateway.wire.strict import b64url
from tests.service.world import (
    ASKED,
    BASIS,
    BE,
    CONSENT,
    FR,
    KIND,
    NATION,
    NOTE,
    NOW,
    OFFICERS,
    PERSONS,
    PURPOSE,
    SECOND_KEY,
    SERIES,
    Identity,
    World,
)


@dataclass(frozen=True)
class FoundedHome:
    """A home as `Founded` made it: what a fresh copy of it starts from."""

    database: Path
    trust: bytes
    heads: bytes
    keys: SignerKeys
    kek: bytes
    config: Config
    entry: Partner  # as its partner pins it


@dataclass(frozen=True)
class Founded:
    """Two founded homes, furnished; read only, shared by all tests."""

    homes: dict[str, FoundedHome]
    officers: dict[str, Identity]
    agreement: SignedAgreement
    agreement_keys: dict[str, Path]


def found(folder: Path) -> Founded:
    """Found and furnish both homes in an empty folder, at `NOW`."""
    (folder / "officers").mkdir()
    (folder / "offline").mkdir()
    named = {name: _officer(folder, name) for name in OFFICERS}
    second_key = named[SECOND_KEY][0]
    officers = {name: identity for name, (_, identity) in named.items()}
    keys = {org: _offline(folder, org) for org in (BE, FR)}
    homes = {org: _home(folder, org, named, keys[org]) for org in (BE, FR)}
    entries = {
        org: provision.own_entry(
            home,
            endpoint=f"https://{org}.invalid",
            tls_name=f"{org}.invalid",
            recipient_kind="police" if org == FR else "other",
            agreement_keys=(keys[org],),
        )
        for org, home in homes.items()
    }
    paths = {org: folder / "offline" / org / "agreement.pem" for org in homes}
    agreement = sign_agreement(terms(), paths)
    made = {
        org: FoundedHome(
            home.database,
            (home.signer / "trust.json").read_bytes(),
            b"",
            load_signer_keys(home),
            (home.signer / "keys" / "kek-1.bin").read_bytes(),
            load_config(home.config).config,
            entries[org],
        )
        for org, home in homes.items()
    }
    return asyncio.run(_furnish(folder, Founded(made, officers, agreement, paths), second_key))


async def _furnish(folder: Path, founded: Founded, second_key: Officer) -> Founded:
    """Partner entries, the agreement and a further officer by two-person changes, and an extract."""
    furnished = folder / "furnished"
    furnished.mkdir()
    world = await World(founded, "founding", furnished).boot()
    for side in world.sides.values():
        entry = founded.homes[side.partner].entry
        await side.change("partner", side.partner, canonical(entry))
        await side.change("agreement", SERIES, canonical(founded.agreement))
    await world.be.change("officer", second_key.id, canonical(second_key))
    chunk = calls.ImportChunk(KIND, 1, extract(PERSONS, 1, NOW))
    imported = await world.be.call("be-requester", "records/import", chunk)
    assert (imported.new, imported.bad) == (PERSONS, ())
    world.close()
    homes = {
        org: FoundedHome(
            furnished / f"{org}.sqlite",
            side.files["trust.json"],
            side.files["heads.json"],
            side.home.keys,
            side.home.kek,
            side.home.config,
            side.home.entry,
        )
        for org, side in world.sides.items()
    }
    return Founded(homes, founded.officers, founded.agreement, founded.agreement_keys)


def _officer(folder: Path, name: str) -> tuple[Officer, Identity]:
    _, person, roles, knows = OFFICERS[name]
    path = folder / "officers" / f"{name}.pem"
    officer = Officer(
        id=name,
        person=f"person-{person}",
        name=f"Zz {name} (synthetic)",
        roles=roles,
        keys=(provision.new_officer_key(path),),
        clearance=Clearance("BEL", "UNCLASSIFIED", NOW + timedelta(days=300)),
        need_to_know=(KIND, ASKED, NOTE, CONSENT) if knows else (),
    )
    return officer, Identity(name, provision.read_officer_key(path))


def _offline(folder: Path, org: str) -> KeyRecord:
    authority = folder / "offline" / org
    ca_init(authority, org, now=NOW, days=365, permitted=("invalid",))
    return provision.new_agreement_key(authority / "agreement.pem", org)


def _home(
    folder: Path, org: str, named: dict[str, tuple[Officer, Identity]], agreement_key: KeyRecord
) -> Home:
    ours = [named[name] for name, (home, *_) in OFFICERS.items() if home == org and name != SECOND_KEY]
    founding = Founding(
        v=1,
        org=org,
        nation=NATION[org],
        name=f"{org} (synthetic)",
        profile="",
        officers=tuple(officer for officer, _ in ours),
        agreement_keys=(agreement_key,),
        policy_sha256=digest(provision.shipped_policy()),
        at=msgspec.to_builtins(NOW),
        settings=SETTINGS,
    )
    raw = canonical(founding)
    signatures = tuple(
        sign_change(identity.key, identity.kid, officer=officer.id, act=act, at=NOW, statement=raw)
        for act, (officer, identity) in zip(ACTS, ours, strict=False)
    )
    home = Home(folder / org)
    provision.create_home(
        home,
        SignedFounding(raw, signatures),
        CONFIG.format(org=org, nation=NATION[org]),
        folder / "offline" / org,
        host_names=(f"{org}.invalid",),
        now=NOW,
    )
    return home


CONFIG = """\
mode = "test"

[organisation]
id = "{org}"
nation = "{nation}"
name = "{org} (synthetic)"

[partner_listener]
host = "127.0.0.1"
port = 0

[operations_listener]
host = "127.0.0.1"
port = 0

[inbound]
quarantine_items = 3
"""


#: Thresholds of the release policy on both sides.
SETTINGS = Settings(
    freshness_s=86400,
    evaluation_months=6,
    notice_hours=24,
    pre_inquiry_months=6,
    min_age=12,
    flagged_age=18,
    eu_states=("BEL", "FRA", "NLD", "DEU", "LUX", "ESP"),
    domestic_handling_codes=("H0", "H1", "H2"),
    channel_ceiling=Ceiling("BEL", "UNCLASSIFIED"),
    bdc_recipients={"police": "police"},
    compilation=Compilation(
        1000,
        Ceiling("BEL", "RESTREINT"),
        (Combination(("addresses", "contacts", "photos"), Ceiling("BEL", "RESTREINT")),),
    ),
    repeats=Repeats(disclosures=1000, days=30),
    ungraded_kinds=(KIND,),
    minimum_assurance=Assurance(origin_signed=True, receipt="signed"),
)


def terms(**changes: object) -> AgreementTerms:
    """The terms between the two sides; by name, some of them otherwise."""
    agreed = AgreementTerms(
        series=SERIES,
        version=1,
        parties=(BE, FR),
        recipient_kinds={FR: "police", BE: "other"},
        regime="BE-OCAM",
        route="police",
        legal_basis=BASIS,
        purposes=(PURPOSE,),
        kinds=(KIND, ASKED, NOTE, CONSENT),
        lifts=("/national_number",),
        ceiling=Ceiling("BEL", "UNCLASSIFIED"),
        retention_days=365,
        onward="none",
        suites=("hpke-mlkem768-x25519-a256gcm",),
        signature_profiles=("classic",),
        formats=("ct-exchange-json/1.0",),
        languages=("fr", "nl"),
        not_before=NOW - timedelta(hours=1),
        not_after=NOW + timedelta(days=300),
        protocol=ProtocolFields(
            bodies=(BE, FR),
            controllers=(BE, FR),
            dpo_contacts=("dpo@ocam.invalid", "dpo@police.invalid"),
            purposes=(PURPOSE,),
            legal_basis=BASIS,
            restrictions_on_rights="synthetic",
        ),
        minimum_assurance=Assurance(origin_signed=True, receipt="signed"),
        bulk=Bulk(records=12, days=30),
    )
    return msgspec.structs.replace(agreed, **changes)


def sign_agreement(agreed: AgreementTerms, keys: dict[str, Path]) -> SignedAgreement:
    """Both sides' offline signatures over these terms."""
    raw = canonical(agreed)
    signatures = {}
    for org, path in keys.items():
        key = provision.read_officer_key(path)
        signatures[org] = sign_terms(raw, key, f"{org}/agreement/{thumbprint(key.public_key())[:16]}")
    return SignedAgreement(b64url(raw), signatures)
