"""Evidence packs: what a body outside needs to judge exchanges without us, collected and nothing more.

What left and what came are shown as the bytes that crossed, with seal, receipt, opening of the log's commitment, and
the proof of its place under a signed head. What was withheld is sealed to the oversight key. For a court, officers are
numbers, and nothing is shown that its originator has not let it see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

import msgspec

import schemas
from gateway.audit.checkpoint import log_key_name, partner_origin
from gateway.audit.entry import parse_partner_entry
from gateway.audit.tree import inclusion_proof
from gateway.errors import NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical, digest
from gateway.flow.typed import require_text
from gateway.model.label import SecurityLabel
from gateway.model.message import DEMANDS
from gateway.model.officer import Officer
from gateway.model.oversight import OversightKey
from gateway.model.party import KeyRecord
from gateway.model.rows import (
    CheckpointRow,
    EndorsementRow,
    InboxRow,
    OutboxRow,
    ReceiptRow,
    ReleaseRow,
    StampedHeadRow,
    StampRow,
)
from gateway.model.time import rfc3339
from gateway.ports import ReadTx
from gateway.service.calls.evidence import Blocked, MakePack, PackView
from gateway.service.contents import (
    CodedBody,
    EndorsementBody,
    InboundBody,
    ProtocolBody,
    ReceiptBody,
    ReleaseBody,
    SealBody,
)
from gateway.service.context import Gateway
from gateway.service.grounds import in_force
from gateway.service.log_source import StoredLog
from gateway.service.mandates import key_of, require_scope
from gateway.service.operation import Operation, note_read, require_need_to_know
from gateway.service.received import received
from gateway.service.vault import keys_of
from gateway.wire import hpke
from gateway.wire.ct_json import CtJson, field_labels
from gateway.wire.strict import OrgId, b64url

#: Messages of one pack: some 100 KB each, and the whole answer crosses the control socket at once.
MAX_MESSAGES = 100

#: The purpose of a consent that lets a court see an item.
COURT_PURPOSE = "court-proceedings"

#: Whose key what was withheld is sealed to; a body's own key has the body's name.
WITHHELD_TO = "main"

#: The folder of time-stamps in a pack, as in an export.
STAMPS = "stamps"

#: What is bound into the sealing of a withheld record, beside its pack's message.
WITHHELD = "ecluse/withheld/1"


class Found(msgspec.Struct, frozen=True):
    """A message that crossed: its rows, and where its bytes lie. ``receipt`` is theirs of ours, or ours of theirs."""

    id: str
    partner: str
    out: bool
    bodies: tuple[str, ...]  # of the message, and of its seal when it left
    keys: tuple[str, ...]
    receipt: ReceiptRow | None
    release: ReleaseRow | None
    type: str


class Evidence:
    """Collects packs."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def operations(self) -> dict[str, Operation]:
        """A reviewer asks for a pack; it changes nothing, and is a read of everything in it."""
        return {"evidence/pack": Operation(MakePack, ("reviewer",), self.pack)}

    async def pack(self, officer: Officer, params: MakePack) -> PackView:
        """The files of a pack.

        (1) it says for whom, on what authority, of which messages, each of which crossed; (2) the reviewer may see
        every label in them, and needs to know every kind; (3) for a court, every item is free to be shown, or the
        answer names those that are not and holds no file; (4) the read is an entry, with body and authority, before
        anything is shown; (5) heads are signed that cover the newest entries, and the files are put together.
        """
        gateway = self._g
        # (1)
        self._require(params)
        found, keys = await gateway.store.read(lambda tx: self._find(tx, params.messages))
        await gateway.vault.unlock(keys)
        # (2), (3)
        blocked = await gateway.store.read(lambda tx: self._judge(tx, officer, found, params))
        if blocked:
            return PackView({}, tuple(blocked))
        # (4)
        what = f"evidence pack for {params.body}, authority sha256 {digest(params.authority.encode())}"
        await note_read(gateway, officer, "", what, [one.id for one in found])
        # (5)
        await gateway.checkpoint_logs(sorted({partner_origin(gateway.org, one.partner) for one in found}))
        ours = await gateway.signer.keys()
        return await gateway.store.read(lambda tx: self._files(tx, found, params, ours))

    def _require(self, params: MakePack) -> None:
        require_text("authority", params.authority)
        if not 1 <= len(params.messages) <= MAX_MESSAGES or len({*params.messages}) < len(params.messages):
            raise RequestInvalid(
                f"messages: a pack holds 1 to {MAX_MESSAGES}, none twice", diagnostic={"field": "messages"}
            )
        if (params.body == "court") != bool(params.court):
            raise RequestInvalid(
                "court: a pack for a court names its organisation id, any other does not",
                diagnostic={"field": "court"},
            )
        if params.court:
            try:
                msgspec.convert(params.court, OrgId)
            except msgspec.ValidationError:
                raise RequestInvalid(
                    "court: an organisation id, such as bel.court-demo", diagnostic={"field": "court"}
                ) from None

    # --- what there is ------------------------------------------------------------------------------------------------

    def _find(self, tx: ReadTx, names: Sequence[str]) -> tuple[list[Found], list[Any]]:
        found = [self._one(tx, name) for name in names]
        if len({one.id for one in found}) < len(found):  # an id is its sender's choice, and names the files
            raise RequestInvalid(
                "messages: one is named twice, or two of one id: these go into packs of their own",
                diagnostic={"field": "messages"},
            )
        names_of_keys = {key for one in found for key in one.keys}
        names_of_keys |= {one.receipt.key for one in found if one.receipt is not None}
        return found, keys_of(tx, sorted(names_of_keys))

    def _one(self, tx: ReadTx, name: str) -> Found:
        release = tx.get(ReleaseRow, name)
        message = release.message_id if release is not None else name
        sent = next(iter(tx.select(OutboxRow, {"message_id": message})), None)
        if sent is not None and sent.entry >= 0:
            release = tx.get(ReleaseRow, sent.release) if sent.release else None
            body, key = (release.body, release.key) if release is not None else (sent.body, sent.key)
            receipt = tx.get(ReceiptRow, sent.receipt) if sent.receipt else None
            bodies = tuple(filter(None, (body, sent.seal)))
            return Found(
                sent.message_id, sent.partner, True, bodies, (key, sent.key), receipt, release, sent.type
            )
        row: InboxRow | None = received(tx, name)
        if row is None:
            raise NotFound("a message of these ids did not leave or come: a pack shows what crossed")
        receipt = tx.get(ReceiptRow, row.receipt) if row.receipt else None
        return Found(row.message_id, row.sender, False, (row.body,), (row.key,), receipt, None, row.type)

    def _content(self, tx: ReadTx, one: Found) -> tuple[bytes, bytes, str, str, Any]:
        """Payload, salt, seal, second seal, and the opened body."""
        if not one.out:
            inbound = self._g.vault.open(tx, one.bodies[0], InboundBody)
            return inbound.payload, inbound.salt, inbound.jws, inbound.second, inbound
        body: ReleaseBody | CodedBody | ProtocolBody
        match DEMANDS[one.type].message_class:
            case "content-bearing":
                body = self._g.vault.open(tx, one.bodies[0], ReleaseBody)
            case "coded":
                body = self._g.vault.open(tx, one.bodies[0], CodedBody)
            case _:
                body = self._g.vault.open(tx, one.bodies[0], ProtocolBody)
        seal = self._g.vault.open(tx, one.bodies[1], SealBody) if len(one.bodies) > 1 else SealBody("")
        return body.payload, body.salt, seal.jws, seal.second, body

    # --- who may see it -----------------------------------------------------------------------------------------------

    def _judge(self, tx: ReadTx, officer: Officer, found: Sequence[Found], params: MakePack) -> list[Blocked]:
        """What a court may not see yet. Raises `RoleMissing` for what is beyond the reviewer."""
        blocked: list[Blocked] = []
        now, levels = self._g.clock.now(), self._g.levels
        for one in found:
            message = CtJson().parse(self._content(tx, one)[0])
            require_scope(officer, one.partner, (part.kind for part in message.records))
            require_need_to_know(officer, *(part.kind for part in message.records))
            if message.label is not None and not officer.may_see(message.label, now, levels):
                raise RoleMissing("your clearance does not reach a message of this pack")
            if params.body != "court":
                continue
            for pointer, label in field_labels(message).items():
                _, _, number, below = pointer.split("/", 3)
                kind = self._g.kinds[message.records[int(number)].kind]
                blocked += self._blocks(tx, one, pointer, kind.pattern(f"/{below}"), label, params.court)
        return blocked

    def _blocks(
        self, tx: ReadTx, one: Found, pointer: str, pattern: str, label: SecurityLabel, court: str
    ) -> Iterator[Blocked]:
        """Each rule that keeps an item from a court, unless all its originators consented for this court.

        What nobody but us marked has no originator to ask: the mark has to be changed, by whoever may.
        """
        rules: list[tuple[Any, bool]] = [
            ("classified", self._g.levels.rank(label.policy, label.level) != 0),
            ("handling.judicial-use", "H1" in label.handling_code),
            ("label.orcon", label.originator_control),
        ]
        now = self._g.clock.now()
        others = tuple(
            org for org in (label.originators or (() if one.out else (one.partner,))) if org != self._g.org
        )
        subject = one.release.subject if one.release is not None else ""
        consents = in_force(tx, subject, court, COURT_PURPOSE, now).consents if subject else ()
        day = now.date().isoformat()
        given = others and all(
            any(consent.covers(org, pattern, COURT_PURPOSE, day) for consent in consents) for org in others
        )
        return (Blocked(one.id, pointer, rule, others) for rule, applies in rules if applies and not given)

    # --- files --------------------------------------------------------------------------------------------------------

    def _files(
        self, tx: ReadTx, found: Sequence[Found], params: MakePack, ours: Sequence[KeyRecord]
    ) -> PackView:
        gateway = self._g
        oversight = _oversight(tx)
        people = _People(named=params.body != "court")
        files: dict[str, bytes] = {}
        missing: set[str] = set()
        sealed = 0
        for one in found:
            folder = f"messages/{one.id}"
            payload, salt, jws, second, body = self._content(tx, one)
            files[f"{folder}/payload.json"] = payload
            if jws:
                files[f"{folder}/seal.jws"] = jws.encode()
            if second:
                files[f"{folder}/seal-2.jws"] = second.encode()
            files[f"{folder}/opening.json"] = canonical(
                {
                    "commitment": "body of the entry: hex SHA-256('ecluse/body/1' LF || salt || payload_sha256)",
                    "payload_sha256": hashlib.sha256(payload).hexdigest(),
                    "salt": b64url(salt),
                }
            )
            if one.receipt is None:
                missing.add("receipt")
            else:
                receipt = gateway.vault.open(tx, one.receipt.body, ReceiptBody)
                files[f"{folder}/receipt.jws"] = receipt.jws.encode()
            if one.release is not None and isinstance(body, ReleaseBody | CodedBody):
                files |= self._decided(tx, folder, one.release, body, people)
            if isinstance(body, ReleaseBody) and params.body != "court":
                if oversight is None:
                    missing.add("withheld")
                else:
                    files[f"{folder}/withheld.hpke"] = seal_withheld(oversight, one.id, body.record)
                    sealed += 1
        files |= self._proofs(tx, found, missing)
        files["keys.json"] = canonical(self._keys(ours, {one.partner for one in found}))
        files["verify.py"] = resources.files("gateway.reviewer").joinpath("verify.py").read_bytes()
        if oversight is not None and sealed:
            files["oversight.json"] = canonical(oversight)
        files["cover.txt"] = _cover(
            params,
            found,
            sealed,
            sorted(missing),
            rfc3339(gateway.clock.now()),
            gateway.org,
            stamped=any(name.startswith(f"{STAMPS}/") for name in files),
        )
        return PackView(files, (), sealed, tuple(sorted(missing)))

    def _decided(
        self,
        tx: ReadTx,
        folder: str,
        release: ReleaseRow,
        body: ReleaseBody | CodedBody,
        people: _People,
    ) -> dict[str, bytes]:
        """The decision, and who signed for it: their endorsements, or for a court numbers in their place."""
        rows = sorted(
            tx.select(EndorsementRow, {"release": release.id}), key=lambda row: (row.at, row.act != "request")
        )
        acts = [{"act": row.act, "at": rfc3339(row.at), "who": people(row.officer)} for row in rows]
        files = {f"{folder}/people.json": canonical(acts)}
        if people.named:
            files[f"{folder}/decision.json"] = body.document
            files[f"{folder}/statement.json"] = body.statement
            for number, row in enumerate(rows, start=1):
                token = self._g.vault.open(tx, row.body, EndorsementBody)
                files[f"{folder}/endorsement-{number}.jws"] = token.jws.encode()
        return files

    def _proofs(self, tx: ReadTx, found: Sequence[Found], missing: set[str]) -> dict[str, bytes]:
        """Entry and C2SP tlog-proof of each message and receipt, under the newest time-stamped head of its log with
        that stamp, or under the newest signed head where no stamp covers it. One pass over each log concerned."""
        files: dict[str, bytes] = {}
        for partner in sorted({one.partner for one in found}):
            log = StoredLog(tx, partner_origin(self._g.org, partner))
            # By direction and event too: a partner may choose an id of ours for a message of its own.
            wanted = {}
            for one in found:
                if one.partner == partner:
                    there, back = ("out", "in") if one.out else ("in", "out")
                    wanted[there, "message", one.id] = f"messages/{one.id}/entry"
                    if one.receipt is not None:
                        wanted[back, "receipt", one.receipt.id] = f"messages/{one.id}/receipt-entry"
            newest = tx.select(CheckpointRow, {"origin": log.origin}, order="size", descending=True, limit=1)
            stamped = tx.select(
                StampedHeadRow, {"origin": log.origin}, order="size", descending=True, limit=1
            )
            size = newest[0].size if newest else 0
            for index, raw in log.entries():
                entry = parse_partner_entry(raw)
                name = wanted.get((entry.direction, entry.event, entry.message_id))
                if name is None:
                    continue
                if index >= size:
                    missing.add("proof")
                    continue
                files[f"{name}.json"] = raw
                head = stamped[0] if stamped and index < stamped[0].size else newest[0]
                files[f"{name}.tlog-proof"] = _proof(
                    index, inclusion_proof(index, head.size, log.tiles).hashes, head.note
                )
                if isinstance(head, StampedHeadRow):
                    files |= _stamp(tx, head.stamp)
        return files

    def _keys(self, ours: Sequence[KeyRecord], partners: set[str]) -> dict[str, Any]:
        """Public keys that the pack is checked with, as the directory has them; a reader gets them another way too."""
        entries = {org: self._g.directory.partners.get(org) for org in sorted(partners)}
        return {
            "log_keys_named": log_key_name(self._g.org),
            "ours": [msgspec.to_builtins(key) for key in ours],
            "partners": {
                org: [msgspec.to_builtins(key) for key in entry.keys]
                for org, entry in entries.items()
                if entry
            },
        }


class _People:
    """Officers by id, or by number in the order in which the pack first names them."""

    def __init__(self, *, named: bool) -> None:
        self.named, self._numbers = named, dict[str, str]()

    def __call__(self, officer: str) -> str:
        if self.named:
            return officer
        return self._numbers.setdefault(officer, f"officer-{len(self._numbers) + 1}")


def _oversight(tx: ReadTx) -> OversightKey | None:
    return key_of(tx, WITHHELD_TO)


def withheld_preamble(message: str) -> bytes:
    """What a sealed record is bound to: use and message id."""
    return canonical({"message": message, "use": WITHHELD})


def seal_withheld(key: OversightKey, message: str, record: bytes) -> bytes:
    """The record that a release was decided on, whole, for the holders of the oversight key."""
    return hpke.encrypt(withheld_preamble(message), record, key.public)


def _proof(index: int, hashes: Sequence[bytes], note: bytes) -> bytes:
    """C2SP tlog-proof."""
    from base64 import b64encode

    lines = ["c2sp.org/tlog-proof@v1", f"index {index}", *(b64encode(one).decode() for one in hashes), ""]
    return "\n".join(lines).encode() + b"\n" + note


def _stamp(tx: ReadTx, number: int) -> dict[str, bytes]:
    """The files of a time-stamp: `openssl ts -verify` takes them, and the digest of a head stands in the document."""
    row = tx.get(StampRow, number)
    if row is None:
        return {}
    folder = f"{STAMPS}/{number:08}"
    return {
        f"{folder}/chain.pem": row.chain,
        f"{folder}/document.json": row.document,
        f"{folder}/response.tsr": row.response,
    }


def _cover(
    params: MakePack,
    found: Sequence[Found],
    sealed: int,
    missing: Sequence[str],
    at: str,
    org: str,
    *,
    stamped: bool,
) -> bytes:
    """What the pack proves and what it does not, in four languages; fixed texts, ids and counts, nobody's words."""
    texts = schemas.load_json("evidence/cover.json")
    commands = texts["commands"] + (texts["stamp-commands"] if stamped else [])
    parts = []
    for language in ("fr", "nl", "de", "en"):
        words = texts[language]
        lines = [words["title"], "", words["made"].format(org=org, at=at, body=words["bodies"][params.body])]
        lines += [words["holds"].format(messages=len(found), sealed=sealed), "", words["proves"]]
        lines += [f"- {line}" for line in (*words["proven"], *([words["stamped"]] if stamped else ()))]
        lines += ["", words["proves-not"]]
        lines += [
            f"- {line}" for line in (*words["not-proven"], *(words["missing"][code] for code in missing))
        ]
        lines += ["", words["check"], *(f"  {line}" for line in commands)]
        parts.append("\n".join(lines))
    return ("\n\n" + "-" * 72 + "\n\n").join(parts).encode() + b"\n"
