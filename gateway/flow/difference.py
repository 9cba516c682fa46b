"""What a document says that the one before it did not: for the people who are asked to put it in force."""

from __future__ import annotations

from functools import cache
from typing import Any, get_type_hints

import msgspec

from gateway.errors import RequestInvalid
from gateway.model.agreement import AgreementTerms, Bulk, Ceiling, ProtocolFields
from gateway.wire.strict import b64url_decode

#: Kinds of documents of which a decision is made, and so those whose change is shown member by member.
DECIDING = ("policy", "settings", "agreement")


class Changed(msgspec.Struct, frozen=True):
    """One member that differs, as JSON text; empty where it was, or is, not there. Rules stand under their id."""

    path: str
    before: str
    after: str


def differences(kind: str, before: bytes, after: bytes) -> tuple[Changed, ...]:
    """Every member that differs, in the order of the paths. Raises `RequestInvalid` for bytes of another shape."""
    old, new = _members(kind, before), _members(kind, after)
    paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return tuple(Changed(path, old.get(path, ""), new.get(path, "")) for path in paths)


def meaning(kind: str, path: str) -> str:
    """What a member is about, in words; empty where its kind of document does not say."""
    if kind != "agreement":
        return ""
    member, _, inner = path.partition("/")
    words = _said(AgreementTerms)
    nested = _NESTED.get(member)
    return (_said(nested).get(inner) if nested is not None else None) or words.get(member, "")


#: Members of terms that have members of their own.
_NESTED: dict[str, type[msgspec.Struct]] = {"ceiling": Ceiling, "bulk": Bulk, "protocol": ProtocolFields}


@cache
def _said(of: type[msgspec.Struct]) -> dict[str, str]:
    """Descriptions of a type's members, as its JSON Schema gives them to editors."""
    hints = get_type_hints(of, include_extras=True)
    return {
        name: mark.description
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if isinstance(mark, msgspec.Meta) and mark.description is not None
    }


def _members(kind: str, raw: bytes) -> dict[str, str]:
    """Paths of a document: two levels deep, so that a change is seen where it is and read as a whole."""
    if not raw:
        return {}
    try:
        document = msgspec.json.decode(raw, type=dict[str, Any])
        if kind == "agreement":
            document = msgspec.json.decode(b64url_decode(document["terms"]), type=dict[str, Any])
        if kind == "policy":
            document |= {"rules": {rule["id"]: rule for rule in document["rules"]}}
            return {
                path: text
                for rule, members in document.pop("rules").items()
                for path, text in _flat(f"rules/{rule}", members).items()
            } | _flat("", document)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
        raise RequestInvalid(f"the {kind} document does not follow its schema") from None
    return {
        path: text
        for name, value in document.items()
        for path, text in (
            _flat(name, value) if isinstance(value, dict) else _flat("", {name: value})
        ).items()
    }


def _flat(under: str, members: dict[str, Any]) -> dict[str, str]:
    return {
        f"{under}/{name}".removeprefix("/"): msgspec.json.encode(value).decode()
        for name, value in members.items()
    }
