"""One whole end: keys, listener, receiver, sender and store, ready to be registered with a partner."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.peer.agreement import read_agreement
from tests.peer.der import first
from tests.peer.entry import Entry, read_entry
from tests.peer.identity import Identity
from tests.peer.receiver import Receiver
from tests.peer.sender import Sender
from tests.peer.spelling import canonical
from tests.peer.store import Store
from tests.peer.transport import Client, Listener


class Peer:
    """An organisation with one partner and one agreement."""

    def __init__(self, org: str, folder: Path, *, mode: str) -> None:
        self.identity, self.folder, self._mode = Identity.generate(org), folder, mode
        self.identity.write_tls(folder)
        self.listener = Listener(folder)
        self.store = Store(folder / "store.sqlite")

    @property
    def org(self) -> str:
        return self.identity.org

    def entry_document(self) -> bytes:
        return self.identity.entry_document(f"https://127.0.0.1:{self.listener.port}")

    def terms(self, partner: Entry, *, suite: str, profile: str, period: tuple[str, str]) -> bytes:
        """Terms between us, canonical."""
        both = [partner.org, self.org]
        return canonical(
            {
                "series": "-".join(both),
                "version": 1,
                "parties": both,
                "recipient_kinds": {partner.org: partner.recipient_kind, self.org: self.identity.kind},
                "regime": "BE-OCAM",
                "route": "police",
                "legal_basis": "be-2024-03-29:art28",
                "purposes": ["ct-prevention"],
                "kinds": ["bdc-person/1.0", "information-request/1.0"],
                "lifts": [],
                "ceiling": {"policy": "BEL", "level": "UNCLASSIFIED"},
                "retention_days": 365,
                "onward": "none",
                "suites": [suite],
                "signature_profiles": [profile],
                "formats": ["ct-exchange-json/1.0"],
                "languages": ["fr", "nl"],
                "not_before": period[0],
                "not_after": period[1],
                "protocol": {
                    "bodies": both,
                    "controllers": both,
                    "dpo_contacts": ["dpo@one.invalid", "dpo@other.invalid"],
                    "purposes": ["ct-prevention"],
                    "legal_basis": "be-2024-03-29:art28",
                    "restrictions_on_rights": "synthetic",
                },
                "minimum_assurance": {"origin_signed": True, "receipt": "signed"},
                "bulk": {"records": 100, "days": 30},
            }
        )

    def meet(
        self, entry: bytes, authority: bytes, revocation: bytes, agreement: Mapping[str, Any], now: float
    ) -> None:
        """Take over what the partner handed over, once both signatures of the agreement hold; begin to listen."""
        self.partner = read_entry(entry)
        self.agreement = read_agreement(agreement, self.identity.own, self.partner, now)
        if set(self.agreement.signed) != {self.org, self.partner.org} or not self.agreement.in_period(now):
            raise ValueError("no agreement is in force")
        trusted = self.folder / "partner.pem"
        trusted.write_bytes(authority + revocation)
        issuer = _public_key(authority)
        self.client = Client(self.partner, self.folder, trusted, issuer)
        self.receiver = Receiver(self.identity, self.partner, self.agreement, self.store, mode=self._mode)
        self.sender = Sender(
            self.identity, self.partner, self.agreement, self.store, self.client, mode=self._mode
        )
        self.listener.start(self.partner, self.receiver, trusted, issuer)

    def close(self) -> None:
        self.client.close()
        self.listener.close()
        self.store.close()


def _public_key(certificate_pem: bytes) -> bytes:
    """SubjectPublicKeyInfo of the first certificate in a PEM file."""
    text = certificate_pem.decode("ascii").split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
    return first(base64.b64decode(text)).children()[0].children()[6].raw
