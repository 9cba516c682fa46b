"""What a partner can ask and be answered at once, about a person who is held here, all withheld, and one who is not.

The partner has everything a partner has; its requests are accepted. The person who is held stands under an embargo; the
other's name has the same letters in another order, so that both questions have one length.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.checkpoint import Checkpoint, log_key_name, partner_origin, sign
from gateway.cli.bench.exchange import import_persons
from gateway.cli.client import desk
from gateway.cli.staging import ASKED, BASIS, BE, FORMAT, FR
from gateway.model.label import SecurityLabel
from gateway.model.message import Envelope, Handling
from gateway.model.record import CanonicalRecord, FieldLabel, fields_of
from gateway.model.time import rfc3339
from gateway.policy.levels import default_levels
from gateway.service import calls
from gateway.service.app import now, synthetic_extract
from gateway.service.signer_main import kinds
from gateway.wire.ct_json import CtJson, compose
from gateway.wire.jws import message_typ
from tests.siege.bodies import post
from tests.siege.target import HOSTILE, Target

#: Persons held here.
HELD = 40

PURPOSE = "ct-prevention"
KINDS, LEVELS = kinds(), default_levels()


def names_held() -> list[str]:
    """The names of those persons, as their extract has them."""
    lines = [msgspec.json.decode(line) for line in synthetic_extract(HELD, 1).splitlines()]
    found = [line["content"]["names"][0] for line in lines]
    return [f"{name['given']}{name['family']}" for name in found if "family" in name]


async def withhold_all(target: Target) -> list[str]:
    """Import the persons, prepare a release of each, and place each under an embargo; ids of what is withheld."""
    stage = target.stage
    persons = await import_persons(stage, HELD // 2)
    first, second = stage.officers["be-requester"], stage.officers["be-approver"]
    withheld = []
    async with desk(stage.be.path, first) as requester, desk(stage.be.path, second) as approver:
        for person in persons:
            params = calls.Disclose(person, (FR,), PURPOSE, BASIS, "synthetic case")
            for view in await requester.call("releases/prepare", params, list[calls.DecisionView]):
                withheld += [one for one in (view.release, view.message_id) if one]
            await approver.call("embargoes/add", calls.PlaceEmbargo(person, b"synthetic"), object)
    return withheld


def question(message: str) -> bytes:
    """Asks for the receipt of this message."""
    return b"GET /exchange/v1/messages/%s/receipt HTTP/1.1\r\nHost: gw\r\n\r\n" % message.encode()


class Asking:
    """Requests of the partner, each a message of its own, sealed before it is timed."""

    def __init__(self, target: Target, log_key: Ed25519PrivateKey) -> None:
        self._target = target
        head = Checkpoint(partner_origin(HOSTILE, BE), 1, b"\x01" * 32)
        self._checkpoint = sign(head, log_key_name(HOSTILE), log_key).decode()

    def about(self, name: str) -> bytes:
        """A POST of one request that names this person."""
        message, conversation = str(uuid.uuid4()), str(uuid.uuid4())
        record = CanonicalRecord(ASKED, "REQ-000001", HOSTILE, now(), "fusion-officer", _content(name), ())
        label = SecurityLabel("BEL", "UNCLASSIFIED", ("BEL", "FRA"))
        fields = [field.pointer for field in fields_of(record, KINDS[ASKED])]
        labels = tuple(FieldLabel(pointer, label, "record", HOSTILE) for pointer in fields)
        envelope = Envelope(
            FORMAT, "request", "test", message, conversation, HOSTILE, BE, rfc3339(now()), "fr"
        )
        handling = Handling("BE-OCAM", "other", PURPOSE, BASIS, "2030-01-01", "none")
        record = msgspec.structs.replace(record, labels=labels)
        parts = [(f"p-{uuid.uuid4().hex}", record, fields)]
        payload = CtJson().render(compose(envelope, handling, parts, KINDS, LEVELS)).payload
        return post(
            self._target.sealed(
                payload,
                typ=message_typ("request"),
                cty="application/json",
                jti=message,
                conv=conversation,
                checkpoint=self._checkpoint,
            )
        )


def _content(name: str) -> dict[str, Any]:
    return {
        "urgency": {"class": "normal"},
        "asks": [{"kind": "bdc-person/1.0", "fields": ["/names/*", "/threat"]}],
        "detail": "Where was this invented person last seen?",
        "purpose": {"facts": "Nothing that happened.", "offence": "invented offence"},
        "grounds": "An invented hint.",
        "language": "fr",
        "persons": [{"role": "suspect", "names": [name], "adult": True}],
    }
