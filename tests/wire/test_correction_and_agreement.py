"""Corrections and what is said of agreements, on the wire: closed, one encoding, no room for anything else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import MalformedMessage, RecordInvalid, SchemaViolation
from gateway.model.message import AgreementPart, Correction, ExchangeMessage, Reply
from gateway.wire.ct_json import CtJson
from tests.wire.test_ct_json import ENVELOPE

FORMAT = CtJson()
WRONG, INSTEAD = "3c3c7f0e-6a0e-4a53-9d57-0f3c1c2b7a03", "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
SIGNATURE = "e30.." + "A" * 86

SAID: list[tuple[Any, dict[str, Any]]] = [
    *(
        ("correction", {"correction": Correction(WRONG, action, reason)})
        for action in ("withdrawn", "restricted")
        for reason in ("inaccurate", "incomplete", "outdated", "unlawful")
    ),
    ("correction", {"correction": Correction(WRONG, "replaced", "outdated", INSTEAD)}),
    ("agreement", {"agreement": AgreementPart("offered", "e30", SIGNATURE)}),
    ("agreement", {"agreement": AgreementPart("signed", "A" * 87382, "A" * 936 + ".." + "A" * 86)}),
    ("agreement", {"agreement": AgreementPart("revoked", terms_sha256="0" * 64)}),
]


def message(type: Any, said: dict[str, Any]) -> ExchangeMessage:
    return ExchangeMessage(msgspec.structs.replace(ENVELOPE, type=type), **said)


@pytest.mark.parametrize(("type", "said"), SAID)
def test_it_comes_back_as_it_was(type: Any, said: dict[str, Any]) -> None:
    """Envelope and members in the order of the schema, and one encoding."""
    whole = message(type, said)
    raw = FORMAT.render(whole).payload
    assert FORMAT.parse(raw) == whole
    (part,) = said.values()
    assert list(msgspec.json.decode(raw))[9:] == list(msgspec.to_builtins(part))
    with pytest.raises(MalformedMessage):
        FORMAT.parse(raw[:-1] + b" }")


@pytest.mark.parametrize(
    ("type", "said"),
    [
        ("correction", {}),
        ("correction", {"correction": Correction("Zzemo", "withdrawn", "inaccurate")}),
        ("correction", {"correction": Correction(ENVELOPE.message_id, "withdrawn", "inaccurate")}),
        ("correction", {"correction": Correction(WRONG, "replaced", "inaccurate")}),
        ("correction", {"correction": Correction(WRONG, "replaced", "inaccurate", WRONG)}),
        ("correction", {"correction": Correction(WRONG, "replaced", "inaccurate", ENVELOPE.message_id)}),
        ("correction", {"correction": Correction(WRONG, "restricted", "inaccurate", INSTEAD)}),
        ("correction", {"correction": Correction(WRONG, "expired", "inaccurate")}),  # type: ignore[arg-type]
        ("correction", {"correction": Correction(WRONG, "withdrawn", "acquitted")}),  # type: ignore[arg-type]
        ("recall", {"correction": Correction(WRONG, "withdrawn", "inaccurate")}),
        ("correction", {"agreement": AgreementPart("revoked", terms_sha256="0" * 64)}),
        ("agreement", {}),
        ("agreement", {"agreement": AgreementPart("offered")}),
        ("agreement", {"agreement": AgreementPart("offered", "e30")}),
        ("agreement", {"agreement": AgreementPart("signed", "", SIGNATURE)}),
        ("agreement", {"agreement": AgreementPart("offered", "e30=", SIGNATURE)}),
        ("agreement", {"agreement": AgreementPart("offered", "A" * 87383, SIGNATURE)}),
        ("agreement", {"agreement": AgreementPart("offered", "e30", "e30.e30." + "A" * 86)}),
        ("agreement", {"agreement": AgreementPart("offered", "e30", "A" * 937 + ".." + "A" * 86)}),
        ("agreement", {"agreement": AgreementPart("offered", "e30", SIGNATURE, "0" * 64)}),
        ("agreement", {"agreement": AgreementPart("revoked")}),
        ("agreement", {"agreement": AgreementPart("revoked", terms_sha256="0" * 63)}),
        ("agreement", {"agreement": AgreementPart("revoked", "e30", terms_sha256="0" * 64)}),
        ("agreement", {"agreement": AgreementPart("revoked", signature=SIGNATURE, terms_sha256="0" * 64)}),
        ("agreement", {"agreement": AgreementPart("accepted", "e30", SIGNATURE)}),  # type: ignore[arg-type]
        ("void", {"agreement": AgreementPart("revoked", terms_sha256="0" * 64)}),
    ],
)
def test_another_form_is_refused(type: Any, said: dict[str, Any]) -> None:
    """It is not rendered, for it would not be read."""
    with pytest.raises(RecordInvalid):
        FORMAT.render(message(type, said))


@pytest.mark.parametrize(("type", "said"), [SAID[0], SAID[-3], SAID[-1]])
def test_there_is_no_room_for_content(type: Any, said: dict[str, Any]) -> None:
    """A record, a label, a text or another type's member beside it is refused."""
    raw = FORMAT.render(message(type, said)).payload
    for member in (b'"text":"Zzemo"', b'"records":[]', b'"label":{}', f'"recalls":"{INSTEAD}"'.encode()):
        with pytest.raises(SchemaViolation):
            FORMAT.parse(raw[:-1] + b"," + member + b"}")
    with pytest.raises(RecordInvalid):
        FORMAT.render(message(type, said | {"reply": Reply(INSTEAD)}))
