"""The second opinion on finished bytes, with a reader of its own.

It imports the nouns and the errors, and nothing of what decided on or rendered the message: the repetition is
intended. Its answer is a `GuardVerdict`, or `GuardRefused` with one rule of `RefusalRule`.
"""

from gateway.guard.egress import (
    GuardVerdict,
    guard,
    guard_agreement,
    guard_correction,
    guard_protocol,
    guard_recall,
    guard_reply,
)
from gateway.guard.refusal import RefusalRule

__all__ = [
    "GuardVerdict",
    "RefusalRule",
    "guard",
    "guard_agreement",
    "guard_correction",
    "guard_protocol",
    "guard_recall",
    "guard_reply",
]
