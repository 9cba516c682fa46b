"""Cases for §4, §12 and §14 of the partner protocol: agreements, receipts, checkpoints."""

from __future__ import annotations

import json
from typing import Any

from tests.vectors.protocol_bytes import (
    HPKE,
    Members,
    attached,
    b64,
    b64u,
    canonical,
    checkpoint,
    detached,
    log_key,
    note_line,
    ordered,
    p256,
    sha256,
)
from tests.vectors.protocol_world import (
    NOW,
    RECIPIENT,
    SENDER,
    STRANGER,
    agreement_header,
    head,
    signed_agreement,
    terms,
    uuid4,
)

Case = dict[str, Any]

# --- §12 -------------------------------------------------------------------------------------------------------------


def receipts() -> list[Case]:
    sent = [[uuid4(f"sent {n}"), sha256(f"payload {n}".encode()).hex()] for n in range(3)]
    kid = f"{RECIPIENT}/receipt"
    key = p256(kid)
    jose: Members = {"alg": "ES256", "kid": kid, "typ": "ecluse-receipt+jws"}
    origin = f"ecluse/{RECIPIENT}/partner/{SENDER}"
    note = checkpoint(origin, 9, sha256(b"root"), f"ecluse/{RECIPIENT}", log_key(f"{RECIPIENT}/log"))
    items: list[Members] = [
        {"id": sent[0][0], "payload_sha256": sent[0][1], "outcome": "accepted"},
        {"id": sent[1][0], "payload_sha256": sent[1][1], "outcome": "refused", "code": "out-of-order", "expected": 1},
        {"id": sent[2][0], "payload_sha256": sent[2][1], "outcome": "not-processed"},
    ]  # fmt: skip
    good: Members = {
        "v": 1,
        "id": uuid4("receipt"),
        "iss": RECIPIENT,
        "aud": SENDER,
        "at": NOW,
        "items": items,
        "checkpoint": note,
    }

    def case(name: str, expect: str, jws: str, asked: list[list[str]] = sent) -> Case:
        return {"name": name, "expect": expect, "sent": asked, "jws": jws}

    def stated(name: str, expect: str, **changes: Any) -> Case:
        return case(name, expect, attached(ordered(jose), canonical(good | changes), key))

    def item(name: str, **changes: Any) -> Case:
        return stated(name, "malformed", items=[items[0] | changes, *items[1:]])

    def under(name: str, expect: str, header: Members, by: str = kid) -> Case:
        return case(name, expect, attached(ordered(header), canonical(good), p256(by)))

    raw = canonical(good)
    jws = attached(ordered(jose), raw, key)
    head_, body, tail = jws.split(".")
    return [
        case("three outcomes", "accept", jws),
        case("asked about one of three", "accept", jws, sent[1:2]),
        stated("before the first head", "accept", checkpoint=""),
        stated("the receiver's clock is 300 seconds ahead", "accept", at="2026-11-21T21:05:00Z"),
        stated("the receiver's clock is 301 seconds ahead", "malformed", at="2026-11-21T21:05:01Z"),
        stated("of another organisation", "wrong-audience", iss=STRANGER),
        stated("to another organisation", "wrong-audience", aud=STRANGER),
        stated("a message missing", "malformed", items=items[:2]),
        stated("a message twice", "malformed", items=[*items, items[0]]),
        stated("other bytes than sent", "digest-conflict", items=[items[0] | {"payload_sha256": "0" * 64}, *items[1:]]),
        stated("no message", "malformed", items=[]),
        stated("a head of another log", "signature-invalid", checkpoint=note.replace("/partner/", "/master/")),
        stated("a head by another", "signature-invalid", checkpoint=head(b"", "void")),
        stated("version 2", "malformed", v=2),
        stated("an unknown member", "malformed", note="none"),
        stated("an instant with a fraction", "malformed", at="2026-11-21T21:00:00.5Z"),
        item("a code beside accepted", code="malformed"),
        item("a refusal without code", outcome="refused"),
        item("an expected number beside another code", outcome="refused", code="replayed", expected=2),
        item("out-of-order without a number", outcome="refused", code="out-of-order"),
        item("an unknown outcome", outcome="maybe"),
        case("not canonical", "malformed", attached(ordered(jose), ordered(good), key)),
        case("spaces", "malformed", attached(ordered(jose), json.dumps(good, sort_keys=True).encode(), key)),
        case("detached", "signature-invalid", detached(ordered(jose), raw, key)),
        case("the high s", "signature-invalid", attached(ordered(jose), raw, key, high=True)),
        case("another statement", "signature-invalid", f"{head_}.{b64u(raw.replace(b'accepted', b'refused_'))}.{tail}"),
        case("no signature", "signature-invalid", f"{head_}.{body}."),
        case("a line feed at the end", "malformed", jws + "\n"),
        under("no algorithm", "signature-invalid", jose | {"alg": "none"}),
        under("the type of a message", "signature-invalid", jose | {"typ": "ecluse-msg-void+jws"}),
        under("a key in the header", "signature-invalid", jose | {"jwk": {"kty": "EC"}}),
        under("the message key", "signature-invalid", jose | {"kid": f"{RECIPIENT}/message"}, f"{RECIPIENT}/message"),
        under("our own receipt key", "signature-invalid", jose | {"kid": f"{SENDER}/receipt"}, f"{SENDER}/receipt"),
    ]  # fmt: skip


# --- §14 -------------------------------------------------------------------------------------------------------------


def checkpoints() -> list[Case]:
    origin, name, key = f"ecluse/{SENDER}/partner/{RECIPIENT}", f"ecluse/{SENDER}", log_key(f"{SENDER}/log")
    top = sha256(b"root")
    good = checkpoint(origin, 7, top, name, key)
    text = good.split("\n\n")[0] + "\n"
    invalid = "signature-invalid"

    def case(name: str, expect: str, note: str) -> Case:
        return {"name": name, "expect": expect, "note": note}

    def made(body: str, *lines: str) -> str:
        return f"{body}\n{''.join(lines) or note_line(name, body.encode(), key)}"

    stranger = note_line("witness.invalid", text.encode(), log_key("witness"))
    cosigned = note_line(name, text.encode(), key)
    return [
        case("one signature", "accept", good),
        case("an empty log", "accept", checkpoint(origin, 0, top, name, key)),
        case("a witness we do not know, after", "accept", good + stranger),
        case("a witness we do not know, before", "accept", made(text, stranger, cosigned)),
        case("another log", invalid, checkpoint(f"{name}/master", 7, top, name, key)),
        case("the log about another", invalid, checkpoint(f"{name}/partner/{STRANGER}", 7, top, name, key)),
        case("another key", invalid, checkpoint(origin, 7, top, name, log_key("other"))),
        case("another key name", invalid, checkpoint(origin, 7, top, f"ecluse/{RECIPIENT}", key)),
        case("another size", invalid, good.replace("\n7\n", "\n8\n")),
        case("another root", invalid, good.replace(b64(top), b64(sha256(b"other")))),
        case("a size with a leading zero", invalid, made(text.replace("\n7\n", "\n07\n"))),
        case("a negative size", invalid, made(text.replace("\n7\n", "\n-7\n"))),
        case("a root of 31 bytes", invalid, made(text.replace(b64(top), b64(top[:31])))),
        case("a root in base64url", invalid, made(f"{origin}\n7\n{b64u(top)}=\n")),
        case("an extension line", invalid, made(text + "extension\n")),
        case("no blank line", invalid, good.replace("\n\n", "\n")),
        case("no line feed at the end", invalid, good[:-1]),
        case("carriage returns", invalid, good.replace("\n", "\r\n")),
        case("no signature", invalid, text + "\n"),
        case("only a witness", invalid, made(text, stranger)),
        case("a hyphen for the dash", invalid, good.replace("—", "-")),
        case("33 signature lines", invalid, good + stranger * 32),
        case("a good signature and a bad one of the same key", invalid, made(text, cosigned, _bad(cosigned))),
    ]


def _bad(line: str) -> str:
    """The same key, and a signature with its last bits changed."""
    return line[:-12] + "AAAAAAAA" + line[-4:]


# --- §4 --------------------------------------------------------------------------------------------------------------


def agreements() -> list[Case]:
    good = terms(HPKE, "classic")

    def case(name: str, expect: str, document: Members, signed: list[str] | None = None) -> Case:
        found = {"name": name, "expect": expect, "agreement": document}
        return found | ({} if signed is None else {"signed": signed})

    def changed(name: str, expect: str = "malformed", **changes: Any) -> Case:
        return case(name, expect, signed_agreement(canonical(good | changes)))

    raw = canonical(good)
    whole = signed_agreement(raw)
    both = [SENDER, RECIPIENT]

    def by_sender(name: str, token: str) -> Case:
        return case(name, "signature-invalid", whole | {"signatures": whole["signatures"] | {SENDER: token}})

    kid, key = f"{SENDER}/agreement", p256(f"{SENDER}/agreement")
    return [
        case("both have signed", "accept", whole, both),
        case("one has signed", "accept", signed_agreement(raw, (SENDER,)), [SENDER]),
        case("nobody has signed", "accept", signed_agreement(raw, ()), []),
        case(
            "with a bulk threshold",
            "accept",
            signed_agreement(canonical(good | {"bulk": {"records": 9, "days": 30}})),
            both,
        ),
        case("not canonical", "malformed", signed_agreement(ordered(good))),
        changed("with itself", parties=[SENDER, SENDER]),
        changed("two suites", suites=[HPKE, "jwe-ecdh-es-a256gcm"]),
        changed("no suite", suites=[]),
        changed("an unknown suite", suites=["none"]),
        changed("two profiles", signature_profiles=["classic", "hybrid"]),
        changed("version 0", version=0),
        changed("no period", not_after=good["not_before"]),
        changed("an unknown member", secret=True),
        changed("a null threshold", bulk=None),
        changed("between others", "wrong-audience", parties=[SENDER, STRANGER]),
        case("signed by a third", "malformed", signed_agreement(raw, (SENDER, RECIPIENT, STRANGER))),
        by_sender("another's signature", whole["signatures"][RECIPIENT]),
        by_sender("other terms", detached(agreement_header(kid), raw + b" ", key)),
        by_sender("the high s", detached(agreement_header(kid), raw, key, high=True)),
        by_sender(
            "the type of a receipt", detached(agreement_header(kid, typ="ecluse-receipt+jws"), raw, key)
        ),
        by_sender("encoded", detached(agreement_header(kid, b64=True), raw, key)),
        by_sender(
            "the message key", detached(agreement_header(f"{SENDER}/message"), raw, p256(f"{SENDER}/message"))
        ),
    ]
