"""Planted leaks: each way to slip something into finished bytes, and the one rule that refuses it."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import GuardRefused
from gateway.guard import RefusalRule
from tests.guard.worlds import FIRST, PAYLOAD, World, canonical, encode, payload_tree

Mutate = Callable[[dict[str, Any]], object]
Rewrite = Callable[[bytes], bytes]


def test_the_baseline_is_accepted() -> None:
    """The right payload passes: every leaf explained, and the verdict names exactly these bytes and this decision."""
    world, payload = World(), encode(PAYLOAD)
    verdict = world.guard(payload)
    assert verdict.payload_sha256 == hashlib.sha256(payload).hexdigest()
    assert verdict.decision_sha256 == hashlib.sha256(canonical(world.document())).hexdigest()
    assert verdict == world.guard(payload)
    assert verdict.leaves == scalars(PAYLOAD) + 1  # and the empty list of attachments


def scalars(tree: Any) -> int:
    if isinstance(tree, dict):
        return sum(map(scalars, tree.values()))
    return sum(map(scalars, tree)) if isinstance(tree, list) else 1


def put(value: Any, *steps: str | int) -> Mutate:
    """Set one member or item."""

    def mutate(tree: Any) -> None:
        for step in steps[:-1]:
            tree = tree[step]
        tree[steps[-1]] = value

    return mutate


def drop(*steps: str | int) -> Mutate:
    """Leave one member or item out."""

    def mutate(tree: Any) -> None:
        for step in steps[:-1]:
            tree = tree[step]
        del tree[steps[-1]]

    return mutate


def append(value: Any, *steps: str | int) -> Mutate:
    """One item more."""

    def mutate(tree: Any) -> None:
        for step in steps:
            tree = tree[step]
        tree.append(value)

    return mutate


def reorder(*steps: str | int) -> Mutate:
    """The members of one object, or the items of one list, the other way round."""

    def mutate(tree: Any) -> None:
        for step in steps:
            tree = tree[step]
        if isinstance(tree, list):
            tree.reverse()
            return
        members = list(tree.items())
        tree.clear()
        tree.update(reversed(members))

    return mutate


def entry(part: str) -> dict[str, Any]:
    return {"part": part, "label": {"policy": "BEL", "level": "UNCLASSIFIED"}}


NATIONAL: str = FIRST["national_number"]
CONDITIONS = ("records", 0, "detention_release", "conditions")

#: name, what happens to the tree, the rule that refuses it
IN_THE_TREE: list[tuple[str, Mutate, RefusalRule]] = [
    # more than was released
    ("withheld field", put(NATIONAL, "records", 0, "national_number"), "unexplained"),
    ("withheld field of class X", put({"text": "Quuxitis"}, "records", 0, "health"), "unexplained"),
    ("withheld list item", append(FIRST["names"][1], "records", 0, "names"), "unexplained"),
    ("withheld item in place of a released one", put(FIRST["names"][1], "records", 0, "names", 1), "altered-value"),
    ("base64 of a withheld value", put(base64.b64encode(NATIONAL.encode()).decode(), "trace"), "unexplained"),
    ("hash of a withheld value", put(hashlib.sha256(NATIONAL.encode()).hexdigest(), "trace"), "unexplained"),
    ("count of what is withheld", put(7, "records", 0, "withheld"), "unexplained"),
    ("derived age", put(36, "records", 0, "age"), "unexplained"),
    ("derived date", put("1990-03-05", "records", 0, "birth", 0, "date"), "altered-value"),
    ("empty object", put({}, "records", 0, "health"), "unexplained"),
    ("empty list", put([], "records", 0, "addresses"), "unexplained"),
    ("empty object in a field", put({}, "records", 0, "threat", "note"), "unexplained"),
    ("empty text", put("", "records", 0, "note"), "unexplained"),
    ("null for a withheld field", put(None, "records", 0, "national_number"), "null"),
    ("null for a released field", put(None, "records", 0, "sex"), "null"),
    ("record that was not released", append({"ref": "p-" + "0" * 32}, "records"), "unexplained"),
    ("attachment", append({"name": "a1.jpg"}, "manifest", "attachments"), "unexplained"),
    ("object where a list stands", put({"0": "BEL", "1": "FRA"}, "records", 0, "nationalities"), "unexplained"),
    ("member beside the known ones", put("x", "comment"), "unexplained"),
    # other than was released
    ("decomposed letters", put("Exe\u0301mple", "records", 0, "names", 0, "given"), "altered-value"),
    ("look-alike letter", put("Zzеmo", "records", 0, "names", 0, "family"), "altered-value"),
    ("zero-width mark", put("Zzemo\u200b", "records", 0, "names", 0, "family"), "altered-value"),
    ("blank at the end", put("Zzemo ", "records", 0, "names", 0, "family"), "altered-value"),
    ("other case", put("ZZEMO", "records", 0, "names", 0, "family"), "altered-value"),
    ("other date format", put("01/10/2026", "records", 0, "threat", "date"), "altered-value"),
    ("withheld value in a free text", put(f"known as {NATIONAL}", *CONDITIONS), "altered-value"),
    ("text for a number", put("3", "records", 0, "threat", "level"), "altered-value"),
    ("true for 1", put(True, "records", 0, "info_grade"), "altered-value"),
    ("0 for false", put(0, "records", 0, "birth", 0, "about"), "altered-value"),
    ("text around a list", put("BEL,FRA", "records", 0, "nationalities"), "unexplained"),
    # less than was released
    ("dropped field", drop("records", 0, "threat"), "missing"),
    ("dropped grade", drop("records", 0, "source_grade"), "missing"),
    ("dropped grade of an item", drop("records", 0, "names", 1, "info_grade"), "missing"),
    ("dropped last item", drop("records", 0, "nationalities", 1), "missing"),
    ("dropped first item", drop("records", 0, "nationalities", 0), "altered-value"),
    ("dropped first object", drop("records", 0, "names", 0), "unexplained"),
    ("emptied list", put([], "records", 0, "nationalities"), "unexplained"),
    ("dropped record", drop("records", 1), "missing"),
    ("dropped manifest entry", drop("manifest", "records", 1), "missing"),
    ("dropped attachments list", drop("manifest", "attachments"), "missing"),
    # order
    ("other order of members", reorder("records", 0, "threat"), "order"),
    ("other order of the envelope", reorder("handling"), "order"),
    ("other order of record members", reorder("records", 0, "documents", 0), "order"),
    ("other order of items", reorder("records", 0, "nationalities"), "altered-value"),
    ("swapped records", reorder("records"), "altered-ref"),
    ("other order of label entries", reorder("labels"), "altered-label"),
    # who and what for
    ("entity id for the pseudonym", put("BDC-000001", "records", 0, "ref"), "altered-ref"),
    ("pseudonym of another record", put("p-00000000000000000000000000000002", "records", 0, "ref"), "altered-ref"),
    ("pseudonym in capitals", put("P-9F31C07A5BE24D18A6C0E7714B2D93F5", "records", 0, "ref"), "altered-ref"),
    ("other format", put("ct-exchange-json/1.1", "format"), "altered-constant"),
    ("other type", put("answer", "type"), "altered-constant"),
    ("other mode", put("test", "mode"), "altered-protocol"),
    ("other message id", put("5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a12", "message_id"), "altered-protocol"),
    ("message id in capitals", put("5F0C7F0E-6A0E-4A53-9D57-0F3C1C2B7A11", "message_id"), "altered-protocol"),
    ("other conversation", put("c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d21", "conversation"), "altered-protocol"),
    ("other sender", put("bel.vsse", "from"), "altered-protocol"),
    ("other recipient", put("fra.fusion-demo", "to"), "altered-protocol"),
    ("other time", put("2026-11-21T21:00:01Z", "created"), "altered-protocol"),
    ("same instant, other zone", put("2026-11-21T22:00:00+01:00", "created"), "altered-protocol"),
    ("parts of a second", put("2026-11-21T21:00:00.123Z", "created"), "altered-protocol"),
    ("other language", put("nl", "language"), "altered-protocol"),
    ("other regime", put("BE-POLICE", "handling", "regime"), "altered-protocol"),
    ("other route", put("other", "handling", "route"), "altered-protocol"),
    ("other purpose", put("statistics", "handling", "purpose"), "altered-protocol"),
    ("other legal basis", put("none", "handling", "legal_basis"), "altered-protocol"),
    ("longer retention", put("2030-11-21", "handling", "retention_until"), "altered-protocol"),
    ("onward sharing", put("originator-consent", "handling", "onward"), "altered-protocol"),
    ("dropped handling", drop("handling"), "missing"),
    ("other kind", put("information-note/1.0", "manifest", "records", 0, "kind"), "altered-part"),
    ("other part", put("/records/1", "manifest", "records", 0, "part"), "altered-part"),
    # labels
    ("message label below the join", put("UNCLASSIFIED", "label", "level"), "altered-label"),
    ("message label widened", append("USA", "label", "releasable_to"), "unexplained"),
    ("message label with a word of its own", append("bel.quux", "label", "originators"), "unexplained"),
    ("message label dropped", drop("label"), "missing"),
    ("default spelled out", put(False, "label", "embargo"), "unexplained"),
    ("record label raised", put("RESTREINT", "labels", 0, "label", "level"), "altered-label"),
    ("field label lowered", put("UNCLASSIFIED", "labels", 2, "label", "level"), "altered-label"),
    ("field label widened", put(["BEL", "FRA"], "labels", 2, "label", "releasable_to"), "altered-label"),
    ("field label of nobody", put([], "labels", 2, "label", "releasable_to"), "unexplained"),
    ("lost caveat", drop("labels", 1, "label", "originator_control"), "missing"),
    ("lost handling code", drop("labels", 1, "label", "handling_code", 0), "altered-label"),
    ("label entry dropped", drop("labels", 2), "altered-label"),
    ("last label entry dropped", drop("labels", 3), "missing"),
    ("label entry for a withheld part", append(entry("/records/0/addresses/0"), "labels"), "unexplained"),
    ("label entry moved to another field", put("/records/0/sex", "labels", 2, "part"), "altered-label"),
    ("label entry that says nothing new", append(entry("/records/1/names/0"), "labels"), "unexplained"),
    ("labels dropped", drop("labels"), "missing"),
    ("labels emptied", put([], "labels"), "unexplained"),
]  # fmt: skip

BOM = b"\xef\xbb\xbf"
#: name, what happens to the bytes, the rule that refuses it
IN_THE_BYTES: list[tuple[str, Rewrite, RefusalRule]] = [
    ("escaped letter", lambda raw: raw.replace(b"Zzemo", b"\\u005azemo"), "spelling"),
    ("escaped letter in a name", lambda raw: raw.replace(b'"sex"', b'"\\u0073ex"'), "spelling"),
    ("escaped solidus", lambda raw: raw.replace(b"/records/0", b"\\/records\\/0"), "spelling"),
    ("long form of an escape", lambda raw: raw.replace(b"\\t", b"\\u0009"), "spelling"),
    ("capitals in an escape", lambda raw: raw.replace(b"\\t", b"\\u001F"), "spelling"),
    ("escaped surrogate pair", lambda raw: raw.replace(b"Zzemo", b"\\ud83d\\ude00"), "surrogate"),
    ("lone surrogate", lambda raw: raw.replace(b"Zzemo", b"\\ud83d"), "surrogate"),
    ("surrogate as bytes", lambda raw: raw.replace(b"Zzemo", b"\xed\xa0\xbd"), "encoding"),
    ("overlong form", lambda raw: raw.replace(b"Zzemo", b"\xc1\x9azemo"), "encoding"),
    ("Latin-1", lambda raw: raw.replace(b"Zzemo", b"Zz\xe9mo"), "encoding"),
    ("byte order mark", lambda raw: BOM + raw, "encoding"),
    ("UTF-16", lambda raw: raw.decode().encode("utf-16"), "encoding"),
    ("blank after a colon", lambda raw: raw.replace(b'"sex":', b'"sex": '), "syntax"),
    ("blank after a comma", lambda raw: raw.replace(b',"sex"', b', "sex"'), "syntax"),
    ("newline at the end", lambda raw: raw + b"\n", "syntax"),
    ("second document", lambda raw: raw + b"{}", "syntax"),
    ("comment", lambda raw: raw + b"//x", "syntax"),
    ("comma at the end", lambda raw: raw[:-1] + b",}", "syntax"),
    ("raw control character", lambda raw: raw.replace(b"\\t", b"\t"), "syntax"),
    ("unknown escape", lambda raw: raw.replace(b"\\t", b"\\x09"), "syntax"),
    ("single quotes", lambda raw: raw.replace(b'"sex"', b"'sex'"), "syntax"),
    ("cut off", lambda raw: raw[:-1], "syntax"),
    ("nothing", lambda raw: b"", "syntax"),
    ("duplicate member, same value", lambda raw: raw.replace(b'"sex":"M"', b'"sex":"M","sex":"M"'), "duplicate-member"),
    ("duplicate member, escaped", lambda raw: raw.replace(b'"sex":', b'"se\\u0078":"F","sex":'), "duplicate-member"),
    ("fraction", lambda raw: raw.replace(b'"level":3', b'"level":3.0'), "number"),
    ("exponent", lambda raw: raw.replace(b'"level":3', b'"level":3e0'), "number"),
    ("capital exponent", lambda raw: raw.replace(b'"level":3', b'"level":3E0'), "number"),
    ("leading zero", lambda raw: raw.replace(b'"level":3', b'"level":03'), "syntax"),
    ("plus sign", lambda raw: raw.replace(b'"level":3', b'"level":+3'), "syntax"),
    ("minus zero", lambda raw: raw.replace(b'"level":3', b'"level":-0'), "spelling"),
    ("not a number", lambda raw: raw.replace(b'"level":3', b'"level":NaN'), "syntax"),
    ("integer beyond a double", lambda raw: raw.replace(b'"level":3', b'"level":9007199254740993'), "number"),
    ("very long integer", lambda raw: raw.replace(b'"level":3', b'"level":' + b"3" * 5000), "number"),
    ("deep nesting", lambda raw: raw.replace(b'"sex":"M"', b'"sex":' + b"[" * 40 + b"]" * 40), "depth"),
    ("very deep nesting", lambda raw: b"[" * 200_000, "depth"),
    ("too many bytes", lambda raw: raw + b" " * 4 * 1024 * 1024, "size"),
    ("a string alone", lambda raw: b'"x"', "unexplained"),
    ("a list alone", lambda raw: b"[]", "unexplained"),
]  # fmt: skip


def refusal(payload: bytes) -> GuardRefused:
    with pytest.raises(GuardRefused) as caught:
        World().guard(payload)
    return caught.value


@pytest.mark.parametrize(
    ("mutate", "rule"), [case[1:] for case in IN_THE_TREE], ids=[case[0] for case in IN_THE_TREE]
)
def test_a_leak_in_the_tree_is_refused(mutate: Mutate, rule: RefusalRule) -> None:
    """Well-formed bytes that say more, less or other than the release are refused by the rule of the table."""
    tree = payload_tree()
    mutate(tree)
    assert encode(tree) != encode(PAYLOAD)
    assert refusal(encode(tree)).diagnostic["rule"] == rule


@pytest.mark.parametrize(
    ("rewrite", "rule"), [case[1:] for case in IN_THE_BYTES], ids=[case[0] for case in IN_THE_BYTES]
)
def test_a_leak_in_the_spelling_is_refused(rewrite: Rewrite, rule: RefusalRule) -> None:
    """Bytes that spell the same, or nothing, in another way are refused by the rule of the table."""
    raw = encode(PAYLOAD)
    assert rewrite(raw) != raw
    assert refusal(rewrite(raw)).diagnostic["rule"] == rule


@pytest.mark.parametrize(
    ("mutate", "rule", "leaf"),
    [
        (put("ct-exchange-json/1.1", "format"), "altered-constant", 0),
        (put("test", "mode"), "altered-protocol", 2),
        (put("x", "label", "quux"), "unexplained", 18),
        (reorder("handling"), "order", 18),
    ],
)
def test_a_refusal_names_the_ordinal_of_the_leaf(mutate: Mutate, rule: RefusalRule, leaf: int) -> None:
    """The first leaf that is not the explained one, counted from 0 in the order of the payload."""
    tree = payload_tree()
    mutate(tree)
    assert refusal(encode(tree)).diagnostic == {"rule": rule, "subject": "payload", "leaf": leaf}


def test_a_refusal_holds_no_value() -> None:
    """Neither detail nor diagnostic repeats anything of the payload: ordinals and rule names only."""
    tree = payload_tree()
    tree["records"][0]["Quuxitis"] = NATIONAL
    refused = refusal(encode(tree))
    assert refused.code == "guard-refused"
    assert set(refused.diagnostic) == {"rule", "subject", "leaf"}
    assert refused.__cause__ is None
    assert "Quuxitis" not in repr((refused.detail, refused.diagnostic))
