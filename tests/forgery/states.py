"""Attacks that need a history: replays, sequence, identity, other partners' messages, the request around a batch."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.forgery.answers import HELD, PLACE, READ
from tests.forgery.arena import DE, NL, NOBODY, Arena, Attack
from tests.forgery.forge import Base, Edits, constant, framed, new_key, put, swap, write
from tests.service.world import BE, FR

CONFLICT, KNOWN = "receipt digest-conflict", "receipt accepted"


def states() -> Iterator[Attack]:
    """Every attack of this file."""
    yield from _sequences()
    yield from _identities()
    yield from _others()
    yield from _batches()
    yield from _requests()


async def _accepted(arena: Arena, org: str = BE) -> Base:
    """An honest message that the receiver has accepted."""
    base = arena.base(org)
    status, body = await arena.post(org, framed([write(base)]))
    assert arena.said(status, body) == "receipt accepted"
    arena.granted += 1
    return base


def _then(edits: Edits | None = None, **members: Any) -> Callable[[Arena], Awaitable[bytes]]:
    """After an accepted message another one in its conversation."""

    async def build(arena: Arena) -> bytes:
        base = await _accepted(arena)
        return arena.batch(edits, conv=base.members["conv"], **members)

    return build


def _then_under(size: int, **members: Any) -> Callable[[Arena], Awaitable[bytes]]:
    """The next message under a true head that is too small to cover it."""

    async def build(arena: Arena) -> bytes:
        return await _then(checkpoint=arena.note(size=size), **members)(arena)

    return build


def _again(edits: Edits) -> Callable[[Arena], Awaitable[bytes]]:
    """The accepted message itself, edited."""

    async def build(arena: Arena) -> bytes:
        return framed([write(await _accepted(arena), edits)])

    return build


def _sequences() -> Iterator[Attack]:
    for seq in (1, 3, 4, 1000):
        yield Attack(f"seq {seq} where 2 is next", PLACE, _then(seq=seq))
    yield Attack("seq 2 under a head of size 1", HELD, _then_under(1, seq=2))
    yield Attack("seq 2 forged where 2 is next", HELD, _then({"key": lambda _: new_key()}, seq=2))
    yield Attack(
        "seq 2 without a signature where 2 is next", HELD, _then({"signature": constant(b"")}, seq=2)
    )


def _identities() -> Iterator[Attack]:
    other = swap(b'"language":"fr"', b'"language":"nl"')
    yield Attack("accepted message again", KNOWN, _again({}))
    yield Attack("accepted message again under another seq", KNOWN, _again({"members": put(seq=9)}))
    yield Attack("accepted message again without its signature", KNOWN, _again({"signature": constant(b"")}))
    yield Attack("accepted id with other bytes", CONFLICT, _again({"payload": other}))
    yield Attack(
        "accepted id with other bytes, unsigned",
        CONFLICT,
        _again({"payload": other, "signature": constant(b"")}),
    )
    yield Attack(
        "accepted id with other bytes by nobody",
        CONFLICT,
        _again({"payload": other, "key": lambda _: new_key()}),
    )
    yield Attack(
        "accepted id with other bytes and the next seq",
        CONFLICT,
        _again({"payload": other, "members": put(seq=2)}),
    )
    yield Attack("accepted id in another conversation", CONFLICT, _elsewhere)
    yield Attack("accepted digest named over other bytes", CONFLICT, _named)


async def _elsewhere(arena: Arena) -> bytes:
    base = await _accepted(arena)
    return arena.batch(jti=base.members["jti"])


async def _named(arena: Arena) -> bytes:
    """The header says the accepted digest, the bytes are others: identity is taken from the bytes."""
    base = await _accepted(arena)
    other = swap(b'"language":"fr"', b'"language":"nl"')
    return framed([write(base, {"sent": other})])


# --- other partners --------------------------------------------------------------------------------------------------


def _others() -> Iterator[Attack]:
    """Surreptitious forwarding, and messages of one partner in the session of another."""
    yield Attack("a partner's fresh message in another's session", "403 replayed", lambda a: a.batch(), NL)
    yield Attack("a partner's accepted message in another's session", "403 replayed", _replayed, NL)
    yield Attack("another partner's message in our session", "403 replayed", lambda a: a.batch(org=NL))
    yield Attack("a stopped partner's message in our session", "403 replayed", lambda a: a.batch(org=DE))
    yield Attack(
        "a message under a stopped partner's certificate", "no session", lambda a: a.batch(org=DE), DE
    )
    yield Attack("a message under a certificate nobody pinned", "no session", lambda a: a.batch(), NOBODY)
    for name, preamble in {
        "under the forwarder's name": {"iss": NL, "aud": FR},
        "for the receiver": {"iss": BE, "aud": FR},
    }.items():
        who = str(preamble["iss"])
        yield Attack(f"forwarded: sealed for another, sent on {name}", READ, _forwarded(preamble), who)
    yield Attack(
        "forwarded: preamble and seal for another", "403 wrong-audience", _forwarded({"iss": BE, "aud": NL})
    )
    yield Attack(
        "forwarded: by the forwarder under the author's name",
        "403 replayed",
        _forwarded({"iss": BE, "aud": FR}),
        NL,
    )
    yield Attack("another partner's seal in our container", READ, _seal_of_other)
    yield Attack("another partner's key, our name, our session", HELD, _key_of_other)
    yield Attack("another partner names us as issuer in its seal", READ, _names_us, NL)


async def _replayed(arena: Arena) -> bytes:
    return framed([write(await _accepted(arena))])


def _forwarded(preamble: dict[str, str]) -> Callable[[Arena], bytes]:
    """A true message to the Dutch partner, opened there and encrypted again for the receiver."""
    return lambda arena: arena.batch(
        {"preamble": put(**preamble), "payload": swap(b'"to":"fra.police-demo"', f'"to":"{NL}"'.encode())},
        aud=NL,
    )


def _seal_of_other(arena: Arena) -> bytes:
    return framed([write(arena.base(NL), {"preamble": put(iss=BE)})])


def _key_of_other(arena: Arena) -> bytes:
    other = arena.seats[NL]
    return framed(
        [write(replace(arena.base(), key=other.key), {"header": put(x5t=other.members["x5t#S256"])})]
    )


def _names_us(arena: Arena) -> bytes:
    return framed([write(arena.base(NL), {"header": put(iss=BE)})])


# --- batches and requests --------------------------------------------------------------------------------------------


def _batches() -> Iterator[Attack]:
    yield Attack("forged head, honest rest of its lane", f"{HELD}, not-processed, not-processed", _lane(0))
    yield Attack("a batch of 64 forged messages of one lane", f"{HELD}{', not-processed' * 63}", _lane(0, 64))
    yield Attack("a lane turned round", f"{PLACE}, not-processed", _reversed)


def _lane(bad: int, count: int = 3) -> Callable[[Arena], bytes]:
    """Messages of one conversation, one of them by nobody's key."""

    def build(arena: Arena) -> bytes:
        conv = arena.uuid()
        bases = [arena.base(conv=conv, seq=number + 1) for number in range(count)]
        return framed(
            [write(base, {"key": lambda _: new_key()} if n == bad else {}) for n, base in enumerate(bases)]
        )

    return build


def _reversed(arena: Arena) -> bytes:
    conv = arena.uuid()
    return framed([write(arena.base(conv=conv, seq=seq)) for seq in (2, 1)])


def _requests() -> Iterator[Attack]:
    for kind in (
        "application/octet-stream",
        "application/json",
        "text/plain",
        "application/vnd.ecluse.sealed",
    ):
        yield Attack(f"content type {kind}", READ, lambda a: a.batch(), headers={"Content-Type": kind})
    for coding in ("gzip", "identity", "br", "x"):
        yield Attack(
            f"content encoding {coding}", READ, lambda a: a.batch(), headers={"Content-Encoding": coding}
        )
    bomb = {"Content-Encoding": "gzip"}
    yield Attack("gzip bomb", READ, lambda a: gzip.compress(bytes(1 << 24)), headers=bomb)
    yield Attack("gzip without saying so", READ, lambda a: gzip.compress(a.batch()))
