"""Cases for §7, §8 and §10 of the partner protocol: batches, preambles, plaintexts, payloads."""

from __future__ import annotations

import json
from typing import Any

from tests.vectors.protocol_bytes import (
    Members,
    b64u,
    canonical,
    ordered,
    prefixed,
)
from tests.vectors.protocol_world import (
    LABEL,
    MESSAGE_ID,
    disclosure,
    envelope,
    header,
    preamble,
    uuid4,
)

Case = dict[str, Any]

# --- §7 --------------------------------------------------------------------------------------------------------------


def batches() -> list[Case]:
    """Framing alone: what the items are does not matter here."""
    item = prefixed(b"x")
    most = 5_594_454  # bytes of the longest sealed message

    def case(name: str, expect: str, *pieces: bytes | int, items: list[int] | None = None) -> Case:
        found = {
            "name": name,
            "expect": expect,
            "body": [p if isinstance(p, int) else b64u(p) for p in pieces],
        }
        return found | ({"items": items} if items else {})

    return [
        case("one message", "accept", item, items=[1]),
        case("three messages", "accept", item, prefixed(b"yy"), item, items=[1, 2, 1]),
        case("64 messages", "accept", item * 64, items=[1] * 64),
        case("the longest message", "accept", most.to_bytes(4, "big"), most, items=[most]),
        case("no message", "malformed"),
        case("65 messages", "malformed", item * 65),
        case("an empty message", "malformed", prefixed(b"")),
        case("an empty message after a good one", "malformed", item + prefixed(b"")),
        case("a length beyond the body", "malformed", b"\x00\x00\x00\x02x"),
        case("a length of four GiB", "malformed", b"\xff\xff\xff\xffx"),
        case("three bytes", "malformed", b"\x00\x00\x00"),
        case("a byte too many", "malformed", item + b"\x00"),
        case("a little-endian length", "malformed", b"\x01\x00\x00\x00x"),
        case("a message that is too long", "malformed", (most + 1).to_bytes(4, "big"), most + 1),
    ]


# --- §8.1 ------------------------------------------------------------------------------------------------------------


def preambles() -> list[Case]:
    good = preamble(header(b""))
    members: Members = json.loads(good)

    def case(name: str, expect: str, line: bytes) -> Case:
        return {"name": name, "expect": expect, "line": b64u(line)}

    def changed(name: str, expect: str = "malformed", **changes: Any) -> Case:
        return case(name, expect, canonical(members | changes))

    return [
        case("good", "accept", good),
        changed(
            "a key id with every kind of character", "accept", enc_kid="!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"
        ),
        case("empty", "malformed", b""),
        case("a list", "malformed", b"[1]"),
        case("not JSON", "malformed", good[:-1]),
        case("ordered like the seal", "malformed", ordered(dict(reversed(members.items())))),
        case("spaces", "malformed", json.dumps(members, sort_keys=True).encode()),
        case("a byte order mark", "malformed", b"\xef\xbb\xbf" + good),
        case("a carriage return", "malformed", good + b"\r"),
        case("a member twice", "malformed", good.replace(b'"v":1', b'"v":1,"v":1')),
        case("an escape that is not needed", "malformed", good.replace(b"bel.ocam", b"bel\\u002eocam")),
        case("a byte that is not UTF-8", "malformed", good.replace(b"bel.ocam", b"bel.\xff")),
        changed("an unknown member", label="SECRET"),
        changed("version 2", v=2),
        changed("the version as text", v="1"),
        changed("the version as 1.0", v=1.0),
        changed("another suite", suite="hpke-x25519-a256gcm"),
        changed("a UUID in upper case", jti=members["jti"].upper()),
        changed("an organisation with a path", iss="bel.ocam/../x"),
        changed("an organisation with a line feed", iss="bel.ocam\n"),
        changed("a key id of 129 characters", enc_kid="k" * 129),
        changed("a null key id", enc_kid=None),
        changed("longer than 1024 bytes", note="x" * 1024),
        *(
            case(f"without {name}", "malformed", canonical({k: v for k, v in members.items() if k != name}))
            for name in members
        ),
    ]


# --- §8.2 ------------------------------------------------------------------------------------------------------------


def plaintexts() -> list[Case]:
    jws, second, payload = b"a..b", b"c..d", b"{}"

    def case(name: str, expect: str, *pieces: bytes | int) -> Case:
        return {
            "name": name,
            "expect": expect,
            "plaintext": [p if isinstance(p, int) else b64u(p) for p in pieces],
        }

    def filled(bucket: int, *parts: bytes) -> tuple[bytes, int]:
        body = b"".join(map(prefixed, parts))
        padding = bucket - len(body) - 4
        return body + padding.to_bytes(4, "big"), padding

    def large(size: int) -> tuple[bytes | int, ...]:
        """Three parts whose bytes are ``size`` in all, in the bucket of 4 KiB or 16 KiB."""
        used, bucket = 16 + size, 4096 if 16 + size <= 4096 else 16384
        zeros = size - len(jws)
        return (
            prefixed(jws) + prefixed(b"") + zeros.to_bytes(4, "big"),
            zeros,
            (bucket - used).to_bytes(4, "big"),
            bucket - used,
        )

    return [
        case("smallest bucket", "accept", *filled(4096, jws, b"", payload)),
        case("two signatures", "accept", *filled(4096, jws, second, payload)),
        case("an empty payload", "accept", *filled(4096, jws, b"", b"")),
        case("a bucket filled to its last byte", "accept", *large(4080)),
        case("one byte more takes the next bucket", "accept", *large(4081)),
        case("empty", "malformed"),
        case("no bucket", "malformed", *filled(4095, jws, b"", payload)),
        case("between two buckets", "malformed", *filled(8192, jws, b"", payload)),
        case("a larger bucket than needed", "malformed", *filled(16384, jws, b"", payload)),
        case("a bucket too large by one byte", "malformed", *filled(16384, jws, b"", bytes(4076))),
        case("beyond the largest bucket", "malformed", *filled(8388608, jws, b"", payload)),
        case("padding that is not zero", "malformed", *_ends(filled(4096, jws, b"", payload), b"\x01")),
        case("padding of spaces", "malformed", filled(4096, jws, b"", payload)[0] + b" " * 4070),
        case("three parts", "malformed", *filled(4096, jws, b"")),
        case("five parts", "malformed", *_ends(filled(4096, jws, b"", payload), prefixed(b""), short=4)),
        case("a part beyond the end", "malformed", prefixed(jws) + b"\x00\x01\x00\x00", 4084),
        case("only zeros", "malformed", 4096),
        case("a seal that is not ASCII", "malformed", *filled(4096, "é..b".encode(), b"", payload)),
        case("a second seal that is not ASCII", "malformed", *filled(4096, jws, "é".encode(), payload)),
    ]


def _ends(pieces: tuple[bytes, int], tail: bytes, *, short: int = 0) -> tuple[bytes | int, ...]:
    """The same with other last bytes; ``short`` makes the declared padding shorter than it is."""
    body, zeros = pieces
    if short:
        body = body[:-4] + (zeros - short).to_bytes(4, "big")
    return body, zeros - len(tail), tail


# --- §10 -------------------------------------------------------------------------------------------------------------


def payloads() -> list[Case]:
    good = disclosure()
    record: Members = good["records"][0]

    def case(name: str, expect: str, raw: bytes) -> Case:
        try:
            return {"name": name, "expect": expect, "text": raw.decode()}
        except UnicodeDecodeError:
            return {"name": name, "expect": expect, "bytes": b64u(raw)}

    def like(name: str, expect: str, value: Members) -> Case:
        return case(name, expect, ordered(value))

    def of_record(name: str, expect: str, **changes: Any) -> Case:
        return like(name, expect, good | {"records": [record | changes]})

    def labelled(name: str, expect: str, *parts: str) -> Case:
        return like(name, expect, good | {"labels": [{"part": part, "label": LABEL} for part in parts]})

    raw, void = ordered(good), ordered(envelope("void"))
    malformed, schema = "malformed", "schema-violation"
    return [
        case("disclosure", "accept", raw),
        *(like(type, "accept", envelope(type)) for type in ("void", "status", "ping", "checkpoint")),
        of_record("an Arabic alias with a joiner", "accept", names=[_BIRTH, _name("مي‌خواهم", "Arab")]),
        of_record("a decomposed name", "accept", names=[_BIRTH, _name("Zzemoe\u0301", "Latn")]),
        of_record("a name beyond the basic plane", "accept", names=[_BIRTH, _name("𞤀𞤣𞤤𞤢𞤥", "Adlm")]),
        of_record("a quote and a backslash", "accept", names=[_BIRTH, _name('Zz "Ex" \\', "Latn")]),
        labelled(
            "labels of a list item and of a whole member", "accept", "/records/0", "/records/0/category"
        ),
        like("an empty purpose allows none", "accept", good | {"label": _label(purpose=[])}),
        # the one encoding
        case("empty", malformed, b""),
        case("not JSON", malformed, void[:-1]),
        case("a second value", malformed, void + b"{}"),
        case("a list", schema, b"[]"),
        case("a line feed at the end", malformed, void + b"\n"),
        case("spaces", malformed, json.dumps(envelope("void")).encode()),
        case("sorted", malformed, canonical(envelope("void"))),
        case("a byte order mark", malformed, b"\xef\xbb\xbf" + void),
        case("UTF-16", malformed, void.decode().encode("utf-16")),
        case("a byte that is not UTF-8", malformed, void.replace(b'"fr"', b'"\xff"')),
        case("a member twice", malformed, void.replace(b'"to":', b'"to":"fra.other","to":')),
        case("an escaped letter", malformed, raw.replace(b"Zzemo", b"Zz\\u0065mo")),
        case("an escaped slash", malformed, raw.replace(b"/records/0", b"\\/records\\/0")),
        case("a lone surrogate", malformed, raw.replace(b"Zzemo", b"\\ud800")),
        case("NaN", malformed, raw.replace(b'"level":3', b'"level":NaN')),
        case("a fraction", malformed, raw.replace(b'"level":3', b'"level":3.0')),
        case("an exponent", malformed, raw.replace(b'"level":3', b'"level":3e0')),
        case("a negative zero", malformed, raw.replace(b'"level":3', b'"level":-0')),
        case("an endless number", malformed, raw.replace(b'"level":3', b'"level":' + b"9" * 400)),
        case("nested 33 deep", malformed, b"[" * 33 + b"]" * 33),
        like("members of a record in another order", malformed, good | {"records": [_moved(record)]}),
        of_record("members of an object unsorted", malformed, threat={"level": 3, "date": "2026-10-01"}),
        like("a set that is not sorted", malformed, good | {"label": _label(releasable_to=["FRA", "BEL"])}),
        like("a default written out", malformed, good | {"label": _label(no_foreign=False)}),
        like("an empty set written out", malformed, good | {"label": _label(handling_code=[])}),
        like("an instant that does not exist", malformed, envelope("void", created="2026-02-30T00:00:00Z")),
        # schema
        like("an unknown member", schema, envelope("void") | {"reason": "none"}),
        like("a null member", schema, envelope("void", language=None)),
        like(
            "without conversation", schema, {k: v for k, v in envelope("void").items() if k != "conversation"}
        ),
        like("another format", schema, envelope("void", format="ct-exchange-json/1.1")),
        like("a reserved type", schema, envelope("clarification")),
        *_recalls(),
        *_corrections(),
        *_agreements(),
        *_replies(),
        *_questions(),
        like("an unknown type", schema, envelope("order")),
        like("an unknown mode", schema, envelope("void", mode="live")),
        like("an instant with an offset", schema, envelope("void", created="2026-11-21T22:00:00+01:00")),
        like("an instant with a fraction", schema, envelope("void", created="2026-11-21T21:00:00.5Z")),
        like("a language in upper case", schema, envelope("void", language="FR")),
        like("a void with records", schema, envelope("void") | {"records": [record]}),
        like("a disclosure without labels", schema, {k: v for k, v in good.items() if k != "labels"}),
        like("no record", schema, good | {"records": [], "manifest": {"records": [], "attachments": []}}),
        like("more records than the manifest", schema, good | {"records": [record, record]}),
        like("an attachment", schema, good | {"manifest": good["manifest"] | {"attachments": [{}]}}),
        like(
            "an unknown kind",
            schema,
            good
            | {"manifest": {"records": [{"part": "/records/0", "kind": "other/1.0"}], "attachments": []}},
        ),
        like(
            "a kind that is a path",
            schema,
            good | {"manifest": {"records": [{"part": "/records/0", "kind": "../x/1.0"}], "attachments": []}},
        ),
        of_record("a reference that is not one", schema, ref="p-1"),
        of_record("a member of class X", schema, health={"text": "none"}),
        of_record("an unknown member of a record", schema, colour="blue"),
        of_record(
            "a name without any part", schema, names=[{"quality": "low", "script": "Latn", "type": "birth"}]
        ),
        of_record("an empty list", schema, names=[]),
        of_record("an invisible character", schema, names=[_name("Zz\u200bemo", "Latn")]),
        of_record("a change of direction", schema, names=[_name("Zz\u202eomez", "Latn")]),
        of_record("a control character", schema, names=[_name("Zz\u0007", "Latn")]),
        of_record("a level of five", schema, threat={"date": "2026-10-01", "level": 5}),
        like("a label without level", schema, good | {"label": {"policy": "BEL"}}),
        like("an unknown marking", schema, good | {"label": _label(tlp="WHITE")}),
        like(
            "a day that does not exist",
            schema,
            good | {"handling": good["handling"] | {"retention_until": "2027-02-29"}},
        ),
        like("an unknown regime", schema, good | {"handling": good["handling"] | {"regime": "OTHER"}}),
        labelled("no label of the record", schema, "/records/0/names/1"),
        labelled("a label twice", schema, "/records/0", "/records/0"),
        labelled("labels out of order", schema, "/records/0", "/records/0/birth/0", "/records/0/names/1"),
        labelled("a label of nothing", schema, "/records/0", "/records/0/names/2"),
        labelled("a label of a record that is not there", schema, "/records/0", "/records/1"),
    ]


def _recalls() -> list[Case]:
    """A recall: ids and a code, each member exactly where it belongs."""
    first, second = uuid4("recalled"), uuid4("in its place")

    def of(name: str, expect: str, **members: Any) -> Case:
        return {"name": name, "expect": expect, "text": ordered(envelope("recall") | members).decode()}

    schema = "schema-violation"
    return [
        of("a recall, withdrawn", "accept", recalls=first, action="withdrawn"),
        of("a recall, expired", "accept", recalls=first, action="expired"),
        of("a recall, replaced", "accept", recalls=first, action="replaced", replaced_by=second),
        of("a recall in another order", "malformed", action="withdrawn", recalls=first),
        of("a recall of nothing", schema),
        of("a recall without action", schema, recalls=first),
        of("a recall without message", schema, action="withdrawn"),
        of("a recall of another action", schema, recalls=first, action="deleted"),
        of("a recall with a reason", schema, recalls=first, action="withdrawn", reason="none"),
        of("a recall replaced by nothing", schema, recalls=first, action="replaced"),
        of("a recall withdrawn for another", schema, recalls=first, action="withdrawn", replaced_by=second),
        of("a recall replaced by itself", schema, recalls=first, action="replaced", replaced_by=first),
        of("a recall of itself", schema, recalls=MESSAGE_ID, action="withdrawn"),
        of("a recall by its own id", schema, recalls=first, action="replaced", replaced_by=MESSAGE_ID),
        of("a recall of what is no id", schema, recalls="all", action="withdrawn"),
    ]


def _corrections() -> list[Case]:
    """A correction: ids and codes, each member exactly where it belongs."""
    wrong, second = uuid4("wrong"), uuid4("in its place")

    def of(name: str, expect: str, **members: Any) -> Case:
        said = {"corrects": wrong} | members
        return {"name": name, "expect": expect, "text": ordered(envelope("correction") | said).decode()}

    schema, bad = "schema-violation", "inaccurate"
    return [
        *(
            of(f"a correction: {reason}", "accept", action="withdrawn", reason=reason)
            for reason in ("inaccurate", "incomplete", "outdated", "unlawful")
        ),
        of("a correction that restricts", "accept", action="restricted", reason=bad),
        of("a correction, replaced", "accept", action="replaced", reason=bad, replaced_by=second),
        of("a correction in another order", "malformed", reason=bad, action="withdrawn"),
        of("a correction without reason", schema, action="withdrawn"),
        of("a correction whose reason tells", schema, action="withdrawn", reason="acquitted"),
        of("a correction with a text", schema, action="withdrawn", reason=bad, text="none"),
        of("a correction of another action", schema, action="expired", reason=bad),
        of("a correction replaced by nothing", schema, action="replaced", reason=bad),
        of("a correction withdrawn for another", schema, action="withdrawn", reason=bad, replaced_by=second),
        of("a correction of itself", schema, corrects=MESSAGE_ID, action="withdrawn", reason=bad),
        of("a correction replaced by itself", schema, action="replaced", reason=bad, replaced_by=wrong),
    ]


def _agreements() -> list[Case]:
    """What is said of an agreement, as far as its form goes: terms and signature are not read here."""

    def of(name: str, expect: str, **members: Any) -> Case:
        return {"name": name, "expect": expect, "text": ordered(envelope("agreement") | members).decode()}

    schema, signature, digest = "schema-violation", "e30.." + "A" * 86, "0" * 64
    return [
        of("terms offered", "accept", action="offered", terms="e30", signature=signature),
        of("terms signed", "accept", action="signed", terms="e30", signature=signature),
        of("terms revoked", "accept", action="revoked", terms_sha256=digest),
        of("terms of another action", schema, action="accepted", terms="e30", signature=signature),
        of("terms without signature", schema, action="offered", terms="e30"),
        of("a signature without terms", schema, action="offered", signature=signature),
        of("terms by digest", schema, action="offered", terms_sha256=digest),
        of(
            "terms and their digest",
            schema,
            action="signed",
            terms="e30",
            signature=signature,
            terms_sha256=digest,
        ),
        of("terms that are not base64url", schema, action="offered", terms="e30=", signature=signature),
        of(
            "terms with an attached signature",
            schema,
            action="offered",
            terms="e30",
            signature="e30.e30." + "A" * 86,
        ),
        of("nothing revoked", schema, action="revoked"),
        of("terms revoked in full", schema, action="revoked", terms="e30", signature=signature),
        of("terms in another order", "malformed", terms="e30", action="offered", signature=signature),
    ]


def _replies() -> list[Case]:
    """Coded answers: an id and the codes of the type, each member exactly where it belongs."""
    asked = uuid4("asked")

    def of(name: str, expect: str, type: str, **members: Any) -> Case:
        return {"name": name, "expect": expect, "text": ordered(envelope(type) | members).decode()}

    schema, silent, refusal, consent = "schema-violation", "no-information", "refusal", "consent-answer"
    return [
        of("no information", "accept", silent, answers=asked),
        *(
            of(f"a refusal: {ground}", "accept", refusal, answers=asked, ground=ground)
            for ground in ("incomplete", "minor-offence", "outside-agreement", "outside-competence")
        ),
        of("consent", "accept", consent, answers=asked, consent="granted"),
        of("consent until a day", "accept", consent, answers=asked, consent="granted", until="2027-01-01"),
        of("no consent", "accept", consent, answers=asked, consent="refused"),
        of("no information about nothing", schema, silent),
        of("no information about what is no id", schema, silent, answers="all"),
        of("no information about itself", schema, silent, answers=MESSAGE_ID),
        of("no information, and why", schema, silent, answers=asked, ground="incomplete"),
        of("no information with a reason", schema, silent, answers=asked, reason="none"),
        of("a refusal without a ground", schema, refusal, answers=asked),
        of("a refusal whose ground tells", schema, refusal, answers=asked, ground="embargoed"),
        of("a refusal in another order", "malformed", refusal, ground="incomplete", answers=asked),
        of("consent of no kind", schema, consent, answers=asked, consent="perhaps"),
        of("consent that is not said", schema, consent, answers=asked),
        of("no consent until a day", schema, consent, answers=asked, consent="refused", until="2027-01-01"),
        of("consent until no day", schema, consent, answers=asked, consent="granted", until="2027-02-30"),
        of("a void that answers", schema, "void", answers=asked),
    ]


def _questions() -> list[Case]:
    """A request carries its one record, which no other type carries; an answer names its request."""
    content = {k: v for k, v in disclosure().items() if k not in envelope("disclosure")}
    wish = {
        "ref": "p-9f31c07a5be24d18a6c0e7714b2d93f5",
        "urgency": {"class": "urgent-direct", "reasons": "invented"},
        "asks": [{"fields": ["/names/*", "/threat"], "kind": "bdc-person/1.0"}],
        "detail": "Where was this invented person last seen?",
        "purpose": {"facts": "Nothing that happened.", "offence": "invented"},
        "grounds": "An invented hint.",
        "link": "None.",
        "language": "fr",
        "persons": [{"adult": True, "names": ["Zzemo Exemple"], "role": "suspect"}],
    }

    def asking(name: str, expect: str, type: str = "request", *, times: int = 1, **members: Any) -> Case:
        record = {k: v for k, v in (wish | members).items() if v is not None}
        parts = [f"/records/{place}" for place in range(times)]
        kind = "information-request/1.0"
        tree = envelope(type) | content
        tree["manifest"] = {"records": [{"part": part, "kind": kind} for part in parts], "attachments": []}
        tree |= {"records": [record] * times, "labels": [{"part": p, "label": tree["label"]} for p in parts]}
        return {"name": name, "expect": expect, "text": ordered(tree).decode()}

    def whole(name: str, expect: str, type: str, **members: Any) -> Case:
        return {"name": name, "expect": expect, "text": ordered(envelope(type) | members | content).decode()}

    schema = "schema-violation"
    return [
        asking("a request", "accept"),
        asking("a request that is not urgent", "accept", urgency={"class": "normal"}),
        asking("a request about nobody", "accept", link=None, persons=None),
        asking("an urgent request without reasons", schema, urgency={"class": "urgent-indirect"}),
        asking("a request for nothing", schema, asks=[]),
        asking("a request for every field", schema, asks=[{"fields": ["/*"], "kind": "bdc-person/1.0"}]),
        asking(
            "a request for one field twice", schema, asks=[{"fields": ["/sex"] * 2, "kind": "bdc-person/1.0"}]
        ),
        asking("a request for an item", schema, asks=[{"fields": ["/names/0"], "kind": "bdc-person/1.0"}]),
        asking("a request for a kind of no form", schema, asks=[{"fields": ["/sex"], "kind": "../bdc"}]),
        asking("a request without purpose", schema, purpose=None),
        asking(
            "a request about somebody who is no adult", schema, persons=[{"adult": False, "role": "minor"}]
        ),
        asking("a request with two records", schema, times=2),
        asking("a request as a disclosure", schema, "disclosure"),
        asking("a request as a request for consent", schema, "consent-request"),
        whole("a disclosure as a request", schema, "request"),
        whole("an emergency", "accept", "emergency"),
        whole("an answer", "accept", "answer", answers=uuid4("asked")),
        whole("an answer to nothing", schema, "answer"),
        whole("an answer to itself", schema, "answer", answers=MESSAGE_ID),
        whole("a disclosure that answers", schema, "disclosure", answers=uuid4("asked")),
    ]


def _name(text: str, script: str) -> Members:
    return {"quality": "low", "script": script, "text": text, "type": "alias"}


def _label(**changes: Any) -> Members:
    """The message label with its members in their order."""
    names = "policy level releasable_to originators originator_control handling_code tlp purpose"
    label = disclosure()["label"] | changes
    return {name: label[name] for name in [*names.split(), "no_foreign"] if name in label}


def _moved(record: Members) -> Members:
    """The record with its last member before the others, behind ``ref``."""
    last = list(record)[-1]
    return {"ref": record["ref"], last: record[last]} | record


#: The first name of every record here: one of its labels is that of the second name.
_BIRTH = _name("Zzemo Exemple", "Latn")
