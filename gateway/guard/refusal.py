"""Why the guard refuses: one closed list of rules, so that no refusal can carry a value."""

from typing import Literal

from gateway.errors import GuardRefused

#: What was being read or compared when the guard refused.
Subject = Literal["payload", "decision", "record", "allow-list"]

#: Every reason for a refusal. It stands in ``diagnostic["rule"]``.
RefusalRule = Literal[
    # bytes that cannot be read, or could have been written otherwise
    "size", "encoding", "syntax", "depth", "number", "surrogate", "duplicate-member", "null", "spelling",
    # the endorsed decision and the records it names
    "form", "decision", "record", "record-digest", "outcome", "class", "pseudonym", "type", "protocol-form",
    # labels of what is released
    "unlabelled", "levels-version", "level-unknown", "above-ceiling", "not-releasable", "no-foreign", "embargo",
    "purpose",
    # accounting of the leaves
    "unexplained", "missing", "order",
    "altered-constant", "altered-protocol", "altered-part", "altered-ref", "altered-value", "altered-label",
    # free text
    "withheld-value-in-text", "register-number-in-text", "entity-id",
]  # fmt: skip


def refuse(rule: RefusalRule, detail: str, *, subject: Subject = "payload", **where: int) -> GuardRefused:
    """The refusal to raise. ``where`` holds ordinals only (``leaf=17``, ``record=0``), never names or values."""
    return GuardRefused(detail, diagnostic={"rule": rule, "subject": subject, **where})
