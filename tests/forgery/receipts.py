"""Attacks on the way back: receipts that are no answer of this partner to these messages.

The sender is a real gateway with a message on its way; whatever comes back, the message is never taken for delivered
unless the partner's own receipt key says so of exactly these bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog.testing

from gateway.model.party import Partner
from gateway.model.rows import LaneRow, ReceiptRow
from tests.forgery.forge import b64, compact, detached, es256, new_key, sha, unb64
from tests.service.world import BE, CLEAN, FR, Opened, World, opened

TYP = "ecluse-receipt+jws"


@dataclass
class Answering:
    """A transport whose partner answers every POST with what the attacker wrote."""

    world: World
    write: Callable[[Sent], bytes]
    earlier: bytes = b""  # a true receipt of a message before

    async def deliver(self, batch: bytes, *, to: Partner) -> bytes:
        return self.write(Sent(self.world, opened(self.world, batch), self.earlier))

    async def fetch_receipt(self, message_id: str, *, to: Partner) -> bytes | None:
        return None

    async def fetch_head(self, *, to: Partner) -> bytes | None:
        return None

    async def fetch_log(self, start: int, *, to: Partner) -> bytes | None:
        return None

    async def add_checkpoint(self, ask: bytes, *, to: Partner) -> tuple[int, bytes]:
        return 404, b""

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Sent:
    """What is under way, and the receipt that the partner would give for it."""

    world: World
    messages: list[Opened]
    earlier: bytes
    kid: str = field(init=False)

    def __post_init__(self) -> None:
        (record,) = self.world.fr.home.entry.keys_for("receipt")
        self.kid = record.kid

    @property
    def key(self) -> Any:
        return self.world.fr.home.keys.receipt

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "ES256", "kid": self.kid, "typ": TYP}

    def statement(self, **changes: Any) -> dict[str, Any]:
        """What an honest partner states: every message accepted, no checkpoint published yet."""
        items = [
            {"id": one.header.jti, "outcome": "accepted", "payload_sha256": sha(one.payload)}
            for one in self.messages
        ]
        stated = {
            "aud": BE, "at": "2026-11-21T21:00:00Z", "checkpoint": "", "id": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
            "iss": FR, "items": items, "v": 1,
        }  # fmt: skip
        return stated | changes

    def item(self, **changes: Any) -> dict[str, Any]:
        """The statement with its one item changed; a member set to None is left out."""
        item = self.statement()["items"][0] | changes
        return self.statement(items=[{name: value for name, value in item.items() if value is not None}])

    def signed(
        self, statement: Mapping[str, Any] | bytes, header: Mapping[str, Any] | None = None, key: Any = None
    ) -> bytes:
        raw = statement if isinstance(statement, bytes) else canonical(statement)
        return compact(header or self.header, raw, key or self.key).encode()


def canonical(statement: Any) -> bytes:
    """RFC 8785 for what a receipt holds: texts and small integers."""
    return json.dumps(statement, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Reply:
    """One forged answer, and the code for which it is refused."""

    name: str
    expect: str
    write: Callable[[Sent], bytes]


SIGNATURE, FORM, AIM, OTHER = "signature-invalid", "malformed", "wrong-audience", "digest-conflict"


def replies() -> Iterator[Reply]:
    """Every attack of this file."""
    yield from _signatures()
    yield from _headers()
    yield from _statements()


def _signatures() -> Iterator[Reply]:
    yield Reply("by nobody's key", SIGNATURE, lambda s: s.signed(s.statement(), key=new_key()))
    yield Reply(
        "by the partner's message key",
        SIGNATURE,
        lambda s: s.signed(s.statement(), key=s.world.fr.home.keys.message),
    )
    yield Reply("by the partner's message key under its kid", SIGNATURE, _by_message_key)
    yield Reply("by our own receipt key", SIGNATURE, _by_ours)
    yield Reply("by the partner's officer", SIGNATURE, _by_officer)
    yield Reply(
        "without a signature", SIGNATURE, lambda s: s.signed(s.statement()).rpartition(b".")[0] + b"."
    )
    yield Reply("with high s", SIGNATURE, _high_s)
    yield Reply("with another outcome after signing", SIGNATURE, _altered)
    yield Reply(
        "unknown kid", SIGNATURE, lambda s: s.signed(s.statement(), s.header | {"kid": "fra.police-demo/old"})
    )
    yield Reply("detached", SIGNATURE, lambda s: detached(s.header, canonical(s.statement()), s.key).encode())
    yield Reply("our own message's seal", SIGNATURE, lambda s: s.messages[0].jws.encode())


def _headed(**members: Any) -> Callable[[Sent], bytes]:
    return lambda sent: sent.signed(sent.statement(), sent.header | members)


def _stated(**members: Any) -> Callable[[Sent], bytes]:
    return lambda sent: sent.signed(sent.statement(**members))


def _headers() -> Iterator[Reply]:
    for alg in ("none", "HS256", "ES384", "ML-DSA-65"):
        yield Reply(f"alg {alg}", SIGNATURE, _headed(alg=alg))
    for typ in ("ecluse-msg-disclosure+jws", "ecluse-agreement+jws", "ecluse-change+jws", "JWT", ""):
        yield Reply(f"typ {typ!r}", SIGNATURE, _headed(typ=typ))
    for name, value in {"jwk": {}, "x5c": [], "crit": [], "cty": "x", "b64": True}.items():
        yield Reply(f"member too many: {name}", SIGNATURE, _headed(**{name: value}))
    yield Reply("member twice", FORM, _twice)
    yield Reply("garbage", FORM, lambda s: b"nothing of the kind")
    yield Reply("not ASCII", SIGNATURE, lambda s: b"\xff" * 40)
    yield Reply("empty", FORM, lambda s: b"")
    yield Reply("padded", FORM, lambda s: s.signed(s.statement()) + b"=")
    yield Reply("with a line feed", FORM, lambda s: s.signed(s.statement()) + b"\n")


def _statements() -> Iterator[Reply]:
    wrong = {"aud": FR, "iss": BE}
    for name, value in wrong.items():
        yield Reply(f"another {name}", AIM, _stated(**{name: value}))
    yield Reply("from the future", FORM, lambda s: s.signed(s.statement(at="2026-11-21T21:05:01Z")))
    yield Reply("of another version", FORM, lambda s: s.signed(s.statement(v=2)))
    yield Reply("for no message", FORM, lambda s: s.signed(s.statement(items=[])))
    yield Reply(
        "for another message", FORM, lambda s: s.signed(s.item(id="c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20"))
    )
    yield Reply("for other bytes", OTHER, lambda s: s.signed(s.item(payload_sha256="0" * 64)))
    yield Reply(
        "naming a message twice", FORM, lambda s: s.signed(s.statement(items=s.statement()["items"] * 2))
    )
    yield Reply("for 65 messages", FORM, lambda s: s.signed(s.statement(items=s.statement()["items"] * 65)))
    yield Reply("with an unknown outcome", FORM, lambda s: s.signed(s.item(outcome="filed")))
    yield Reply("accepted and refused at once", FORM, lambda s: s.signed(s.item(code="malformed")))
    yield Reply("refused without a code", FORM, lambda s: s.signed(s.item(outcome="refused")))
    yield Reply("an expected number without its code", FORM, lambda s: s.signed(s.item(expected=3)))
    yield Reply(
        "out of order without a number",
        FORM,
        lambda s: s.signed(s.item(outcome="refused", code="out-of-order")),
    )
    yield Reply("with an unknown member", FORM, lambda s: s.signed(s.statement(note="x")))
    yield Reply("with a member twice", FORM, lambda s: s.signed(canonical(s.statement())[:-1] + b',"v":1}'))
    yield Reply(
        "unsorted",
        FORM,
        lambda s: s.signed(
            canonical(s.statement())[:-1].replace(b"{", b'{"v":1,', 1).replace(b',"v":1', b"", 1) + b"}"
        ),
    )
    yield Reply("spaced", FORM, lambda s: s.signed(canonical(s.statement()).replace(b",", b", ")))
    yield Reply("with a checkpoint that is none", SIGNATURE, lambda s: s.signed(s.statement(checkpoint="x")))
    yield Reply(
        "with a checkpoint of ours",
        SIGNATURE,
        lambda s: s.signed(s.statement(checkpoint=s.messages[0].header.checkpoint)),
    )
    yield Reply("of an earlier message", FORM, lambda s: s.earlier)


def _by_message_key(sent: Sent) -> bytes:
    (record, *_) = sent.world.fr.home.entry.keys_for("message")
    return sent.signed(sent.statement(), sent.header | {"kid": record.kid}, sent.world.fr.home.keys.message)


def _by_ours(sent: Sent) -> bytes:
    (record,) = sent.world.be.home.entry.keys_for("receipt")
    return sent.signed(sent.statement(), sent.header | {"kid": record.kid}, sent.world.be.home.keys.receipt)


def _by_officer(sent: Sent) -> bytes:
    identity = sent.world.officers["fr-inbox"]
    return sent.signed(sent.statement(), sent.header | {"kid": identity.kid}, identity.key)


def _high_s(sent: Sent) -> bytes:
    head, body, _ = sent.signed(sent.statement()).split(b".")
    return b".".join((head, body, b64(es256(sent.key, head + b"." + body, high=True)).encode()))


def _altered(sent: Sent) -> bytes:
    """A true refusal, turned into an acceptance on the way."""
    head, body, signature = sent.signed(sent.item(outcome="refused", code="malformed")).split(b".")
    stated = json.loads(unb64(body.decode()))
    stated["items"] = sent.statement()["items"]
    return b".".join((head, b64(canonical(stated)).encode(), signature))


def _twice(sent: Sent) -> bytes:
    raw = f'{{"alg":"none","alg":"ES256","kid":"{sent.kid}","typ":"{TYP}"}}'.encode()
    return compact(raw, canonical(sent.statement()), sent.key).encode()


async def run(world: World) -> tuple[list[str], int]:
    """Every forged answer, each to a message of its own; what went wrong, and how many there were.

    Afterwards an honest answer to one more message is taken.
    """
    breaches: list[str] = []
    side = world.be
    real = side.gateway.transport
    await side.disclose(CLEAN[0])
    await side.send()
    earlier = side.wire.posts[-1].answer.encode()
    count = 0
    for reply in replies():
        count += 1
        (view,) = await side.disclose(CLEAN[0])
        side.gateway.transport = Answering(world, reply.write, earlier)  # type: ignore[assignment]
        receipts = len(side.rows(ReceiptRow))
        with structlog.testing.capture_logs() as logs:
            await side.dispatcher.send_batch(FR)
        row = side.outbox(view)
        codes = [str(one["code"]) for one in logs if one["event"] == "delivery.refused"]
        if codes != [reply.expect]:
            breaches.append(f"receipt {reply.name}: {codes} instead of {reply.expect}")
        if row is None or row.state != "attempted" or len(side.rows(ReceiptRow)) != receipts:
            breaches.append(f"receipt {reply.name}: the message is taken for {row and row.state}")
        lane = next(one for one in side.rows(LaneRow) if row and one.conversation == row.conversation)
        if not lane.held and (lane.due is None or lane.due <= world.clock.now()):
            breaches.append(f"receipt {reply.name}: the lane spins")
        if any("defect" in one["event"] for one in logs):
            breaches.append(f"receipt {reply.name}: a defect")
    side.gateway.transport = real
    (view,) = await side.disclose(CLEAN[0])
    await side.send()
    last = side.outbox(view)
    if last is None or last.state != "delivered":
        breaches.append("an honest receipt after all of them is not taken")
    return breaches, count
