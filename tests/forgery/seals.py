"""Attacks on what a seal says: members, encoding, time, agreement, place and checkpoint.

What cannot be read strictly refuses the POST (`400 malformed`); what reads but does not hold is refused alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.checkpoint import Checkpoint, log_key_name, partner_origin, sign
from tests.forgery.answers import AGREED, AIMED, HELD, LATE, PLACE, READ, SCHEMA, UUID, YEAR, spoilt
from tests.forgery.arena import NL, Arena, Attack
from tests.forgery.forge import (
    SEAL,
    Edit,
    Edits,
    b64,
    constant,
    drop,
    dumps,
    new_key,
    put,
    swap,
    unb64,
)
from tests.service.world import BE, FR


def seals() -> Iterator[Attack]:
    """Every attack of this file."""
    yield from _members()
    yield from _encodings()
    yield from _times()
    yield from _places()
    yield from _heads()


# --- members ---------------------------------------------------------------------------------------------------------


def _members() -> Iterator[Attack]:
    for name in SEAL:
        yield spoilt(f"member missing: {name}", READ, header=drop(name))
        yield spoilt(f"member null: {name}", READ, header=_null(name))
    for name, value in {
        "jwk": {"kty": "EC", "crv": "P-256", "x": "A", "y": "A"}, "jku": "https://key.invalid/", "x5c": ["MIIB"],
        "x5u": "https://key.invalid/", "x5t": "A", "zip": "DEF", "nonce": "1", "url": "https://key.invalid/",
        "jti2": UUID, "sub": "x", "nbf": 0, "": 1, "alg ": "ES256", "__proto__": {},
    }.items():  # fmt: skip
        yield spoilt(f"member too many: {name!r}", READ, header=_set(name, value))
    yield Attack("jwk of the attacker's own key", READ, _own_jwk)
    crits: list[Any] = [
        *([], ["b64", "exp"], ["exp"], ["b64", "b64"], ["x-unknown"], "b64", None, {}, [["b64"]], ["B64"])
    ]
    for crit in crits:
        yield spoilt(f"crit {json.dumps(crit)}", READ, header=put(crit=crit))
    for value in (True, "false", 0, None, []):
        yield spoilt(f"b64 {json.dumps(value)}", READ, header=put(b64=value))
    yield spoilt("b64 true, payload attached", READ, header=put(b64=True), jws=_attached)
    yield spoilt("payload attached to a seal", READ, jws=_attached)
    for typ in ("JWT", "JOSE", "ecluse-receipt+jws", "ecluse-agreement+jws", "ecluse-endorsement+jws",
                "ecluse-change+jws", "ecluse-call+jws", "ecluse-msg-+jws", "ecluse-msg-gossip+jws",
                "ECLUSE-MSG-DISCLOSURE+JWS", "application/ecluse-msg-disclosure+jws", "", None):  # fmt: skip
        yield spoilt(f"typ {json.dumps(typ)}", READ, header=put(typ=typ))
    kinds = "answer request consent-request emergency void status ping checkpoint"
    for kind in (
        *kinds.split(),
        "refusal",
        "no-information",
        "consent-answer",
        "recall",
        "correction",
        "agreement",
    ):
        yield spoilt(f"typ of another message: {kind}", SCHEMA, header=put(typ=f"ecluse-msg-{kind}+jws"))
    for cty in ("text/plain", "application/xml", "ct-exchange-json/1.0"):
        yield spoilt(f"cty of another format: {cty}", SCHEMA, header=put(cty=cty))
    for wrong in ("", "A/B", None, " application/json", "x" * 200):
        yield spoilt(f"cty {json.dumps(wrong)[:20]}", READ, header=put(cty=wrong))
    for name, value in {
        "iat": -1, "exp": -1, "seq": 0, "conv": "x", "jti": "x", "iss": "BEL.OCAM", "aud": "", "mode": "production",
        "agreement": "A" * 64, "payload_sha256": "0" * 63, "checkpoint": "", "enc_kid": "", "suite": "",
    }.items():  # fmt: skip
        yield spoilt(f"member ill-typed: {name}", READ, header=put(**{name: value}))
    for name in ("iat", "exp", "seq"):
        for value in (1.5, "1", True, 2**53, 10**30, [1]):
            yield spoilt(f"{name} as {json.dumps(value)[:12]}", READ, header=put(**{name: value}))
    for name, value in {
        "kid": f"{NL}/message", "typ": "ecluse-msg-void+jws", "exp": 4_000_000_000, "conv": UUID, "seq": 2,
        "mode": "operational", "agreement": "0" * 64, "checkpoint": "x", "x5t": "A" * 43, "cty": "text/plain",
    }.items():  # fmt: skip
        yield spoilt(f"tampered after signing: {name}", HELD, jws=_tampered(put(**{name: value})))
    yield spoilt("tampered after signing: iat", HELD, jws=_tampered(lambda h: h | {"iat": h["iat"] - 1}))
    yield spoilt("tampered after signing: payload_sha256", HELD, jws=_tampered(put(payload_sha256="0" * 64)))
    yield spoilt("payload digest of another payload", HELD, header=put(payload_sha256="0" * 64))


def _null(name: str) -> Edit:
    return _set(name, None)


def _set(name: str, value: Any) -> Edit:
    return lambda members: members | {name: value}


def _own_jwk(arena: Arena) -> bytes:
    key = new_key()
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256"} | {
        name: b64(value.to_bytes(32, "big")) for name, value in (("x", numbers.x), ("y", numbers.y))
    }
    return arena.batch({"header": _set("jwk", jwk), "key": constant(key)})


def _attached(jws: str) -> str:
    head, _, signature = jws.split(".")
    return f"{head}.{b64(b'{}')}.{signature}"


def _tampered(change: Edit) -> Edit:
    def edit(jws: str) -> str:
        head, payload, signature = jws.split(".")
        return f"{b64(dumps(change(json.loads(unb64(head)))))}.{payload}.{signature}"

    return edit


# --- encodings -------------------------------------------------------------------------------------------------------


def _encodings() -> Iterator[Attack]:
    headers: dict[str, Edit] = {
        "member twice, same value": lambda raw: raw[:-1] + b',"alg":"ES256"}',
        "alg none before alg ES256": lambda raw: b'{"alg":"none",' + raw[1:],
        "alg none after alg ES256": lambda raw: raw[:-1] + b',"alg":"none"}',
        "member twice by an escape": lambda raw: raw[:-1] + b',"\\u0061lg":"ES256"}',
        "member name escaped": lambda raw: raw.replace(b'"alg"', b'"\\u0061lg"'),
        "value escaped": lambda raw: raw.replace(b'"ES256"', b'"\\u0045S256"'),
        "slash escaped": lambda raw: raw.replace(b"application/json", b"application\\/json"),
        "members in another order": lambda raw: dumps(dict(sorted(json.loads(raw).items()))),
        "members reversed": lambda raw: dumps(dict(reversed(json.loads(raw).items()))),
        "space after a comma": lambda raw: raw.replace(b",", b", ", 1),
        "space after a colon": lambda raw: raw.replace(b":", b": ", 1),
        "line feed at the end": lambda raw: raw + b"\n",
        "space before": lambda raw: b" " + raw,
        "byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
        "UTF-16": lambda raw: raw.decode().encode("utf-16"),
        "no UTF-8": lambda raw: raw.replace(b"ES256", b"ES25\xff"),
        "trailing comma": lambda raw: raw[:-1] + b",}",
        "trailing garbage": lambda raw: raw + b"x",
        "second document": lambda raw: raw + raw,
        "an array": lambda raw: b"[" + raw + b"]",
        "a string": lambda raw: dumps(raw.decode()),
        "empty": constant(b""),
        "empty object": constant(b"{}"),
        "NaN": lambda raw: raw.replace(b'"seq":1', b'"seq":NaN'),
        "Infinity": lambda raw: raw.replace(b'"seq":1', b'"seq":Infinity'),
        "seq with an exponent": lambda raw: raw.replace(b'"seq":1', b'"seq":1e0'),
        "seq with a fraction": lambda raw: raw.replace(b'"seq":1', b'"seq":1.0'),
        "seq with a leading zero": lambda raw: raw.replace(b'"seq":1', b'"seq":01'),
        "seq negative zero": lambda raw: raw.replace(b'"seq":1', b'"seq":-0'),
        "lone surrogate": lambda raw: raw.replace(b'"seq":1', b'"seq":1,"x":"\\ud800"'),
        "deep nesting": lambda raw: raw[:-1] + b',"x":' + b"[" * 4000 + b"]" * 4000 + b"}",
        "NUL inside": lambda raw: raw.replace(b"ES256", b"ES256\0"),
        "comment": lambda raw: b"/**/" + raw,
    }
    for name, edit in headers.items():
        yield spoilt(f"header: {name}", READ, protected=edit)
    tokens: dict[str, Edit] = {
        "padding": lambda jws: jws.replace("..", "=..", 1),
        "padding of the signature": lambda jws: jws + "==",
        "space": lambda jws: jws.replace("..", " ..", 1),
        "space in front": lambda jws: " " + jws,
        "line feed at the end": lambda jws: jws + "\n",
        "carriage return inside": lambda jws: jws[:20] + "\r\n" + jws[20:],
        "standard alphabet": lambda jws: jws[:-2] + "+/",
        "a sign outside the alphabet": lambda jws: jws[:-1] + "!",
        "percent escape": lambda jws: jws[:-1] + "%41",
        "trailing bits": lambda jws: jws[:-1] + _next(jws[-1]),
        "a digit too few": lambda jws: jws[:-1],
        "two segments": lambda jws: jws.replace("..", "."),
        "four segments": lambda jws: jws + ".",
        "five segments": lambda jws: jws + "..",
        "JSON serialization": _json_form,
        "empty": constant(""),
        "dots": constant(".."),
        "no header": lambda jws: jws[jws.index("..") :],
        "a token of 600 KiB": lambda jws: "A" * 600_000 + jws,
        "two tokens": lambda jws: jws + jws,
        "fullwidth dot": lambda jws: jws.replace(".", "．"),
    }  # fmt: skip
    for name, edit in tokens.items():
        yield spoilt(f"token: {name}", READ, jws=edit)
    yield spoilt("token: a digit too many, another byte", HELD, jws=lambda jws: jws + "A")


def _next(digit: str) -> str:
    """The last digit of 64 bytes carries two bits: the next one spells the same bytes loosely."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(digit) + 1]


def _json_form(jws: str) -> str:
    head, payload, signature = jws.split(".")
    return json.dumps({"protected": head, "payload": payload, "signature": signature})


# --- times -----------------------------------------------------------------------------------------------------------


def _timed(iat: int, exp: int) -> Callable[[Arena], bytes]:
    return lambda arena: arena.batch(iat=arena.now + iat, exp=arena.now + exp)


def _times() -> Iterator[Attack]:
    yield Attack("expired now", LATE, _timed(-600, 0))
    yield Attack("expired a second ago", LATE, _timed(-600, -1))
    yield Attack("expired last year", LATE, _timed(-2 * YEAR, -YEAR))
    yield Attack("issued beyond the skew", LATE, _timed(301, 3600))
    yield Attack("issued next year", LATE, _timed(YEAR, 2 * YEAR))
    yield Attack("never expires", LATE, lambda arena: arena.batch(exp=2**53 - 1))
    yield Attack("expires in ten years", LATE, _timed(0, 10 * YEAR))
    yield Attack("issued at the epoch, expires in an hour", LATE, lambda arena: arena.batch(iat=0))
    yield Attack("valid a second longer than any may be", LATE, _timed(0, 30 * 86_400 + 601))
    yield Attack("expires before it was issued", READ, _timed(0, -1))
    yield Attack("expires when it was issued", READ, _timed(0, 0))
    yield Attack("iat of the epoch, exp of the epoch", READ, lambda arena: arena.batch(iat=0, exp=0))


# --- audience, mode, agreement, place --------------------------------------------------------------------------------


def _with(edits: Edits | None = None, **members: Any) -> Callable[[Arena], bytes]:
    return lambda arena: arena.batch(edits, **members)


def _places() -> Iterator[Attack]:
    for mode in ("operational", "exercise"):
        inside: Edits = {"payload": swap(b'"mode":"test"', f'"mode":"{mode}"'.encode())}
        yield Attack(f"mode {mode} in seal", AIMED, _with(mode=mode))
        yield Attack(f"mode {mode} in seal and payload", AIMED, _with(inside, mode=mode))
        yield Attack(f"mode {mode} in payload alone", AIMED, _with(inside))
    yield Attack(
        "agreement superseded", AGREED, lambda arena: arena.batch(agreement=arena.keys["superseded"])
    )
    yield Attack(
        "agreement of another partner", AGREED, lambda arena: arena.batch(agreement=arena.keys[f"{NL}/terms"])
    )
    yield Attack("agreement unknown", AGREED, lambda arena: arena.batch(agreement="0" * 64))
    for seq in (2, 3, 64, 2**31, 2**53 - 1):
        yield Attack(f"seq {seq} in a new conversation", PLACE, _with(seq=seq))
    yield Attack(
        "conversation of the seal is another", SCHEMA, lambda arena: arena.batch({"members": put(conv=UUID)})
    )
    yield Attack(
        "id of seal and preamble is another", SCHEMA, lambda arena: arena.batch({"members": put(jti=UUID)})
    )


# --- checkpoints -----------------------------------------------------------------------------------------------------


def _noted(make: Callable[[Arena], str]) -> Callable[[Arena], bytes]:
    return lambda arena: arena.batch(checkpoint=make(arena))


def _heads() -> Iterator[Attack]:
    origin = partner_origin(BE, FR)
    notes: dict[str, Callable[[Arena], str]] = {
        "of our master log": lambda a: a.note(origin=f"{log_key_name(BE)}/master"),
        "of our log about another": lambda a: a.note(origin=partner_origin(BE, NL)),
        "of the receiver's log, by our key": lambda a: _as(a, partner_origin(FR, BE)),
        "of another partner": lambda a: a.note(NL),
        "under our name by another partner's key": lambda a: _note(a, origin, log_key_name(BE), a.seats[NL].log),
        "under our name by nobody's key": lambda a: _note(a, origin, log_key_name(BE), Ed25519PrivateKey.generate()),
        "under a name that is not ours": lambda a: _as(a, origin, name="ecluse/bel.ocam2"),
        "without a signature": lambda a: a.note().split("\n\n")[0] + "\n\n",
        "with a signature cut off": lambda a: a.note()[:-5] + "\n",
        "with a bit flipped in the root": lambda a: a.note().replace("\nAAAA", "\nBAAA", 1),
        "with another size than signed": lambda a: a.note(size=7).replace("\n7\n", "\n8\n"),
        "with an extension line": lambda a: a.note().replace("\n\n", "\nmore\n\n", 1),
        "with carriage returns": lambda a: a.note().replace("\n", "\r\n"),
        "with a size of leading zeros": lambda a: a.note().replace("\n7\n", "\n07\n"),
        "with a negative size": lambda a: a.note().replace("\n7\n", "\n-7\n"),
        "with a size beyond 63 bits": lambda a: a.note().replace("\n7\n", "\n9999999999999999999\n"),
        "of an empty log": lambda a: a.note(size=0),
        "that is text": lambda a: "nothing of the kind",
        "that is a JWS": lambda a: "e30.e30.AAAA",
        "with a root of 31 bytes": lambda a: a.note().replace("A" * 43 + "=", "A" * 42 + "=="),
        "of another type of key": lambda a: _retyped(a.note()),
    }  # fmt: skip
    for name, make in notes.items():
        yield Attack(f"checkpoint {name}", HELD, _noted(make))
    yield Attack("checkpoint of 9 KiB", READ, _noted(lambda a: a.note() + "x" * 9000))


def _note(arena: Arena, origin: str, name: str, key: Ed25519PrivateKey) -> str:
    return sign(Checkpoint(origin, 7, bytes(32)), name, key).decode()


def _as(arena: Arena, origin: str, name: str = log_key_name(BE)) -> str:
    """Signed by our log key over an origin that it may not speak for, or under a name that is not its own."""
    key, body = arena.seats[BE].log, Checkpoint(origin, 7, bytes(32)).body()
    public = key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    line = base64.b64encode(key_id + key.sign(body.encode())).decode()
    return f"{body}\n— {name} {line}\n"


def _retyped(note: str) -> str:
    """The key id of the same key as a cosignature key."""
    head, _, encoded = note.rstrip("\n").rpartition(" ")
    raw = base64.b64decode(encoded)
    return f"{head} {base64.b64encode(b'0000' + raw[4:]).decode()}\n"
