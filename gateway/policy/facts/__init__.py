"""Facts: what rules may look at. Named, finite, typed, each an ordinary tested function.

A release fact reads a `Context`; a field fact reads a `Context` and one `LabelledField`. None says "not known here";
raising says "cannot be told". A rule that needs either denies, unless it asks ``known``, which forgives None only.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.policy.facts import (  # noqa: F401  importing them declares their facts
    agreement,
    dna,
    emergency,
    field,
    grades,
    marking,
    record,
    release,
    text,
    transfer,
    travel,
)
from gateway.policy.facts.declare import DECLARED, FactSpec, Scope, Value

#: Every fact, by name.
FACTS: Mapping[str, FactSpec] = MappingProxyType(DECLARED)

__all__ = ["FACTS", "FactSpec", "Scope", "Value"]
