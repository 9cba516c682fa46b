"""Invariants: what must hold whenever a field leaves, whatever the rules are. Data, as the rules are."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec

from gateway.errors import PolicyInvalid
from gateway.policy.document import read_document
from gateway.policy.explain import LANGUAGES
from gateway.policy.expr import Node, parse_condition
from gateway.policy.facts import FACTS, FactSpec


class Invariant(msgspec.Struct, frozen=True):
    """What must hold whenever a field leaves: ``only_if`` can be read in full, and is true.

    ``with_settings``: it hangs on thresholds, and is a question only once they are given.
    """

    id: str
    text: Mapping[str, str]
    only_if: Node
    with_settings: bool


class Invariants(msgspec.Struct, frozen=True):
    """A loaded file: what must hold of the policy, and what holds of its facts by the way they are computed."""

    invariants: tuple[Invariant, ...]
    facts: tuple[Node, ...]


class _Invariant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    text: dict[str, str]
    only_if: Any
    with_settings: bool = False


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    note: str
    facts: tuple[Any, ...]
    invariants: tuple[_Invariant, ...]


def load_invariants(raw: bytes, facts: Mapping[str, FactSpec] = FACTS) -> Invariants:
    """Read a file of invariants; raises `PolicyInvalid`, and for an empty one too: nothing proven is no proof."""
    document = read_document(raw, _Document, "invariant file")
    ids = [one.id for one in document.invariants]
    if not ids or len(set(ids)) != len(ids) or not all(ids):
        raise PolicyInvalid("invariants have ids, each its own, and there is at least one")
    if any({*one.text} != {*LANGUAGES} for one in document.invariants):
        raise PolicyInvalid("an invariant is said in fr, nl, de and en")
    return Invariants(
        tuple(
            Invariant(one.id, one.text, parse_condition(one.only_if, "field", facts), one.with_settings)
            for one in document.invariants
        ),
        tuple(parse_condition(tree, "field", facts) for tree in document.facts),
    )


def default_invariants() -> Invariants:
    """The invariants shipped with the gateway."""
    return load_invariants(files("schemas").joinpath("policy/invariants.json").read_bytes())
