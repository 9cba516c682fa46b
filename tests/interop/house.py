"""The gateway's side: officers who work at its desk, and what a partner gets from them out of band."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from certs.ca import ca_init, ca_issue
from gateway.cli import demo, staging
from gateway.cli.client import desk
from gateway.flow.change import canonical, digest
from gateway.model.agreement import SignedAgreement
from gateway.model.party import Partner
from gateway.model.time import rfc3339
from gateway.service import calls, provision
from gateway.service.app import now
from gateway.service.home import Home
from gateway.wire.agreement import sign_terms
from gateway.wire.strict import b64url_decode
from tests.interop.clients import StepFailed

#: Seconds until a message has its end: retries of the demo's configuration come after 0.5 to 5 s.
SETTLED_S = 40.0

#: Seconds between two looks.
LOOK_S = 0.1

#: Synthetic persons imported; those that may go to the partner are found by a preview.
PERSONS = 120

#: Days of certificates and agreements.
DAYS = 1

#: Signing request: certificate profile.
PROFILES = {
    "tls-server": "tls-server",
    "tls-client": "tls-client",
    "message": "message",
    "message-pq": "message",
    "receipt": "receipt",
}

ENDED = ("delivered", "refused", "voided", "withdrawn")


@dataclass(frozen=True)
class House:
    """One gateway with two officers."""

    stage: staging.Stage

    @property
    def home(self) -> Home:
        return self.stage.be

    @property
    def org(self) -> str:
        return staging.BE

    # --- a partner, by two officers ---

    async def register(self, org: str, folder: Path, entry_sha256: str) -> None:
        """§3: its authority; its entry, which one officer proposes and another approves who compared the digest."""
        provision.trust_authority(
            self.home, org, (folder / "ca.pem").read_bytes(), (folder / "crl.pem").read_bytes()
        )
        entry = canonical(msgspec.json.decode((folder / "entry.json").read_bytes(), type=Partner))
        if digest(entry) != entry_sha256:
            raise StepFailed("the two sides read different digests of the entry to each other")
        await self._change("partner", org, entry)

    async def agree(self, org: str, folder: Path) -> None:
        """§4: sign what the partner has signed; two officers put it in force."""
        file = folder / "agreement.json"
        offered = msgspec.json.decode(file.read_bytes(), type=SignedAgreement)
        key = provision.read_officer_key(self.stage.folder / "offline" / self.org / "agreement.pem")
        kid = next(one.kid for one in self.stage.entries[self.org].keys if one.use == "agreement")
        ours = sign_terms(b64url_decode(offered.terms), key, kid)
        both = SignedAgreement(offered.terms, {**offered.signatures, self.org: ours})
        file.write_bytes(canonical(both))
        await self._change("agreement", f"{self.org}-{org}", canonical(both))

    async def _change(self, kind: str, target: str, document: bytes) -> None:
        officers = self.stage.officers
        await demo.two_person(
            self.home, officers["be-requester"], officers["be-approver"], kind, target, document
        )

    def hand_over(self, folder: Path) -> None:
        """What the partner gets out of band: our entry, our authority and its revocation list."""
        (folder / "gateway.json").write_bytes(canonical(self.stage.entries[self.org]))
        for name in ("ca.pem", "crl.pem"):
            ours = self.stage.folder / "offline" / self.org / name
            (folder / f"gateway-{name}").write_bytes(ours.read_bytes())

    # --- desk ---

    async def import_records(self) -> None:
        await demo.import_persons(self.home, self.stage.officers["be-requester"], PERSONS)

    async def releasable(self, org: str, wanted: int) -> list[str]:
        """So many records that may go to this partner now, or fewer when there are no more."""
        found: list[str] = []
        async with desk(self.home.path, self.stage.officers["be-requester"]) as officer:
            for number in range(1, PERSONS + 1):
                params = calls.Disclose(f"BDC-{number:06d}", (org,), "ct-prevention", staging.BASIS)
                (view,) = await officer.call("releases/preview", params, list[calls.DecisionView])
                found += [params.record] if view.effect == "PERMIT" else []
                if len(found) == wanted:
                    break
        return found

    async def disclose(self, org: str, records: Sequence[str]) -> list[calls.DecisionView]:
        """Prepare each, request and approve all with one signature each: they may leave in one POST."""
        views: list[calls.DecisionView] = []
        async with desk(self.home.path, self.stage.officers["be-requester"]) as officer:
            for record in records:
                params = calls.Disclose(record, (org,), "ct-prevention", staging.BASIS, "synthetic")
                views += await officer.call("releases/prepare", params, list[calls.DecisionView])
            if not all(view.release for view in views):
                raise StepFailed("a release was denied")
            releases = tuple(view.release for view in views)
            endorsement = officer.endorse("request", [view.statement for view in views])
            await officer.call("releases/endorse", calls.Endorsed(releases, endorsement), dict[str, str])
        await demo.approve(self.home, self.stage.officers["be-approver"], list(releases))
        return views

    async def settled(self, views: Sequence[calls.DecisionView]) -> list[calls.Trace]:
        """The traces once each message has its end, or needs a person."""
        deadline = time.monotonic() + SETTLED_S
        async with desk(self.home.path, self.stage.officers["be-requester"]) as officer:
            while True:
                traces = [
                    await officer.call("messages/trace", calls.Named(view.release), calls.Trace)
                    for view in views
                ]
                if all(trace.state in ENDED for trace in traces):
                    return traces
                if time.monotonic() > deadline:
                    states = sorted({trace.state for trace in traces})
                    raise StepFailed(f"not settled after {SETTLED_S:.0f} s: {', '.join(states)}")
                await asyncio.sleep(LOOK_S)

    async def inbox(self) -> dict[str, calls.InboxItem]:
        """All messages received, by id."""
        found: dict[str, calls.InboxItem] = {}
        async with desk(self.home.path, self.stage.officers["be-requester"]) as officer:
            after = ""
            while True:
                page = await officer.call("inbox/list", calls.Page(after, 500), list[calls.InboxItem])
                found |= {item.message_id: item for item in page}
                if len(page) < 500:
                    return found
                after = f"{page[-1].sender}/{page[-1].message_id}"

    async def skip(self, trace: calls.Trace) -> None:
        """Give up a refused message: its number is filled by a void."""
        async with desk(self.home.path, self.stage.officers["be-approver"]) as officer:
            lane = calls.LaneCall(trace.partner, trace.conversation)
            await officer.call("queue/skip", lane, dict[str, str])

    async def recall(self, message: str) -> None:
        """Say that a message of ours is out of date; raises `StepFailed` when the gateway denies it."""
        async with desk(self.home.path, self.stage.officers["be-requester"]) as officer:
            params = calls.RecallMessage(message, "expired", "", "synthetic")
            view = await officer.call("recalls/prepare", params, calls.DecisionView)
            if not view.release:
                raise StepFailed(
                    f"the recall was denied: {', '.join(reason.rule for reason in view.reasons)}"
                )
            endorsement = officer.endorse("request", [view.statement])
            await officer.call(
                "recalls/endorse", calls.Endorsed((view.release,), endorsement), dict[str, str]
            )


def certify(folder: Path, org: str, requests: Sequence[str]) -> None:
    """The partner's authority answers its signing requests: ``<name>.csr`` becomes ``<name>.pem``."""
    at = now()
    ca_init(folder, org, now=at, demo=True)
    for name in requests:
        pem = ca_issue(
            folder,
            PROFILES[name],
            org=org,
            public_key=(folder / f"{name}.csr").read_bytes(),
            dns_names=("localhost", "127.0.0.1") if name == "tls-server" else (),
            now=at,
            days=DAYS,
        )
        (folder / f"{name}.pem").write_bytes(pem)


def terms(gateway: str, org: str, suite: str, profile: str) -> dict[str, Any]:
    """What both sign (§4): the partner writes these members as canonical JSON."""
    at, parties = now(), [gateway, org]
    return {
        "series": f"{gateway}-{org}",
        "version": 1,
        "parties": parties,
        "recipient_kinds": {gateway: "other", org: "police"},
        "regime": "BE-OCAM",
        "route": "police",
        "legal_basis": staging.BASIS,
        "purposes": ["ct-prevention"],
        "kinds": [staging.KIND],
        "lifts": [],
        "ceiling": {"policy": "BEL", "level": "UNCLASSIFIED"},
        "retention_days": 30,
        "onward": "none",
        "suites": [suite],
        "signature_profiles": [profile],
        "formats": [staging.FORMAT],
        "languages": ["fr"],
        "not_before": rfc3339(at - timedelta(hours=1)),
        "not_after": rfc3339(at + timedelta(days=DAYS)),
        "protocol": {
            "bodies": parties,
            "controllers": parties,
            "dpo_contacts": ["dpo@ocam.invalid", "dpo@partner.invalid"],
            "purposes": ["ct-prevention"],
            "legal_basis": staging.BASIS,
            "restrictions_on_rights": "synthetic",
        },
        "minimum_assurance": {"origin_signed": True, "receipt": "signed"},
        "bulk": {"records": 10_000, "days": 30},
    }
