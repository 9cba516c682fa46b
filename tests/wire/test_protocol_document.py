"""`docs/partner-protocol.md` says what the code does: each table it marks as checked is held against the code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

import schemas
from adapters.partners import exchange
from certs import profiles
from gateway.audit import checkpoint
from gateway.audit.entry import PartnerEntry
from gateway.audit.extract import MAX_LEAVES
from gateway.audit.witness import ALGORITHMS
from gateway.flow.inbound import CONTENT_TYPE, MAX_SKEW_S, MAX_VALIDITY_S
from gateway.flow.outbound import DEFAULT_VALIDITY_DAYS
from gateway.model.agreement import AgreementTerms, ProtocolFields, SignatureProfile, Suite
from gateway.model.label import SecurityLabel
from gateway.model.message import (
    DEMANDS,
    AgreementAction,
    CorrectionAction,
    CorrectionReason,
    Envelope,
    Recall,
    RecallAction,
)
from gateway.model.party import Assurance, KeyRecord, KeyUse, Partner
from gateway.policy.levels import default_levels
from gateway.service import partner_api
from gateway.service.config import Delivery, Inbound
from gateway.service.problems import PARTNER_STATUS
from gateway.service.tls import GROUPS, HYBRID_GROUP, MAX_CHAIN, SIGNATURE_ALGORITHMS, SUITES
from gateway.service.witnesses import MAX_ASK
from gateway.wire import agreement, container, hpke, jwe, jws, mldsa, receipt, seal, strict
from tests.vectors.make_protocol import FOLDER
from tests.vectors.protocol_bytes import HPKE_ID, hpke_info
from tests.vectors.protocol_example import DOCUMENT, filled
from tests.wire.test_protocol_vectors import CODES

TEXT = DOCUMENT.read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of the table marked with this name, without its head."""
    after = TEXT.partition(f"<!-- checked: {name} -->\n")[2]
    assert after, f"no table is marked as {name}"
    lines = after.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first(name: str) -> list[str]:
    """The one name in the first cell of each row."""
    found = [quoted(row[0]) for row in rows(name)]
    assert all(len(cell) == 1 for cell in found)
    return [cell[0] for cell in found]


def members(noun: type[msgspec.Struct]) -> list[str]:
    """Names on the wire, in the order of the type."""
    return list(noun.__struct_encode_fields__)


def limit(what: str) -> int:
    (value,) = [row[1] for row in rows("limits") if row[0] == what]
    return int(value)


def test_each_mark_has_its_test() -> None:
    """No table is marked as checked without a check, and none is checked that is not there."""
    marked = re.findall(r"<!-- checked: ([a-z-]+) -->", TEXT)
    assert len(marked) == len(set(marked))
    source = Path(__file__).read_text(encoding="utf-8")
    for name in set(marked) - {"types"}:
        assert re.search(rf'\("{name}"[,)]', source), name


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("key-record", KeyRecord),
        ("entry", Partner),
        ("terms", AgreementTerms),
        ("seal", seal.SealHeader),
        ("envelope", Envelope),
        ("label", SecurityLabel),
        ("recall", Recall),
        ("statement", receipt.ReceiptStatement),
        ("item", receipt.ReceiptItem),
        ("partner-entry", PartnerEntry),
    ],
)
def test_members_are_those_of_the_type(name: str, noun: type[msgspec.Struct]) -> None:
    """A document has exactly the members of its type; where members are ordered on the wire, in this order."""
    listed = first(name)
    if name == "partner-entry":  # canonical: sorted on the wire
        assert listed == sorted(listed)
        assert sorted(members(noun)) == listed
    else:
        assert listed == members(noun)


@pytest.mark.parametrize(
    ("name", "noun"), [("key-record", KeyRecord), ("entry", Partner), ("label", SecurityLabel)]
)
def test_defaults_are_those_of_the_type(name: str, noun: type[msgspec.Struct]) -> None:
    """Members with a default in the document are those that may be absent."""
    column = 2
    optional = {row[0].strip("`") for row in rows(name) if row[column] != "–"}
    assert optional == set(members(noun)[-len(noun.__struct_defaults__) :])


def test_preamble_members() -> None:
    """The preamble's members, in the order of RFC 8785."""
    assert first("preamble") == sorted(members(container.Preamble))
    (suite,) = [row[1] for row in rows("preamble") if row[0] == "`suite`"]
    assert quoted(suite) == list(get_args(Suite))


def test_key_uses() -> None:
    """Uses, algorithms and types of keys: every use but the witness's, which this protocol does not exchange."""
    listed = [(quoted(row[0])[0], quoted(row[1])[0]) for row in rows("key-uses")]
    assert {use for use, _ in listed} == set(get_args(KeyUse))
    assert {alg for use, alg in listed if use == "witness"} == set(ALGORITHMS.values())
    assert {alg for use, alg in listed if use == "encryption"} == set(get_args(Suite))
    assert [alg for use, alg in listed if use == "message"] == [jws.ALG, mldsa.ALG]
    assert {alg for use, alg in listed if use in ("receipt", "agreement")} == {jws.ALG}
    typ = {quoted(row[0])[0]: quoted(row[4]) for row in rows("key-uses")}
    assert (typ["receipt"], typ["agreement"]) == ([jws.RECEIPT_TYP], [jws.AGREEMENT_TYP])
    public = " ".join(row[2] for row in rows("key-uses"))
    assert f"{mldsa.PUBLIC_BYTES} raw bytes" in public
    assert f"{len(hpke.kem_public_bytes(bytes(32)))} bytes" in public


def test_nested_members() -> None:
    """Assurance and the data-protection protocol have the members that the text names."""
    sentence = TEXT.partition("`assurance` has the members")[2].partition(". A peer")[0]
    assert set(members(Assurance)) <= set(quoted(sentence))
    (protocol,) = [row[1] for row in rows("terms") if row[0] == "`protocol`"]
    assert set(" ".join(quoted(protocol)).split()) == set(members(ProtocolFields))
    (offered,) = [row[1] for row in rows("terms") if row[0] == "`signature_profiles`"]
    assert " ".join(quoted(offered)).split() == list(get_args(SignatureProfile))


def test_tls() -> None:
    """Suites, groups and signature algorithms on offer."""
    said = {row[0]: quoted(row[1]) for row in rows("tls")}
    assert said["cipher suites"] == list(SUITES)
    assert said["groups"] == [*GROUPS, HYBRID_GROUP]
    assert said["signature algorithms"] == list(SIGNATURE_ALGORITHMS)
    assert said["versions"] == ["TLS 1.3"]


def test_extended_key_usages() -> None:
    """The one purpose of each certificate."""
    said = {row[0]: quoted(row[1])[0] for row in rows("eku")}
    uses = (profiles.TLS_SERVER, profiles.TLS_CLIENT, profiles.MESSAGE_SIGNATURE, profiles.RECEIPT_SIGNATURE)
    assert list(said.values()) == [next(iter(use.extended_key_usage)).dotted_string for use in uses]


def test_endpoints() -> None:
    """Routes and media types, of the listener and of our own client."""
    gateway: Any = type("Gateway", (), {"config": type("Config", (), {"inbound": Inbound()})})
    nobody: Any = None
    app = partner_api.PartnerApi(gateway, nobody, nobody).application()
    served = {f"{route.method} {route.resource.canonical}" for route in app.router.routes() if route.resource}
    assert {quoted(row[0])[0] for row in rows("endpoints")} == served
    types = set(re.findall(r"application/vnd\.ecluse\.[a-z+-]+", str(rows("endpoints"))))
    assert types == {partner_api.BATCH_TYPE, partner_api.RECEIPT_TYPE}
    assert types == {exchange.BATCH_TYPE, exchange.RECEIPT_TYPE}


def test_codes() -> None:
    """The codes of a whole POST with their status, and those of one message, are closed lists."""
    said = {quoted(row[0])[0]: int(row[1]) for row in rows("whole-codes")}
    assert said == PARTNER_STATUS
    assert set(first("message-codes")) == CODES - {"accept"}


def test_types() -> None:
    """Every message type, in order."""
    said = TEXT.partition("<!-- checked: types -->")[2].partition("<!-- end -->")[0]
    assert quoted(said) == list(DEMANDS)


def test_payload_types() -> None:
    """The types with a payload in 1.0 are those of the schema."""
    schema = schemas.load_json("ct-exchange/1.0.json")
    accepted = schema["$defs"]["envelope"]["properties"]["type"]["enum"]
    sentence = TEXT.partition("Types of 1.0: ")[2].partition("continues")[0]
    assert sorted(quoted(sentence)) == sorted(accepted)


def test_disclosure_members() -> None:
    """A disclosure's members beyond the envelope, in the order of the schema."""
    schema = schemas.load_json("ct-exchange/1.0.json")
    listed = first("disclosure")
    assert listed == schema["$defs"]["disclosure"]["required"]


def test_recall_actions() -> None:
    """The actions of a recall, in order."""
    said = {row[0]: row[1] for row in rows("recall")}
    assert quoted(said["`action`"]) == list(get_args(RecallAction))


def test_correction_and_agreement() -> None:
    """Members in the order of the schema, and each closed list of codes."""
    schema = schemas.load_json("ct-exchange/1.0.json")["$defs"]
    for name, codes in (
        ("correction", {"action": CorrectionAction, "reason": CorrectionReason}),
        ("agreement", {"action": AgreementAction}),
    ):
        members = [member for member in schema[name]["properties"] if member != "type"]
        assert first(name) == members
        said = {row[0].strip("`"): row[1] for row in rows(name)}
        for member, values in codes.items():
            assert (
                quoted(said[member]) == list(get_args(values)) == schema[name]["properties"][member]["enum"]
            )


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("bdc-person", rows("bdc-person")),
        ("information-note", rows("information-note")),
        ("information-request", rows("information-request")),
    ],
    ids=["bdc-person", "information-note", "information-request"],
)
def test_record_members(name: str, listed: list[list[str]]) -> None:
    """Members of a kind in wire order: those without export class X, with what each demands."""
    kind = schemas.load_json(f"records/{name}/1.0.json")
    released = {member: rule for member, rule in kind["properties"].items() if rule["x-class"] != "X"}
    assert [row[0].strip("`") for row in listed] == list(released)
    for member, form in ((row[0].strip("`"), row[1]) for row in listed):
        words = set(" ".join(quoted(form)).replace("`", "").split())
        for inner, rule in _properties(released[member], kind).items():
            assert inner in words, (member, inner)
            assert set(map(str, rule.get("enum", ()))) <= words, (member, inner)
        if "maxItems" in released[member]:
            assert f"≤ {released[member]['maxItems']}" in form, member


def _properties(rule: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
    target = rule.get("items", rule)
    if "$ref" in target:
        target = kind["$defs"][target["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = target.get("properties", {})
    return found


def test_levels() -> None:
    """Every pair of policy and level that has a rank, and no other."""
    said = {
        row[0].strip("`"): {name: rank for rank, cell in enumerate(row[1:]) for name in quoted(cell)}
        for row in rows("levels")
    }
    assert said == default_levels().ranks


def test_suites() -> None:
    """Identifiers of HPKE, overhead, and the members of a JWE header in order."""
    said = {row[0]: row[1] for row in rows("hpke")}
    # test_protocol_vectors opens our messages with these very identifiers
    identifiers = "".join(quoted(said[part])[0].removeprefix("0x") for part in ("KEM", "KDF", "AEAD"))
    assert identifiers == HPKE_ID.hex()
    assert f"{len(hpke_info(b''))} bytes" in said["`info`"]
    assert str(hpke.OVERHEAD) in said["ciphertext"]
    assert first("jwe") == members(jwe.JweHeader)
    (epk,) = [row[1] for row in rows("jwe") if row[0] == "`epk`"]
    assert [name for name in quoted(epk) if name in members(jwe.EphemeralKey)] == members(jwe.EphemeralKey)


def test_buckets() -> None:
    """Sizes of plaintexts."""
    assert tuple(int(row[1]) for row in rows("buckets")) == container.BUCKETS


def test_seal_details() -> None:
    """Lengths that stand in the seal's table."""
    hints = get_type_hints(seal.SealHeader, include_extras=True)
    longest = next(meta.max_length for meta in get_args(hints["checkpoint"])[1:])
    (form,) = [row[1] for row in rows("seal") if row[0] == "`checkpoint`"]
    assert str(longest) in form


def test_limits() -> None:
    """Every limit is the code's constant."""
    sends, takes = Delivery(), Inbound()
    code: dict[str, float] = {
        "messages of a batch": container.MAX_BATCH,
        "body of a POST": takes.batch_bytes,
        "bytes of sealed messages a sender puts in one POST": sends.batch_bytes,
        "preamble": container.MAX_PREAMBLE,
        "sealed message": container.MAX_SEALED,
        "HPKE overhead": hpke.OVERHEAD,
        "JWE header": jwe.MAX_HEADER_BYTES,
        "seal header": jws.MAX_HEADER_BYTES,
        "checkpoint in a seal or receipt": seal.MAX_CHECKPOINT_CHARS,
        "receipt statement": receipt.MAX_STATEMENT_BYTES,
        "answer a sender reads": exchange.MAX_ANSWER,
        "terms of an agreement": agreement.MAX_TERMS_BYTES,
        "nesting of JSON": strict.MAX_DEPTH,
        "objects and arrays of a JSON text": strict.MAX_CONTAINERS,
        "values of a JSON text": strict.MAX_VALUES,
        "integer": strict.MAX_INTEGER,
        "payload": strict.MAX_JSON_BYTES,
        "clock skew": MAX_SKEW_S,
        "life of a seal, `exp − iat`": timedelta(days=DEFAULT_VALIDITY_DAYS).total_seconds(),
        "request line, and each header field": takes.header_bytes,
        "header fields": takes.headers,
        "handshake": takes.handshake_s,
        "idle connection, and complete headers": takes.idle_s,
        "next piece of a request body": takes.body_stall_s,
        "whole request body": takes.body_total_s,
        "least rate of a request body": takes.body_bytes_s,
        "connect": sends.connect_timeout_s,
        "answer": sends.answer_timeout_s,
        "first retry after": sends.backoff_first_s,
        "retry at the latest after": sends.backoff_most_s,
        "connections of a listener": takes.connections,
        "connections of one source address": takes.connections_per_source,
        "connections of one organisation": takes.connections_per_partner,
        "window of the quota": takes.window_s,
        "bytes of one window": takes.window_bytes,
        "messages and questions of one window": takes.window_messages,
        "bodies of one organisation on their way": takes.reading_bytes_per_partner,
        "certificate chain": MAX_CHAIN,
        "life of a leaf certificate": profiles.MAX_LEAF_VALIDITY.days,
        "signature lines of a note": checkpoint.MAX_SIGNATURES,
        "ask for a cosignature": MAX_ASK,
        "leaves of a part of a log": MAX_LEAVES,
    }
    assert {row[0]: limit(row[0]) for row in rows("limits")} == code
    assert timedelta(seconds=MAX_SKEW_S) == receipt.CLOCK_SKEW
    assert limit("life of a seal, `exp − iat`") + 600 == MAX_VALIDITY_S
    assert f"`cty` is\n    `{CONTENT_TYPE}`" in TEXT


def test_the_example_is_that_of_the_vectors() -> None:
    """§19 is what its generator writes from the stored vectors."""
    assert filled(TEXT) == TEXT


def test_every_reference_leads_somewhere() -> None:
    """Sections that are referred to exist; files that are named exist."""
    sections = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)", TEXT, re.M))
    # RFC clauses stand behind the name of their document
    text = re.sub(r"(?:RFC \d+|FIPS \d+)(?:,? (?:appendix \w|§[\d.]+))*", "", TEXT)
    for section in _flat(re.findall(r"§(\d+(?:\.\d+)?)", text)):
        assert section in sections, section
    for name in re.findall(r"`([a-z]+)\.json`", TEXT):
        assert (FOLDER / f"{name}.json").exists(), name


def _flat(found: Iterable[str]) -> set[str]:
    return {section.rstrip(".") for section in found}
