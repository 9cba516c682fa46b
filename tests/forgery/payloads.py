"""Attacks in the signed payload: JSON that two readers would read differently, and content outside its schema.

The seal holds, so the message is refused alone: `malformed` for bytes, `schema-violation` for meaning, and the code
of the agreement or the label for what a partner may not send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.forgery.answers import AGREED, AIMED, SCHEMA, UUID, spoilt
from tests.forgery.arena import NL, Attack
from tests.forgery.forge import Edit, dumps, swap
from tests.service.world import BE

BYTES, MISSENT = "receipt malformed", "receipt mis-sent"


def payloads() -> Iterator[Attack]:
    """Every attack of this file."""
    for name, edit in _BYTES.items():
        yield spoilt(f"payload: {name}", BYTES, payload=edit)
    for name, edit in _MEANING.items():
        yield spoilt(f"payload: {name}", SCHEMA, payload=edit)
    for name, edit in _AGREEMENT.items():
        yield spoilt(f"payload: {name}", AGREED, payload=edit)
    yield spoilt(
        "payload: another addressee", AIMED, payload=swap(b'"to":"fra.police-demo"', f'"to":"{NL}"'.encode())
    )
    yield spoilt("payload: label not releasable to the receiver", MISSENT, payload=swap(b'"FRA",', b""))
    yield spoilt("payload: label no_foreign", MISSENT, payload=_labelled("no_foreign", True))


def _tree(change: Any) -> Edit:
    """The payload with its tree changed, in compact JSON."""

    def edit(raw: bytes) -> bytes:
        tree = json.loads(raw)
        return dumps(change(tree) or tree)

    return edit


def _set(*path: str | int, value: Any) -> Edit:
    def change(tree: Any) -> None:
        inner = tree
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value

    return _tree(change)


def _labelled(name: str, value: Any) -> Edit:
    return _set("label", name, value=value)


def _drop(*path: str | int) -> Edit:
    def change(tree: Any) -> None:
        inner = tree
        for step in path[:-1]:
            inner = inner[step]
        del inner[path[-1]]

    return _tree(change)


def _before(text: bytes) -> Edit:
    """Members put in front of the document's own."""
    return lambda raw: b"{" + text + b"," + raw[1:]


def _after(text: bytes) -> Edit:
    return lambda raw: raw[:-1] + b"," + text + b"}"


def _before_label(text: str) -> Edit:
    return swap(b'"label":{', f'{text},"label":{{'.encode(), 1)


_BYTES: dict[str, Edit] = {
    "member twice, the first wins": _before(b'"type":"void"'),
    "member twice, the last wins": _after(b'"type":"void"'),
    "member twice by an escape": _after(b'"t\\u0079pe":"void"'),
    "label level twice": swap(b'"level":"UNCLASSIFIED"', b'"level":"SECRET","level":"UNCLASSIFIED"'),
    "nested member twice": swap(b'"manifest":{', b'"manifest":{"attachments":[],'),
    "NaN": _after(b'"x":NaN'),
    "Infinity": _after(b'"x":-Infinity'),
    "a number beyond doubles": _after(b'"x":1e999'),
    "an integer of 2**53": _after(b'"x":9007199254740992'),
    "an integer of 10,000 digits": lambda raw: raw[:-1] + b',"x":' + b"9" * 10_000 + b"}",
    "a fraction": _after(b'"x":1.5'),
    "an exponent": _after(b'"x":1e0'),
    "negative zero": _after(b'"x":-0'),
    "lone surrogate": swap(b'"language":"fr"', b'"language":"\\ud800"'),
    "lone low surrogate": swap(b'"language":"fr"', b'"language":"\\udc00"'),
    "surrogates the wrong way round": swap(b'"language":"fr"', b'"language":"\\udc00\\ud800"'),
    "overlong UTF-8": swap(b'"language":"fr"', b'"language":"\xc0\xaf"'),
    "UTF-8 of a surrogate": swap(b'"language":"fr"', b'"language":"\xed\xa0\x80"'),
    "UTF-8 beyond Unicode": swap(b'"language":"fr"', b'"language":"\xf5\x80\x80\x80"'),
    "Latin-1": swap(b'"language":"fr"', b'"language":"\xe9\xe9"'),
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "UTF-32": lambda raw: raw.decode().encode("utf-32"),
    "byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "33 levels": _after(b'"x":' + b"[" * 33 + b"]" * 33),
    "100,000 levels": lambda raw: raw[:-1] + b',"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "levels in an unclosed text": _after(b'"x":' + b'[{"a":' * 2000),
    "control sign in a text": swap(b'"language":"fr"', b'"language":"f\nr"'),
    "single quotes": lambda raw: raw.replace(b'"', b"'"),
    "comment": lambda raw: raw + b"//",
    "trailing comma": lambda raw: raw[:-1] + b",}",
    "trailing bytes": lambda raw: raw + b"{}",
    "trailing NUL": lambda raw: raw + b"\0",
    "empty": lambda raw: b"",
    "a half": lambda raw: raw[: len(raw) // 2],
    "space before": lambda raw: b" " + raw,
    "line feed at the end": lambda raw: raw + b"\n",
    "spaced": lambda raw: json.dumps(json.loads(raw), ensure_ascii=False).encode(),
    "members sorted": lambda raw: json.dumps(
        json.loads(raw), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    ).encode(),
    "envelope members turned round": lambda raw: dumps(dict(reversed(json.loads(raw).items()))),
    "a text escaped": swap(b'"type":"disclosure"', b'"type":"d\\u0069sclosure"'),
    "a slash escaped": swap(b"bdc-person/1.0", b"bdc-person\\/1.0"),
    "a default written out": _labelled("embargo", False),
    "an instant that does not exist": lambda raw: _set("created", value="2026-11-31T21:00:00Z")(raw),
    "not ASCII, escaped": lambda raw: json.dumps(json.loads(raw), separators=(",", ":")).encode(),
}


def _name(text: object) -> Edit:
    return _set("records", 0, "names", 0, "family", value=text)


_MEANING: dict[str, Edit] = {
    "an array": lambda raw: b"[" + raw + b"]",
    "null": lambda raw: b"null",
    "a text": lambda raw: b'"disclosure"',
    "an empty object": lambda raw: b"{}",
    "an unknown member": _set("comment", value="x"),
    "an unknown member of the label": _labelled("colour", "red"),
    "an unknown member of a record": _set("records", 0, "note", value="x"),
    "a member of export class X": _set("records", 0, "national_number", value={"x": 1}),
    "an unknown type": swap(b'"type":"disclosure"', b'"type":"gossip"'),
    "a type of the table without a schema": swap(b'"type":"disclosure"', b'"type":"clarification"'),
    "an answer to nothing": swap(b'"type":"disclosure"', b'"type":"answer"'),
    "a disclosure that answers": _before_label(f'"answers":"{UUID}"'),
    "a request that tells": swap(b'"type":"disclosure"', b'"type":"request"'),
    "a disclosure that asks": swap(b'"bdc-person/1.0"', b'"information-request/1.0"'),
    "no information, with content": swap(b'"type":"disclosure"', b'"type":"no-information"'),
    "a refusal with content": swap(b'"type":"disclosure"', b'"type":"refusal"'),
    "a consent with content": swap(b'"type":"disclosure"', b'"type":"consent-answer"'),
    "a correction with content": swap(b'"type":"disclosure"', b'"type":"correction"'),
    "an agreement with content": swap(b'"type":"disclosure"', b'"type":"agreement"'),
    "a void with content": swap(b'"type":"disclosure"', b'"type":"void"'),
    "another format": swap(b"ct-exchange-json/1.0", b"ct-exchange-json/2.0"),
    "another sender": swap(f'"from":"{BE}"'.encode(), f'"from":"{NL}"'.encode()),
    "a sender that starts alike": swap(f'"from":"{BE}"'.encode(), b'"from":"bel.ocam-2"'),
    "a sender in capitals": swap(f'"from":"{BE}"'.encode(), b'"from":"BEL.OCAM"'),
    "a sender with a bidi override": swap(f'"from":"{BE}"'.encode(), '"from":"bel.oc\u202eam"'.encode()),
    "a sender in Cyrillic": swap(f'"from":"{BE}"'.encode(), '"from":"bel.осам"'.encode()),
    "a sender with a zero-width space": swap(f'"from":"{BE}"'.encode(), '"from":"bel.\u200bocam"'.encode()),
    "a sender in fullwidth": swap(f'"from":"{BE}"'.encode(), '"from":"ｂel.ocam"'.encode()),
    "a sender with a line feed": swap(f'"from":"{BE}"'.encode(), b'"from":"bel.ocam\\n"'),
    "another id": _set("message_id", value=UUID),
    "an id in capitals": _set("message_id", value=UUID.upper()),
    "an id with a bidi mark": _set("message_id", value=UUID[:-1] + "\u200f"),
    "an id that is a number": _set("message_id", value=1),
    "an id of version 1": _set("message_id", value="5f0c7f0e-6a0e-1a53-9d57-0f3c1c2b7a11"),
    "another conversation": _set("conversation", value=UUID),
    "no message id": _drop("message_id"),
    "no label": _drop("label"),
    "no labels of parts": _set("labels", value=[]),
    "no handling": _drop("handling"),
    "no records": _set("records", value=[]),
    "a record more than the manifest": _tree(lambda t: t["records"].append(t["records"][0])),
    "a part more than there are records": _tree(
        lambda t: t["manifest"]["records"].append({"part": "/records/1", "kind": "bdc-person/1.0"})
    ),
    "an unknown kind": swap(b"bdc-person/1.0", b"bdc-secret/1.0"),
    "a kind that climbs": swap(b"bdc-person/1.0", b"../../etc/passwd"),
    "a kind of another version": swap(b"bdc-person/1.0", b"bdc-person/9.9"),
    "an attachment announced": _set("manifest", "attachments", value=[{"id": UUID}]),
    "a label of a part that is not there": _tree(
        lambda t: t["labels"].append({"part": "/records/7", "label": t["label"]})
    ),
    "a label twice": _tree(lambda t: t["labels"].append(t["labels"][0])),
    "a label of everything": _tree(lambda t: t["labels"].append({"part": "", "label": t["label"]})),
    "a level nobody knows": swap(b'"level":"UNCLASSIFIED"', b'"level":"ULTRAVIOLET"'),
    "a level in small letters": swap(b'"level":"UNCLASSIFIED"', b'"level":"unclassified"'),
    "a level in another normal form": swap(b'"level":"UNCLASSIFIED"', '"level":"SECRÉT"'.encode()),
    "a level with a space": swap(b'"level":"UNCLASSIFIED"', b'"level":"UNCLASSIFIED "'),
    "a policy nobody knows": swap(b'"policy":"BEL"', b'"policy":"XXX"'),
    "a date that does not exist": _set("handling", "retention_until", value="2027-02-30"),
    "a date of the year 0": _set("handling", "retention_until", value="0000-01-01"),
    "an instant with an offset": _set("created", value="2026-11-21T22:00:00+01:00"),
    "an instant with fractions": _set("created", value="2026-11-21T21:00:00.5Z"),
    "a language of three letters": _set("language", value="fra"),
    "a language null": _set("language", value=None),
    "a language as a list": _set("language", value=["fr"]),
    "a reference that is a name": _set("records", 0, "ref", value="Zzemo Exemple"),
    "a reference that is a path": _set("records", 0, "ref", value="../../x"),
    "names no list": _set("records", 0, "names", value={}),
    "a name that is a number": _name(7),
    "a record that is null": _set("records", 0, value=None),
    "onward transfer unknown": _set("handling", "onward", value="everybody"),
    "regime unknown": _set("handling", "regime", value="BE-OTHER"),
    "__proto__": _set("__proto__", value={"type": "void"}),
}

_AGREEMENT: dict[str, Edit] = {
    "another purpose": swap(b'"purpose":"ct-prevention"', b'"purpose":"ct-curiosity"'),
    "a level above the ceiling": lambda raw: raw.replace(b'"level":"UNCLASSIFIED"', b'"level":"SECRET"'),
    "a purpose in capitals": swap(b'"purpose":"ct-prevention"', b'"purpose":"CT-PREVENTION"'),
}
